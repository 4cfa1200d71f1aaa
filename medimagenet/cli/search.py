"""`medimagenet search`: series of the public index, of the user's own, or of both, that meet what is asked."""

import csv
import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import Index, open_index
from ..sources.idc import database_path
from .output import JsonFlag, human_bytes, plural, progress_bar, write_json, write_line, write_note, write_table
from .output import wrong_usage as wrong

SHOWN = 20  # rows of a table for people, where --limit does not say
_COLUMNS = ("collection_id", "PatientID", "Modality", "BodyPartExamined", "SeriesDescription", "n_instances")
_TEXT_COLUMNS = (
    *("collection_id", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined"),
    *("SeriesDescription", "Manufacturer", "n_instances", "size_bytes", "license", "doi", "uri"),
)

Indexes = Annotated[
    list[Path] | None, typer.Argument(help="Your own indexes; the public index where none.", metavar="[X.parquet]...")
]
Public = Annotated[bool, typer.Option("--public", help="The public index too, beside your own.")]
Several = "Repeat it for several."


class Form(StrEnum):
    """What is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def open_indexes(paths: list[Path] | None, *, public: bool) -> Index:
    """The indexes that the user names, or the public one, whose first use is told on stderr."""
    with_public = public or not paths
    if not with_public or database_path().is_file():
        return open_index(paths or None, public=with_public)
    start = time.perf_counter()
    write_note(f"first use of the public index: laying it into {database_path()}")
    with progress_bar("public index") as progress:
        opened = open_index(paths or None, public=True, progress=progress)
    size = human_bytes(database_path().stat().st_size)
    write_note(f"done in {time.perf_counter() - start:.1f} s, {size}")
    return opened


def command(
    indexes: Indexes = None,
    public: Public = False,
    modality: Annotated[list[str] | None, typer.Option(help=f"CT, MR, PT, RTSTRUCT, ... {Several}")] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help=f"Collection, such as nsclc_radiomics. {Several}")
    ] = None,
    body_part: Annotated[list[str] | None, typer.Option(help=f"BodyPartExamined. {Several}")] = None,
    cancer: Annotated[list[str] | None, typer.Option(help=f"Part of a cancer type of a collection. {Several}")] = None,
    sex: Annotated[list[str] | None, typer.Option(help=f"M, F or O. {Several}")] = None,
    age: Annotated[tuple[float, float] | None, typer.Option(help="Youngest and oldest, years.")] = None,
    manufacturer: Annotated[list[str] | None, typer.Option(help=f"Part of its name. {Several}")] = None,
    slice_thickness: Annotated[tuple[float, float] | None, typer.Option(help="Thinnest and thickest, mm.")] = None,
    min_slices: Annotated[int | None, typer.Option(min=0, help="Least number of slices.")] = None,
    annotated_by: Annotated[
        list[str] | None, typer.Option(help="Images with an RTSTRUCT, SEG, RTDOSE, RTPLAN.")
    ] = None,
    roi: Annotated[str | None, typer.Option(help="Regular expression that a ROI name matches.")] = None,
    license: Annotated[list[str] | None, typer.Option(help='Licence, or "commercial": all that allow that.')] = None,
    text: Annotated[str | None, typer.Option(help="Words in descriptions, body part, model or collection.")] = None,
    sql: Annotated[str | None, typer.Option(help="Query of what was found, the table `series`.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help=f"Most rows to print; in a table {SHOWN}.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write what was found as an index.", metavar="Y.parquet")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find series by what they are, offline: in the public index, in your own, or in both.

    What is asked for must all be met; of an option that is repeated, one value.
    """
    filters = {name: value for name, value in locals().items() if name in _FILTERS and value not in (None, [])}
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv are two forms of one output: choose one")
    form = Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE
    with wrong():
        found = open_indexes(indexes, public=public).search(**filters)
        answer = None if sql is None else found.sql(sql)
    if parquet is not None:
        found.write(parquet)
        write_note(f"{plural(len(found), 'series')} in {parquet}")
    if answer is not None:
        rows = answer.slice(0, SHOWN if limit is None and form is Form.TABLE else limit).to_pylist()
        _print(form, answer.column_names, rows, {"n": answer.num_rows, "rows": rows})
        if form is Form.TABLE and len(rows) < answer.num_rows:
            write_line(f"{len(rows)} of {answer.num_rows} rows (--limit shows more)")
    elif parquet is None or form is not Form.TABLE:
        _list(form, found, limit)


_FILTERS = {
    *("modality", "collection", "body_part", "cancer", "sex", "age", "manufacturer", "slice_thickness", "min_slices"),
    *("annotated_by", "roi", "license", "text"),
}


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
