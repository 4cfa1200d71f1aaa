"""Pack samples into HDF5 files: chunks are copied as they are, nothing is decoded.

The bytes depend on what is packed alone: no times are kept, names are sorted, the version of the file format is fixed
(that of HDF5 1.10, whose metadata all have checksums), and strings have their length, so that none is on a heap. What
describes the whole store, and the groups of the samples, come first: what is left of a file that was cut can be read.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contents import frames
from .form import Chunks, Form
from .hdf5_form import SET
from .hdf5_layout import BLOSC_FILTER
from .layout import ATTRIBUTION, FOREGROUND, LEVEL, SAMPLES, TABLE
from .metadata import LEVELS

_SHUFFLES = {1: 0}
"""As the filter's parameters tell it (0 none, 2 by bits), per size of a voxel; other readers only show it."""
_CODECS = {"blosc-lz4": 1, "blosc-zstd": 5}
"""As the filter's parameters tell it."""

_PER_ARRAY, _PER_CHUNK, _PER_FILE = 8192, 24, 65536
"""Bytes that HDF5 takes beside the chunks, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """One file as it is to be."""

    attributes: Mapping[str, Any]
    """Of the root, JSON values by name."""
    set: str
    """The same in all files of the store, and in no other's."""
    codec: str
    """As the recipe calls it."""
    samples: Sequence[tuple[str, Form, Sequence[str]]]
    """Names, where each is taken from, and the names of its arrays with the foreground."""
    table: bytes | None = None
    """samples.parquet; in the first file."""
    attribution: str | None = None


def write_file(path: Path, packing: Packing) -> None:
    """Write one file, and wait until it is on the disk.

    Raises
    ------
    OSError
        It cannot be written, for instance on a full disk.
    StoreDamagedError
        A sample cannot be read from where it is.
    """
    import h5py
    import hdf5plugin  # noqa: F401  (registers the filter, without which HDF5 makes no such array)

    file = h5py.File(_create(path))
    try:
        _fill(file, packing)
    except BaseException:
        with contextlib.suppress(RuntimeError, OSError):  # of what could not be written, once more
            file.close()
        raise
    try:
        file.close()
    except RuntimeError as error:  # HDF5 writes much of the file now
        raise _disk_error(error, path) from error
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(error: RuntimeError, path: Path) -> OSError:
    """What the operating system said, which HDF5 tells in words."""
    found = re.search(r"errno = (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1])), str(path)) if found else OSError(str(error))


def _fill(file: Any, packing: Packing) -> None:
    for key, value in sorted(packing.attributes.items()):
        _set_text(file, key, json.dumps(value, allow_nan=False))
    _set_text(file, SET, packing.set)
    if packing.table is not None:
        _write_small(file, TABLE, np.frombuffer(packing.table, dtype=np.uint8))
    if packing.attribution is not None:
        _write_small(file, ATTRIBUTION, _as_text(packing.attribution))
    samples = _group(file, SAMPLES)
    groups = {sample_id: _group(samples, sample_id) for sample_id, _, _ in packing.samples}
    for sample_id, form, names in packing.samples:
        for name in sorted(names):
            _write_image(groups[sample_id], form, sample_id, name, packing.codec)


def size_of(form: Form, sample_id: str, names: Sequence[str], stored_bytes: int) -> int:
    """Bytes that a sample takes in a file, at most."""
    layouts = [form.chunks(sample_id, name).metadata for name in names]
    slots = sum(prod(s // c for s, c in zip(one.shard, one.chunk, strict=True)) for one in layouts)
    return stored_bytes + len(layouts) * _PER_ARRAY + slots * _PER_CHUNK


def split(sizes: Sequence[int], limit: int | None, first: int) -> list[int]:
    """How many samples go into each file, in their order, so that no file of several is larger than the limit.

    Parameters
    ----------
    sizes : of the samples
    first : bytes of the table, which the first file has besides
    """
    counts, used = [0], _PER_FILE + first
    for size in sizes:
        if limit is not None and counts[-1] and used + size > limit:
            counts.append(0)
            used = _PER_FILE
        counts[-1] += 1
        used += size
    return counts


def _create(path: Path) -> Any:
    """A new file whose root keeps no times."""
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, fcpl=creation, fapl=access)


def _group(parent: Any, name: str) -> Any:
    import h5py

    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=creation))


def _set_text(node: Any, key: str, text: str) -> None:
    value = _as_text(text)
    node.attrs.create(key, value, dtype=value.dtype)


def _write_small(file: Any, name: str, values: NDArray[Any]) -> None:
    """A dataset in one piece: numbers, or one string."""
    file.create_dataset(name, data=values, track_times=False)


def _as_text(text: str) -> NDArray[Any]:
    """() of fixed length, UTF-8."""
    import h5py

    content = text.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(len(content), 1)))


def _write_image(sample: Any, form: Form, sample_id: str, name: str, codec: str) -> None:
    chunks = form.chunks(sample_id, name)
    if name == FOREGROUND:
        dataset = _create_array(sample, name, chunks, codec)
        attributes = chunks.metadata.attributes
    else:
        group = _group(sample, name)
        for key, value in sorted(form.attributes(sample_id, name).items()):
            _set_text(group, key, json.dumps(value, allow_nan=False))
        dataset = _create_array(group, LEVEL, chunks, codec)
        attributes = {}
    for key, value in sorted(attributes.items()):
        _set_text(dataset, key, json.dumps(value, allow_nan=False))
    for corner, content in frames(chunks, f"sample {sample_id}, array {name}"):
        dataset.id.write_direct_chunk(corner, content, 0)


def _create_array(parent: Any, name: str, chunks: Chunks, codec: str) -> Any:
    import h5py

    metadata = chunks.metadata
    itemsize = metadata.dtype.itemsize
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    creation.set_fill_value(metadata.fill)
    if prod(metadata.shape):
        creation.set_chunk(metadata.chunk)
        if metadata.codec == "blosc":
            size = prod(metadata.chunk) * itemsize
            values = (2, 2, itemsize, size, LEVELS[codec], _SHUFFLES.get(itemsize, 2), _CODECS[codec])
            creation.set_filter(BLOSC_FILTER, h5py.h5z.FLAG_MANDATORY, values)
    most = tuple(max(n, c) for n, c in zip(metadata.shape, metadata.chunk, strict=True))
    space = h5py.h5s.create_simple(metadata.shape, most if prod(metadata.shape) else None)
    kind = h5py.h5t.py_create(metadata.dtype)
    return h5py.Dataset(h5py.h5d.create(parent.id, name.encode(), kind, space, creation))
