"""`medimagenet inspect`: what is in a store, as a table and as a picture."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..compiler.fingerprint import write_fingerprint
from ..compiler.inspect import plot, summarize
from ..store import open_store
from .output import (
    FailOnOption,
    JsonFlag,
    fail_on,
    human_bytes,
    plural,
    severities,
    write_json,
    write_line,
    write_table,
    wrong_usage,
)


def command(
    store: Annotated[str, typer.Argument(help="Store to look into, or its address.", metavar="Y.zarr")],
    picture: Annotated[
        Path | None, typer.Option("--plot", help="Write a PNG with slices of a few samples and their classes.")
    ] = None,
    sample: Annotated[
        list[str] | None, typer.Option("--sample", help="Show this sample; may be given several times.", metavar="ID")
    ] = None,
    fingerprint: Annotated[
        Path | None,
        typer.Option("--fingerprint", help="Write what nnU-Net's dataset_fingerprint.json says of the data."),
    ] = None,
    fail: FailOnOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the samples of a store: sizes, spacing, classes with their volumes, splits, licences, findings."""
    opened = open_store(store)
    with wrong_usage():
        summary = summarize(opened, sample)
        shown = plot(opened, picture, sample) if picture is not None else ()
    if fingerprint is not None:
        write_fingerprint(opened, fingerprint)
    if as_json:
        write_json({**summary, "plot": picture, "plotted": shown, "fingerprint": fingerprint})
    else:
        _render(summary)
        if picture is not None:
            write_line(f"pictures of {plural(len(shown), 'sample')} in {picture}")
        if fingerprint is not None:
            write_line(f"the fingerprint is in {fingerprint}")
    fail_on(severities(summary["findings"]), fail)


def _render(summary: dict[str, Any]) -> None:
    classes = summary["classes"]
    write_table(
        ["sample", "split", "series", "size x y z", "spacing mm", *(f"{name} ml" for name in classes), "findings"],
        [_cells(row, classes) for row in summary["rows"]],
    )
    write_line()
    write_line(
        f"{plural(summary['samples'], 'sample')} of {plural(summary['patients'], 'patient')} "
        f"({_counts(summary['splits'])}), "
        f"{human_bytes(summary['stored_bytes'])}, recipe {summary['recipe']} ({summary['recipe_hash'][:12]}), "
        f"labels as {summary['label_kind']}"
    )
    write_line(f"licences: {_counts(summary['licenses'])}")
    if not summary["finished"]:
        write_line('the run that made it has not come to its end: run "medimagenet compile" again to continue it')


def _cells(row: dict[str, Any], classes: list[str]) -> list[object]:
    millilitres = [row["classes"].get(name, {}).get("volume_mm3", 0) / 1000 for name in classes]
    return [
        row["sample_id"],
        row["split"],
        ", ".join(row["modalities"]),
        " × ".join(map(str, row["size"])),
        " × ".join(f"{mm:.4g}" for mm in row["spacing_mm"]),
        *(f"{volume:.1f}" for volume in millilitres),
        ", ".join(dict.fromkeys(finding["code"] for finding in row["findings"])),
    ]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
