"""The columns of an index and their version.

What the columns mean is said at the fields of `SeriesRecord`, which have the same names. A reader refuses a version
that is newer than its own; an older one it reads.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import pyarrow as pa

from .._version import __version__
from ..sources.arrow_columns import arrow_table
from ..sources.base import SeriesRecord

INDEX_VERSION = 1

METADATA_KEY = b"medimagenet"
"""Where the Parquet file says what it is: JSON with `index_version` and `created_by`, nothing that depends on time."""

_TEXTS = pa.list_(pa.string())
_FINDING = pa.struct(
    [
        ("code", pa.string()),
        ("severity", pa.string()),
        ("message", pa.string()),
        ("numbers", pa.string()),  # JSON: the figures differ from code to code
    ]
)
_TYPES = {
    "SliceThickness": pa.float64(),
    "files": _TEXTS,
    "n_instances": pa.int64(),
    "size_bytes": pa.int64(),
    "referenced_series": _TEXTS,
    "referenced_instances": _TEXTS,
    "roi_names": _TEXTS,
    "shape": pa.list_(pa.int32()),
    "spacing_mm": pa.list_(pa.float64()),
    "findings": pa.list_(_FINDING),
    "checksums": _TEXTS,
}

SCHEMA = pa.schema([(field.name, _TYPES.get(field.name, pa.string())) for field in fields(SeriesRecord)])
"""One column per field of `SeriesRecord`, in that order; text unless it is a number or a list."""

LATER_COLUMNS = ("analysis_result_id", "crdc_series_uuid", "file_format", "checksums", "agreement", "citation")
"""Columns that files of the present version may lack: they came after it, and older readers pass over them."""


def complete(table: pa.Table) -> pa.Table:
    """The table with all columns of `SCHEMA`, and no others; `LATER_COLUMNS` that it lacks are null, lists empty.

    Raises
    ------
    KeyError, pyarrow.ArrowException
        Another column is missing, or has values of another type.
    """
    for name in LATER_COLUMNS:
        if name not in table.column_names:
            kind = SCHEMA.field(name).type
            absent = pa.array([[]] * len(table), kind) if pa.types.is_list(kind) else pa.nulls(len(table), kind)
            table = table.append_column(name, absent)
    found = table.select(SCHEMA.names)
    if found.schema.equals(SCHEMA):  # as a rule; casting loads pyarrow.compute, which takes longer than the reading
        return pa.Table.from_arrays(found.columns, schema=SCHEMA)
    return found.cast(SCHEMA)


def file_metadata() -> dict[bytes, bytes]:
    """What a file of this version carries in its schema."""
    text = json.dumps({"index_version": INDEX_VERSION, "created_by": f"medimagenet {__version__}"}, sort_keys=True)
    return {METADATA_KEY: text.encode()}


def to_table(records: Iterable[SeriesRecord]) -> pa.Table:
    """A row per record, in their order."""
    rows = [to_row(record) for record in records]
    return arrow_table({name: [row[name] for row in rows] for name in SCHEMA.names}, SCHEMA)


def to_row(record: SeriesRecord) -> dict[str, Any]:
    """The values of one record, as the columns hold them."""
    row = {field.name: getattr(record, field.name) for field in fields(SeriesRecord)}
    row["findings"] = [finding.to_row() for finding in record.findings]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}
