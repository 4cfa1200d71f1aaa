r"""Fill planar contours into masks.

A contour is a closed polygon in the index coordinates of one slice: x along columns, y along rows, the centre of
voxel (row, column) at x = column, y = row. A voxel is inside when its centre is, by the even-odd rule. Edges are
half open, so that contours sharing an edge never both claim a voxel::

    high o         an edge counts for a row when  low <= row < high
    row  |\-x--->  every voxel from x on to the right flips
    low  o

The flips of a row are gathered as single marks and summed up once along the row, within the contour's box.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel


def fill_contours(contours: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask of the voxels whose centre lies inside the contours of one slice.

    Parameters
    ----------
    contours : each (n, 2), voxels, (x, y)
        Closed polygons, the last vertex joined to the first. A contour inside another is a hole.
    shape : (rows, columns)
        Size of the slice, and of the mask.

    Raises
    ------
    ValueError
        A contour is not (n, 2), has fewer than three vertices, or one that is not finite.
    """
    for number, contour in enumerate(contours):
        if contour.ndim != 2 or contour.shape[1] != 2 or len(contour) < 3:
            raise ValueError(f"contour {number} must be (n >= 3, 2) vertices x, y, got shape {contour.shape}")
    mask = np.zeros((1, *shape), dtype=np.bool_)
    lengths = [len(contour) for contour in contours]
    vertices = np.concatenate([np.empty((0, 2)), *contours])
    fill_planes(vertices, np.cumsum([0, *lengths]), np.zeros(len(contours), dtype=np.int64), mask)
    return mask[0]


def fill_planes(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], planes: NDArray[np.int64], mask: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Fill contours into the slices of a volume, in place: voxels that are inside change their value.

    Parameters
    ----------
    vertices : (n, 2), voxels, (x, y)
        Those of all contours, one after the other; contours are closed and may reach out of the slice.
    starts : (contours + 1,)
        Where each contour begins in `vertices`, and at last their number.
    planes : (contours,)
        The slice of each contour.
    mask : (Z, Y, X)
        False where nothing has been filled yet.

    Returns
    -------
    counts : (contours,), the number of voxels of the mask that lie inside each contour by itself

    Raises
    ------
    ValueError
        A vertex is not finite, a plane is not a slice of the mask, or `starts` does not divide the vertices.
    """
    if not np.isfinite(vertices).all():
        raise ValueError(f"contours must have finite vertices, got {vertices[~np.isfinite(vertices).all(axis=1)][0]}")
    if len(planes) and (planes.min() < 0 or planes.max() >= len(mask)):
        raise ValueError(f"planes must be slices of a mask of {len(mask)}, got {planes.min()} to {planes.max()}")
    if len(starts) != len(planes) + 1 or starts[0] != 0 or starts[-1] != len(vertices) or (np.diff(starts) < 0).any():
        raise ValueError(f"starts must divide {len(vertices)} vertices into {len(planes)} contours, got {starts}")
    counts = np.zeros(len(planes), dtype=np.int64)
    _fill(np.ascontiguousarray(vertices, dtype=np.float64), starts, planes, mask, counts)
    return counts


@kernel
def _fill(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    planes: NDArray[np.int64],
    mask: NDArray[np.bool_],
    counts: NDArray[np.int64],
) -> None:
    """Flip the voxels inside each contour, those of contour k being `vertices[starts[k] : starts[k + 1]]`."""
    marks = np.zeros((mask.shape[1], mask.shape[2] + 1), dtype=np.bool_)
    for k in range(len(planes)):
        polygon = vertices[starts[k] : starts[k + 1]]
        if len(polygon) < 3:
            continue
        low, high = _mark_crossings(polygon, marks)
        left = _clipped(polygon[:, 0].min(), mask.shape[2])
        right = min(_clipped(polygon[:, 0].max(), mask.shape[2]) + 1, mask.shape[2])  # right of it: even again
        for row in range(low, high):
            inside = False
            for column in range(left, right):
                inside ^= marks[row, column]
                marks[row, column] = False
                mask[planes[k], row, column] ^= inside
                counts[k] += inside


@kernel
def _mark_crossings(polygon: NDArray[np.float64], marks: NDArray[np.bool_]) -> tuple[int, int]:
    """Flip the mark of the first voxel right of each crossing of an edge with a row; give the rows that were met."""
    rows, columns = marks.shape[0], marks.shape[1] - 1
    low, high = rows, 0
    for k in range(len(polygon)):
        x0, y0 = polygon[k - 1]
        x1, y1 = polygon[k]
        if y0 > y1:  # always upwards: a shared edge then crosses at the same x from both sides
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = _clipped(y0, rows), _clipped(y1, rows)
        low, high = min(low, first), max(high, last)
        for row in range(first, last):
            crossing = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
            crossing = min(max(crossing, min(x0, x1)), max(x0, x1))  # rounding must not leave the contour's box
            marks[row, _clipped(crossing, columns)] ^= True
    return low, high


@kernel
def _clipped(coordinate: float, size: int) -> int:
    """The first whole number from `coordinate` on, clipped to 0 to `size` before the cast, which may overflow."""
    return ceil(min(coordinate, size)) if coordinate > 0 else 0
