"""`medimagenet samples`: which series belong together, and which lack what was asked for."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import explain_samples, find_samples, open_index
from ..index.links import ANNOTATIONS
from .output import JsonFlag, plural, write_json, write_line, write_table, wrong_usage

MOST_REASONS = 5  # lines below the table, most frequent first


def command(
    index: Annotated[Path, typer.Argument(help="Index that `medimagenet index` wrote.", metavar="X.parquet")],
    modalities: Annotated[
        str, typer.Option(help="What a sample must have; the first one leads: masks come from its annotation.")
    ],
    missing: Annotated[bool, typer.Option("--missing", help="List what is no sample, and why, instead.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say of every series why it is in a sample or not, instead.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the series that belong together, for example each CT with the RTSTRUCT that was drawn on it.

    Series are joined by the references inside the DICOM objects, then by their frame of reference.
    """
    opened = open_index(index)
    with wrong_usage():
        found = find_samples(opened, modalities)
    explained = explain_samples(opened, modalities) if explain else ()
    if as_json:
        document = {"samples": [_document(sample) for sample in found.samples], "missing": _missing(found)}
        write_json({**document, "explained": explained} if explain else document)
    elif explain:
        _render_explained(explained)
    elif missing:
        write_table(["series or patient", "reason"], [[row["key"], row["reason"]] for row in _missing(found)])
    else:
        _render(found)


def _render_explained(explained: Sequence[Any]) -> None:
    columns = ["patient", "modality", "series", "outcome", "sample", "reason"]
    rows = [
        [each.patient_id, each.modality, each.series, each.outcome, ", ".join(each.samples), each.reason]
        for each in explained
    ]
    write_table(columns, rows)
    write_line()
    counts = Counter(each.outcome for each in explained)
    write_line(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no series of these modalities")


def _document(sample: Any) -> dict[str, Any]:
    return {
        "sample_id": sample.sample_id,
        "patient_id": sample.patient_id,
        "collection_id": sample.collection_id,
        "series": {modality: row["SeriesInstanceUID"] for modality, row in sample.series.items()},
        "others": [row["SeriesInstanceUID"] for row in sample.others],
        "series_findings": {
            modality: list(dict.fromkeys(found["code"] for found in row["findings"] or ()))
            for modality, row in sample.series.items()
        },
        "findings": [
            {"code": found.code, "severity": found.severity, "message": found.message, "numbers": found.numbers}
            for found in sample.findings
        ],
    }


def _missing(found: Any) -> list[dict[str, str]]:
    return [{"key": str(key), "reason": str(reason)} for key, reason in found.missing]


def _render(found: Any) -> None:
    modalities = list(found.samples[0].series) if found.samples else []
    if found.samples:
        write_table(
            ["sample", *modalities, "regions", "findings"],
            [
                [sample.sample_id, *map(_size, sample.series.values()), _regions(sample), _codes(sample)]
                for sample in found.samples
            ],
        )
        write_line()
    write_line(plural(len(found.samples), "sample"))
    for reason, count in Counter(reason for _, reason in found.missing).most_common(MOST_REASONS):
        write_line(f"{plural(count, 'series')} in none: {reason}")
    if found.missing:
        write_line("(--missing lists them)")


def _size(row: dict[str, Any]) -> str:
    """Of an image its size as x × y × z, or its files where that is not known; of an annotation how many regions."""
    if row["shape"]:
        return "×".join(str(n) for n in reversed(row["shape"]))
    if row["Modality"] not in ANNOTATIONS:
        return plural(row["n_instances"], "file")
    return plural(len(row["roi_names"] or ()), "region")


def _regions(sample: Any) -> str:
    names = [name for row in sample.series.values() for name in row["roi_names"] or ()]
    return ", ".join(names)


def _codes(sample: Any) -> str:
    rows = [finding for row in sample.series.values() for finding in row["findings"] or ()]
    codes = [finding.code for finding in sample.findings] + [finding["code"] for finding in rows]
    return ", ".join(dict.fromkeys(codes))
