"""`medimagenet verify`: whether a store still holds what was written."""

import dataclasses
from typing import Annotated

import typer

from ..store import verify
from .output import ExitCode, JsonFlag, progress_bar, write_json, write_line, write_table


def command(
    store: Annotated[str, typer.Argument(help="Store to read, or its address.", metavar="Y.zarr")],
    as_json: JsonFlag = False,
) -> None:
    """Read every byte of a store and compare it with its hashes. Exit code 1 when something differs."""
    with progress_bar("verifying") as progress:
        problems = verify(store, progress=progress)
    if as_json:
        write_json({"store": store, "ok": not problems, "problems": list(map(dataclasses.asdict, problems))})
    elif problems:
        write_table(
            ["sample", "array", "problem"], [[problem.sample_id, problem.array, problem.what] for problem in problems]
        )
    else:
        write_line(f"{store}: everything is as it was written")
    if problems:
        raise typer.Exit(ExitCode.FAILED)
