"""Targets: numbers per sample or patient from a table, for regression and classification.

They come from a CSV or Parquet file or a data frame. The compiler stores those that a recipe names; datasets read
others, or choose among the stored ones, when they load. Whole numbers and classes are int64, all others float32.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from ..errors import StoreError

By = Literal["sample", "patient"]
KEYS: Mapping[str, By] = {"sample_id": "sample", "patient_id": "patient", "PatientID": "patient"}
"""Columns that name what a row is of, where nothing else is said, in the order in which they are looked for."""
DTYPES = ("float32", "float64", "int64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Which targets come with the samples, and where they are from.

    Raises
    ------
    ValueError
        A value is unknown, or settings defeat each other.
    """

    columns: str | Sequence[str]
    """A name gives one number per sample, shape (); several give (K,), in their order."""
    table: Any = None
    """Path of a CSV or Parquet file, or a pandas, polars or pyarrow table. None: the targets that the recipe stored."""
    key: str | None = None
    """Its column that says which sample or patient a row is of; None takes the first of `KEYS` that it has."""
    by: By | None = None
    """Whether `key` names samples or patients as the store has them (local patients: their pseudonyms). None: samples
    where it is "sample_id", else patients."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Per column of text its values in the order 0, 1, 2, ...: a classification target."""
    dtype: str | None = None
    """Of the tensor. None: int64 where all columns are whole numbers, else float32."""
    missing: Literal["fail", "nan"] = "fail"
    """What a sample without a value is: an error when the dataset is made, or a nan for a loss that leaves it out."""

    def __post_init__(self) -> None:
        if not self.names or not all(isinstance(name, str) and name for name in self.names):
            raise ValueError(f"columns must name at least one target, got {self.columns!r}")
        if self.by not in (None, "sample", "patient"):
            raise ValueError(f"by must be sample or patient, got {self.by!r}")
        if self.dtype not in (None, *DTYPES):
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.missing not in ("fail", "nan"):
            raise ValueError(f"missing must be fail or nan, got {self.missing!r}")
        if self.missing == "nan" and self.dtype == "int64":
            raise ValueError('missing="nan" needs a floating dtype, got int64')

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, one or several."""
        return (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)


@dataclass(frozen=True, slots=True)
class TargetTable:
    """Columns of a table, by key."""

    names: tuple[str, ...]
    by: By
    is_whole: tuple[bool, ...]
    """Per column whether all its numbers are whole by their type."""
    rows: Mapping[str, tuple[float, ...]]
    """Per sample or patient one number per column, nan where there is none."""


def as_targets(wanted: Targets | str | Sequence[str] | None) -> Targets | None:
    """Targets as a user names them: names alone mean stored ones."""
    return wanted if wanted is None or isinstance(wanted, Targets) else Targets(columns=wanted)


def read_targets(targets: Targets) -> TargetTable:
    """Read the columns of a table.

    Raises
    ------
    StoreError
        The file cannot be read, lacks a column, names a sample or patient twice, or a value is no number.
    """
    table, where = _as_table(targets)
    key = targets.key or next((name for name in KEYS if name in table.column_names), None)
    wanted = [*targets.names] if key is None else [key, *targets.names]
    absent = [name for name in wanted if name not in table.column_names]
    if key is None or absent:
        lacking = f"column {absent[0]!r}" if absent else f"column that names samples or patients ({', '.join(KEYS)})"
        raise StoreError(f"{where} has no {lacking}; it has {', '.join(table.column_names)}")
    keys = table.column(key).cast(pa.string()).to_pylist()
    _check_keys(keys, key, where)
    columns = [_numbers(table.column(name), name, targets.classes.get(name), where) for name in targets.names]
    return TargetTable(
        names=targets.names,
        by=targets.by or KEYS.get(key, "patient"),
        is_whole=tuple(is_whole for _, is_whole in columns),
        rows={name.strip(): tuple(values[k] for values, _ in columns) for k, name in enumerate(keys)},
    )


def stored_targets(samples: pa.Table, targets: Targets) -> TargetTable:
    """Targets that a recipe stored.

    Parameters
    ----------
    samples : samples.parquet

    Raises
    ------
    StoreError
        The store has no such target.
    """
    column = samples.column("targets").to_pylist() if "targets" in samples.column_names else [None] * len(samples)
    rows = [{each["name"]: each for each in row or ()} for row in column]
    known = sorted({name for row in rows for name in row})
    unknown = [name for name in targets.names if name not in known]
    if unknown:
        raise StoreError(
            f"the store has no target {unknown[0]!r}, only {', '.join(known) or 'none'}: name it in the recipe's "
            "targets, or give a table: Targets(columns=..., table=...)"
        )
    values = [tuple(_stored_value(row.get(name)) for name in targets.names) for row in rows]
    whole = tuple(all(row[name]["is_whole"] for row in rows if name in row) for name in targets.names)
    ids = samples.column("sample_id").to_pylist()
    return TargetTable(targets.names, "sample", whole, dict(zip(ids, values, strict=True)))


def _stored_value(entry: Mapping[str, Any] | None) -> float:
    return nan if entry is None or entry["value"] is None else float(entry["value"])


def targets_of(samples: pa.Table, ids: Iterable[str], targets: Targets) -> dict[str, NDArray[Any]]:
    """Per sample its targets as an array: shape () for a single name, else (K,).

    Raises
    ------
    StoreError
        The table cannot be used; or a sample has no value, and `missing` is "fail".
    """
    table = stored_targets(samples, targets) if targets.table is None else read_targets(targets)
    dtype = np.dtype(targets.dtype or ("int64" if all(table.is_whole) and targets.missing == "fail" else "float32"))
    names = samples.column("sample_id").to_pylist()
    keys = names if table.by == "sample" else samples.column("patient_id").to_pylist()
    key_of = dict(zip(names, keys, strict=True))
    found, lacking = {}, []
    for sample_id in ids:
        values = table.rows.get(key_of[sample_id], (nan,) * len(table.names))
        lacking += [f"{name} of {sample_id}" for name, value in zip(table.names, values, strict=True) if isnan(value)]
        if targets.missing == "nan" or not any(map(isnan, values)):
            _check_whole(values, table.names, dtype, sample_id)
            array = np.array(values, dtype=dtype)
            found[sample_id] = array[0] if isinstance(targets.columns, str) else array
    if lacking and targets.missing == "fail":
        raise StoreError(
            f"{len(lacking)} targets have no value, first {', '.join(lacking[:3])} (rows matched by {table.by}): fill "
            'them in, leave the samples out, or say missing="nan" for a loss that leaves nan out'
        )
    return found


def _check_whole(values: Sequence[float], names: Sequence[str], dtype: np.dtype[Any], sample_id: str) -> None:
    for name, value in zip(names, values, strict=True):
        if dtype.kind == "i" and value != round(value):
            raise StoreError(f"target {name} of sample {sample_id} is {value}, which dtype {dtype} cannot hold")


def _as_table(targets: Targets) -> tuple[pa.Table, str]:
    source = targets.table
    if not isinstance(source, str | Path):
        try:
            return pa.table(source), "the table of targets"
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise StoreError(
                f"targets must come from a CSV or Parquet file or a data frame, got {type(source).__name__}: {error}"
            ) from error
    path = Path(source)
    texts = {name: pa.string() for name in (targets.key, *KEYS, *targets.classes) if name}  # 007 is no number
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            with pa.parquet.ParquetFile(path) as file:  # read_table would import pandas
                return file.read(), str(path)
        options = pa.csv.ConvertOptions(column_types=texts)
        return pa.csv.read_csv(path, convert_options=options), str(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"the table of targets {path} cannot be read: {error}") from error


def _check_keys(keys: Sequence[str | None], column: str, where: str) -> None:
    """Rows are named by their number: what the key holds may be a patient's."""
    first: dict[str, int] = {}
    for row, name in enumerate(keys, start=1):
        if name is None or not name.strip():
            raise StoreError(f"{where}: row {row} has no {column}")
        if first.setdefault(name.strip(), row) != row:
            raise StoreError(f"{where}: rows {first[name.strip()]} and {row} have the same {column}: leave one")


def _numbers(
    column: pa.ChunkedArray, name: str, classes: Sequence[str] | None, where: str
) -> tuple[tuple[float, ...], bool]:
    """The column as numbers, nan where it has none, and whether they are whole by their type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if classes is not None:
        values = column.cast(pa.string()).to_pylist()
        return tuple(_class_number(value, name, classes, row, where) for row, value in enumerate(values, 1)), True
    is_whole = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if not (is_whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)):
        raise StoreError(
            f"{where}: target {name!r} is of type {kind}, not numbers: say which number each text is, with "
            f"classes={{{name!r}: [...]}}"
        )
    numbers = tuple(nan if value is None else float(value) for value in column.to_pylist())
    for row, value in enumerate(numbers, start=1):
        if not isfinite(value) and not isnan(value):
            raise StoreError(f"{where}: target {name!r} of row {row} is {value}")
    return numbers, is_whole


def _class_number(value: str | None, name: str, classes: Sequence[str], row: int, where: str) -> float:
    if value is None or not value.strip():
        return nan
    if value.strip() not in classes:
        raise StoreError(f"{where}: target {name!r} of row {row} is {value!r}, which is none of {list(classes)}")
    return float(list(classes).index(value.strip()))
