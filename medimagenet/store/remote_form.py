"""A store behind an address, seen by the reader: `form.Form` over objects, through the cache of the node.

Of an array the two documents and the end of its first shard are asked for at once: small shards are whole then, of
others the index is known, and the chunks that patches touch follow (`remote_parts`). Entries of the cache are named by
the hash that samples.parquet keeps of an array's files, so that a store that was compiled anew shares nothing with what
it was.
"""

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreError
from .form import checked_index
from .layout import ATTRIBUTION, FOREGROUND, LEVEL, ROOT_METADATA, SAMPLES, TABLE
from .metadata import ArrayMetadata, parse_array, parse_document
from .remote_cache import NodeCache
from .remote_objects import Objects, Version
from .remote_parts import SMALL_BYTES, Parts, touched
from .table import parse_table

AHEAD_BYTES = SMALL_BYTES
"""Of the end of a shard that come with its index, by one request."""

_AHEAD = 16
"""Ends of shards that are held until their array is read: some MB."""
_FIRST_SHARD = f"{LEVEL}/c/0/0/0/0"
_DOCUMENT = "document"
_HEAD = "head"

Quad = tuple[int, int, int, int]
Ahead = MutableMapping[str, tuple[bytes, Version]]
"""Ends of objects by key, with what they are the end of."""


class RemoteChunks:
    """The shards of one Zarr v3 array behind an address: `form.Chunks`.

    Parameters
    ----------
    prefix
        Of the array's objects, below the store's address.
    content
        Hash of what the array is, from samples.parquet: part of the names in the cache.
    ahead
        Ends of shards that were fetched already.
    """

    def __init__(
        self, objects: Objects, cache: NodeCache, prefix: str, content: str, what: str, ahead: Ahead | None = None
    ) -> None:
        self._objects = objects
        self._cache = cache
        self._prefix = prefix
        self._content = content
        self._what = what
        document = fetch_document(objects, cache, f"{prefix}/{ROOT_METADATA}", content, what)
        self._metadata = parse_array(document, what)
        self._shards: dict[tuple[int, ...], Parts] = {}
        self._ahead: Ahead = {} if ahead is None else ahead

    @property
    def metadata(self) -> ArrayMetadata:
        """What `zarr.json` says."""
        return self._metadata

    def file(self, position: tuple[int, ...]) -> str:
        """Address of a shard."""
        return self._objects.address(self._key(position))

    def open(self, position: tuple[int, ...], low: Quad, high: Quad) -> tuple[int, NDArray[np.int64]]:
        """What is here of a shard, with the chunks that the box touches among it."""
        shard = self._shards.get(position)
        if shard is None:
            shard = self._shards[position] = self._shard(position)
        return shard.open(touched(self._metadata.chunks_per_shard, self._metadata.chunk, low, high)), shard.index

    def _key(self, position: tuple[int, ...]) -> str:
        return f"{self._prefix}/{self._metadata.shard_key(position)}"

    def _shard(self, position: tuple[int, ...]) -> Parts:
        """What a shard is, and where its chunks are in it: from the cache, or from its end."""
        key = self._key(position)
        entry = self._cache.entry(self._objects.url, key, self._content)
        return self._kept_shard(key, entry) or self._fetch_shard(key, entry)

    def _parts(self, key: str, entry: Path, version: Version, index: bytes) -> Parts:
        places = self._parse_index(index, version.size, self._objects.address(key))
        return Parts(self._objects, self._cache, entry, key, version, places, self._what)

    def _kept_shard(self, key: str, entry: Path) -> Parts | None:
        kept = self._cache.read(entry, _HEAD)
        if kept is None:
            return None
        line, _, index = kept.partition(b"\n")
        try:
            return self._parts(key, entry, Version(**json.loads(line)), index)
        except (ValueError, TypeError, StoreDamagedError):  # cut by a crash of the machine
            self._cache.remove(entry)
            return None

    def _fetch_shard(self, key: str, entry: Path) -> Parts:
        metadata = self._metadata
        content, version = self._ahead.pop(key, None) or (b"", None)
        if version is None or len(content) < min(metadata.index_bytes, version.size):
            content, version = self._objects.tail(key, max(metadata.index_bytes, AHEAD_BYTES), self._what)
        index = b""
        if metadata.sharded and metadata.index_first and len(content) < version.size:
            (index,) = self._objects.ranges(key, [(0, metadata.index_bytes)], version, self._what)
        elif metadata.sharded:
            index = content[: metadata.index_bytes] if metadata.index_first else content[-metadata.index_bytes :]
        shard = self._parts(key, entry, version, index)
        self._cache.write(entry, _HEAD, json.dumps(asdict(version)).encode() + b"\n" + index)
        shard.keep(version.size - len(content), content)
        return shard

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
        self._ahead: OrderedDict[str, tuple[bytes, Version]] = OrderedDict()
        self._contents: tuple[str, dict[str, str]] = ("", {})

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
        try:
            content, _ = self._objects.whole(ROOT_METADATA, "store")
        except StoreDamagedError:
            raise StoreError(
                f"there is no store at {where}: it has no {ROOT_METADATA} (of one in the HDF5 form, name a file)"
            ) from None
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
        """Attributes of the image's `zarr.json`. What its voxels need first is fetched with it."""
        what = f"sample {sample_id}, array {name}"
        prefix, content = self._prefix(sample_id, name), self._content(sample_id, name)
        keys = [f"{prefix}/{ROOT_METADATA}", f"{prefix}/{LEVEL}/{ROOT_METADATA}"]
        missing = [key for key in keys if not self._is_kept(key, content, _DOCUMENT)]
        if missing:
            calls = [partial(self._read_ahead, key, content, what) for key in missing]
            shard = f"{prefix}/{_FIRST_SHARD}"
            if not self._is_kept(shard, content, _HEAD):
                calls.append(partial(self._read_end, shard, what))
            self._objects.together(calls)
        document = fetch_document(self._objects, self._cache, keys[0], content, what)
        attributes: Mapping[str, Any] = document.get("attributes", {})
        return attributes

    def chunks(self, sample_id: str, name: str) -> RemoteChunks:
        """The voxels of an image, or the points of the foreground."""
        prefix = self._prefix(sample_id, name)
        what = f"sample {sample_id}, {'' if name == FOREGROUND else 'array '}{name}"
        prefix = prefix if name == FOREGROUND else f"{prefix}/{LEVEL}"
        content = self._content(sample_id, name)
        return RemoteChunks(self._objects, self._cache, prefix, content, what, self._ahead)

    def _is_kept(self, key: str, content: str, name: str) -> bool:
        return (self._cache.entry(self._objects.url, key, content) / name).is_file()

    def _read_ahead(self, key: str, content: str, what: str) -> None:
        """Fetch a document before it is asked for. What is wrong with it is said when it is."""
        with contextlib.suppress(StoreError):
            fetch_document(self._objects, self._cache, key, content, what)

    def _read_end(self, key: str, what: str) -> None:
        """Fetch the end of what probably is the first shard, whose document is not known yet."""
        with contextlib.suppress(StoreError):
            self._ahead[key] = self._objects.tail(key, AHEAD_BYTES, what)
        while len(self._ahead) > _AHEAD:
            with contextlib.suppress(KeyError):  # another thread was first
                self._ahead.popitem(last=False)

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
        known = self._contents
        if known[0] != sample_id:
            row = self._row(sample_id)
            hashes = {array["name"]: str(array["stored_hash"]) for array in row["arrays"]}
            known = self._contents = sample_id, {**hashes, FOREGROUND: str(row["foreground_hash"])}
        return known[1][name]


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
