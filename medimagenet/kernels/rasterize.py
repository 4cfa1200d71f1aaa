r"""Fill planar contours into masks.

A contour is a closed polygon in the index coordinates of one slice: x along columns, y along rows, the centre of
voxel (row, column) at x = column, y = row. A voxel is inside when its centre is, by the even-odd rule. Edges are
half open, so that contours sharing an edge never both claim a voxel::

    high o         an edge counts for a row when  low <= row < high
    row  |\-x--->  every voxel from x on to the right flips
    low  o

The flips of a row are gathered as single marks and summed up once along the row, within the contour's box. Contours
that lie in other slices never meet, so threads share the slices among them.

Many regions go into an array of one channel each, or of one **bit** each: region k is bit ``k % 8`` of byte ``k // 8``,
which takes an eighth of the memory (`unpack_region`).
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange, threads


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
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    planes: NDArray[np.int64],
    mask: NDArray[np.bool_],
    *,
    parallel: bool = False,
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
    parallel : use all threads of numba; off where the caller has threads or processes of its own

    Returns
    -------
    counts : (contours,), the number of voxels of the mask that lie inside each contour by itself

    Raises
    ------
    ValueError
        A vertex is not finite, a plane is not a slice of the mask, or `starts` does not divide the vertices.
    """
    regions = np.zeros(len(planes), dtype=np.int64)
    return fill_regions(vertices, starts, planes, regions, mask[np.newaxis], parallel=parallel)


def fill_regions(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    planes: NDArray[np.int64],
    regions: NDArray[np.int64],
    out: NDArray[np.bool_] | NDArray[np.uint8],
    *,
    parallel: bool = False,
) -> NDArray[np.int64]:
    """Fill the contours of many regions at once, in place; parameters as of `fill_planes`, and:

    Parameters
    ----------
    regions : (contours,)
        The region of each contour.
    out : (regions, Z, Y, X) bool, or (bytes, Z, Y, X) uint8 with one bit per region
        All zero where nothing has been filled yet.

    Returns
    -------
    counts : (contours,), the number of voxels that lie inside each contour by itself

    Raises
    ------
    ValueError
        As `fill_planes`, or a region is not in `out`.
    """
    check_contours(vertices, starts, planes, out.shape[1])
    is_packed = out.dtype != np.bool_
    room = len(out) * (8 if is_packed else 1)
    if len(regions) != len(planes) or (len(regions) and (regions.min() < 0 or regions.max() >= room)):
        raise ValueError(f"regions must be one of {room} for each of {len(planes)} contours, got {regions}")
    layers, bits = (regions // 8, 1 << regions % 8) if is_packed else (regions, np.ones_like(regions))
    order = np.argsort(planes, kind="stable")
    parts = _parts(planes[order], threads() if parallel else 1)
    counts = np.zeros(len(planes), dtype=np.int64)
    fill = _fill_parallel if parallel else _fill
    places = np.stack([planes, layers, bits], axis=1)[order]
    fill(np.ascontiguousarray(vertices, dtype=np.float64), starts, order, places, parts, out.view(np.uint8), counts)
    return counts


def check_contours(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], planes: NDArray[np.int64], slices: int
) -> None:
    """Refuse contours that kernels cannot work on; parameters as of `fill_planes`.

    Raises
    ------
    ValueError
        A vertex is not finite, a plane is not one of the `slices`, or `starts` does not divide the vertices.
    """
    if not np.isfinite(vertices).all():
        raise ValueError(f"contours must have finite vertices, got {vertices[~np.isfinite(vertices).all(axis=1)][0]}")
    if len(planes) and (planes.min() < 0 or planes.max() >= slices):
        raise ValueError(f"planes must be slices of a mask of {slices}, got {planes.min()} to {planes.max()}")
    if len(starts) != len(planes) + 1 or starts[0] != 0 or starts[-1] != len(vertices) or (np.diff(starts) < 0).any():
        raise ValueError(f"starts must divide {len(vertices)} vertices into {len(planes)} contours, got {starts}")


def unpack_region(packed: NDArray[np.uint8], region: int) -> NDArray[np.bool_]:
    """(Z, Y, X) of one region of an array that `fill_regions` packed."""
    return (packed[region // 8] >> np.uint8(region % 8) & np.uint8(1)).view(np.bool_)


def _parts(planes: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Bounds of at most `number` parts of contours sorted by plane, so that no plane is in two parts."""
    begins = np.flatnonzero(np.r_[True, np.diff(planes) != 0]) if len(planes) else np.empty(0, dtype=np.int64)
    wanted = len(planes) * np.arange(1, number) / number
    inner = begins[np.minimum(np.searchsorted(begins, wanted), len(begins) - 1)] if len(begins) else begins
    return np.unique(np.r_[0, inner, len(planes)]).astype(np.int64)


def _fill_body(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    order: NDArray[np.int64],
    places: NDArray[np.int64],
    parts: NDArray[np.int64],
    out: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> None:
    """Flip the voxels inside each contour; `places` holds plane, layer and bit of the contours in their `order`."""
    for part in prange(len(parts) - 1):
        marks = np.zeros((out.shape[2], out.shape[3] + 1), dtype=np.bool_)
        for n in range(parts[part], parts[part + 1]):
            k = order[n]
            polygon = vertices[starts[k] : starts[k + 1]]
            if len(polygon) >= 3:
                counts[k] = _fill_polygon(polygon, marks, out[places[n, 1], places[n, 0]], np.uint8(places[n, 2]))


@kernel
def _fill_polygon(
    polygon: NDArray[np.float64], marks: NDArray[np.bool_], plane: NDArray[np.uint8], bit: np.uint8
) -> int:
    """Flip a bit of the voxels inside one contour; give their number. The marks are left as they came: all False."""
    low, high = _mark_crossings(polygon, marks)
    left = _clipped(polygon[:, 0].min(), plane.shape[1])
    right = min(_clipped(polygon[:, 0].max(), plane.shape[1]) + 1, plane.shape[1])  # right of it: even again
    count = 0
    for row in range(low, high):
        inside = False
        for column in range(left, right):
            inside ^= marks[row, column]
            marks[row, column] = False
            plane[row, column] ^= bit if inside else np.uint8(0)
            count += inside
    return count


_fill = kernel(_fill_body)
_fill_parallel = parallel_kernel(_fill_body)


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
