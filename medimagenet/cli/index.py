"""`medimagenet index`: a folder or what a source lists becomes a Parquet table, and what could not be read a report."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import index_source
from ..index.report import report_path
from .output import (
    FailOnOption,
    Jobs,
    JsonFlag,
    fail_on,
    human_bytes,
    plural,
    progress_bar,
    severities,
    write_json,
    write_line,
    write_table,
)


def command(
    target: Annotated[
        str,
        typer.Argument(
            help="Folder to walk: any layout, any file names. Or a source and what to ask it for, such as "
            "dicomweb:https://pacs.example.org/dicom-web or archive:manifest.yaml.",
            metavar="DIR|NAME:ARGUMENT",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.", metavar="X.parquet")],
    jobs: Jobs = None,
    collection: Annotated[str | None, typer.Option(help="Name of the collection, written into every row.")] = None,
    license: Annotated[str | None, typer.Option(help="Licence of the data, such as CC-BY-4.0.")] = None,
    doi: Annotated[str | None, typer.Option(help="DOI under which the data is cited.")] = None,
    reread: Annotated[bool, typer.Option("--reread", help="Read all files again, also those unchanged.")] = False,
    fail: FailOnOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Read the headers of a folder, or what a source lists, into one Parquet table: a row per series.

    Files that cannot be read are not in the way: they are listed in X.report.csv, with the reason. Where X.parquet is
    there, only files that have changed since are read.
    """
    with progress_bar("reading headers") as progress:
        index = index_source(
            target,
            previous=None if reread else out,
            jobs=jobs,
            progress=progress,
            collection_id=collection,
            license=license,
            doi=doi,
        )
        index.write(out)
    summary = _summary(out, index)
    if as_json:
        write_json(summary)
    else:
        _render(summary)
        write_line(f"next: {_next_step(out, index, summary['modalities'])}")
    fail_on(severities(summary["findings"]), fail)


def _summary(out: Path, index: Any) -> dict[str, Any]:
    rows = index.table.select(["Modality", "PatientID", "n_instances", "size_bytes", "findings"]).to_pylist()
    modalities: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = modalities.setdefault(row["Modality"] or "none", {"series": 0, "files": 0, "size_bytes": 0})
        counts["series"] += 1
        counts["files"] += row["n_instances"]
        counts["size_bytes"] += row["size_bytes"]
    findings = [finding for row in rows for finding in row["findings"] or ()]
    counted = Counter((finding["code"], finding["severity"]) for finding in [*findings, *index.problems])
    return {
        "index": str(out),
        "series": len(rows),
        "patients": len({row["PatientID"] for row in rows}),
        "modalities": dict(sorted(modalities.items())),
        "unreadable": len(index.problems),
        "findings": [
            {"code": code, "severity": severity, "count": count} for (code, severity), count in sorted(counted.items())
        ],
        **_files(index.inventory),
    }


def _files(inventory: Any) -> dict[str, int]:
    """How many files of a folder were read."""
    if inventory is None:
        return {}
    return {"files_read": inventory.n_read, "files_unchanged": inventory.n_kept, "files_gone": inventory.n_gone}


def _render(summary: dict[str, Any]) -> None:
    write_table(
        ["modality", "series", "files", "size"],
        [
            [name, counts["series"], counts["files"], human_bytes(counts["size_bytes"])]
            for name, counts in summary["modalities"].items()
        ],
    )
    if summary["findings"]:
        write_line()
        write_table(
            ["finding", "severity", "count"],
            [[finding["code"], finding["severity"], finding["count"]] for finding in summary["findings"]],
        )
    write_line()
    path = summary["index"]
    write_line(f"{plural(summary['series'], 'series')} of {plural(summary['patients'], 'patient')} in {path}")
    if summary.get("files_unchanged") or summary.get("files_gone"):
        gone = f", {summary['files_gone']:,} gone" if summary["files_gone"] else ""
        write_line(f"{plural(summary['files_read'], 'file')} read, {summary['files_unchanged']:,} unchanged{gone}")
    if summary["unreadable"]:
        write_line(f"{plural(summary['unreadable'], 'file')} in no series: {report_path(Path(path))} says why")


def _next_step(out: Path, index: Any, modalities: Collection[str]) -> str:
    """What can be done with these rows: of series that are elsewhere nothing can be read before they are here."""
    if any("://" in (uri or "") for uri in index.table.column("uri").to_pylist()):
        return f"medimagenet search {out}; medimagenet download {out} --to DIR"
    images = [name for name in ("CT", "MR", "PT") if name in modalities]
    annotations = [name for name in ("RTSTRUCT", "SEG") if name in modalities]
    if images and annotations:
        return f"medimagenet samples {out} --modalities {images[0]},{annotations[0]}"
    return f"medimagenet search {out}"
