"""What h5py says of an array in an HDF5 file: its layout, and where its chunks are; and the attributes of ours."""

import json
from math import ceil, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreFormatError
from .layout import KEY
from .metadata import ArrayMetadata

BLOSC_FILTER = 32001
"""Blosc 1 among the filters that are registered with The HDF Group (https://github.com/HDFGroup/hdf5_plugins)."""

OME = "ome"

_ROWS = 32
"""Of an array that is not chunked, about so many rows are addressed as one chunk, within a plane."""


def attributes_of(node: Any) -> dict[str, Any]:
    """Those that hold JSON."""
    return {key: json.loads(node.attrs[key]) for key in (KEY, OME) if key in node.attrs}


def read_layout(dataset: Any, what: str) -> tuple[ArrayMetadata, NDArray[np.int64]]:
    """Layout of a dataset, and offset and length of each chunk in C order, as h5py reports them.

    One that is not chunked is seen as if it were, in chunks of some rows.

    Raises
    ------
    StoreFormatError
        It is compressed or typed in a way that this reader does not know. `what` is the array.
    StoreDamagedError
        A chunk was written past its filter.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise StoreDamagedError(f"{what}: {getattr(dataset, 'name', dataset)} is no dataset")
    plist = dataset.id.get_create_plist()
    codec = _codec([plist.get_filter(k)[0] for k in range(plist.get_nfilters())], what)
    dtype = dataset.dtype
    if dtype.kind not in "iuf" or dtype != dtype.newbyteorder("<"):
        raise StoreFormatError(f"{what}: values are {dtype}, this reader knows little-endian numbers")
    is_chunked = plist.get_layout() == h5py.h5d.CHUNKED
    if not is_chunked and plist.get_layout() != h5py.h5d.CONTIGUOUS:
        raise StoreFormatError(f"{what}: its layout is neither chunked nor contiguous")
    chunk = dataset.chunks if is_chunked else _rows_as_chunk(dataset.shape)
    shape = dataset.shape
    counts = tuple(max(ceil(n / c), 1) for n, c in zip(shape, chunk, strict=True))
    metadata = ArrayMetadata(
        shape=shape,
        dtype=dtype,
        shard=tuple(n * c for n, c in zip(counts, chunk, strict=True)),
        chunk=chunk,
        codec=codec,
        sharded=True,
        checksum=False,
        index_first=False,
        fill=np.array(dataset.fillvalue, dtype=dtype),
        separator="/",
        attributes=attributes_of(dataset),
    )
    index = _chunk_index(dataset, counts, chunk, what) if is_chunked else _row_index(dataset, counts, metadata)
    return metadata, index


def _codec(filters: list[int], what: str) -> Literal["raw", "blosc"]:
    if filters not in ([], [BLOSC_FILTER]):
        raise StoreFormatError(f"{what}: HDF5 filters {filters}, this reader knows Blosc ({BLOSC_FILTER}) or none")
    return "blosc" if filters else "raw"


def _chunk_index(dataset: Any, counts: tuple[int, ...], chunk: tuple[int, ...], what: str) -> NDArray[np.int64]:
    found: list[Any] = []
    dataset.id.chunk_iter(found.append)
    index = np.full((prod(counts), 2), -1, dtype=np.int64)
    if found:
        corners = np.array([one.chunk_offset for one in found]) // chunk
        numbers = np.ravel_multi_index(tuple(corners.T), counts)
        index[numbers] = [(one.byte_offset, one.size) for one in found]
        if any(one.filter_mask for one in found):
            raise StoreDamagedError(f"{what}: chunks were written past their filter")
    return index


def _rows_as_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of an array without chunks: whole rows, so that each chunk is one piece of the file."""
    if len(shape) != 4:
        return tuple(max(n, 1) for n in shape)
    rows = next((n for n in range(min(_ROWS, shape[2]), _ROWS // 4, -1) if shape[2] % n == 0), shape[2])
    return (1, 1, rows, shape[3])


def _row_index(dataset: Any, counts: tuple[int, ...], metadata: ArrayMetadata) -> NDArray[np.int64]:
    offset, length = dataset.id.get_offset(), prod(metadata.chunk) * metadata.dtype.itemsize
    numbers = np.arange(prod(counts), dtype=np.int64)
    if offset is None:
        return np.full((len(numbers), 2), -1, dtype=np.int64)
    return np.stack([offset + numbers * length, np.full_like(numbers, length)], axis=1)
