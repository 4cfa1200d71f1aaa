"""Steps that bring a case to a given size, or onto the grid of one of its images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...geometry import Grid, Size
from ...kernels.resample import Interpolation
from ...volume import Case, Mask, Volume
from .space import AIR_HU, ResampleTo, onto, refuse_giants, turned
from .step import Stage, image_of, recorded, shared_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class CropPad:
    """Bring the case to a size: cut what is too long, on both sides alike, and pad what is too short.

    Where a side is odd, the higher end gets one voxel more of what is cut or padded. Padding is air (-1024) in HU, 0
    in all else, and not set in masks.

    Raises
    ------
    ValueError
        A size is below 1; when called: images or mask are on several grids.
    GridTooLargeError
        When called: the size has more than `space.MAX_VOXELS` voxels.
    """

    stage: ClassVar[Stage] = "final"

    size: tuple[int | None, int | None, int | None]
    """x, y, z; None keeps an axis."""

    def __post_init__(self) -> None:
        if len(self.size) != 3 or not all(n is None or n >= 1 for n in self.size):
            raise ValueError(f"size must be x, y, z in voxels, each at least 1 or None, got {self.size}")

    def __call__(self, case: Case) -> Case:
        """The case of that size."""
        grid = shared_grid(case, "padded")
        x, y, z = (own if n is None else int(n) for n, own in zip(self.size, grid.size, strict=True))
        refuse_giants(grid, replace(grid, size=(x, y, z)))
        start = [(own - n) // 2 for n, own in zip((x, y, z), grid.size, strict=True)]
        target = grid.crop(start, (x, y, z))
        images = {
            name: image.with_array(_placed(image.array, start, target, _air(name, image)), target)
            for name, image in case.images.items()
        }
        mask = (
            None
            if case.mask is None
            else replace(case.mask, array=_placed(case.mask.array, start, target, False), grid=target)
        )
        return recorded(case, self, {"pad_start": start, "from_size": list(grid.size)}, images=images, mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ToGridOf:
    """Bring all images and the mask onto the grid of one image of the case."""

    stage: ClassVar[Stage] = "source"
    image: ClassVar[str]

    interpolation: Interpolation = "linear"
    """Of the other images."""
    mask_interpolation: Interpolation = "nearest"
    """Linear: per region, above one half."""

    def __call__(self, case: Case) -> Case:
        """The case on that grid. The order of its images stays."""
        wanted = image_of(case, self.image)
        first = replace(case, images={self.image: wanted, **case.images}, provenance=())
        for name in case.images:
            if name != self.image:
                first = ResampleTo(image=name, interpolation=self.interpolation)(first)
        mask = None if case.mask is None else self._mask(case.mask, wanted.grid)
        images = {name: first.images[name] for name in case.images}
        figures = {"onto": self.image, "size": list(wanted.grid.size), "spacing": list(wanted.grid.spacing)}
        return recorded(case, self, figures, images=images, mask=mask)

    def _mask(self, mask: Mask, target: Grid) -> Mask:
        own = turned(mask, target.orientation)
        array = onto(own.array, own.grid, target, self.mask_interpolation, border="constant", fill=0)
        return replace(own, array=array, grid=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPetGrid(_ToGridOf):
    """Bring all images and the mask onto the grid of the PET.

    Raises
    ------
    ValueError
        When called: there is no PT.
    """

    image: ClassVar[str] = "PT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToCtGrid(_ToGridOf):
    """Bring all images and the mask onto the grid of the CT.

    Raises
    ------
    ValueError
        When called: there is no CT.
    """

    image: ClassVar[str] = "CT"


def _air(name: str, image: Volume) -> float:
    return AIR_HU if image.unit == "HU" or name == "CT" else 0.0


def _placed(array: NDArray[Any], start: Sequence[int], target: Grid, fill: float) -> NDArray[Any]:
    """The box of `target` that begins at `start` (x, y, z) of the array, `fill` where it leaves it."""
    if array.dtype.kind == "u":
        fill = max(fill, 0)
    out = np.full((*array.shape[:-3], *target.shape), fill, dtype=array.dtype)
    size: Size = target.size
    n = array.shape[:-4:-1]
    inside = [slice(max(a, 0), min(a + length, own)) for a, length, own in zip(start, size, n, strict=True)]
    there = [slice(part.start - a, part.stop - a) for part, a in zip(inside, start, strict=True)]
    (x, y, z), (to_x, to_y, to_z) = inside, there
    out[..., to_z, to_y, to_x] = array[..., z, y, x]
    return out
