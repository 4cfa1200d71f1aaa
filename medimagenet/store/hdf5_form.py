"""A store in HDF5 files, seen by the reader: the tree by h5py, the voxels by our own decoder.

h5py opens a file to read attributes, the layout of an array and the offsets of its chunks, and closes it; that
happens once per array. Patches are then read by `pread` at those offsets, without h5py: no lock of its, and nothing
that a forked process could not bear.
"""

import contextlib
import io
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreFormatError
from .contents import Stored, hash_array, hash_sample
from .form import Chunks, checked_index
from .hdf5_files import sibling
from .hdf5_layout import attributes_of, read_layout
from .layout import ATTRIBUTION, FOREGROUND, KEY, LEVEL, SAMPLES, TABLE
from .metadata import ArrayMetadata
from .table import parse_table

SET = "set"
"""Attribute of the root: hash of the table, the same in all files of one store."""

SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the superblock keeps the size of the file, by its version (HDF5 File Format Specification 3.0, II.A)."""

HEAD_BYTES = 64
"""The superblock is within these."""

_LOCKINGS = (None, False, True, "best-effort")
"""Ways to lock a file that are tried: HDF5 refuses another one than that in which the process has it open already."""


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
        where = self._where(path)
        with self._reading(path, where) as file:
            self._root = attributes_of(file)
            if TABLE not in file:
                raise StoreFormatError(f"{where} is an HDF5 file but no store: it has no {TABLE}")
            self._table = parse_table(file[TABLE][()].tobytes(), f"{TABLE} in {where}")
            self._set = _text(file.attrs.get(SET))
        own = self._root.get(KEY)
        counts = own.get("files") if isinstance(own, Mapping) else None
        self._ends = list(accumulate(counts)) if isinstance(counts, list) else [len(self._table)]
        names = self._table.column("sample_id").to_pylist()
        self._numbers = {name: number for number, name in enumerate(names)}

    @property
    def path(self) -> Path | str:
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
            return attributes_of(file[f"{SAMPLES}/{sample_id}/{name}"])

    def chunks(self, sample_id: str, name: str) -> Chunks:
        """The voxels of an image, or the points of the foreground."""
        with self._opened(sample_id, name) as (file, path, what):
            metadata, index = self._layout(file, path, sample_id, name, what)
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
            return self._hash(sample_id, name)
        with self._opened(sample_id, None) as (file, _, _):
            names = list(file[f"{SAMPLES}/{sample_id}"])
        return hash_sample({each: self._hash(sample_id, each) for each in names})

    def attribution(self) -> str | None:
        """The text of ATTRIBUTION.md."""
        with self._reading(self._path, self._where(self._path)) as file:
            return _text(file[ATTRIBUTION][()]) if ATTRIBUTION in file else None

    def defects(self) -> list[str]:
        """Files that are missing, cut, or of another run."""
        found = []
        for path in self.files():
            try:
                with self._checked(path, path.name):
                    size, stored = self._sizes(path)
                    if size < stored:
                        found.append(f"{path.name} is cut: it has {size} of {stored} bytes ({self._where(path)})")
            except StoreDamagedError as error:
                found.append(str(error))
        return found

    def _reading(self, path: Path, what: str) -> contextlib.AbstractContextManager[Any]:
        """One of the files, open for h5py."""
        return opened(path, what)

    def _where(self, path: Path) -> str:
        """How messages call one of the files."""
        return str(path)

    def _called(self, sample_id: str, name: str | None) -> str:
        """How messages call an array of a sample, or a sample."""
        if name is None or name == FOREGROUND:
            return f"sample {sample_id}" + ("" if name is None else f", {name}")
        return f"sample {sample_id}, array {name}"

    def _sizes(self, path: Path) -> tuple[int, int]:
        """Bytes that a file has, and that it says it has."""
        return path.stat().st_size, _stored_size(path)

    def _hash(self, sample_id: str, name: str) -> Stored:
        return hash_array(self, sample_id, name)

    def _layout(
        self, file: Any, path: Path, sample_id: str, name: str, what: str
    ) -> tuple[ArrayMetadata, NDArray[np.int64]]:
        """Layout of an array, and where its chunks are, inside the file."""
        place = f"{SAMPLES}/{sample_id}/{name}" + ("" if name == FOREGROUND else f"/{LEVEL}")
        metadata, index = read_layout(file[place], what)
        return metadata, checked_index(index, self._sizes(path)[1], metadata, what, self._where(path))

    def _file_of(self, sample_id: str) -> Path:
        number = self._numbers.get(sample_id, 0)
        return sibling(self._path, min(bisect_right(self._ends, number), max(len(self._ends) - 1, 0)))

    @contextlib.contextmanager
    def _opened(self, sample_id: str, name: str | None) -> Iterator[tuple[Any, Path, str]]:
        what, path = self._called(sample_id, name), self._file_of(sample_id)
        with self._checked(path, what) as file:
            yield file, path, what

    @contextlib.contextmanager
    def _checked(self, path: Path, what: str) -> Iterator[Any]:
        """A file of this store, and no other's that has its name."""
        with self._reading(path, what) as file:
            if _text(file.attrs.get(SET)) != self._set:
                where = self._where(path)
                raise StoreDamagedError(
                    f"{what}: {path.name} is not of the same run as {self._path.name} ({where}): compile again "
                    "with the same recipe to finish what was interrupted, or open the store again"
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
            head = stream.read(len(SUPERBLOCK))
        if head != SUPERBLOCK:
            raise StoreFormatError(f"{path} is no store: it is no HDF5 file")
        with _open(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise StoreDamagedError(f"{what}: {path.name} cannot be read: {reason_of(error)} ({path})") from error


def reason_of(error: Exception) -> str:
    """What h5py says."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


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
        return size_in(stream.read(HEAD_BYTES))


def size_in(head: bytes) -> int:
    """Size that a file says it has in its first `HEAD_BYTES`."""
    head = head.ljust(HEAD_BYTES, b"\0")
    at = _END_OF_FILE.get(head[8], 28)
    return int.from_bytes(head[at : at + 8], "little")


class SizedStream(io.RawIOBase):
    """A file for h5py of the size that it says it has, whatever there is of it."""

    def __init__(self, size: int) -> None:
        self._size = size
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


class _Padded(SizedStream):
    """A file that was cut, with zeros up to the size that it says it has."""

    def __init__(self, path: Path) -> None:
        super().__init__(_stored_size(path))
        self._file = path.open("rb")

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
