"""`medimagenet doctor`: what works on this machine, what is missing, how to get it."""

from pathlib import Path
from typing import Annotated

import typer

from ..doctor import Report, Status, examine
from .output import ExitCode, JsonFlag, write_json, write_line, write_table


def command(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where you will write data; the present folder when not given.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check versions, codecs, processor, memory, disk, GPU and caches.

    Exit code 1 when something that indexing, compiling or loading needs is missing.
    """
    report = examine(folder)
    if as_json:
        write_json(report.to_dict())
    else:
        _render(report)
    if not report.is_ready:
        raise typer.Exit(ExitCode.FAILED)


def _render(report: Report) -> None:
    write_table(
        ["area", "what", "status", "detail"],
        [[check.area, check.name, check.status.value, check.detail] for check in report.checks],
    )
    remedies = [check for check in report.checks if check.remedy]
    if remedies:
        write_line()
        write_table(["what", "how to get it"], [[check.name, check.remedy] for check in remedies])
    write_line()
    lacking = [check.name for check in report.checks if check.required and check.status is Status.MISSING]
    write_line(f"not ready: {', '.join(lacking)}" if lacking else "ready: everything that is required works")
