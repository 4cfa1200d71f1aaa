"""samples.parquet: one row per sample, sorted by id. A sample exists when its row is here.

The file is replaced by rename, holds no time and no order of work, and carries checksums of its pages.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
}
"""Columns that the compiler knows. Keys of `SampleData.row`."""

SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        *((name, kind) for name, kind in GIVEN.items()),
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
"""Columns of samples.parquet, format 1."""


def build_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The table of rows, sorted by id. Of several rows with one id the last counts.

    Raises
    ------
    ValueError
        A row has a column that the schema does not have, or a value of another type.
    """
    by_id = {str(row["sample_id"]): row for row in rows}
    for row in by_id.values():
        unknown = sorted(set(row) - set(SCHEMA.names))
        if unknown:
            raise ValueError(f"unknown columns {unknown} in a row of {TABLE}; known are {', '.join(SCHEMA.names)}")
    try:
        return pa.Table.from_pylist([dict(by_id[key]) for key in sorted(by_id)], schema=SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"a row of {TABLE} has a value of another type than its column: {error}") from error


def merge_tables(table: pa.Table, newer: pa.Table) -> pa.Table:
    """Both tables' rows, sorted by id; those of `newer` replace those of the same id.

    The result is one piece, so that its bytes do not depend on how many pieces it was put together from.
    """
    kept = table.filter(pc.invert(pc.is_in(table.column("sample_id"), value_set=newer.column("sample_id"))))
    return pa.concat_tables([kept, newer]).sort_by("sample_id").combine_chunks()


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
        sync(partial)
        partial.replace(folder / TABLE)
        sync(folder)
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
        table = pq.read_table(path, page_checksum_verification=True, memory_map=False, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise StoreDamagedError(f"{path} cannot be read, the store has no samples without it: {error}") from error
    if not table.schema.equals(SCHEMA):
        raise StoreDamagedError(f"{path} has other columns than format 1 of a store: {table.schema.names}")
    return table


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
