"""`medimagenet search`: series of the public index, of the user's own, or of both, that meet what is asked."""

import csv
import importlib
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..download.selection import select_series
from ..index import Index
from ..sources.tcia_manifest import write_manifest
from . import filters as options
from .output import JsonFlag, human_bytes, plural, write_json, write_line, write_note, write_table
from .output import wrong_usage as wrong

_PUBLIC_SOURCES = ("idc", "tcia")
SHOWN = 20  # rows of a table for people, where --limit does not say
_COLUMNS = ("collection_id", "PatientID", "Modality", "BodyPartExamined", "SeriesDescription", "n_instances")
_TEXT_COLUMNS = (
    *("collection_id", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined"),
    *("SeriesDescription", "Manufacturer", "n_instances", "size_bytes", "license", "doi", "uri"),
)


class Form(StrEnum):
    """What is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


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
        typer.Option("--from-manifest", help="Only series of this list: .tcia, .s5cmd, CSV, TSV.", metavar="LIST"),
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

    What is asked for must all be met; of an option that is repeated, one value.
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
        _print(form, answer.column_names, rows, {"n": answer.num_rows, "rows": rows})
        if form is Form.TABLE and len(rows) < answer.num_rows:
            write_line(f"{len(rows)} of {answer.num_rows} rows (--limit shows more)")
    elif parquet is manifest is plot is None or form is not Form.TABLE:
        _list(form, found, limit)


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


def _list(form: Form, found: Index, limit: int | None) -> None:
    most = f" LIMIT {SHOWN if limit is None else limit}" if limit is not None or form is Form.TABLE else ""
    columns = {Form.TABLE: (*_COLUMNS, "size_bytes", "license"), Form.CSV: _TEXT_COLUMNS, Form.JSON: ("*",)}[form]
    table = found.sql(f"SELECT {', '.join(columns)} FROM series{most}")
    rows = table.to_pylist()
    if form is not Form.TABLE:
        summary = {"stats": asdict(found.stats()), "series": rows} if form is Form.JSON else {}
        _print(form, table.column_names, rows, summary)
        return
    if rows:
        sizes = [{**row, "size_bytes": human_bytes(row["size_bytes"])} for row in rows]
        _print(form, table.column_names, sizes, {})
        write_line()
    stats = found.stats()
    shown = f", the first {len(rows)} shown" if len(rows) < stats.series else ""
    of = plural(stats.patients, "patient")
    write_line(f"{plural(stats.series, 'series')} of {of}, {human_bytes(stats.size_bytes)}{shown}")
    for item in stats.licenses:
        allowed = "commercial use allowed" if item.commercial else "commercial use not allowed, or not known to be"
        write_line(f"{plural(item.series, 'series')} under {item.license or 'unknown licence'}: {allowed}")


def _print(form: Form, columns: Any, rows: list[dict[str, Any]], document: dict[str, Any]) -> None:
    cells = [[row[name] for name in columns] for row in rows]
    if form is Form.JSON:
        write_json(document)
    elif form is Form.CSV:
        csv.writer(sys.stdout, lineterminator="\n").writerows([list(columns), *cells])
    else:
        write_table(list(columns), cells)
