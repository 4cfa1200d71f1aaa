"""samples.parquet: one row per sample, sorted by id. A sample exists when its row is here.

The file is replaced by rename, holds no time and no order of work, and carries checksums of its pages.
"""

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from .._disk import flush
from ..errors import StoreDamagedError
from .layout import TABLE

_FINDING = pa.struct([(name, pa.string()) for name in ("code", "severity", "message", "numbers")])

_SERIES = pa.struct(
    [
        ("modality", pa.string()),
        ("series_uid", pa.string()),  # SeriesInstanceUID
        ("crdc_series_uuid", pa.string()),  # of the Imaging Data Commons; null for other sources
        ("source", pa.string()),
        ("collection_id", pa.string()),
        ("license", pa.string()),
        ("doi", pa.string()),
        ("content_hash", pa.string()),  # of the source files, as the index has it
    ]
)

_NORMALIZATION = pa.struct([(name, pa.float64()) for name in ("low", "high", "subtract", "divide")])

_ARRAY = pa.struct(
    [
        ("name", pa.string()),
        ("shape", pa.list_(pa.int32())),  # C, Z, Y, X
        ("dtype", pa.string()),
        ("spacing_mm", pa.list_(pa.float64())),  # x, y, z
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("mean", pa.float64()),
        ("std", pa.float64()),
        ("percentiles", pa.list_(pa.float64())),  # at statistics.PERCENTILES
        ("not_finite", pa.int64()),  # voxels that are nan or infinite, left out of the figures before
        ("normalization", _NORMALIZATION),
        ("hash", pa.string()),  # layout.content_hash
        ("stored_hash", pa.string()),  # of the files below samples/<id>/<name>
        ("stored_bytes", pa.int64()),
    ]
)

_TARGET = pa.struct([("name", pa.string()), ("value", pa.float64()), ("is_whole", pa.bool_())])

LATER: dict[str, pa.DataType] = {"targets": pa.list_(_TARGET)}
"""Columns that came after the first stores: a table has one where a sample has a value for it, behind all others."""

GIVEN: dict[str, pa.DataType] = {
    "patient_id": pa.string(),
    "collection_id": pa.string(),
    "split": pa.string(),
    "fold": pa.int32(),
    "license": pa.string(),  # the most restrictive one of the series
    "doi": pa.string(),  # of the leading series
    "series": pa.list_(_SERIES),
    "findings": pa.list_(_FINDING),
    "input_hash": pa.string(),
    "provenance": pa.string(),  # JSON: the steps that were applied, with their values
    **LATER,
}
"""Columns that the compiler knows. Keys of `SampleData.row`."""

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        *((name, kind) for name, kind in GIVEN.items() if name not in LATER),
        ("recipe_hash", pa.string()),
        ("shape", pa.list_(pa.int32())),  # C, Z, Y, X of the leading array
        ("spacing_mm", pa.list_(pa.float64())),  # x, y, z of the leading array
        ("class_voxels", pa.list_(pa.struct([("name", pa.string()), ("voxels", pa.int64())]))),
        ("arrays", pa.list_(_ARRAY)),
        ("foreground_hash", pa.string()),
        ("stored_hash", pa.string()),  # of all files below samples/<id>
        ("stored_bytes", pa.int64()),
    ]
)
"""Columns of samples.parquet, format 1; after them may come some of `LATER`."""


def build_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The table of rows, sorted by id. Of several rows with one id the last counts.

    Raises
    ------
    ValueError
        A row has a column that the schema does not have, or a value of another type.
    """
    by_id = {str(row["sample_id"]): row for row in rows}
    for row in by_id.values():
        unknown = sorted(set(row) - set(SCHEMA.names) - set(LATER))
        if unknown:
            known = ", ".join((*SCHEMA.names, *LATER))
            raise ValueError(f"unknown columns {unknown} in a row of {TABLE}; known are {known}")
    used = [name for name in LATER if any(row.get(name) is not None for row in by_id.values())]
    try:
        return _from_rows([dict(by_id[key]) for key in sorted(by_id)], _schema(used))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"a row of {TABLE} has a value of another type than its column: {error}") from error


def _from_rows(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Read from lines of JSON: Arrow's own way from Python values imports pandas where it is installed, 0.3 s.

    Arrow's own way decides about what JSON does not hold, such as nan, and what does not fit its column.
    """
    if not rows:
        return pa.Table.from_batches([], schema)
    try:
        text = "\n".join(json.dumps(row, allow_nan=False) for row in rows).encode()
        block = pyarrow.json.ReadOptions(block_size=max(1 << 20, 2 * len(text)))  # all rows in one piece
        options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        table = pyarrow.json.read_json(io.BytesIO(text), read_options=block, parse_options=options)
    except (TypeError, ValueError):  # Arrow's errors are ValueErrors too
        return pa.Table.from_pylist(rows, schema=schema)
    return table.select(schema.names).cast(schema)


def _schema(later: Iterable[str]) -> pa.Schema:
    """The columns of a table that has some of the later ones."""
    return pa.schema([*SCHEMA, *((name, LATER[name]) for name in later)])


def merge_tables(table: pa.Table, newer: pa.Table) -> pa.Table:
    """Both tables' rows, sorted by id; those of `newer` replace those of the same id.

    The result is one piece, so that its bytes do not depend on how many pieces it was put together from.
    """
    kept = table.filter(pc.invert(pc.is_in(table.column("sample_id"), value_set=newer.column("sample_id"))))
    later = [name for name in LATER if name in kept.column_names or name in newer.column_names]
    tables = pa.concat_tables([pa.Table.from_batches([], _schema(later)), kept, newer], promote_options="default")
    as_read = pa.schema([(column.name, _as_read(column.type)) for column in tables.schema])
    return tables.cast(as_read).sort_by("sample_id").combine_chunks()


def _as_read(kind: pa.DataType) -> pa.DataType:
    """A type with the names of list items that Parquet gives them: they are written too, and must not vary."""
    if pa.types.is_list(kind):
        return pa.list_(pa.field("element", _as_read(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _as_read(field.type)) for field in kind])
    return kind


def write_table(folder: Path, table: pa.Table) -> None:
    """Replace samples.parquet: after a crash there is the old table or the new one, whole.

    Raises
    ------
    OSError
        It cannot be written, for instance on a full disk; the old one stays.
    """
    partial = folder / f".{TABLE}.{os.getpid()}"
    try:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
        flush(partial)
        partial.replace(folder / TABLE)
        flush(folder)
    finally:
        partial.unlink(missing_ok=True)


def read_table(folder: Path) -> pa.Table:
    """Read samples.parquet.

    Raises
    ------
    StoreDamagedError
        It is missing, cut, differs from its checksums, or has other columns than format 1.
    """
    path = folder / TABLE
    try:
        content = path.read_bytes()  # by one opening: a writer may replace it between two, and pyarrow opens it twice
    except OSError as error:
        raise StoreDamagedError(
            f"{path} cannot be read, the store has no samples without it: {error.strerror or error}"
        ) from error
    return parse_table(content, str(path))


def parse_table(content: bytes, where: str) -> pa.Table:
    """The table that the bytes of a samples.parquet hold; `where` they are, for messages.

    Raises
    ------
    StoreDamagedError
        They are cut, differ from their checksums, or have other columns than format 1.
    """
    return _read(pa.BufferReader(content), where)


def _read(source: Path | pa.BufferReader, where: str) -> pa.Table:
    try:
        with pq.ParquetFile(source, page_checksum_verification=True, memory_map=False) as file:
            table = file.read()  # read_table imports pandas: a third of the time to a first batch
    except (OSError, pa.ArrowException) as error:
        raise StoreDamagedError(f"{where} cannot be read, the store has no samples without it: {error}") from error
    if not table.schema.equals(_schema(name for name in LATER if name in table.column_names)):
        raise StoreDamagedError(f"{where} has other columns than format 1 of a store: {table.schema.names}")
    return table


def table_bytes(table: pa.Table) -> bytes:
    """The bytes of a samples.parquet."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
    return stream.getvalue()
