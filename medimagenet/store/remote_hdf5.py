"""A store in HDF5 files behind an address, seen by the reader: the tree by h5py over ranges, the voxels as from Zarr.

h5py reads the metadata of a file through `_Stream`, in blocks of which the last used ones stay in memory. Once per
array and node it tells layout and offsets of the chunks, which then are a document of the node's cache. Chunks are
fetched and kept as those of any shard (`remote_parts`), of which an array inside a file is one.
"""

import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreError, StoreFormatError
from .contents import Frame, Stored, hash_frames
from .hdf5_files import first_names
from .hdf5_form import HEAD_BYTES, SUPERBLOCK, Hdf5Form, SizedStream, reason_of, size_in
from .hdf5_layout import attributes_of
from .layout import FOREGROUND, SAMPLES
from .metadata import ArrayMetadata
from .remote_cache import NodeCache
from .remote_objects import Objects, Version
from .remote_parts import Parts, touched

BLOCK_BYTES = 1 << 16
"""Of metadata that are fetched as one: what describes an array lies together, its chunks follow."""

_BLOCKS = 128
"""Blocks that a store keeps: 8 MB."""
_HASHED_BYTES = 32 << 20
"""Of chunks that are fetched as one to be hashed."""

Quad = tuple[int, int, int, int]


class _Blocks:
    """Bytes of the files of a store, a block at a time, the last used ones from memory. Safe in threads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._versions: dict[str, Version] = {}
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def version(self, name: str, what: str) -> Version:
        """Which content of a file it is: the first that was seen.

        Raises
        ------
        StoreDamagedError
            There is no such file. `what` begins the message.
        """
        version = self._versions.get(name)
        if version is None:
            _, version = self._objects.tail(name, 1, what)
            version = self._versions.setdefault(name, version)
        return version

    def read(self, name: str, start: int, stop: int, what: str) -> bytes:
        """Bytes of a file; fewer where it is shorter."""
        version = self.version(name, what)
        numbers = range(start // BLOCK_BYTES, ceil(min(stop, version.size) / BLOCK_BYTES))
        with self._lock:
            found = {number: self._kept[name, number] for number in numbers if (name, number) in self._kept}
        missing = [number for number in numbers if number not in found]
        spans = [(n * BLOCK_BYTES, min((n + 1) * BLOCK_BYTES, version.size)) for n in missing]
        if missing:
            found.update(zip(missing, self._objects.ranges(name, spans, version, what), strict=True))
        with self._lock:
            for number in numbers:
                self._kept[name, number] = found[number]
                self._kept.move_to_end((name, number))
            while len(self._kept) > _BLOCKS:
                self._kept.popitem(last=False)
        skip = start - numbers.start * BLOCK_BYTES
        return b"".join(found[number] for number in numbers)[skip : skip + stop - start]


class _Stream(SizedStream):
    """A file as h5py reads it: with zeros up to the size that it says it has, where it was cut."""

    def __init__(self, blocks: _Blocks, name: str, size: int, what: str) -> None:
        super().__init__(size)
        self._blocks = blocks
        self._name = name
        self._what = what
        self.failure: StoreError | None = None
        """What happened in a call from HDF5, which does not pass it on."""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present byte."""
        try:
            content = self._blocks.read(self._name, self._at, self._at + len(buffer), self._what)
        except StoreError as error:
            self.failure = error
            raise OSError(str(error)) from None
        buffer[:] = content.ljust(len(buffer), b"\0")
        self._at += len(buffer)
        return len(buffer)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """What the file says of an array."""

    metadata: ArrayMetadata
    index: NDArray[np.int64]
    """Offset and length of each chunk in the file."""
    attributes: Mapping[str, Any]
    """Of the image's group."""


class RemoteHdf5Chunks:
    """The chunks of one array in an HDF5 file behind an address: `form.Chunks`."""

    def __init__(self, parts: Parts, metadata: ArrayMetadata, address: str) -> None:
        self._parts = parts
        self._metadata = metadata
        self._address = address

    @property
    def metadata(self) -> ArrayMetadata:
        """What the file says about the array."""
        return self._metadata

    def file(self, position: tuple[int, ...]) -> str:
        """Address of the file."""
        return self._address

    def open(self, position: tuple[int, ...], low: Quad, high: Quad) -> tuple[int, NDArray[np.int64]]:
        """What is here of the array, with the chunks that the box touches among it."""
        wanted = touched(self._metadata.chunks_per_shard, self._metadata.chunk, low, high)
        return self._parts.open(wanted), self._parts.index


class RemoteHdf5Form(Hdf5Form):
    """A store in HDF5 files behind an address: `form.Form`.

    Parameters
    ----------
    url
        Of the store, or of any of its files, such as ``s3://bucket/lung.h5``.
    storage_options
        As for `remote_objects.Objects`.
    cache_dir, cache_bytes
        As for `remote_cache.NodeCache`.

    Raises
    ------
    StoreError
        There is no store at the address, or the server refuses. Others are those of `Hdf5Form`.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        cache_dir: Path | str | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.arguments = (url, storage_options, cache_dir, cache_bytes)
        folder, _, name = url.rstrip("/").rpartition("/")
        self._objects = Objects(folder, storage_options)
        self._cache = NodeCache(cache_dir, cache_bytes)
        self._blocks = _Blocks(self._objects)
        super().__init__(self._find(Path(name)))

    @property
    def path(self) -> str:
        """Address of the first file."""
        return self._where(self._path)

    def attributes(self, sample_id: str, name: str) -> Mapping[str, Any]:
        """Attributes of the image's group."""
        return self._known(sample_id, name)[0].attributes

    def chunks(self, sample_id: str, name: str) -> RemoteHdf5Chunks:
        """The voxels of an image, or the points of the foreground."""
        layout, file, version, what = self._known(sample_id, name)
        entry = self._entry(file, sample_id, name)
        parts = Parts(self._objects, self._cache, entry, file.name, version, layout.index, what)
        return RemoteHdf5Chunks(parts, layout.metadata, self._where(file))

    def _find(self, name: Path) -> Path:
        for each in first_names(name):
            with contextlib.suppress(StoreDamagedError):
                self._blocks.version(each.name, "store")
                return each
        raise StoreError(f"there is no store at {self._where(name)}")

    def _where(self, path: Path) -> str:
        return self._objects.address(path.name)

    def _sizes(self, path: Path) -> tuple[int, int]:
        head = self._blocks.read(path.name, 0, HEAD_BYTES, path.name)
        return self._blocks.version(path.name, path.name).size, size_in(head)

    @contextlib.contextmanager
    def _reading(self, path: Path, what: str) -> Iterator[Any]:
        import h5py

        if self._blocks.read(path.name, 0, len(SUPERBLOCK), what) != SUPERBLOCK:
            raise StoreFormatError(f"{self._where(path)} is no store: it is no HDF5 file")
        stream = _Stream(self._blocks, path.name, max(self._sizes(path)), what)
        try:
            with h5py.File(stream, "r") as file:
                yield file
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            if stream.failure is not None:
                raise stream.failure from None
            where = self._where(path)
            raise StoreDamagedError(f"{what}: {path.name} cannot be read: {reason_of(error)} ({where})") from error

    def _entry(self, file: Path, sample_id: str, name: str) -> Path:
        return self._cache.entry(self._where(file), self._set or "", sample_id, name)

    def _known(self, sample_id: str, name: str) -> tuple[_Layout, Path, Version, str]:
        """What is known of an array: from the cache, or from its file."""
        what, file = self._called(sample_id, name), self._file_of(sample_id)
        version = self._blocks.version(file.name, what)
        entry, document = self._entry(file, sample_id, name), f"layout-{version.stamp}"
        layout = _unpacked(self._cache.read(entry, document))
        if layout is None:
            layout = self._read_layout(sample_id, name)
            self._cache.write(entry, document, _packed(layout))
        return layout, file, version, what

    def _read_layout(self, sample_id: str, name: str) -> _Layout:
        with self._opened(sample_id, name) as (file, path, what):
            metadata, index = self._layout(file, path, sample_id, name, what)
            return _Layout(metadata, index, attributes_of(file[f"{SAMPLES}/{sample_id}/{name}"]))

    def _hash(self, sample_id: str, name: str) -> Stored:
        """Of what is at the address, not of what is kept here."""
        layout = self._read_layout(sample_id, name)
        attributes = layout.metadata.attributes if name == FOREGROUND else layout.attributes
        return hash_frames(name, layout.metadata, attributes, self._frames(layout, sample_id, name))

    def _frames(self, layout: _Layout, sample_id: str, name: str) -> Iterator[Frame]:
        """The chunks that are not only fill, in C order, some MB at a time."""
        file, what = self._file_of(sample_id), self._called(sample_id, name)
        version = self._blocks.version(file.name, what)
        counts, chunk = layout.metadata.chunks_per_shard, layout.metadata.chunk
        numbers = np.flatnonzero(layout.index[:, 0] >= 0)
        groups = np.cumsum(layout.index[numbers, 1]) // _HASHED_BYTES
        for group in np.unique(groups):
            inside = numbers[groups == group]
            spans = [(offset, offset + length) for offset, length in layout.index[inside].tolist()]
            found = self._objects.ranges(file.name, spans, version, what)
            corners = np.stack(np.unravel_index(inside, counts), axis=1) * chunk
            yield from zip(map(tuple, corners.tolist()), found, strict=True)


def _packed(layout: _Layout) -> bytes:
    """A layout as a file of the cache: checksum, a line of JSON, the index."""
    metadata = layout.metadata
    document = {
        "shape": metadata.shape,
        "dtype": metadata.dtype.str,
        "chunk": metadata.chunk,
        "codec": metadata.codec,
        "fill": metadata.fill.tobytes().hex(),
        "own": dict(metadata.attributes),
        "attributes": dict(layout.attributes),
    }
    content = json.dumps(document).encode() + b"\n" + layout.index.astype("<i8").tobytes()
    return isal_zlib.crc32(content).to_bytes(4, "little") + content


def _unpacked(content: bytes | None) -> _Layout | None:
    """A layout from the cache; None where it is not there, or was cut by a crash of the machine."""
    if content is None or isal_zlib.crc32(content[4:]) != int.from_bytes(content[:4], "little"):
        return None
    line, _, index = content[4:].partition(b"\n")
    document = json.loads(line)
    dtype, shape, chunk = np.dtype(document["dtype"]), tuple(document["shape"]), tuple(document["chunk"])
    metadata = ArrayMetadata(
        shape=shape,
        dtype=dtype,
        shard=tuple(max(ceil(n / c), 1) * c for n, c in zip(shape, chunk, strict=True)),
        chunk=chunk,
        codec=document["codec"],
        sharded=True,
        checksum=False,
        index_first=False,
        fill=np.frombuffer(bytes.fromhex(document["fill"]), dtype=dtype).reshape(()),
        separator="/",
        attributes=document["own"],
    )
    places = np.frombuffer(index, dtype="<i8").reshape(-1, 2).astype(np.int64)
    return _Layout(metadata, places, document["attributes"]) if len(places) == prod(metadata.chunks_per_shard) else None
