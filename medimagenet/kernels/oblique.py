"""Contours in planes that are no slices of the volume: which voxels lie in them, and how far they are from an edge.

A contour plane stands for the slab around it: a voxel belongs to the plane that its centre is nearest to, when it is
within reach, and is inside when its centre, moved onto the plane along the normal, is inside by the even-odd rule.
"""

from itertools import pairwise
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def fill_oblique(
    vertices: Floats,
    starts: Whole,
    firsts: Whole,
    heights: Floats,
    reach: float,
    affine: Floats,
    mask: NDArray[np.bool_],
    *,
    parallel: bool = False,
) -> int:
    """Set the voxels inside contours that lie in parallel planes of any direction, in place.

    Parameters
    ----------
    vertices : (n, 2), mm, coordinates u, v within the planes
    starts : (contours + 1,)
        Where each contour begins in `vertices`; contours sorted by plane.
    firsts : (planes + 1,)
        The first contour of each plane, and at last their number.
    heights : (planes,), mm, rising
        Where the planes are along their normal.
    reach : mm
        How far from a plane a centre may be.
    affine : (3, 4)
        Maps (x, y, z, 1) indices of the volume to u, v, height.
    mask : (Z, Y, X)

    Returns
    -------
    How many voxels were set.
    """
    boxes = np.array([_box(vertices[a:b]) for a, b in pairwise(starts.tolist())]).reshape(-1, 4)
    fill = _fill_parallel if parallel else _fill
    return int(fill(np.ascontiguousarray(vertices), starts, firsts, heights, boxes, reach, affine, mask).sum())


def _box(points: Floats) -> Floats:
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _fill_body(
    vertices: Floats,
    starts: Whole,
    firsts: Whole,
    heights: Floats,
    boxes: Floats,
    reach: float,
    affine: Floats,
    mask: NDArray[np.bool_],
) -> Whole:
    """Give the number of voxels set in each slice."""
    counts = np.zeros(len(mask), dtype=np.int64)
    for z in prange(len(mask)):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                height = affine[2, 0] * x + affine[2, 1] * y + affine[2, 2] * z + affine[2, 3]
                plane = _nearest(heights, height)
                if abs(heights[plane] - height) > reach:
                    continue
                u = affine[0, 0] * x + affine[0, 1] * y + affine[0, 2] * z + affine[0, 3]
                v = affine[1, 0] * x + affine[1, 1] * y + affine[1, 2] * z + affine[1, 3]
                inside = False
                for k in range(firsts[plane], firsts[plane + 1]):
                    if boxes[k, 0] <= u <= boxes[k, 2] and boxes[k, 1] <= v < boxes[k, 3]:
                        inside ^= _is_inside(vertices[starts[k] : starts[k + 1]], u, v)
                if inside:
                    mask[z, y, x] = True
                    counts[z] += 1
    return counts


_fill = kernel(_fill_body)
_fill_parallel = parallel_kernel(_fill_body)


@kernel
def _nearest(heights: Floats, height: float) -> int:
    """The plane nearest to a height, the lower of two."""
    above = np.searchsorted(heights, height)
    if above == 0:
        return 0
    if above == len(heights) or height - heights[above - 1] <= heights[above] - height:
        return int(above - 1)
    return int(above)


@kernel
def _is_inside(polygon: Floats, u: float, v: float) -> bool:
    """Even-odd rule with edges half open, as `medimagenet.kernels.rasterize` has it."""
    inside = False
    for k in range(len(polygon)):
        u0, v0 = polygon[k - 1]
        u1, v1 = polygon[k]
        if v0 > v1:
            u0, v0, u1, v1 = u1, v1, u0, v0
        if v0 <= v < v1 and u0 + (v - v0) * (u1 - u0) / (v1 - v0) <= u:
            inside = not inside
    return inside


def signed_distances(
    vertices: Floats,
    starts: Whole,
    origin: tuple[float, float],
    steps: tuple[float, float],
    shape: tuple[int, int],
    *,
    parallel: bool = False,
) -> Floats:
    """How far each pixel's centre is from the nearest edge of the contours of one plane, mm: positive inside.

    Parameters
    ----------
    vertices : (n, 2), mm, (u, v)
    starts : (contours + 1,)
    origin : mm, (u, v) of the centre of the first pixel
    steps : mm, (along a row, along a column)
    shape : (rows, columns)

    Returns
    -------
    distances : (rows, columns)
    """
    out = np.empty(shape)
    measure = _measure_parallel if parallel else _measure
    measure(np.ascontiguousarray(vertices), starts, origin[0], origin[1], steps[0], steps[1], out)
    return out


def _measure_body(
    vertices: Floats, starts: Whole, first_u: float, first_v: float, step_u: float, step_v: float, out: Floats
) -> None:
    for row in prange(len(out)):
        v = first_v + step_v * row
        for column in range(out.shape[1]):
            u = first_u + step_u * column
            nearest, inside = inf, False
            for k in range(len(starts) - 1):
                polygon = vertices[starts[k] : starts[k + 1]]
                nearest = min(nearest, _square_distance(polygon, u, v))
                inside ^= _is_inside(polygon, u, v)
            out[row, column] = sqrt(nearest) if inside else -sqrt(nearest)


_measure = kernel(_measure_body)
_measure_parallel = parallel_kernel(_measure_body)


@kernel
def _square_distance(polygon: Floats, u: float, v: float) -> float:
    """To the nearest point of the nearest edge."""
    nearest = inf
    for k in range(len(polygon)):
        du, dv = polygon[k, 0] - polygon[k - 1, 0], polygon[k, 1] - polygon[k - 1, 1]
        pu, pv = u - polygon[k - 1, 0], v - polygon[k - 1, 1]
        square = du * du + dv * dv
        along = min(max((pu * du + pv * dv) / square, 0.0), 1.0) if square > 0.0 else 0.0
        pu, pv = pu - along * du, pv - along * dv
        nearest = min(nearest, pu * pu + pv * pv)
    return nearest
