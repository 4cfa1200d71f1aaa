"""`medimagenet search`: series of the public index, of the user's own, or of both, that meet what is asked."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from ..download.selection import select_series
from ..index import Index
from ..sources.tcia_manifest import write_manifest
from . import filters as options
from .listing import SHOWN, Form, list_series, print_rows
from .output import JsonFlag, plural, write_line, write_note
from .output import wrong_usage as wrong

_PUBLIC_SOURCES = ("idc", "tcia")


def command(
    indexes: options.Indexes = None,
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
    sql: Annotated[str | None, typer.Option(help="Query of what was found, the table `series`.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help=f"Most rows to print; in a table {SHOWN}.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write what was found as an index.", metavar="Y.parquet")] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--from-manifest", help="Only series of this list: .tcia, .s5cmd, CSV, TSV, XLSX.", metavar="LIST"
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Write what was found as a list for TCIA's Data Retriever.", metavar="Y.tcia|Y.csv"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what was found: by modality, by licence.", metavar="Y.png")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find series by what they are, offline: in the public index, in your own, or in both.

    What is asked for must all be met; of several values of one option, one.
    """
    filters = {name: value for name, value in locals().items() if name in options.FILTERS and value not in (None, [])}
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one output: choose one")
    form = Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE
    with wrong():
        opened = options.open_indexes(indexes, public=public)
        found = (opened if listed is None else select_series(opened, listed)).search(**filters)
        answer = None if sql is None else found.sql(sql)
    if parquet is not None or form is Form.CSV:
        _note_agreements(found)
    if parquet is not None:
        found.write(parquet)
        write_note(f"{plural(len(found), 'series')} in {parquet}")
    if manifest is not None:
        write_note(f"{plural(_write_manifest(found, manifest), 'series')} in {manifest}")
    if plot is not None:
        _plot(found, plot)
    if answer is not None:
        rows = answer.slice(0, SHOWN if limit is None and form is Form.TABLE else limit).to_pylist()
        print_rows(form, answer.column_names, rows, {"n": answer.num_rows, "rows": rows})
        if form is Form.TABLE and len(rows) < answer.num_rows:
            write_line(f"{len(rows)} of {answer.num_rows} rows (--limit shows more)")
    elif parquet is manifest is plot is None or form is not Form.TABLE:
        list_series(form, found, limit)


def _note_agreements(found: Index) -> None:
    """Say on stderr that what is about to leave the index is bound: a file is easily passed on."""
    query = "SELECT agreement, count(*) FROM series WHERE agreement IS NOT NULL GROUP BY 1 ORDER BY 1"
    for address, count in found.fetch(query):
        write_note(f"{plural(count, 'series')} bound by {address}: what is written is for those who have signed it")


def _write_manifest(found: Index, path: Path) -> int:
    """Write a list of public series: of others nobody else can fetch anything, and their UIDs are not for others."""
    others = found.fetch(f"SELECT count(*), any_value(source) FROM series WHERE source NOT IN {_PUBLIC_SOURCES}")
    for count, source in others:
        if count:
            raise typer.BadParameter(f"{count} of the series are not public, but of source {source!r}: leave them out")
    uids = found.fetch("SELECT DISTINCT SeriesInstanceUID FROM series ORDER BY 1")
    return write_manifest(path, (uid for (uid,) in uids))


def _plot(found: Index, path: Path) -> None:
    plots = importlib.import_module("...index.plots", __name__)  # with matplotlib, which other searches need not load
    with wrong():
        plots.plot_stats(found.stats(), path)
    write_note(f"picture in {path}")
