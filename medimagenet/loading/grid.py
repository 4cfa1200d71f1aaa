"""Inference over whole volumes without loading them: overlapping windows in, blended predictions out.

Windows lie where MONAI's ``sliding_window_inference`` puts them, and are blended with its weights; its result is the
same. Here windows of several volumes share a batch, a volume is never in memory as a whole, and its prediction may be
a file that is mapped into memory, in half precision.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, product
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.utils import compute_importance_map
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..geometry import Grid, Size
from ..store import Store
from ..volume import Volume
from .arrays import LABEL_DTYPES, Sample, Samples
from .dataset import Transform, make_item, transformed
from .orientation import check_orientation, item_shape
from .patches import Patch, as_size
from .samplers import Draw

BLENDS = ("gaussian", "constant")
DTYPES = ("float32", "float16")


class GridPatchDataset(Dataset[Any]):
    """Windows that cover every volume of a split, volume by volume: for inference through any DataLoader.

    Items are those of `PatchDataset`, and say in `window` where along their own axes they begin in the volume
    (negative where a volume is smaller than the window). `GridAggregator` puts predictions together again.

    Parameters
    ----------
    store : of compiled samples, or its path
    patch_size : x, y, z, voxels: along the axes of the item
    overlap : share of a window's edge that neighbours have in common, at least 0 and below 1
    split : "train", "val", "test"; None takes all samples
    orientation, keys, label_dtype, pad : as for `PatchDataset`
    transform : called with each item; it must not change where voxels are
    rank, ranks : volumes are dealt to ranks in turn, so that each is put together in one place

    Raises
    ------
    ValueError
        A setting is out of range.
    StoreError
        The store cannot be read, or the split has no samples.
    """

    def __init__(
        self,
        store: Store | Path | str,
        *,
        patch_size: Sequence[int],
        overlap: float = 0.25,
        split: str | None = "test",
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        pad: float = 0.0,
        transform: Transform | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        check_orientation(orientation)
        size = as_size(patch_size)
        if min(size) < 1:
            raise ValueError(f"patch_size must be three numbers of at least 1 (x, y, z), got {size}")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, got {overlap}")
        if label_dtype not in LABEL_DTYPES:
            raise ValueError(f"label_dtype must be one of {', '.join(LABEL_DTYPES)}, got {label_dtype!r}")
        if not 0 <= rank < ranks:
            raise ValueError(f"rank must be in 0 to {ranks - 1} (ranks - 1), got {rank}")
        self.samples = Samples(store, split=split, keys=keys, orientation=orientation)
        self.ids = self.samples.ids[rank::ranks]
        """Samples of this rank, in the order of their windows; none where there are more ranks than samples."""
        self.shape = item_shape(size, orientation)
        """Voxels along the axes of an item."""
        self._overlap, self._label_dtype, self._pad, self.transform = overlap, label_dtype, pad, transform
        counts = [len(self._starts(self.samples.open(name))) for name in self.ids]
        self._ends = tuple(accumulate(counts))

    def __len__(self) -> int:
        """Windows of all volumes."""
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int | Draw) -> Any:
        """One window.

        Raises
        ------
        IndexError
            There is no such window.
        """
        number = index.number if isinstance(index, Draw) else int(index)
        if not 0 <= number < len(self):
            raise IndexError(f"index must be in 0 to {len(self) - 1}, got {number}")
        volume = bisect_right(self._ends, number)
        sample = self.samples.open(self.ids[volume])
        starts = self._starts(sample)
        return self._item(sample, starts[number - (self._ends[volume] - len(starts))])

    def count(self, sample_id: str) -> int:
        """Windows of a volume."""
        return len(self._starts(self.samples.open(sample_id)))

    def windows(self, sample_id: str, key: str | None = None) -> Iterator[tuple[Tensor, Size]]:
        """Patches (1, C, n0, n1, n2) of a volume and where they begin: what MONAI's ``PatchInferer`` takes.

        Where a volume is smaller than the window, places are those in the padded volume, of `padded_shape`.

        Parameters
        ----------
        key : of the array; None takes the first
        """
        sample = self.samples.open(sample_id)
        before = self.margins(sample_id)
        for start in self._starts(sample):
            patch = self._item(sample, start)[key or self.samples.keys[0]]
            place = [a + b for a, b in zip(start, before, strict=True)]
            yield torch.as_tensor(patch)[None], (place[0], place[1], place[2])

    def padded_shape(self, sample_id: str) -> Size:
        """Voxels along the axes of an item of a volume that is at least as large as the window."""
        whole = self.samples.open(sample_id).whole
        return max(whole[0], self.shape[0]), max(whole[1], self.shape[1]), max(whole[2], self.shape[2])

    def margins(self, sample_id: str) -> Size:
        """Voxels before the volume, along the axes of an item, where it is smaller than the window."""
        before = [max(p - n, 0) // 2 for n, p in zip(self.samples.open(sample_id).whole, self.shape, strict=True)]
        return before[0], before[1], before[2]

    def place(self, sample_id: str) -> tuple[Sample, list[Size]]:
        """A sample, and where its windows begin along the axes of an item."""
        sample = self.samples.open(sample_id)
        return sample, self._starts(sample)

    def _starts(self, sample: Sample) -> list[Size]:
        rows = [_starts(n, p, self._overlap) for n, p in zip(sample.whole, self.shape, strict=True)]
        return [(a, b, c) for a, b, c in product(*rows)]

    def _item(self, sample: Sample, start: Size) -> Any:
        turn, corner = sample.turn, [0, 0, 0]
        for axis, flip, a, p in zip(turn.axes, turn.flips, start, self.shape, strict=True):
            corner[axis] = sample.grid.size[axis] - a - p if flip else a
        item = make_item(Patch(sample, (corner[0], corner[1], corner[2]), self.shape), self._label_dtype, self._pad)
        item["window"] = torch.tensor(start, dtype=torch.int64)
        return transformed(item, self.transform, (0, 0, 0))


def _starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along one axis, as MONAI's ``dense_patch_slices`` has it."""
    if size <= window:
        return [-((window - size) // 2)]
    step = max(int(window * (1 - overlap)), 1)
    return [min(k * step, size - window) for k in range(ceil((size - window) / step) + 1)]


class GridAggregator:
    """Blends predictions of windows into one array per volume, and hands out volumes as they are whole.

    Parameters
    ----------
    dataset : whose windows are predicted
    blend : "gaussian" trusts the middle of a window most, "constant" all of it
    dtype : "float32", or "float16" for half the memory at three digits
    folder : predictions are files there, mapped into memory (``<sample_id>.npy``); None keeps them in memory

    Raises
    ------
    ValueError
        A setting is unknown.
    """

    def __init__(
        self,
        dataset: GridPatchDataset,
        *,
        blend: str = "gaussian",
        dtype: str = "float32",
        folder: Path | str | None = None,
    ) -> None:
        if blend not in BLENDS or dtype not in DTYPES:
            raise ValueError(f"blend must be one of {BLENDS} and dtype one of {DTYPES}, got {blend!r} and {dtype!r}")
        self._dataset, self._dtype = dataset, np.dtype(dtype)
        self._folder = None if folder is None else Path(folder)
        self._weights: NDArray[np.float32] = compute_importance_map(dataset.shape, mode=blend).numpy()
        self._open: dict[str, _Blend] = {}

    def add(self, batch: Mapping[str, Any], prediction: Tensor | NDArray[Any]) -> list[tuple[str, Volume]]:
        """Take the predictions of a batch.

        Parameters
        ----------
        batch : as collated from items: `sample_id` and `window` say where the windows are
        prediction : (N, K, n0, n1, n2), of the windows' size

        Returns
        -------
        Volumes that are whole now: sample id, and K channels (K, Z, Y, X) on the stored grid.

        Raises
        ------
        ValueError
            The prediction is not of the windows' size, or a window comes twice.
        """
        array = np.asarray(prediction.detach().float().cpu() if isinstance(prediction, Tensor) else prediction)
        names = batch["sample_id"]
        if array.ndim != 5 or len(array) != len(names) or array.shape[2:] != self._dataset.shape:
            raise ValueError(
                f"predictions must be ({len(names)}, K, {', '.join(map(str, self._dataset.shape))}), got {array.shape}"
            )
        whole = []
        for name, start, one in zip(names, np.asarray(batch["window"]).tolist(), array, strict=True):
            blend = self._open.get(name)
            if blend is None:
                blend = self._open[name] = _Blend(
                    *self._dataset.place(name), self._weights, len(one), self._dtype, self._path(name)
                )
            blend.add((start[0], start[1], start[2]), one)
            if blend.is_whole:
                whole.append((name, Volume(self._open.pop(name).finished(), blend.grid)))
        return whole

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Volumes some of whose windows are still to come."""
        return tuple(self._open)

    def _path(self, sample_id: str) -> Path | None:
        if self._folder is None:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{sample_id}.npy"


class _Blend:
    """One volume that is being put together."""

    def __init__(
        self,
        sample: Sample,
        starts: Sequence[Size],
        weights: NDArray[np.float32],
        channels: int,
        dtype: np.dtype[Any],
        path: Path | None,
    ) -> None:
        self.grid: Grid = sample.grid
        self._sample, self._left, self._weights = sample, set(starts), weights
        shape = (channels, *sample.grid.shape)
        self._path = path
        self._partial = None if path is None else path.with_name(f".{path.name}.partial")
        self._stored: NDArray[Any] = (
            np.zeros(shape, dtype)
            if self._partial is None
            else np.lib.format.open_memmap(self._partial, mode="w+", dtype=dtype, shape=shape)
        )
        self._total = np.zeros(sample.whole, dtype=np.float32)
        for start in starts:
            own, window = self._boxes(start)
            self._total[own] += weights[window]

    @property
    def is_whole(self) -> bool:
        """Whether all windows have come."""
        return not self._left

    def _boxes(self, start: Size) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """The part of the volume that a window covers, and the part of the window that is in the volume."""
        own, window = [], []
        for a, n, p in zip(start, self._sample.whole, self._weights.shape, strict=True):
            low, high = max(a, 0), min(a + p, n)
            own.append(slice(low, high))
            window.append(slice(low - a, high - a))
        return tuple(own), tuple(window)

    def add(self, start: Size, prediction: NDArray[Any]) -> None:
        """Add a window, weighted so that all windows together have weight 1 at every voxel."""
        if start not in self._left:
            raise ValueError(f"window {start} of sample {self._sample.sample_id} came twice, or is none of its windows")
        self._left.remove(start)
        own, window = self._boxes(start)
        share = self._weights[window] / self._total[own]
        forwards = self._stored.transpose(0, *(1 + axis for axis in self._sample.turn.array_axes))
        turned = forwards[:, *(slice(None, None, -1 if flip else 1) for flip in self._sample.turn.flips)]
        turned[:, *own] += (prediction[:, *window] * share).astype(self._stored.dtype)

    def finished(self) -> NDArray[Any]:
        """(K, Z, Y, X). A file gets its name only now."""
        if self._path is None or self._partial is None or not isinstance(self._stored, np.memmap):
            return self._stored
        self._stored.flush()
        self._partial.replace(self._path)
        return self._stored


def predict_store(
    network: Callable[[Tensor], Tensor],
    dataset: GridPatchDataset,
    *,
    key: str | Sequence[str] = "image",
    batch_size: int = 4,
    device: torch.device | str | None = None,
    aggregator: GridAggregator | None = None,
    num_workers: int = 0,
) -> Iterator[tuple[str, Volume]]:
    """Run a network over every volume of a dataset.

    Parameters
    ----------
    network : (N, C, n0, n1, n2) to (N, K, n0, n1, n2), in evaluation mode
    key : array, or arrays that are joined along the channels
    batch_size : windows at once, of one volume or of several
    device : where the network is
    aggregator : None blends by a Gaussian, in memory
    num_workers : processes that read windows

    Yields
    ------
    sample_id, prediction : (K, Z, Y, X) on the stored grid, each volume as soon as it is whole
    """
    keys = [key] if isinstance(key, str) else list(key)
    blend = aggregator if aggregator is not None else GridAggregator(dataset)
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch_size, num_workers=num_workers)
    for batch in loader:
        with torch.inference_mode():
            images = torch.cat([torch.as_tensor(batch[name]).float() for name in keys], dim=1)
            output = network(images if device is None else images.to(device))
        yield from blend.add(batch, output)
