"""A store as a Zarr directory, seen by the reader: files below samples/<id>, the index of each shard read once."""

import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError
from .files import hash_files
from .form import checked_index
from .layout import ATTRIBUTION, FOREGROUND, LEVEL, PARTIAL, SAMPLES
from .metadata import ArrayMetadata, parse_array, read_metadata
from .table import read_table


class ZarrChunks:
    """The shards of one Zarr v3 array: `form.Chunks`.

    Raises
    ------
    StoreDamagedError
        `zarr.json` is missing or wrong.
    StoreFormatError
        It uses something that this reader does not know.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._what = what
        self._metadata = parse_array(read_metadata(folder, what), what)
        self._indexes: dict[tuple[int, ...], NDArray[np.int64]] = {}

    @property
    def metadata(self) -> ArrayMetadata:
        """What `zarr.json` says."""
        return self._metadata

    def file(self, position: tuple[int, ...]) -> str:
        """Path of a shard."""
        return f"{self._folder}/{self._metadata.shard_key(position)}"

    def open(
        self, position: tuple[int, ...], low: tuple[int, int, int, int], high: tuple[int, int, int, int]
    ) -> tuple[int, NDArray[np.int64]]:
        """A shard and its index; a shard is here as a whole, whatever the box."""
        path = self.file(position)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            name = Path(path).name
            raise StoreDamagedError(f"{self._what}: {name} cannot be opened: {error.strerror} ({path})") from error
        index = self._indexes.get(position)
        if index is None:
            try:
                index = self._indexes[position] = self._load_index(descriptor, Path(path))
            except BaseException:
                os.close(descriptor)
                raise
        return descriptor, index

    def _load_index(self, descriptor: int, path: Path) -> NDArray[np.int64]:
        """Offsets and lengths of a shard's chunks, checked; a file without shards is one chunk."""
        metadata, size = self._metadata, os.fstat(descriptor).st_size
        if not metadata.sharded:
            return np.array([[0, size]])
        start = 0 if metadata.index_first else max(size - metadata.index_bytes, 0)
        content = os.pread(descriptor, metadata.index_bytes, start)
        if len(content) != metadata.index_bytes:
            raise StoreDamagedError(f"{self._what}: {path.name} is cut: {size} bytes do not hold its index ({path})")
        if metadata.checksum and google_crc32c.value(content[:-4]) != int.from_bytes(content[-4:], "little"):
            raise StoreDamagedError(f"{self._what}: the index of {path.name} differs from its checksum ({path})")
        index = np.frombuffer(content, dtype="<i8", count=2 * prod(metadata.chunks_per_shard)).reshape(-1, 2)
        return checked_index(index, size, metadata, self._what, str(path))


class ZarrForm:
    """A Zarr directory: `form.Form`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._path

    def root(self) -> Mapping[str, Any]:
        """Attributes of the root's `zarr.json`."""
        attributes: Mapping[str, Any] = read_metadata(self._path, str(self._path)).get("attributes", {})
        return attributes

    def table(self) -> pa.Table:
        """samples.parquet."""
        return read_table(self._path)

    def attributes(self, sample_id: str, name: str) -> Mapping[str, Any]:
        """Attributes of the image's `zarr.json`."""
        what = f"sample {sample_id}, array {name}"
        attributes: Mapping[str, Any] = read_metadata(self._place(sample_id, name), what).get("attributes", {})
        return attributes

    def chunks(self, sample_id: str, name: str) -> ZarrChunks:
        """The voxels of an image, or the points of the foreground."""
        place = self._place(sample_id, name)
        if name == FOREGROUND:
            return ZarrChunks(place, f"sample {sample_id}, {name}")
        return ZarrChunks(place / LEVEL, f"sample {sample_id}, array {name}")

    def sample_ids(self) -> set[str]:
        """Folders below samples."""
        return {path.name for path in (self._path / SAMPLES).glob("*") if path.is_dir()}

    def stored(self, sample_id: str, name: str | None = None) -> tuple[str, int]:
        """Hash and size of the files of a sample or of one of its arrays."""
        return hash_files(self._place(sample_id, name))

    def attribution(self) -> str | None:
        """The text of ATTRIBUTION.md."""
        path = self._path / ATTRIBUTION
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def defects(self) -> list[str]:
        """Partial samples that are left."""
        if not (self._path / PARTIAL).exists():
            return []
        return [f"{PARTIAL} is there: it is being written, or a run was interrupted"]

    def _place(self, sample_id: str, name: str | None) -> Path:
        folder = self._path / SAMPLES / sample_id
        return folder if name is None else folder / name
