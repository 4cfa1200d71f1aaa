"""`medimagenet download`: series of an index, of a search or of a manifest become files on this disk."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..download import DownloadPlan, DownloadReport, Terms, download, plan_download
from ..download.layout import DEFAULT_TEMPLATE
from ..download.licenses import not_accepted
from ..download.run import JOBS
from . import filters as options
from .output import (
    ExitCode,
    JsonFlag,
    bytes_bar,
    human_bytes,
    plural,
    write_json,
    write_line,
    write_note,
    write_table,
)
from .output import wrong_usage as wrong

Selection = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Indexes (.parquet), and lists of series: .tcia or s5cmd manifests, CSV or XLSX with SeriesInstanceUID.",
        metavar="SELECTION",
    ),
]
_SHOWN = 20  # failures and notes in a table for people


def command(
    to: Annotated[Path, typer.Option("--to", help="Folder to download into, or to continue.", metavar="DIR")],
    selection: Selection = None,
    public: options.Public = False,
    modality: options.Modality = None,
    collection: options.Collection = None,
    body_part: options.BodyPart = None,
    cancer: options.Cancer = None,
    sex: options.Sex = None,
    age: options.Age = None,
    manufacturer: options.Manufacturer = None,
    slice_thickness: options.SliceThickness = None,
    min_slices: options.MinSlices = None,
    annotated_by: options.AnnotatedBy = None,
    roi: options.Roi = None,
    license: options.License = None,
    text: options.Words = None,
    accept_license: Annotated[
        list[str] | None,
        typer.Option(help="Non-commercial licence or agreement that you have read and accept. Repeat for several."),
    ] = None,
    template: Annotated[str, typer.Option(help="Folder of a series below DIR.")] = DEFAULT_TEMPLATE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fetched, and fetch nothing.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Most transfers at the same time.")] = JOBS,
    as_json: JsonFlag = False,
) -> None:
    """Fetch series: planned first, in parallel, resumed where it stopped, every file checked.

    Filters are those of `search`; without an index they are asked of the public one. Run the same command again to go
    on after an interruption: what is complete is not asked for again.
    """
    filters = {name: value for name, value in locals().items() if name in options.FILTERS and value not in (None, [])}
    if not selection and not filters:
        raise typer.BadParameter("say what to download: filters such as --collection, an index, or a list of series")
    with wrong():
        found = options.open_selection(selection or [], public=public).search(**filters)
        plan = plan_download(found, to, template=template)
    if dry_run:
        _show_plan(plan, accept_license or (), as_json)
        return
    for line in _terms_lines(plan.terms):
        write_note(line)
    with bytes_bar("downloading") as progress:
        report = download(
            found, to, accept_licenses=accept_license or (), template=template, jobs=jobs, progress=progress
        )
    if as_json:
        write_json(asdict(report))
    else:
        _show_report(report)
    if report.failed:
        raise typer.Exit(ExitCode.FAILED)


def _show_plan(plan: DownloadPlan, accepted: Any, as_json: bool) -> None:
    missing = not_accepted(plan.terms, accepted)
    if as_json:
        document = {name: getattr(plan, name) for name in plan.__slots__ if name != "series"}
        write_json({"dry_run": True, **document, "series": len(plan.series), "fits": plan.fits, "to_accept": missing})
        return
    write_table(
        ["licence", "agreement", "series", "size", "commercial use", "say yes"],
        [
            [
                one.license or "unknown",
                one.agreement,
                one.series,
                human_bytes(one.size_bytes),
                "allowed" if one.commercial else "not allowed, or not known to be",
                "needed" if one.to_accept in missing else "",
            ]
            for one in plan.terms
        ],
    )
    write_line()
    write_line(
        f"{plural(len(plan.series), 'series')} to fetch, {plan.files} files, {human_bytes(plan.size_bytes)}; "
        f"{plan.complete} there already, {plan.local} your own"
    )
    room = "" if plan.fits else ": not enough"
    write_line(f"{human_bytes(plan.free_bytes)} free on the disk of {plan.folder}{room}")
    if missing:
        write_line("needed: " + " ".join(f'--accept-license "{name}"' for name in missing))


def _terms_lines(terms: tuple[Terms, ...]) -> list[str]:
    return [
        f"{plural(one.series, 'series')}, {human_bytes(one.size_bytes)}, under {one.license or 'unknown licence'}"
        + (f", agreement {one.agreement}" if one.agreement else "")
        + ("" if one.commercial else ": commercial use not allowed, or not known to be")
        for one in terms
    ]


def _show_report(report: DownloadReport) -> None:
    if report.failed:
        write_table(
            ["not downloaded", "source", "reason"],
            [[one.SeriesInstanceUID, one.source, one.reason] for one in report.failed[:_SHOWN]],
        )
        write_line()
    for note in report.notes[:_SHOWN]:
        write_line(f"note: {note}")
    write_line(
        f"{plural(report.fetched, 'series')} downloaded ({human_bytes(report.size_bytes)} in {report.seconds:.1f} s), "
        f"{report.complete} there before, {len(report.failed)} failed"
    )
    if report.failed:
        write_line("run the same command again: it asks only for what is missing")
    if report.index is not None:
        write_line(f"next: medimagenet samples {report.index} --modalities CT,RTSTRUCT")
