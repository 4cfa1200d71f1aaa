"""Contours of a shape, plane by plane, whose even-odd fill at the voxel centres is exactly the shape's mask.

Marching squares on the voxel centres: a contour crosses the line between two neighbouring centres once where exactly
one of them is inside, and nowhere else. It follows the true surface, but keeps a distance from every centre, so that
the rounding of decimal strings cannot move a voxel from one side to the other.
"""

import contourpy
import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from .shapes import Shape

NEAREST, FARTHEST = 0.2, 5.0
"""Bounds of the level, in units of a usual level beside the surface: a crossing lies between 4 % and 96 % of the way
from one centre to the next."""


def trace_slice(shape: Shape, grid: Grid, k: int) -> list[NDArray[np.float64]]:
    """Closed polygons of slice `k`, each (n >= 3, 2) in index coordinates (x along columns, y along rows).

    The last vertex is joined to the first. A polygon inside another is a hole. A shape that reaches the rim of the
    grid is closed outside the outermost centres.
    """
    slices, rows, columns = shape.window(grid)
    if not slices.start <= k < slices.stop:
        return []
    level = shape.level_of_slice(grid, k, rows, columns)
    inside = level >= 0.0
    if not inside.any():
        return []
    padded = np.full((level.shape[0] + 2, level.shape[1] + 2), -1.0)
    scale = _level_beside_surface(level, inside)
    padded[1:-1, 1:-1] = np.where(inside, 1.0, -1.0) * np.clip(np.abs(level) / scale, NEAREST, FARTHEST)
    lines = contourpy.contour_generator(z=padded, corner_mask=False).lines(0.0)
    corner = np.array([columns.start - 1.0, rows.start - 1.0])
    return [np.asarray(line[:-1], dtype=np.float64) + corner for line in lines]


def _level_beside_surface(level: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """Median size of the level at centres whose neighbour is on the other side."""
    beside = np.zeros_like(inside)
    for axis in (0, 1):
        change = np.diff(inside.astype(np.int8), axis=axis) != 0
        lower, upper = [slice(None)] * 2, [slice(None)] * 2
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        beside[tuple(lower)] |= change
        beside[tuple(upper)] |= change
    return max(float(np.median(np.abs(level[beside]))), 1e-12) if beside.any() else 1.0
