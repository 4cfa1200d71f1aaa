"""Arrow arrays of plain Python values, without pandas.

`pyarrow.array` imports pandas where it is installed, to find out whether what it was given is a series: a third of a
second and 60 MB, which is more than indexing ten thousand files takes.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa


def arrow_table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """A table with the fields of `schema`.

    Raises
    ------
    TypeError
        A field is of a type that no table of ours has.
    """
    arrays = [arrow_array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of text, bytes, truths, numbers, lists or structs (given as mappings); None is null."""
    present = np.fromiter((value is not None for value in values), dtype=np.bool_, count=len(values))
    validity = None if present.all() else _bits(present)
    if pa.types.is_struct(kind):
        children = [arrow_array([value and value[field.name] for value in values], field.type) for field in kind]
        return pa.Array.from_buffers(kind, len(values), [validity], children=children)
    if pa.types.is_list(kind):
        children = [arrow_array(list(chain.from_iterable(value or () for value in values)), kind.value_type)]
        return pa.Array.from_buffers(kind, len(values), [validity, _offsets(values)], children=children)
    return pa.Array.from_buffers(kind, len(values), [validity, *_plain_buffers(values, kind)])


def _plain_buffers(values: Sequence[Any], kind: pa.DataType) -> list[pa.Buffer]:
    if pa.types.is_string(kind):
        values = [None if value is None else value.encode() for value in values]
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return [_offsets(values), pa.py_buffer(b"".join(value for value in values if value is not None))]
    if pa.types.is_boolean(kind):
        return [_bits(np.array([bool(value) for value in values], dtype=np.bool_))]
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return [pa.py_buffer(np.array([value or 0 for value in values], dtype=kind.to_pandas_dtype()))]
    raise TypeError(f"no column of type {kind}: only text, bytes, truths, numbers, lists and structs")


def _offsets(values: Sequence[Any]) -> pa.Buffer:
    lengths = (0 if value is None else len(value) for value in values)
    ends = np.fromiter(accumulate(lengths, initial=0), dtype=np.int64, count=len(values) + 1)
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"a column of {ends[-1]} bytes or items does not fit into one array: at most 2^31")
    return pa.py_buffer(ends.astype(np.int32))


def _bits(truths: np.typing.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
