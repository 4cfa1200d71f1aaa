"""`medimagenet convert`: DICOM, an index or a store become files that other programs read."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..compiler.convert import REPORT, ConvertReport, convert_dataset, make_convert_plan, open_source
from ..compiler.convert_plan import ConvertPlan
from ..findings import Finding
from ..preprocess import Recipe
from .output import (
    AcceptLicense,
    FailOnOption,
    Jobs,
    JsonFlag,
    fail_on,
    human_bytes,
    plural,
    progress_with_steps,
    write_json,
    write_line,
    write_table,
    wrong_usage,
)


class To(StrEnum):
    """What is written."""

    NIFTI = "nifti"
    HDF5 = "hdf5"
    NNUNET = "nnunet"


def command(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM, index, or store.", metavar="INPUT")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write, or to continue.", metavar="DIR")],
    to: Annotated[To, typer.Option("--to", help="What to write.")] = To.NIFTI,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", "-r", help="What to make of it; without one every image series as it is.", metavar="R.yaml"
        ),
    ] = None,
    jobs: Jobs = None,
    level: Annotated[int, typer.Option("--level", min=0, max=3, help="Of compression: 0 fast, 3 small.")] = 1,
    uncompressed: Annotated[bool, typer.Option("--uncompressed", help="Write .nii, and HDF5 without filter.")] = False,
    keep_patient_ids: Annotated[
        bool, typer.Option("--keep-patient-ids", help="Write original PatientIDs, not pseudonyms.")
    ] = False,
    accept_license: AcceptLicense = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be converted, and convert nothing.")
    ] = False,
    fail: FailOnOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write images and masks as NIfTI, HDF5 or nnU-Net raw, with what is known about them as JSON and one table.

    A conversion of the same settings is continued: samples that are there, and whose input is unchanged, stay.
    """
    if dry_run:
        checked = None if recipe is None else Recipe.load(recipe)
        plan = make_convert_plan(open_source(source, jobs=jobs), to.value, checked, None)
        _show_plan(plan, as_json)
        found = [finding for item in plan.items for finding in item.findings]
    else:
        with wrong_usage(), progress_with_steps("converting") as (progress, step_progress):
            report = convert_dataset(
                source,
                out,
                to=to.value,
                recipe=recipe,
                jobs=jobs,
                level=None if uncompressed else level,
                keep_patient_ids=keep_patient_ids,
                accept_licenses=accept_license or (),
                progress=progress,
                step_progress=step_progress,
            )
        _show_report(report, as_json)
        found = list(report.findings())
    fail_on((finding.severity for finding in found), fail)


def _show_plan(plan: ConvertPlan, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "sample_id": item.sample_id,
            "split": item.split,
            "state": "skip" if item.obstacles else "convert",
            "obstacles": [finding.to_row() for finding in item.obstacles],
        }
        for item in plan.items
    ]
    voxels = sum(item.voxels for item in plan.items if not item.obstacles)
    if as_json:
        not_formed = [{"which": which, "why": why} for which, why in plan.not_formed]
        write_json({"dry_run": True, "samples": rows, "not_formed": not_formed, "voxels": voxels})
        return
    write_table(
        ["sample of the input", "split", "would", "because of"],
        [
            [row["sample_id"], row["split"], row["state"], _codes(item.obstacles)]
            for row, item in zip(rows, plan.items, strict=True)
        ],
    )
    write_line()
    kept = sum(not item.obstacles for item in plan.items)
    size = f"; their images are {human_bytes(2 * voxels)} as int16, on their own grids" if voxels else ""
    write_line(f"{kept} of {plural(len(plan.items), 'sample')} would be converted{size}; nothing was written")
    _show_not_formed(plan.not_formed)


def _show_report(report: ConvertReport, as_json: bool) -> None:
    if as_json:
        write_json(report.to_dict())
        return
    if report.skipped:
        write_table(
            ["not converted", "finding", "message"],
            [
                [outcome.sample_id, finding.code, finding.message]
                for outcome in report.skipped
                for finding in outcome.findings
                if finding.severity == "error" or len(outcome.findings) == 1
            ],
        )
        write_line()
    _show_not_formed(report.not_formed)
    written, unchanged = len(report.written), len(report.unchanged)
    removed = len(report.of_state("removed"))
    write_line(
        f"{plural(written, 'sample')} written, {unchanged} unchanged, {len(report.skipped)} skipped, {removed} removed "
        f"in {report.seconds:.1f} s; {report.path / REPORT} says why, {report.path / 'metadata.csv'} what is there"
    )


def _show_not_formed(not_formed: tuple[tuple[str, str], ...]) -> None:
    for why, count in Counter(why for _, why in not_formed).most_common(5):
        write_line(f"{plural(count, 'series')} left out: {why}")


def _codes(findings: tuple[Finding, ...]) -> str:
    return ", ".join(dict.fromkeys(finding.code for finding in findings))
