"""Steps that keep a box of the case: all images and the mask, which must be on one grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...findings import Finding
from ...geometry import Grid, Size
from ...kernels.regions import bounding_box
from ...volume import Case
from .masks import largest_component
from .step import Part, leading, recorded, shared_grid

Box = tuple[Size, Size]
"""Start and size, voxels, x, y, z."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropForeground:
    """Keep the smallest box with all voxels of the leading image above a threshold, in the image's unit.

    Where no voxel is above it, everything is kept and the finding is `empty_crop`.

    Raises
    ------
    ValueError
        The threshold is not finite; when called: an image or the mask is on another grid.
    """

    threshold: float

    def __post_init__(self) -> None:
        _check_threshold(self.threshold)

    def __call__(self, case: Case) -> Case:
        """The cropped case."""
        image = leading(case)
        above = (image.array > self.threshold).reshape(-1, *image.grid.shape)
        return _cropped(case, self, _box(above), f"no voxel is above {self.threshold}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _WithMargin:
    """What crops with a margin share."""

    margin_mm: float = 0.0
    """Rounded up to whole voxels."""

    def __post_init__(self) -> None:
        if not (isfinite(self.margin_mm) and self.margin_mm >= 0):
            raise ValueError(f"margin_mm must be finite and not negative, got {self.margin_mm}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropBody(_WithMargin):
    """Keep the box of the body: the largest connected part of the leading image above a threshold, and a margin.

    Arms and a couch that touch the body belong to it; what lies apart does not.
    Where no voxel is above the threshold, everything is kept and the finding is `empty_crop`.

    Raises
    ------
    ValueError
        Threshold or margin is not finite, or the margin negative; when called: an image or the mask is elsewhere.
    """

    threshold: float = -300.0
    """In the image's unit; the default is between air and fat on CT."""

    def __post_init__(self) -> None:
        _WithMargin.__post_init__(self)
        _check_threshold(self.threshold)

    def __call__(self, case: Case) -> Case:
        """The cropped case."""
        image = leading(case)
        above = (image.array > self.threshold).reshape(-1, *image.grid.shape).any(axis=0)
        box = _box(largest_component(np.asarray(above))[np.newaxis])
        return _cropped(
            case, self, box and _grown(box, image.grid, self.margin_mm), f"no voxel is above {self.threshold}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CropNonzero(_WithMargin):
    """Keep the box of all voxels of the leading image that are not exactly zero, and a margin around it.

    Where all are zero, everything is kept and the finding is `empty_crop`.

    Raises
    ------
    ValueError
        The margin is negative or not finite; when called: an image or the mask is on another grid.
    """

    def __call__(self, case: Case) -> Case:
        """The cropped case."""
        image = leading(case)
        box = _box(image.array.reshape(-1, *image.grid.shape))
        return _cropped(case, self, box and _grown(box, image.grid, self.margin_mm), "every voxel is zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropMask(_WithMargin):
    """Keep the smallest box with all regions of the mask, and a margin around it as far as the image goes.

    Where the mask is empty or absent, everything is kept and the finding is `empty_crop`.

    Raises
    ------
    ValueError
        The margin is negative or not finite; when called: an image or the mask is on another grid.
    """

    def __call__(self, case: Case) -> Case:
        """The cropped case."""
        box = None if case.mask is None else _box(case.mask.array)
        grown = None if box is None else _grown(box, leading(case).grid, self.margin_mm)
        return _cropped(case, self, grown, "the mask has no voxel")


def crop_box(provenance: Sequence[Mapping[str, Any]]) -> Box | None:
    """Start and size (x, y, z) of what the last crop kept, in voxels of the grid before it; None without a crop."""
    for entry in reversed(provenance):
        if "crop_start" in entry:
            (x, y, z), (nx, ny, nz) = entry["crop_start"], entry["crop_size"]
            return (x, y, z), (nx, ny, nz)
    return None


def _check_threshold(threshold: float) -> None:
    if not isfinite(threshold):
        raise ValueError(f"threshold must be finite, got {threshold}")


def _box(voxels: NDArray[Any]) -> Box | None:
    """The smallest box around the voxels of (C, Z, Y, X) that are not 0 in some channel."""
    found = bounding_box(voxels)
    if found is None:
        return None
    (z0, y0, x0), (z1, y1, x1) = found
    return (x0, y0, z0), (x1 - x0, y1 - y0, z1 - z0)


def _grown(box: Box, grid: Grid, margin_mm: float) -> Box:
    start, stop = [], []
    for first, length, spacing, n in zip(*box, grid.spacing, grid.size, strict=True):
        margin = ceil(margin_mm / spacing)
        start.append(max(0, first - margin))
        stop.append(min(n, first + length + margin))
    (x0, y0, z0), (x1, y1, z1) = start, stop
    return (x0, y0, z0), (x1 - x0, y1 - y0, z1 - z0)


def _cropped(case: Case, step: Any, box: Box | None, why_not: str) -> Case:
    shared_grid(case, "cropped")
    if box is None:
        finding = Finding(code="empty_crop", message=f"{why_not}: the whole image is kept")
        return recorded(case, step, findings=(*case.findings, finding))
    figures = {"crop_start": list(box[0]), "crop_size": list(box[1])}
    images = {name: _part(image, box) for name, image in case.images.items()}
    mask = None if case.mask is None else _part(case.mask, box)
    return recorded(case, step, figures, images=images, mask=mask)


def _part(part: Part, box: Box) -> Part:
    start, size = box
    x, y, z = (slice(first, first + length) for first, length in zip(start, size, strict=True))
    return replace(part, array=np.ascontiguousarray(part.array[..., z, y, x]), grid=part.grid.crop(start, size))
