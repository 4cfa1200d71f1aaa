"""Format 1 of a store: its names on disk, its attributes, and the values that are written into it.

Nothing here touches a file. Arrays are (C, Z, Y, X); crops and grids are x, y, z, as everything a person types.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreFormatError
from ..geometry import Grid, Size
from ..volume import Normalization

FORMAT = 1
"""Version of the layout. A reader refuses a higher one and names both."""

KEY = "medimagenet"
"""Where our attributes are, in the root, in every image and in the foreground."""

ROOT_METADATA = "zarr.json"
TABLE = "samples.parquet"
ATTRIBUTION = "ATTRIBUTION.md"
SAMPLES = "samples"
PARTIAL = ".partial"
"""Where samples are written before they are renamed into `SAMPLES`. Gone when a store is finished."""
LEVEL = "0"
"""Name of the full-resolution array inside an image's group (OME-Zarr calls it the dataset's path)."""
IMAGE, LABEL, FOREGROUND = "image", "label", "foreground"

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""What an image may be stored as. A bool mask is stored as uint8."""

Codec = Literal["blosc-lz4", "blosc-zstd", "none"]
LabelKind = Literal["channels", "map"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """Layout of one store, written into it, so that a reader needs no settings.

    Raises
    ------
    ValueError
        `chunk` or `shard_limit_bytes` is below 1, or the codec is unknown.
    """

    chunk: int | tuple[int, int, int] = 32
    """Voxels along z, y, x of what is addressed as one; a number is the edge of a cube. Where an array is thinner, the
    chunk is as thin."""

    block_bytes: int = 8192
    """Of voxels that LZ4 compresses as one, in whole planes of the chunk: what our reader decodes as one. With whole
    chunks as one a store is a fiftieth smaller, and a random patch of 96³ decodes 1.3 times as many voxels
    (`benchmarks/store.py`)."""

    codec: Codec = "blosc-lz4"
    """LZ4 after bitshuffle makes 0.37 of the size of noisy CT with its label; a patch of 96³ then takes about a fifth
    more processor time than without codec. zstd is a tenth smaller and takes several times as long
    (`benchmarks/store.py`)."""

    shard_limit_bytes: int = 1 << 30
    """An array is one file unless its voxels take more than this; then it is split into equal files."""

    def __post_init__(self) -> None:
        if min(self._edges()) < 1:
            raise ValueError(f"chunk must be at least 1 voxel, got {self.chunk}")
        if self.block_bytes < 1:
            raise ValueError(f"block_bytes must be at least 1, got {self.block_bytes}")
        if self.shard_limit_bytes < 1:
            raise ValueError(f"shard_limit_bytes must be at least 1, got {self.shard_limit_bytes}")
        if self.codec not in ("blosc-lz4", "blosc-zstd", "none"):
            raise ValueError(f"codec must be blosc-lz4, blosc-zstd or none, got {self.codec!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "chunk": self.chunk if isinstance(self.chunk, int) else list(self.chunk),
            "block_bytes": self.block_bytes,
            "codec": self.codec,
            "shard_limit_bytes": self.shard_limit_bytes,
        }

    def chunk_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of one chunk of a (C, Z, Y, X) array: one channel, a cube of space.

        One channel each, because most organs are absent from most places, and a chunk of zeros takes no bytes.
        """
        return (1, *(min(edge, n) for edge, n in zip(self._edges(), shape[1:], strict=True)))

    def block_bytes_of(self, chunk: Sequence[int], itemsize: int) -> int:
        """Bytes of a chunk that are compressed as one: as many planes as `block_bytes` holds, at least one."""
        plane = prod(chunk[-2:]) * itemsize
        return plane * max(1, min(self.block_bytes // plane, prod(chunk[:-2])))

    def _edges(self) -> tuple[int, int, int]:
        return (self.chunk,) * 3 if isinstance(self.chunk, int) else self.chunk

    def shard_shape(self, shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
        """Shape of one shard: all chunks of the array, halved along the first axis that has several while too large."""
        chunk = self.chunk_shape(shape)
        counts = [ceil(n / c) for n, c in zip(shape, chunk, strict=True)]
        while prod(counts) > 1 and prod(counts) * prod(chunk) * itemsize > self.shard_limit_bytes:
            axis = next(k for k, count in enumerate(counts) if count > 1)
            counts[axis] = ceil(counts[axis] / 2)
        return tuple(n * c for n, c in zip(counts, chunk, strict=True))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredArray:
    """One image of a sample as it is to be stored.

    Raises
    ------
    ValueError
        The array is not (C, Z, Y, X) on its grid, or of a dtype that is not in `DTYPES` (bool becomes uint8).
    """

    array: NDArray[Any]
    """(C, Z, Y, X)."""
    grid: Grid
    """Where its voxels are, LPS mm."""
    source_grid: Grid | None = None
    """The patient's own grid, before resampling and cropping; leads a prediction back to it."""
    crop: tuple[Size, Size] | None = None
    """Start and size (x, y, z) of the box that was kept, in voxels of the grid before cropping."""
    normalization: Normalization | None = None
    """How training wants the values; None hands them out as they are."""
    unit: str | None = None
    """Of the values: "HU", "SUVbw g/ml", "Gy"; None where they have none."""

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1:] != self.grid.shape or self.array.shape[0] < 1:
            raise ValueError(f"array must be (C, Z, Y, X) on its grid {self.grid.shape}, got shape {self.array.shape}")
        if self.array.dtype == np.bool_:
            object.__setattr__(self, "array", self.array.view(np.uint8))
        if self.array.dtype.name not in DTYPES:
            raise ValueError(f"array must be one of {', '.join(DTYPES)}, got {self.array.dtype}")

    def attributes(self, content: str) -> dict[str, Any]:
        """What `image/zarr.json` holds under `KEY`: everything that OME-Zarr has no place for."""
        crop = None if self.crop is None else {"start": list(self.crop[0]), "size": list(self.crop[1])}
        return {
            "grid": self.grid.to_dict(),
            "source_grid": None if self.source_grid is None else self.source_grid.to_dict(),
            "crop": crop,
            "normalization": None if self.normalization is None else self.normalization.to_dict(),
            "unit": self.unit,
            "hash": content,
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SampleData:
    """One sample as it is to be stored.

    Raises
    ------
    ValueError
        The id or a name is not safe as a file name, there is no array, or one is called as a reserved name.
    """

    sample_id: str
    arrays: Mapping[str, StoredArray]
    """"image" (the leading one), "label", others by their modality in lower case."""
    foreground: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    """Per class (n, 3) voxel coordinates z, y, x: where class-balanced sampling puts its patches."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """Columns of samples.parquet that only the caller knows: `table.GIVEN`."""

    def __post_init__(self) -> None:
        for name in (self.sample_id, *self.arrays):
            if not is_safe_name(name):
                raise ValueError(f"{name!r} is not safe as a file name: use letters, digits, '-', '_' and '.'")
        if not self.arrays or FOREGROUND in self.arrays:
            raise ValueError(f"a sample needs arrays, none of them named {FOREGROUND!r}, got {sorted(self.arrays)}")
        for name, points in self.foreground.items():
            if points.ndim != 2 or points.shape[1] != 3:
                raise ValueError(f"foreground of {name!r} must be (n, 3) coordinates z, y, x, got {points.shape}")


def is_safe_name(name: str) -> bool:
    """Whether a name can be a file's on every system: ASCII letters, digits, - _ . and no leading dot."""
    allowed = all(c.isascii() and (c.isalnum() or c in "-_.") for c in name)
    return allowed and 0 < len(name) <= 200 and not name.startswith(".")


def content_hash(array: NDArray[Any]) -> str:
    """SHA-256 of dtype, shape and C-ordered little-endian bytes: of what an array is, not of how it is stored."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    stamp = hashlib.sha256(f"{little.dtype.name} {'x'.join(map(str, little.shape))}\n".encode())
    stamp.update(little.reshape(-1).view(np.uint8).data)
    return stamp.hexdigest()


def ome_multiscales(name: str, grid: Grid) -> dict[str, Any]:
    """OME-Zarr 0.5 `multiscales` of one level (https://ngff.openmicroscopy.org/0.5, section 2.4).

    Scale and translation are the spacing and origin of the grid; a direction has no place there, hence `KEY`.
    """
    scale = [1.0, *grid.spacing[::-1]]
    translation = [0.0, *grid.origin[::-1]]
    space = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    level = {"path": LEVEL, "coordinateTransformations": steps}
    axes = [{"name": "c", "type": "channel"}, *space]
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": [level]}]}


def check_format(attributes: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The store's own attributes out of those of its root.

    Raises
    ------
    StoreFormatError
        There are none, or they are of a format that this version does not know.
    """
    own = attributes.get(KEY)
    if not isinstance(own, Mapping) or not isinstance(own.get("format"), int):
        raise StoreFormatError(f"{where} is no Med-ImageNet store: its attributes have no {KEY!r}")
    if own["format"] != FORMAT:
        raise StoreFormatError(
            f"{where} is a store of format {own['format']}, this version of medimagenet reads format {FORMAT}: "
            'get a version that knows it: pip install --upgrade "medimagenet"'
        )
    return own
