"""A store in HDF5 files, seen by the reader: the tree by h5py, the voxels by our own decoder.

h5py opens a file to read attributes, the layout of an array and the offsets of its chunks, and closes it; that
happens once per array. Patches are then read by `pread` at those offsets, without h5py: no lock of its, and nothing
that a forked process could not bear.
"""

import contextlib
import io
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import ceil, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreFormatError
from .contents import hash_array, hash_sample
from .form import checked_index
from .hdf5_files import sibling
from .layout import ATTRIBUTION, FOREGROUND, KEY, LEVEL, SAMPLES, TABLE
from .metadata import ArrayMetadata
from .table import parse_table

BLOSC_FILTER = 32001
"""Blosc 1 among the filters that are registered with The HDF Group (https://github.com/HDFGroup/hdf5_plugins)."""

OME = "ome"
SET = "set"
"""Attribute of the root: hash of the table, the same in all files of one store."""

_SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the superblock keeps the size of the file, by its version (HDF5 File Format Specification 3.0, II.A)."""

_LOCKINGS = (None, False, True, "best-effort")
"""Ways to lock a file that are tried: HDF5 refuses another one than that in which the process has it open already."""

_ROWS = 32
"""Of an array that is not chunked, about so many rows are addressed as one chunk, within a plane."""


class Hdf5Chunks:
    """The chunks of one array in an HDF5 file, which is one shard: `form.Chunks`."""

    def __init__(self, path: Path, metadata: ArrayMetadata, index: NDArray[np.int64], what: str) -> None:
        self._path = str(path)
        self._metadata = metadata
        self._index = index
        self._what = what
        self._inode = path.stat().st_ino

    @property
    def metadata(self) -> ArrayMetadata:
        """What the file says about the array."""
        return self._metadata

    def file(self, position: tuple[int, ...]) -> str:
        """Path of the file."""
        return self._path

    def open(
        self,
        position: tuple[int, ...],
        low: tuple[int, int, int, int],
        high: tuple[int, int, int, int],
    ) -> tuple[int, NDArray[np.int64]]:
        """The file, and where the array's chunks are in it."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreDamagedError(
                f"{self._what}: {Path(self._path).name} cannot be opened: {error.strerror} ({self._path})"
            ) from error
        if os.fstat(descriptor).st_ino != self._inode:  # the offsets would be those of another file
            os.close(descriptor)
            raise StoreDamagedError(
                f"{self._what}: {Path(self._path).name} was replaced while the store was open ({self._path}): open the "
                "store again"
            )
        return descriptor, self._index


class Hdf5Form:
    """A store in one HDF5 file or in several: `form.Form`.

    Parameters
    ----------
    path
        The first file.

    Raises
    ------
    StoreFormatError
        It is no HDF5 file, or not a store of ours.
    StoreDamagedError
        Its root or its table cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with opened(path, str(path)) as file:
            self._root = _attributes(file)
            if TABLE not in file:
                raise StoreFormatError(f"{path} is an HDF5 file but no store: it has no {TABLE}")
            self._table = parse_table(file[TABLE][()].tobytes(), f"{TABLE} in {path}")
            self._set = _text(file.attrs.get(SET))
        own = self._root.get(KEY)
        counts = own.get("files") if isinstance(own, Mapping) else None
        self._ends = list(accumulate(counts)) if isinstance(counts, list) else [len(self._table)]
        names = self._table.column("sample_id").to_pylist()
        self._numbers = {name: number for number, name in enumerate(names)}

    @property
    def path(self) -> Path:
        """The first file."""
        return self._path

    def root(self) -> Mapping[str, Any]:
        """Attributes of the first file's root."""
        return self._root

    def table(self) -> pa.Table:
        """The samples.parquet that the first file holds."""
        return self._table

    def files(self) -> list[Path]:
        """All files of the store, whether they are there or not."""
        return [sibling(self._path, number) for number in range(max(len(self._ends), 1))]

    def attributes(self, sample_id: str, name: str) -> Mapping[str, Any]:
        """Attributes of the image's group."""
        with self._opened(sample_id, name) as (file, _, _):
            return _attributes(file[f"{SAMPLES}/{sample_id}/{name}"])

    def chunks(self, sample_id: str, name: str) -> Hdf5Chunks:
        """The voxels of an image, or the points of the foreground."""
        place = f"{SAMPLES}/{sample_id}/{name}" + ("" if name == FOREGROUND else f"/{LEVEL}")
        with self._opened(sample_id, name) as (file, path, what):
            metadata, index = read_layout(file[place], what)
            index = checked_index(index, _stored_size(path), metadata, what, str(path))
            return Hdf5Chunks(path, metadata, index, what)

    def sample_ids(self) -> set[str]:
        """Groups below samples, of all files that can be read."""
        found: set[str] = set()
        for path in self.files():
            with contextlib.suppress(StoreDamagedError), self._checked(path, path.name) as file:
                found |= set(file[SAMPLES])
        return found

    def stored(self, sample_id: str, name: str | None = None) -> tuple[str, int]:
        """Hash and size of layout, attributes and chunks of a sample or of one of its arrays."""
        if name is not None:
            return hash_array(self, sample_id, name)
        with self._opened(sample_id, None) as (file, _, _):
            names = list(file[f"{SAMPLES}/{sample_id}"])
        return hash_sample({each: hash_array(self, sample_id, each) for each in names})

    def attribution(self) -> str | None:
        """The text of ATTRIBUTION.md."""
        with opened(self._path, str(self._path)) as file:
            return _text(file[ATTRIBUTION][()]) if ATTRIBUTION in file else None

    def defects(self) -> list[str]:
        """Files that are missing, cut, or of another run."""
        found = []
        for path in self.files():
            try:
                with self._checked(path, path.name):
                    size, stored = path.stat().st_size, _stored_size(path)
                    if size < stored:
                        found.append(f"{path.name} is cut: it has {size} of {stored} bytes ({path})")
            except StoreDamagedError as error:
                found.append(str(error))
        return found

    def _file_of(self, sample_id: str) -> Path:
        number = self._numbers.get(sample_id, 0)
        return sibling(self._path, min(bisect_right(self._ends, number), max(len(self._ends) - 1, 0)))

    @contextlib.contextmanager
    def _opened(self, sample_id: str, name: str | None) -> Iterator[tuple[Any, Path, str]]:
        what = f"sample {sample_id}" if name is None else f"sample {sample_id}, array {name}"
        what = f"sample {sample_id}, {name}" if name == FOREGROUND else what
        path = self._file_of(sample_id)
        with self._checked(path, what) as file:
            yield file, path, what

    @contextlib.contextmanager
    def _checked(self, path: Path, what: str) -> Iterator[Any]:
        """A file of this store, and no other's that has its name."""
        with opened(path, what) as file:
            if _text(file.attrs.get(SET)) != self._set:
                raise StoreDamagedError(
                    f"{what}: {path.name} is not of the same run as {self._path.name} ({path}): compile again with the "
                    "same recipe to finish what was interrupted, or open the store again"
                )
            yield file


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[Any]:
    """An HDF5 file that is open for reading; what h5py raises becomes an error that says what is damaged.

    One that was cut is read as far as it goes, which HDF5 alone refuses: beyond, everything is zero, and metadata
    there differ from their checksums.

    Raises
    ------
    StoreFormatError
        It is no HDF5 file.
    StoreDamagedError
        It is missing, or what is read in the context is not there or damaged. `what` names it.
    """
    try:
        with path.open("rb") as stream:
            is_hdf5 = stream.read(len(_SUPERBLOCK)) == _SUPERBLOCK
        if not is_hdf5:
            raise StoreFormatError(f"{path} is no store: it is no HDF5 file")
        with _open(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise StoreDamagedError(f"{what}: {path.name} cannot be read: {reason} ({path})") from error


def _open(path: Path) -> Any:
    import h5py

    if path.stat().st_size < _stored_size(path):
        return h5py.File(_Padded(path), "r")
    for locking in _LOCKINGS:
        with contextlib.suppress(OSError):
            return h5py.File(path, "r", locking=locking)
    return h5py.File(path, "r")


def _stored_size(path: Path) -> int:
    """Size that a file says it has."""
    with path.open("rb") as stream:
        head = stream.read(64).ljust(64, b"\0")
    at = _END_OF_FILE.get(head[8], 28)
    return int.from_bytes(head[at : at + 8], "little")


class _Padded(io.RawIOBase):
    """A file that was cut, with zeros up to the size that it says it has."""

    def __init__(self, path: Path) -> None:
        self._size = _stored_size(path)
        self._file = path.open("rb")
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The present byte."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present byte."""
        self._file.seek(self._at)
        content = self._file.read(len(buffer))
        buffer[:] = content.ljust(len(buffer), b"\0")
        self._at += len(buffer)
        return len(buffer)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _text(value: Any) -> str | None:
    """An attribute or dataset of fixed-length UTF-8."""
    return value.decode() if isinstance(value, bytes) else value


def _attributes(node: Any) -> dict[str, Any]:
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
        attributes=_attributes(dataset),
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
