"""How series that were found are printed: a table for people, JSON or CSV for programs."""

import csv
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from ..index import Index
from .output import human_bytes, plural, write_json, write_line, write_table

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


def list_series(form: Form, found: Index, limit: int | None) -> None:
    """Print the series themselves, and below a table how many there are, how large, and under which licences."""
    most = f" LIMIT {SHOWN if limit is None else limit}" if limit is not None or form is Form.TABLE else ""
    columns = {Form.TABLE: (*_COLUMNS, "size_bytes", "license"), Form.CSV: _TEXT_COLUMNS, Form.JSON: ("*",)}[form]
    table = found.sql(f"SELECT {', '.join(columns)} FROM series{most}")
    rows = table.to_pylist()
    if form is not Form.TABLE:
        summary = {"stats": asdict(found.stats()), "series": rows} if form is Form.JSON else {}
        print_rows(form, table.column_names, rows, summary)
        return
    if rows:
        sizes = [{**row, "size_bytes": human_bytes(row["size_bytes"])} for row in rows]
        print_rows(form, table.column_names, sizes, {})
        write_line()
    stats = found.stats()
    shown = f", the first {len(rows)} shown" if len(rows) < stats.series else ""
    of = plural(stats.patients, "patient")
    write_line(f"{plural(stats.series, 'series')} of {of}, {human_bytes(stats.size_bytes)}{shown}")
    for item in stats.licenses:
        allowed = "commercial use allowed" if item.commercial else "commercial use not allowed, or not known to be"
        write_line(f"{plural(item.series, 'series')} under {item.license or 'unknown licence'}: {allowed}")


def print_rows(form: Form, columns: Any, rows: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """Print rows as a table or as CSV; as JSON the document that holds them."""
    cells = [[row[name] for name in columns] for row in rows]
    if form is Form.JSON:
        write_json(document)
    elif form is Form.CSV:
        csv.writer(sys.stdout, lineterminator="\n").writerows([list(columns), *cells])
    else:
        write_table(list(columns), cells)
