"""Steps that change the grid of voxels: turn, resample, bring images onto one grid.

Spacings are mm, x, y, z. Values are interpolated by `medimagenet.kernels.resample`, which states rounding and borders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import GridTooLargeError
from ...geometry import Grid
from ...kernels.borders import Border
from ...kernels.intensity import count_not_finite
from ...kernels.labels import resample_labels
from ...kernels.resample import Interpolation, resample
from ...volume import Case, Mask
from .step import Part, leading, recorded

MAX_VOXELS = 2_000_000_000
"""Largest grid that is resampled to: 1,260 voxels along each axis, 4 GB of int16."""
AIR_HU = -1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orient:
    """Turn all images and the mask so that x, y, z point to the nearest patient axes: no voxel changes its value."""

    orientation: str = "LPS"

    def __call__(self, case: Case) -> Case:
        """The turned case."""
        images = {name: turned(image, self.orientation) for name, image in case.images.items()}
        mask = None if case.mask is None else turned(case.mask, self.orientation)
        return recorded(case, self, {"from": leading(case).grid.orientation}, images=images, mask=mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resample:
    """Resample the leading image and the mask to another spacing.

    The first voxel's centre stays; each axis gets the number of voxels nearest to its length (`Grid.with_spacing`).
    Beyond the last voxel, at most half a new one, the edge is continued.

    Raises
    ------
    ValueError
        A spacing is not positive; when called: the mask is not on the grid of the leading image.
    GridTooLargeError
        When called: the new grid has more than `MAX_VOXELS` voxels.
    """

    spacing: tuple[float | None, float | None, float | None]
    """x, y, z, mm; None keeps an axis."""
    interpolation: Interpolation = "linear"
    """Cubic becomes linear, and provenance says so, where voxels are nan or infinite: a spline would spread them."""
    mask_interpolation: Interpolation | Literal["largest"] = "nearest"
    """Linear: per region, above one half. Largest: regions that overlap become those of a label map, the last one wins,
    and each voxel gets the label with the largest share of its surroundings (`medimagenet.kernels.labels`)."""
    antialias: bool = False
    """Filter the image first where voxels become larger, unless it is nearest (`medimagenet.kernels.taps`). Masks are
    not: a filter and a threshold shrink whatever bulges, a ball of 8 mm radius at 2 mm voxels by 8 % of its volume."""

    def __post_init__(self) -> None:
        if len(self.spacing) != 3 or not all(each is None or (isfinite(each) and each > 0) for each in self.spacing):
            raise ValueError(f"spacing must be x, y, z in mm, each positive or None, got {self.spacing}")

    def __call__(self, case: Case) -> Case:
        """The case with the leading image and the mask on the new grid; other images stay where they are."""
        name, image = next(iter(case.images)), leading(case)
        source, target = image.grid, image.grid.with_spacing(self.spacing)
        figures: dict[str, Any] = {
            "from_size": list(source.size),
            "from_spacing": list(source.spacing),
            "size": list(target.size),
        }
        if target == source:
            return recorded(case, self, figures)
        refuse_giants(source, target)
        interpolation = _possible(self.interpolation, image.array, figures)
        array = onto(image.array, source, target, interpolation, antialias=self.antialias)
        images = {**case.images, name: image.with_array(array, target)}
        mask = None if case.mask is None else self._mask(case.mask, source, target)
        return recorded(case, self, figures, images=images, mask=mask)

    def _mask(self, mask: Mask, source: Grid, target: Grid) -> Mask:
        if not mask.grid.is_close(source):
            raise ValueError(f"the mask must be on the grid of the leading image {source}, it is on {mask.grid}")
        if self.mask_interpolation == "largest":
            return _by_largest_share(mask, source, target)
        return replace(mask, array=onto(mask.array, source, target, self.mask_interpolation), grid=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleTo:
    """Bring one image onto the grid of the leading one; where it has no voxel, `fill` is written.

    Raises
    ------
    ValueError
        When called: there is no such image.
    """

    image: str
    """Name of the image that moves, such as "PT"."""
    interpolation: Interpolation = "linear"
    """As in `Resample`."""
    fill: float | None = None
    """None: air (-1024 HU) for CT, 0 for all others."""
    antialias: bool = False
    """As in `Resample`."""

    def __call__(self, case: Case) -> Case:
        """The case with that image on the leading image's grid."""
        if self.image not in case.images:
            raise ValueError(f"no image {self.image!r}; there are {', '.join(case.images)}")
        image, target = case.images[self.image], leading(case).grid
        fill = self.fill if self.fill is not None else AIR_HU if image.unit == "HU" or self.image == "CT" else 0.0
        figures: dict[str, Any] = {
            "fill": fill,
            "from_size": list(image.grid.size),
            "from_spacing": list(image.grid.spacing),
        }
        if image.grid == target:
            return recorded(case, self, figures)
        own = turned(image, target.orientation)
        interpolation = _possible(self.interpolation, own.array, figures)
        choices: dict[str, Any] = {"border": "constant", "fill": fill, "antialias": self.antialias}
        array = onto(own.array, own.grid, target, interpolation, **choices)
        return recorded(case, self, figures, images={**case.images, self.image: image.with_array(array, target)})


def _by_largest_share(mask: Mask, source: Grid, target: Grid) -> Mask:
    matrix, offset = index_map(source, target)
    labels = resample_labels(mask.to_label_map(), matrix, offset, target.shape)
    array = np.stack([labels == value for value in range(1, len(mask.names) + 1)])
    return replace(mask, array=array, grid=target)


def _possible(asked: Interpolation, array: NDArray[Any], figures: dict[str, Any]) -> Interpolation:
    """Linear in place of cubic where some voxels are not finite, noted in `figures`."""
    if asked != "cubic" or count_not_finite(array) == 0:
        return asked
    figures["interpolation_used"] = "linear"
    return "linear"


def onto(
    array: NDArray[Any],
    source: Grid,
    target: Grid,
    interpolation: Interpolation,
    *,
    border: Border = "edge",
    fill: float = 0.0,
    antialias: bool = False,
) -> NDArray[Any]:
    """Resample (Z, Y, X) or each channel of (C, Z, Y, X) from one grid onto another.

    `fill` is moved to the nearest value that the type holds. What is nearest is never filtered.
    """
    matrix, offset = index_map(source, target)
    if array.dtype.kind in "ui":
        limits = np.iinfo(array.dtype)
        fill = min(max(fill, limits.min), limits.max)
    channels = array.reshape(-1, *source.shape)
    out = np.empty((len(channels), *target.shape), dtype=array.dtype)
    choices: dict[str, Any] = {
        "interpolation": interpolation,
        "border": border,
        "fill": fill,
        "antialias": antialias and interpolation != "nearest",
    }
    for channel, part in zip(channels, out, strict=True):
        resample(channel, matrix, offset, target.shape, out=part, **choices)
    return out.reshape(*array.shape[:-3], *target.shape)


def index_map(source: Grid, target: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From indices of `target` to indices of `source`, both (z, y, x): (3, 3) matrix and offset."""
    offset = source.to_index(target.origin)
    if source.direction == target.direction:  # without a detour over mm, so that 1 to 1 is exactly 1
        matrix = np.diag(np.asarray(target.spacing) / np.asarray(source.spacing))
    else:
        matrix = np.linalg.solve(source.matrix, target.matrix)
    return np.ascontiguousarray(matrix[::-1, ::-1]), np.ascontiguousarray(offset[::-1])


def turned(part: Part, orientation: str) -> Part:
    """A volume or mask whose x, y, z point to `orientation`, C-contiguous; itself where they do already."""
    axes, flips = part.grid.axes_towards(orientation)
    if axes == (0, 1, 2) and not any(flips):
        return part
    array = turn(part.array, axes, flips)
    return replace(part, array=np.ascontiguousarray(array), grid=part.grid.turned(axes, flips))


def turn(array: NDArray[Any], axes: Sequence[int], flips: Sequence[bool]) -> NDArray[Any]:
    """A view of (..., Z, Y, X) whose axis k of x, y, z is the old axis ``axes[k]``, backwards where ``flips[k]``."""
    lead = array.ndim - 3
    order = [lead + 2 - axes[k] for k in (2, 1, 0)]
    z, y, x = (slice(None, None, -1 if flips[k] else 1) for k in (2, 1, 0))
    return array.transpose(*range(lead), *order)[..., z, y, x]


def refuse_giants(source: Grid, target: Grid) -> None:
    """Raise where a grid is beyond what is resampled to, before memory is asked for it.

    Raises
    ------
    GridTooLargeError
        The target has more than `MAX_VOXELS` voxels; with the figures.
    """
    voxels = prod(target.size)
    if voxels > MAX_VOXELS:
        raise GridTooLargeError(
            f"bringing {source.size} voxels of {source.spacing} mm to {target.spacing} mm would give {target.size} = "
            f"{voxels:.3g} voxels, more than the limit of {MAX_VOXELS:.3g}: choose a coarser spacing or a smaller size"
        )
