"""`medimagenet compile`: an index and a recipe become a store."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..compiler import CompileReport, compile_store
from ..compiler.plan import Plan, make_plan
from ..compiler.report import report_path
from ..index import open_index
from ..preprocess import Recipe
from ..store.hdf5_files import is_hdf5_name
from .output import (
    AcceptLicense,
    FailOnOption,
    Jobs,
    JsonFlag,
    fail_on,
    plural,
    progress_with_steps,
    write_json,
    write_line,
    write_table,
)


class StoreForm(StrEnum):
    """How a store is kept."""

    zarr = "zarr"
    hdf5 = "hdf5"


def command(
    index: Annotated[Path, typer.Argument(help="Index that `medimagenet index` wrote.", metavar="X.parquet")],
    recipe: Annotated[Path, typer.Option("--recipe", "-r", help="What to make of it.", metavar="R.yaml")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Store to write, or to continue.", metavar="Y.zarr")],
    jobs: Jobs = None,
    keep_patient_ids: Annotated[
        bool, typer.Option("--keep-patient-ids", help="Write original PatientIDs, not pseudonyms.")
    ] = False,
    accept_license: AcceptLicense = None,
    form: Annotated[
        StoreForm | None,
        typer.Option("--form", help="Zarr folder, or HDF5 file (the default where the name ends with .h5)."),
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option("--max-file-bytes", min=1, help="HDF5: several files, none larger than this.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be compiled, and compile nothing.")
    ] = False,
    fail: FailOnOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Decode and preprocess the samples of an index into a store that training reads.

    A store of the same recipe is continued: samples that are there, and whose input is unchanged, stay as they are.
    So a compile that was stopped, for whatever reason, goes on when the same command is run again.
    """
    if form is StoreForm.hdf5 and not is_hdf5_name(out):
        raise typer.BadParameter(f"a store in the HDF5 form is called *.h5, got {out}", param_hint="--out")
    if dry_run:
        plan = make_plan(open_index(index), Recipe.load(recipe), None)
        _show_plan(plan, as_json)
        found = [finding for task in plan.tasks for finding in task.findings]
    else:
        with progress_with_steps("compiling") as (progress, step_progress):
            report = compile_store(
                index,
                recipe,
                out,
                jobs=jobs,
                keep_patient_ids=keep_patient_ids,
                accept_licenses=accept_license or (),
                progress=progress,
                step_progress=step_progress,
                form=None if form is None else form.value,
                max_file_bytes=max_file_bytes,
            )
        _show_report(report, as_json)
        found = list(report.findings())
    fail_on((finding.severity for finding in found), fail)


def _show_plan(plan: Plan, as_json: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "sample_id": task.sample_id,
            "split": task.split,
            "state": "skip" if task.obstacles else "compile",
            "obstacles": [finding.to_row() for finding in task.obstacles],
        }
        for task in plan.tasks
    ]
    if as_json:
        not_formed = [{"which": which, "why": why} for which, why in plan.not_formed]
        write_json({"dry_run": True, "samples": rows, "not_formed": not_formed})
        return
    write_table(
        ["sample of the index", "split", "would", "because of"],
        [
            [row["sample_id"], row["split"], row["state"], ", ".join({one.code: None for one in task.obstacles})]
            for row, task in zip(rows, plan.tasks, strict=True)
        ],
    )
    write_line()
    splits = Counter(task.split for task in plan.tasks if not task.obstacles)
    counts = ", ".join(f"{name} {count}" for name, count in sorted(splits.items()))
    of_all = f"{sum(splits.values())} of {plural(len(plan.tasks), 'sample')}"
    write_line(f"{of_all} would be compiled ({counts}); nothing was written")


def _show_report(report: CompileReport, as_json: bool) -> None:
    if as_json:
        write_json(report.to_dict())
        return
    if report.skipped:
        write_table(
            ["not compiled", "finding", "message"],
            [
                [outcome.sample_id, finding.code, finding.message]
                for outcome in report.skipped
                for finding in outcome.findings
                if finding.severity == "error" or len(outcome.findings) == 1
            ],
        )
        write_line()
    _show_findings(report)
    written, unchanged = len(report.written), len(report.unchanged)
    removed = len(report.of_state("removed"))
    write_line(
        f"{plural(written, 'sample')} written, {unchanged} unchanged, {len(report.skipped)} skipped, {removed} removed "
        f"in {report.seconds:.1f} s; {report_path(report.path)} says why"
    )
    write_line(f"next: medimagenet inspect {report.path} --plot {report.path.with_suffix('.png')}")


def _show_findings(report: CompileReport) -> None:
    counted = Counter((finding.code, finding.severity.value) for finding in report.findings())
    if counted:
        write_table(
            ["finding", "severity", "count"],
            [[code, severity, count] for (code, severity), count in sorted(counted.items())],
        )
        write_line()
