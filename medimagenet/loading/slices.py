"""Slices of a store, for 2-D networks, and with their neighbours as channels for "2.5-D" ones.

A slice is a patch that is one voxel thick, so that its order, orientation, sampling and determinism are those of
`PatchDataset`. It is read as one: of a volume only the blocks that the slice and its neighbours touch.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Size
from ..store import Store, Targets
from .arrays import LABEL, Sample, aligned, item_dtype
from .dataset import PatchDataset, Transform, facts_of, meta_tensor
from .patches import DEFAULT_FOREGROUND, Patch, PatchSettings, PatchSource
from .samplers import Draw
from .volumes import Weights

AXES = ("x", "y", "z")


class SliceDataset(PatchDataset):
    """Slices of a store across one axis. Item i of an epoch is a pure function of (seed, epoch, i).

    An item is that of `PatchDataset` without the axis: images (C, n0, n1), the other two axes in their order. Each
    channel of an image becomes 2n + 1 with n neighbours, in the order of the axis, so that channel ``c * (2n + 1) + n``
    is the slice itself; neighbours outside the volume are `pad`. The label is that of the slice alone. An affine is
    (4, 4): its columns are the two axes of the item, the axis across them, and the place of the slice's first voxel.

    Parameters
    ----------
    store : of compiled samples, or its path
    axis : "x", "y" or "z": across which slices lie, of the item's axes ("z" with "RAS": from feet to head)
    neighbours : slices on each side that come along as channels of images
    patch_size : voxels along the other two axes; None takes whole slices, whose size differs between volumes
    every : all slices of all volumes once, in their order: for validation. Boxes are then in the middle. Otherwise
        slices are drawn: volumes take turns, and a slice of foreground is around a random voxel of a class
    slices_per_epoch : length of the dataset; None: as many as all volumes have
    split, foreground, orientation, keys, label_dtype, pad, seed, balance, classes, weights, targets, transform
        As for `PatchDataset`.

    Raises
    ------
    ValueError
        A setting is out of range, or settings defeat each other.
    StoreError
        The store cannot be read, or the split has no samples.
    """

    source: "SliceSource"

    def __init__(
        self,
        store: Store | Path | str,
        *,
        axis: str = "z",
        neighbours: int = 0,
        patch_size: Sequence[int] | None = None,
        every: bool = False,
        slices_per_epoch: int | None = None,
        split: str | None = "train",
        foreground: float = DEFAULT_FOREGROUND,
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        pad: float = 0.0,
        seed: int = 0,
        balance: str = "volumes",
        classes: Sequence[str] | None = None,
        weights: Weights | None = None,
        targets: Targets | str | Sequence[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        if axis not in AXES:
            raise ValueError(f"axis must be x, y or z, got {axis!r}")
        if neighbours < 0:
            raise ValueError(f"neighbours must be at least 0, got {neighbours}")
        if every and (slices_per_epoch is not None or weights is not None or balance != "volumes"):
            raise ValueError("every=True takes each slice once: leave out slices_per_epoch, weights and balance")
        settings = PatchSettings.of(
            patch_size=_with_axis(patch_size, axis),
            split=split,
            patches_per_epoch=slices_per_epoch,
            foreground=0.0 if every else foreground,
            orientation=orientation,
            keys=keys,
            label_dtype=label_dtype,
            pad=pad,
            seed=seed,
            balance=balance,
            classes=classes,
            weights=weights,
            targets=targets,
        )
        self.source = SliceSource(store, settings, axis=axis, is_whole=patch_size is None, every=every)
        self.neighbours = neighbours
        self.transform = transform
        self.epoch = 0

    def _item(self, draw: Draw) -> dict[str, Any]:
        source, settings = self.source, self.source.settings
        patch = source.locate(draw)
        plane = [size for axis, size in enumerate(patch.shape) if axis != source.item_axis]
        affine = patch.affine[:, [*(k for k in range(3) if k != source.item_axis), source.item_axis, 3]]
        item: dict[str, Any] = {}
        for name, reader in patch.sample.readers.items():
            beside = 0 if name == LABEL else self.neighbours
            array = aligned((reader.shape[0], 2 * beside + 1, *plane), item_dtype(name, settings.label_dtype))
            start = source.shifted(patch, beside)
            patch.sample.read(name, start, np.moveaxis(array, 1, 1 + source.item_axis), settings.pad)
            item[name] = meta_tensor(array.reshape(-1, *plane), affine, patch.sample)
        return item | facts_of(patch)


class SliceSource(PatchSource):
    """The slices of a store, as patches that are one voxel thick. Picklable; holds no open file.

    Parameters
    ----------
    settings : with a patch size of 1 along the axis
    axis : "x", "y" or "z"
    is_whole : whether slices are as large as their volumes, whatever the patch size says
    every : whether draws are numbers of slices, volume by volume
    """

    def __init__(
        self, store: Store | Path | str, settings: PatchSettings, *, axis: str, is_whole: bool, every: bool
    ) -> None:
        place = AXES.index(axis)
        self.item_axis = place if settings.orientation is not None else 2 - place
        """Which axis of an item slices lie across."""
        self._is_whole, self._every = is_whole, every
        super().__init__(store, settings)
        self._ends = tuple(accumulate(self._depths())) if every else ()

    def _depths(self) -> list[int]:
        return [self.samples.open(name).whole[self.item_axis] for name in self.samples.ids]

    def pass_length(self) -> int:
        """Slices of all volumes."""
        return sum(self._depths())

    def shape_in(self, sample: Sample) -> Size:
        """Voxels along the axes of an item from a sample, 1 across the slice."""
        if not self._is_whole:
            return self.settings.shape
        shape = [1 if axis == self.item_axis else size for axis, size in enumerate(sample.whole)]
        return shape[0], shape[1], shape[2]

    def locate(self, draw: Draw) -> Patch:
        """The slice that a draw names."""
        if not self._every:
            return super().locate(draw)
        volume = bisect_right(self._ends, draw.number)
        sample = self.samples.open(self.samples.ids[volume])
        shape = self.shape_in(sample)
        box = sample.turn.to_grid_order(shape)
        start = [(n - p) // 2 if n >= p else -((p - n) // 2) for n, p in zip(sample.grid.size, box, strict=True)]
        depth = sample.whole[self.item_axis]
        number = draw.number - (self._ends[volume] - depth)
        across = sample.turn.axes[self.item_axis]
        start[across] = depth - 1 - number if sample.turn.flips[self.item_axis] else number
        return Patch(sample, (start[0], start[1], start[2]), shape)

    def shifted(self, patch: Patch, beside: int) -> Size:
        """First voxel (x, y, z) of the slab that has `beside` slices more on each side."""
        start = list(patch.start)
        start[patch.sample.turn.axes[self.item_axis]] -= beside
        return start[0], start[1], start[2]


def _with_axis(patch_size: Sequence[int] | None, axis: str) -> Size:
    """The size of a patch that is a slice: 1 along the axis."""
    plane = (1, 1) if patch_size is None else tuple(int(n) for n in patch_size)
    if len(plane) != 2:
        raise ValueError(f"patch_size of a slice must be two numbers, along the axes other than {axis}, got {plane}")
    size = [*plane]
    size.insert(AXES.index(axis), 1)
    return size[0], size[1], size[2]
