"""Stored arrays as items want them: a box that may leave the volume, turned, cast and normalised.

No torch here: what other frameworks want is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import StoreError
from ..geometry import Grid, Size
from ..kernels.crop import in_source_order, pad_outside
from ..store import ArrayReader, Store, Targets, open_store
from ..store.targets import targets_of
from ..volume import Normalization
from .orientation import Turn, turn_towards, whole_shape

LABEL = "label"
LABEL_DTYPES = ("uint8", "float32")
_KEPT = 1024
"""Samples whose metadata stay in memory: a few kB each. Voxels are never kept, the page cache does that."""
_KEPT_FOREGROUNDS = 64
"""Samples whose foreground coordinates stay in memory: at most 120 kB per class each."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One sample, opened: its readers and where its voxels are. All arrays are on one grid."""

    sample_id: str
    series: str
    """SeriesInstanceUID of the leading series; empty where the store does not know it."""
    grid: Grid
    turn: Turn
    readers: dict[str, ArrayReader]
    constants: dict[str, NDArray[np.float32] | None]
    """Per array lowest and highest value, what is subtracted, and by what is divided; None: values as they are."""
    target: NDArray[Any] | None = None
    """What regression or classification learns: shape () or (K,); None where nothing was asked for."""

    @property
    def whole(self) -> Size:
        """Voxels along the axes of an item that is the whole volume."""
        return whole_shape(self.grid, self.turn)

    def read(self, name: str, start: Size, target: NDArray[Any], pad: float) -> None:
        """Fill `target` with a box of an array.

        Parameters
        ----------
        start : x, y, z
            First voxel of the box in the grid; may lie outside.
        target : (C, n0, n1, n2), along the axes of an item
            float32 is normalised; other dtypes get the stored values.
        pad
            What voxels outside the volume become; 0 in labels, and where nothing is normalised.

        Raises
        ------
        StoreError
            The array has another number of channels than the target.
        StoreDamagedError
            A file is missing, cut, or does not decode.
        """
        reader = self.readers[name]
        if reader.shape[0] != len(target):
            raise StoreError(
                f"sample {self.sample_id}, array {name} has {reader.shape[0]} channels where other samples have "
                f"{len(target)}: choose the arrays with keys=[...]"
            )
        view = in_source_order(target, self.turn.array_axes, self.turn.flips)
        size, begin, box = reader.shape[1:], start[::-1], view.shape[1:]
        constants = self.constants[name] if target.dtype.kind == "f" else None
        if all(a >= 0 and a + b <= n for a, b, n in zip(begin, box, size, strict=True)):
            reader.read_cast(begin, view, constants)
            return
        low = [max(-a, 0) for a in begin]
        high = [max(a, min(b, n - c)) for a, b, n, c in zip(low, box, size, begin, strict=True)]
        pad_outside(view, low, high, 0 if name == LABEL or target.dtype.kind != "f" else pad)
        if all(a < b for a, b in zip(low, high, strict=True)):
            inside = view[:, *(slice(a, b) for a, b in zip(low, high, strict=True))]
            reader.read_cast([a + b for a, b in zip(begin, low, strict=True)], inside, constants)


class Samples:
    """Samples of a store by id, opened when first needed. Safe to use from many threads, picklable."""

    def __init__(
        self,
        store: Store | Path | str,
        *,
        split: str | None,
        keys: Sequence[str] | None,
        orientation: str | None,
        targets: Targets | None = None,
    ) -> None:
        opened = store if isinstance(store, Store) else open_store(store)
        self.path = opened.path
        self.orientation = orientation
        self.ids: tuple[str, ...] = opened.ids(split)
        if not self.ids:
            splits = sorted({str(name) for name in opened.samples.column("split").to_pylist()})
            raise StoreError(
                f"{self.path} has no samples in split {split!r}; it has {', '.join(splits) or 'no samples'}"
            )
        self.keys = tuple(opened.names(self.ids[0]) if keys is None else keys)
        if not self.keys:
            raise ValueError(f"keys must name at least one array of the store, got {keys}")
        self.targets = None if targets is None else targets_of(opened.samples, self.ids, targets)
        self._attach(opened)

    def _attach(self, store: Store) -> None:
        self.store = store
        self.open = lru_cache(maxsize=_KEPT)(self._open)
        self.foreground = lru_cache(maxsize=_KEPT_FOREGROUNDS)(self._foreground)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("open", "foreground")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._attach(self.store)

    def _open(self, sample_id: str) -> Sample:
        names = self.store.names(sample_id)
        missing = [name for name in self.keys if name not in names]
        if missing:
            raise StoreError(
                f"sample {sample_id} has no array {missing[0]!r} (it has {', '.join(names)}): choose with keys=[...]"
            )
        readers = {name: self.store.array(sample_id, name) for name in self.keys}
        grid = readers[self.keys[0]].grid
        for name, reader in readers.items():
            if not reader.grid.is_close(grid):
                raise StoreError(
                    f"sample {sample_id}: arrays {self.keys[0]} and {name} are on different grids, sizes {grid.size} "
                    f"and {reader.grid.size} (x, y, z): choose one with keys=[...]"
                )
        constants = {name: _constants(name, reader) for name, reader in readers.items()}
        series = [str(entry["series_uid"] or "") for entry in self.store.row(sample_id).get("series") or []]
        turn = turn_towards(grid, self.orientation)
        target = None if self.targets is None else self.targets[sample_id]
        return Sample(sample_id, series[0] if series else "", grid, turn, readers, constants, target)

    def _foreground(self, sample_id: str) -> dict[str, NDArray[np.int32]]:
        """Coordinates (n, 3) z, y, x of each class that the sample has, absent classes left out."""
        points = {name: self.store.foreground(sample_id, name) for name in self.store.classes}
        return {name: found for name, found in points.items() if len(found)}


def item_dtype(name: str, label_dtype: str) -> np.dtype[Any]:
    """What an array becomes in an item: images float32, the label as asked."""
    return np.dtype(label_dtype if name == LABEL else np.float32)


def _constants(name: str, reader: ArrayReader) -> NDArray[np.float32] | None:
    wanted = reader.normalization
    if name == LABEL or wanted is None or wanted == Normalization():
        return None
    return np.array([wanted.low, wanted.high, wanted.subtract, wanted.divide], dtype=np.float32)


def aligned(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """An array that begins at a cache line: NumPy's own begin 16 bytes into a page, which slows `read` fivefold."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, dtype=np.uint8)
    skip = -memory.ctypes.data % 64
    return memory[skip : skip + size].view(dtype).reshape(shape)
