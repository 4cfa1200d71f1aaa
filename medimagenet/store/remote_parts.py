"""The chunks of one shard behind an address, as far as they were fetched: a file of the node's cache that fills up.

Chunks stand in it in the order that they have in the object, with holes for those that were not asked for yet, and
patches are read from it as from a file of a store on the disk. Behind them stand 16 bytes that name this very file, and
a mark for each chunk that is there, with its checksum. A process compares a chunk with its mark before it reads it for
the first time: a machine that stopped may have kept a mark and lost the chunk.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from .remote_cache import NodeCache
from .remote_objects import ChangedObjectError, Objects, Span, Version

SMALL_BYTES = 1 << 18
"""A shard up to this size is fetched as a whole."""

_WHOLE_SHARE = 0.75
"""Of a shard's bytes: when a patch would bring more than this here, it brings all. At most a third more is fetched
then, and the patches that follow wait for no answer."""
_WHOLE_OF_CACHE = 4
"""A shard larger than this part of the cache is never fetched as a whole."""
_NAME_BYTES, _MARK_BYTES = 16, 8
_THERE = 1 << 32
"""What a mark is above the CRC32 of its chunk."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What this process knows of one file."""

    name: bytes
    """The 16 bytes."""
    there: NDArray[np.bool_]
    """Chunks that are in it, and right. Only ever set: threads share it."""


class Parts:
    """One shard. Safe in many threads at once; keeps no descriptor.

    Parameters
    ----------
    entry
        Of the cache.
    key, version
        The object, and which content of it.
    index : (chunks, 2) int64
        Offset and length in bytes of each chunk in the object, -1 where it is only fill.
    what
        How errors name the array.
    """

    def __init__(
        self,
        objects: Objects,
        cache: NodeCache,
        entry: Path,
        key: str,
        version: Version,
        index: NDArray[np.int64],
        what: str,
    ) -> None:
        self._objects = objects
        self._cache = cache
        self._entry = entry
        self._key = key
        self._version = version
        self._what = what
        present = index[:, 0] >= 0
        self._base = int(index[present, 0].min()) if present.any() else 0
        self._index = np.where(present[:, None], index - [self._base, 0], -1)
        self._total = int(index[present, 1].sum())
        self._ends = self._index.sum(axis=1)
        self._size = max(int(self._ends.max(initial=0)), 0)
        self._trailer = -(-self._size // _MARK_BYTES) * _MARK_BYTES
        self._seen = _Seen(b"", np.zeros(len(index), dtype=np.bool_))

    @property
    def index(self) -> NDArray[np.int64]:
        """Offset and length of each chunk in the file that `open` gives, -1 where it is only fill."""
        return self._index

    def open(self, wanted: NDArray[np.int64]) -> int:
        """A descriptor, which the caller closes, of a file that holds the chunks of these numbers.

        Raises
        ------
        ChangedObjectError
            The object is of another version; what is here of the former one is gone then.
        StoreError
            It cannot be fetched, or the cache cannot be written.
        """
        descriptor, seen = self._file()
        try:
            missing = wanted[~seen.there[wanted] & (self._index[wanted, 0] >= 0)]
            if len(missing):
                missing = self._unmarked(descriptor, seen, missing)
            if len(missing):
                self._fetch(descriptor, seen, missing)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, ChangedObjectError):
                self._cache.remove(self._entry)
            raise
        return descriptor

    def keep(self, start: int, content: bytes) -> None:
        """Add the chunks that are in a piece of the object, which begins at a byte of it."""
        descriptor, seen = self._file()
        try:
            self._take(descriptor, seen, start, memoryview(content))
        finally:
            os.close(descriptor)

    @property
    def _name(self) -> str:
        return f"parts-{self._version.stamp}"

    def _file(self) -> tuple[int, _Seen]:
        """The file, and what is known of it: nothing, where another stands in its place now."""
        descriptor = self._cache.open(self._entry, self._name, for_writing=True)
        name = b"" if descriptor is None else os.pread(descriptor, _NAME_BYTES, self._trailer)
        if descriptor is None or len(name) < _NAME_BYTES:
            if descriptor is not None:  # cut by a crash of the machine
                os.close(descriptor)
                self._cache.remove_file(self._entry, self._name)
            descriptor = self._create()
            name = os.pread(descriptor, _NAME_BYTES, self._trailer)
        seen = self._seen
        if seen.name != name:
            seen = self._seen = _Seen(name, np.zeros(len(self._index), dtype=np.bool_))
        return descriptor, seen

    def _create(self) -> int:
        with self._cache.alone(self._entry):
            there = self._cache.open(self._entry, self._name, for_writing=True)
            return self._cache.fill(self._entry, self._name, self._write_empty) if there is None else there

    def _write_empty(self, file: BinaryIO) -> None:
        file.truncate(self._trailer + _NAME_BYTES + _MARK_BYTES * len(self._index))
        file.seek(self._trailer)
        file.write(os.urandom(_NAME_BYTES))

    def _unmarked(self, descriptor: int, seen: _Seen, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those chunks that no process has put here, and such as are not what it has put here."""
        first, last = int(numbers.min()), int(numbers.max())
        content = os.pread(descriptor, _MARK_BYTES * (last + 1 - first), self._mark_at(first))
        marks = np.zeros(last + 1 - first, dtype="<u8")
        whole = len(content) // _MARK_BYTES
        marks[:whole] = np.frombuffer(content, dtype="<u8", count=whole)
        for number in numbers[marks[numbers - first] >= _THERE].tolist():
            if self._mark_of(descriptor, number) == marks[number - first]:
                seen.there[number] = True
        return numbers[~seen.there[numbers]]

    def _mark_of(self, descriptor: int, number: int) -> int:
        offset, length = self._index[number].tolist()
        content = os.pread(descriptor, length, offset)
        return _THERE + isal_zlib.crc32(content) if len(content) == length else 0

    def _fetch(self, descriptor: int, seen: _Seen, missing: NDArray[np.int64]) -> None:
        here = self._index[seen.there, 1].sum() + self._index[missing, 1].sum()
        if self._total > SMALL_BYTES and (
            here < _WHOLE_SHARE * self._total or self._total * _WHOLE_OF_CACHE > self._cache.limit_bytes
        ):
            self._gather(descriptor, seen, missing)
            return
        with self._cache.alone(self._entry):
            rest = np.flatnonzero(~seen.there & (self._index[:, 0] >= 0))
            rest = self._unmarked(descriptor, seen, rest) if len(rest) else rest
            if len(rest):
                self._gather(descriptor, seen, rest)

    def _gather(self, descriptor: int, seen: _Seen, numbers: NDArray[np.int64]) -> None:
        spans = [
            (self._base + offset, self._base + offset + length) for offset, length in self._index[numbers].tolist()
        ]
        self._objects.gather(
            self._key,
            spans,
            self._version,
            lambda start, content: self._take(descriptor, seen, start, content),
            self._what,
        )
        for number in numbers[~seen.there[numbers]].tolist():  # longer than a piece
            self._mark(descriptor, seen, np.array([number]), [self._mark_of(descriptor, number)])

    def _take(self, descriptor: int, seen: _Seen, start: int, content: memoryview) -> None:
        """Write the part of a piece that chunks may be in, and mark those that are whole in it."""
        low = max(start - self._base, 0)
        piece = content[low + self._base - start :][: max(self._size - low, 0)]
        with self._cache.failures():
            _pwrite_all(descriptor, piece, low)
        inside = np.flatnonzero((self._index[:, 0] >= low) & (self._ends <= low + len(piece)) & ~seen.there)
        marks = [
            _THERE + isal_zlib.crc32(piece[offset - low : offset - low + length])
            for offset, length in self._index[inside].tolist()
        ]
        self._mark(descriptor, seen, inside, marks)
        self._cache.count(len(piece))

    def _mark(self, descriptor: int, seen: _Seen, numbers: NDArray[np.int64], marks: Sequence[int]) -> None:
        """Numbers in their order; those that follow one another are written by one call."""
        content = memoryview(np.array(marks, dtype="<u8").tobytes())
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        with self._cache.failures():
            for first, last in pairwise(edges):
                if first < last:
                    piece = content[_MARK_BYTES * first : _MARK_BYTES * last]
                    _pwrite_all(descriptor, piece, self._mark_at(int(numbers[first])))
        seen.there[numbers] = True

    def _mark_at(self, number: int) -> int:
        return self._trailer + _NAME_BYTES + _MARK_BYTES * number


def _pwrite_all(descriptor: int, content: memoryview, offset: int) -> None:
    while len(content):
        done = os.pwrite(descriptor, content, offset)
        content, offset = content[done:], offset + done


def touched(
    counts: Sequence[int], chunk: Sequence[int], low: tuple[int, ...], high: tuple[int, ...]
) -> NDArray[np.int64]:
    """Numbers, in C order, of the chunks of a shard that a box of voxels touches.

    Parameters
    ----------
    counts, chunk
        Chunks of the shard along each axis, and voxels of one.
    low, high
        Of four axes, ones before those of a shorter array.
    """
    lead = 4 - len(chunk)
    boxes = zip(chunk, low[lead:], high[lead:], strict=True)
    axes: Any = np.ix_(*(np.arange(a // c, (b - 1) // c + 1) for c, a, b in boxes))
    return np.asarray(np.ravel_multi_index(axes, tuple(counts)), dtype=np.int64).reshape(-1)


def span_of(index: NDArray[np.int64]) -> Span:
    """First byte of the chunks of a shard, and one past the last."""
    present = index[index[:, 0] >= 0]
    return (int(present[:, 0].min()), int(present.sum(axis=1).max())) if len(present) else (0, 0)
