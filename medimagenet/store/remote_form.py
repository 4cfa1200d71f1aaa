"""A store behind an address, seen by the reader: `form.Form` over objects, through the cache of the node.

Documents and small shards are fetched whole. Of a large shard first comes the index, once; then those chunks that a
patch touches, all of a patch in one file. When half of a shard has been fetched, the rest follows, and from then on it
is one file and costs what a store on the disk costs. Entries of the cache are named by the hash that samples.parquet
keeps of an array's files, so that a store that was compiled anew shares nothing with what it was.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreError, StoreFormatError
from .form import checked_index
from .layout import ATTRIBUTION, FOREGROUND, LEVEL, ROOT_METADATA, SAMPLES, TABLE
from .metadata import ArrayMetadata, parse_array, parse_document
from .remote_cache import NodeCache
from .remote_objects import AT_ONCE, PART_BYTES, ChangedObjectError, Objects, Span, Version
from .table import parse_table

SMALL_BYTES = 1 << 18
"""An object up to this size comes with its index, by one request."""

_WHOLE_SHARE = 0.5  # of a shard's bytes, fetched in pieces, after which the rest is fetched too
_WHOLE_OF_CACHE = 4  # a shard larger than this part of the cache is never kept whole
_CHUNKS_AT_ONCE = 256  # that are copied from one file of the cache to another: some MB
_DOCUMENT = "document"
_HEAD = "head"

Quad = tuple[int, int, int, int]


class RemoteChunks:
    """The shards of one Zarr v3 array behind an address: `form.Chunks`.

    Parameters
    ----------
    prefix
        Of the array's objects, below the store's address.
    content
        Hash of what the array is, from samples.parquet: part of the names in the cache.
    """

    def __init__(self, objects: Objects, cache: NodeCache, prefix: str, content: str, what: str) -> None:
        self._objects = objects
        self._cache = cache
        self._prefix = prefix
        self._content = content
        self._what = what
        document = fetch_document(objects, cache, f"{prefix}/{ROOT_METADATA}", content, what)
        self._metadata = parse_array(document, what)
        self._heads: dict[tuple[int, ...], _Head] = {}

    @property
    def metadata(self) -> ArrayMetadata:
        """What `zarr.json` says."""
        return self._metadata

    def file(self, position: tuple[int, ...]) -> str:
        """Address of a shard."""
        return self._objects.address(self._key(position))

    def open(self, position: tuple[int, ...], low: Quad, high: Quad) -> tuple[int, NDArray[np.int64]]:
        """The shard where it is here as a whole, else a file in memory of the chunks that the box touches."""
        head = self._head(position)
        try:
            descriptor = self._open_kept(head)
            if descriptor is not None:
                return descriptor, head.index
            return self._open_parts(head, touched(self._metadata, low, high))
        except ChangedObjectError:
            self._cache.remove(head.entry)
            raise

    def _key(self, position: tuple[int, ...]) -> str:
        return f"{self._prefix}/{self._metadata.shard_key(position)}"

    def _head(self, position: tuple[int, ...]) -> "_Head":
        """What a shard is, and where its chunks are in it: from memory, from the cache, or from its end."""
        head = self._heads.get(position)
        if head is None:
            key = self._key(position)
            entry = self._cache.entry(self._objects.url, key, self._content)
            head = self._kept_head(key, entry) or self._fetch_head(key, entry)
            self._heads[position] = head
        return head

    def _kept_head(self, key: str, entry: Path) -> "_Head | None":
        kept = self._cache.read(entry, _HEAD)
        if kept is None:
            return None
        line, _, index = kept.partition(b"\n")
        try:
            version = Version(**json.loads(line))
            return _Head(key, entry, version, self._parse_index(index, version.size, self._objects.address(key)))
        except (ValueError, TypeError, StoreDamagedError):  # cut by a crash of the machine
            self._cache.remove(entry)
            return None

    def _fetch_head(self, key: str, entry: Path) -> "_Head":
        metadata = self._metadata
        content, version = self._objects.tail(key, max(metadata.index_bytes, SMALL_BYTES), self._what)
        index = b""
        if metadata.sharded and metadata.index_first and len(content) < version.size:
            (index,) = self._objects.ranges(key, [(0, metadata.index_bytes)], version, self._what)
        elif metadata.sharded:
            index = content[: metadata.index_bytes] if metadata.index_first else content[-metadata.index_bytes :]
        head = _Head(key, entry, version, self._parse_index(index, version.size, self._objects.address(key)))
        if len(content) == version.size:
            self._cache.write(entry, head.name("whole"), content)
        self._cache.write(entry, _HEAD, json.dumps(asdict(version)).encode() + b"\n" + index)
        return head

    def _parse_index(self, content: bytes, size: int, address: str) -> NDArray[np.int64]:
        metadata = self._metadata
        if not metadata.sharded:
            return np.array([[0, size]])
        if len(content) != metadata.index_bytes:
            raise StoreDamagedError(f"{self._what}: {address} is cut: {size} bytes do not hold its index")
        if metadata.checksum and google_crc32c.value(content[:-4]) != int.from_bytes(content[-4:], "little"):
            raise StoreDamagedError(f"{self._what}: the index of {address} differs from its checksum")
        index = np.frombuffer(content, dtype="<i8", count=2 * prod(metadata.chunks_per_shard)).reshape(-1, 2)
        return checked_index(index, size, metadata, self._what, address)

    def _open_parts(self, head: "_Head", wanted: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
        numbers = [int(number) for number in wanted[head.index[wanted, 0] >= 0]]
        parts = self._kept_parts(head, numbers)
        missing = [number for number in numbers if number not in parts]
        if missing:
            head.fetched += int(head.index[missing, 1].sum())
            size = head.version.size
            if head.fetched >= _WHOLE_SHARE * size and size * _WHOLE_OF_CACHE <= self._cache.limit_bytes:
                return self._open_whole(head), head.index
            spans = [(int(offset), int(offset + length)) for offset, length in head.index[missing]]
            found = self._objects.ranges(head.key, spans, head.version, self._what)
            self._keep(head, missing, found)
            parts.update(zip(missing, found, strict=True))
        moved, sizes = np.full_like(head.index, -1), head.index[numbers, 1]
        moved[numbers, 0], moved[numbers, 1] = np.cumsum(sizes) - sizes, sizes
        return memory_file(b"".join(parts[number] for number in numbers)), moved

    def _keep(self, head: "_Head", numbers: list[int], parts: list[bytes]) -> None:
        """Put chunks into one file: how many, number and length of each, their bytes. A file each takes far longer."""
        table = [len(numbers), *(value for pair in zip(numbers, map(len, parts), strict=True) for value in pair)]
        content = b"".join([np.array(table, dtype="<i8").tobytes(), *parts])
        self._cache.write(head.entry, f"{head.name('pack')}-{uuid.uuid4().hex[:12]}", content)

    def _kept_parts(self, head: "_Head", numbers: list[int]) -> dict[int, bytes]:
        """Those of some chunks that are in the cache, as this process or another has put them there."""
        if not all(number in head.packs for number in numbers):
            self._look(head)
        packs = head.packs  # as it is now: another thread may replace it
        names: dict[str, list[int]] = {}
        for number in numbers:
            if number in packs:
                names.setdefault(packs[number][0], []).append(number)
        parts = {}
        for name, inside in names.items():
            descriptor = self._cache.open(head.entry, name)
            if descriptor is None:  # evicted
                head.packs = {number: place for number, place in packs.items() if place[0] != name}
                continue
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                for number in inside:
                    parts[number] = os.pread(file.fileno(), int(head.index[number, 1]), packs[number][1])
        return {number: part for number, part in parts.items() if len(part) == head.index[number, 1]}

    def _look(self, head: "_Head") -> None:
        """Learn which chunks are in files of the cache that were not there before."""
        present = {name for name in self._cache.names(head.entry) if name.startswith(head.name("pack"))}
        known = {name for name, _ in head.packs.values()}
        packs = {number: place for number, place in head.packs.items() if place[0] in present}
        for name in present - known:
            content = self._cache.read(head.entry, name) or b""
            numbers = np.frombuffer(content, dtype="<i8", count=1 if len(content) >= 8 else 0)
            table = content[8 : 8 + 16 * int(numbers.sum())]
            pairs = np.frombuffer(table[: len(table) // 16 * 16], dtype="<i8").reshape(-1, 2)
            offsets = 8 + 16 * len(pairs) + np.cumsum(pairs[:, 1]) - pairs[:, 1]
            if len(content) != 8 + pairs.nbytes + int(pairs[:, 1].sum()):
                self._cache.remove_file(head.entry, name)  # cut by a crash of the machine
                continue
            packs.update({int(number): (name, int(at)) for (number, _), at in zip(pairs, offsets, strict=True)})
        head.packs = packs

    def _open_kept(self, head: "_Head") -> int | None:
        """A shard that is in the cache as a whole; one that a crash of the machine has cut is not."""
        name = head.name("whole")
        descriptor = self._cache.open(head.entry, name)
        if descriptor is not None and os.fstat(descriptor).st_size != head.version.size:
            os.close(descriptor)
            self._cache.remove_file(head.entry, name)
            return None
        return descriptor

    def _open_whole(self, head: "_Head") -> int:
        """Fetch a shard as a whole, unless another thread or process does so just now."""
        cache = self._cache
        with cache.alone(head.entry):
            descriptor = self._open_kept(head)
            if descriptor is None:
                whole = head.name("whole")
                descriptor = cache.fill(head.entry, whole, lambda file: self._write_whole(head, file))
                for name in cache.names(head.entry):
                    if name.startswith(head.name("pack")):
                        cache.remove_file(head.entry, name)
        head.fetched = 0
        return descriptor

    def _write_whole(self, head: "_Head", file: BinaryIO) -> None:
        """Put a shard together: chunks that are in the cache, and between them what is not, some parts at a time."""
        written: list[Span] = []
        self._look(head)
        numbers = list(head.packs)
        for first in range(0, len(numbers), _CHUNKS_AT_ONCE):
            for number, part in self._kept_parts(head, numbers[first : first + _CHUNKS_AT_ONCE]).items():
                start = int(head.index[number, 0])
                file.seek(start)
                file.write(part)
                written.append((start, start + len(part)))
        for spans in batched_holes(written, head.version.size):
            for (start, _), part in zip(
                spans, self._objects.ranges(head.key, spans, head.version, self._what), strict=True
            ):
                file.seek(start)
                file.write(part)


@dataclass(slots=True, eq=False)
class _Head:
    """What is known of a shard."""

    key: str
    entry: Path
    version: Version
    index: NDArray[np.int64]
    fetched: int = 0
    """Bytes that this process has fetched of it, piece by piece."""
    packs: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Where in which file of the cache a chunk is. Replaced, never changed: other threads read it."""

    def name(self, part: str) -> str:
        """Of a file in the cache that holds a part of this version."""
        return f"{part}-{self.version.stamp}"


class RemoteForm:
    """A Zarr store behind an address: `form.Form`.

    Parameters
    ----------
    url
        Of the store's root, such as ``s3://bucket/lung.zarr``.
    storage_options
        As for `remote_objects.Objects`.
    cache_dir, cache_bytes
        As for `remote_cache.NodeCache`.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: Path | str | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.arguments = (url, storage_options, cache_dir, cache_bytes)
        self._objects = Objects(url, storage_options)
        self._cache = NodeCache(cache_dir, cache_bytes)
        self._table: pa.Table | None = None
        self._rows: dict[str, int] = {}

    @property
    def path(self) -> str:
        """The store's address."""
        return self._objects.url

    def root(self) -> Mapping[str, Any]:
        """Attributes of the root's `zarr.json`, always fetched anew.

        Raises
        ------
        StoreError
            There is no store at the address, or the server refuses.
        """
        where = self.path
        if where.endswith((".h5", ".hdf5")):
            raise StoreFormatError(
                f"{where} is a store in the HDF5 form, which is read from a disk only: fetch it first"
            )
        try:
            content, _ = self._objects.whole(ROOT_METADATA, "store")
        except StoreDamagedError:
            raise StoreError(f"there is no store at {where}: it has no {ROOT_METADATA}") from None
        attributes: Mapping[str, Any] = parse_document(content, where).get("attributes", {})
        return attributes

    def table(self) -> pa.Table:
        """samples.parquet, fetched once by this form."""
        if self._table is None:
            content, _ = self._objects.whole(TABLE, "store")
            self._table = parse_table(content, self._objects.address(TABLE))
            names = self._table.column("sample_id").to_pylist()
            self._rows = {name: row for row, name in enumerate(names)}
        return self._table

    def attributes(self, sample_id: str, name: str) -> Mapping[str, Any]:
        """Attributes of the image's `zarr.json`."""
        what = f"sample {sample_id}, array {name}"
        key = f"{self._prefix(sample_id, name)}/{ROOT_METADATA}"
        document = fetch_document(self._objects, self._cache, key, self._content(sample_id, name), what)
        attributes: Mapping[str, Any] = document.get("attributes", {})
        return attributes

    def chunks(self, sample_id: str, name: str) -> RemoteChunks:
        """The voxels of an image, or the points of the foreground."""
        prefix = self._prefix(sample_id, name)
        what = f"sample {sample_id}, {'' if name == FOREGROUND else 'array '}{name}"
        prefix = prefix if name == FOREGROUND else f"{prefix}/{LEVEL}"
        return RemoteChunks(self._objects, self._cache, prefix, self._content(sample_id, name), what)

    def sample_ids(self) -> set[str]:
        """Those of the table: not every server lists what it has. A sample that is missing shows when it is read."""
        self.table()
        return set(self._rows)

    def stored(self, sample_id: str, name: str | None = None) -> tuple[str, int]:
        """Hash and size of the objects of a sample or of one of its arrays, fetched anew: `files.hash_files` of them.

        Not every server lists what it has, so objects beside those of a store are not seen.
        """
        place = f"{SAMPLES}/{sample_id}"
        if name is not None:
            return self._hash(f"{place}/{name}", self._keys(sample_id, name))
        names = [array["name"] for array in self._row(sample_id)["arrays"]]
        keys = [f"{one}/{key}" for one in (*names, FOREGROUND) for key in self._keys(sample_id, one)]
        return self._hash(place, [ROOT_METADATA, *keys])

    def _keys(self, sample_id: str, name: str) -> list[str]:
        """Objects of an array, below its prefix."""
        chunks = self.chunks(sample_id, name)
        metadata = chunks.metadata
        shards = [metadata.shard_key(position) for position in np.ndindex(*metadata.shards)]
        if name == FOREGROUND:
            return [ROOT_METADATA, *shards]
        return [ROOT_METADATA, *(f"{LEVEL}/{key}" for key in (ROOT_METADATA, *shards))]

    def _hash(self, prefix: str, keys: list[str]) -> tuple[str, int]:
        stamp, total = hashlib.sha256(), 0
        for key in sorted(keys, key=lambda key: key.split("/")):
            content = hashlib.sha256()
            size = self._objects.fold(f"{prefix}/{key}", content.update, prefix)
            stamp.update(f"{key} {size} {content.hexdigest()}\n".encode())
            total += size
        return stamp.hexdigest(), total

    def attribution(self) -> str | None:
        """The text of ATTRIBUTION.md."""
        try:
            return self._objects.whole(ATTRIBUTION, "store")[0].decode("utf-8")
        except StoreDamagedError:
            return None

    def defects(self) -> list[str]:
        """None that can be seen from here."""
        return []

    def _prefix(self, sample_id: str, name: str) -> str:
        return f"{SAMPLES}/{sample_id}/{name}"

    def _row(self, sample_id: str) -> dict[str, Any]:
        row: dict[str, Any] = self.table().slice(self._rows[sample_id], 1).to_pylist()[0]
        return row

    def _content(self, sample_id: str, name: str) -> str:
        row = self._row(sample_id)
        if name == FOREGROUND:
            return str(row["foreground_hash"])
        return str(next(array["stored_hash"] for array in row["arrays"] if array["name"] == name))


def fetch_document(objects: Objects, cache: NodeCache, key: str, content: str, what: str) -> dict[str, Any]:
    """A `zarr.json`, from the cache or from its object; one that is wrong is not kept."""
    entry = cache.entry(objects.url, key, content)
    found = cache.read(entry, _DOCUMENT)
    if found is not None:
        with contextlib.suppress(StoreDamagedError):  # cut by a crash of the machine
            return parse_document(found, what)
    found, _ = objects.whole(key, what)
    document = parse_document(found, what)
    cache.write(entry, _DOCUMENT, found)
    return document


def batched_holes(written: Sequence[Span], size: int) -> list[list[Span]]:
    """What is not written of `size` bytes, in spans of one request each, as many together as run at once."""
    holes, reached = [], 0
    for start, stop in [*sorted(written), (size, size)]:
        holes += [(at, min(at + PART_BYTES, start)) for at in range(reached, start, PART_BYTES)]
        reached = max(reached, stop)
    batches: list[list[Span]] = [[]]
    for span in holes:
        if sum(stop - start for start, stop in batches[-1]) + span[1] - span[0] > AT_ONCE * PART_BYTES:
            batches.append([])
        batches[-1].append(span)
    return [batch for batch in batches if batch]


def touched(metadata: ArrayMetadata, low: Quad, high: Quad) -> NDArray[np.int64]:
    """Numbers, in C order, of the chunks of a shard that a box touches."""
    counts, lead = metadata.chunks_per_shard, 4 - len(metadata.chunk)
    boxes = zip(metadata.chunk, low[lead:], high[lead:], strict=True)
    axes = np.ix_(*(np.arange(a // c, (b - 1) // c + 1) for c, a, b in boxes))
    return np.asarray(np.ravel_multi_index(axes, counts), dtype=np.int64).reshape(-1)


def memory_file(content: bytes) -> int:
    """A descriptor of a file that is nowhere but in memory (or, where there is no such thing, has no name)."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            return os.dup(file.fileno())
    descriptor = os.memfd_create("chunks", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor
