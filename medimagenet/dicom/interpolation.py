"""Slices between contour planes: their shapes from the outlines above and below."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from ..kernels.oblique import signed_distances

SAME_PLANE_TOLERANCE = 0.01  # of a slice step: contours this close together lie in one plane
MET_TOLERANCE = 0.1  # of a slice step: a slice this near to a contour plane is met by it
WIDEST_GAP = 2.02  # in units of what is usual in a region: one plane was left out there; a wider gap parts two bodies

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SliceBetween:
    """A slice that lies between two contour planes of a region."""

    number: int
    below: float
    """Height of the contour plane below, in slices."""
    above: float

    @property
    def part(self) -> float:
        """Where between the planes it is: 0 at the one below, 1 at the one above."""
        return (self.number - self.below) / (self.above - self.below)


def slices_between(heights: Floats, slices: int) -> list[SliceBetween]:
    """The slices that no contour plane meets, between planes that belong to one body.

    Parameters
    ----------
    heights : (contours,), of their planes, in slices
    slices : number of slices of the image
    """
    planes = distinct(heights, SAME_PLANE_TOLERANCE)
    if len(planes) < 2:
        return []
    gaps = np.diff(planes)
    widest = max(WIDEST_GAP * float(np.median(gaps)), 1.0)
    found = []
    for below, above in pairwise(planes.tolist()):
        if above - below <= widest:
            first, last = max(ceil(below + MET_TOLERANCE), 0), min(floor(above - MET_TOLERANCE), slices - 1)
            found += [SliceBetween(number, below, above) for number in range(first, last + 1)]
    return found


def distinct(heights: Floats, tolerance: float) -> Floats:
    """(planes,): heights, rising, those within `tolerance` of the one before left out."""
    ordered = np.sort(heights)
    return ordered[np.r_[True, np.diff(ordered) > tolerance]] if len(ordered) else ordered


def fill_between(
    polygons: list[Floats],
    heights: Floats,
    between: Sequence[SliceBetween],
    spacing: tuple[float, float],
    channel: NDArray[np.bool_] | NDArray[np.float32],
    *,
    parallel: bool = False,
) -> None:
    """Fill slices between contour planes, in place, where the weighted distances to both outlines are at least 0.

    Parameters
    ----------
    polygons : each (n, 2), mm, (x, y) from the centre of the first voxel of a slice
    heights : (polygons,), in slices
    between : the slices to fill, in rising order
    spacing : x, y, mm
    channel : (Z, Y, X)
    """
    corners = np.concatenate(polygons) / spacing
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), np.array(channel.shape[:0:-1]) - 1)
    columns, rows = (high - low + 1).tolist()
    if columns < 1 or rows < 1:
        return
    origin = (float(low[0] * spacing[0]), float(low[1] * spacing[1]))
    known: dict[float, Floats] = {}
    for gap in between:
        known = {height: known[height] for height in known if height >= gap.below}  # two planes at a time
        for height in (gap.below, gap.above):
            if height not in known:
                own = [polygons[k] for k in np.flatnonzero(np.abs(heights - height) <= SAME_PLANE_TOLERANCE)]
                starts = np.cumsum([0, *map(len, own)])
                known[height] = signed_distances(
                    np.concatenate(own), starts, origin, spacing, (rows, columns), parallel=parallel
                )
        mixed = (1 - gap.part) * known[gap.below] + gap.part * known[gap.above]
        channel[gap.number, low[1] : high[1] + 1, low[0] : high[0] + 1] = mixed >= 0
