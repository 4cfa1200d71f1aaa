r"""How much of each voxel lies inside planar contours: the exact area, in units of a voxel's.

Coordinates are those of `medimagenet.kernels.rasterize`: the centre of voxel (row, column) is at x = column, y = row,
so that it covers half a voxel to each side. Inside is told by the even-odd rule over all contours of a slice.

Between two neighbouring *levels* (rows' borders, vertices, crossings of edges) no edge begins, ends or crosses another.
There the edges, sorted from left to right, take turns in opening and closing the region; each adds (opening) or
takes away (closing) the area to its right, which is a trapezoid in the voxels that it passes::

    level ---------/---------\------
                  / inside    \        area right of the left edge - area right of the right edge
    level -------/-------------\----

Sums are float64 and wrong by rounding only: about 1e-12 of a voxel. What is nearer than `SNAP` to 0 or 1 is made that.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange
from .rasterize import check_contours

SNAP = 1e-9
"""Far above what rounding leaves behind, far below any share that means something."""


def cover_planes(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    planes: NDArray[np.int64],
    out: NDArray[np.float32],
    *,
    parallel: bool = False,
) -> None:
    """Write the share of each voxel that lies inside the contours of its slice, 0 to 1.

    Parameters
    ----------
    vertices, starts, planes : as of `medimagenet.kernels.rasterize.fill_planes`
    out : (Z, Y, X)
        Slices with contours are overwritten, others stay as they are.
    parallel : use all threads of numba

    Raises
    ------
    ValueError
        As of `fill_planes`.
    """
    check_contours(vertices, starts, planes, len(out))
    order = np.argsort(planes, kind="stable")
    parts = np.flatnonzero(np.r_[True, np.diff(planes[order]) != 0, True]) if len(planes) else np.zeros(1, np.int64)
    cover = _cover_parallel if parallel else _cover
    cover(np.ascontiguousarray(vertices, dtype=np.float64), starts, order, planes, parts, out)


def _cover_body(
    vertices: NDArray[np.float64],
    starts: NDArray[np.int64],
    order: NDArray[np.int64],
    planes: NDArray[np.int64],
    parts: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """`order[parts[k] : parts[k + 1]]` are the contours of one slice."""
    for part in prange(len(parts) - 1):
        contours = order[parts[part] : parts[part + 1]]
        plane = out[planes[contours[0]]]
        plane[:] = np.float32(0)
        edges = _edges(vertices, starts, contours)
        if len(edges):
            _cover_plane(edges, _levels(edges, len(plane)), plane)


_cover = kernel(_cover_body)
_cover_parallel = parallel_kernel(_cover_body)


@kernel
def _edges(
    vertices: NDArray[np.float64], starts: NDArray[np.int64], contours: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(edges, 4): x, y of the lower and of the upper end, counted from voxels' borders, by rising lower end."""
    total = 0
    for k in contours:
        total += starts[k + 1] - starts[k]
    edges = np.empty((total, 4))
    count = 0
    for k in contours:
        previous = starts[k + 1] - 1
        for n in range(starts[k], starts[k + 1]):
            a, b = (previous, n) if vertices[previous, 1] < vertices[n, 1] else (n, previous)
            previous = n
            if vertices[a, 1] != vertices[b, 1]:  # a level edge opens and closes nothing
                edges[count, 0], edges[count, 1] = vertices[a, 0] + 0.5, vertices[a, 1] + 0.5
                edges[count, 2], edges[count, 3] = vertices[b, 0] + 0.5, vertices[b, 1] + 0.5
                count += 1
    edges = edges[:count]
    return edges[np.argsort(edges[:, 1])]


@kernel
def _levels(edges: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Heights at which edges begin or end, and borders of rows between them; rising, within the slice."""
    low, high = max(edges[:, 1].min(), 0.0), min(edges[:, 3].max(), float(rows))
    first, last = floor(min(low, rows)), floor(max(high, 0))
    levels = np.empty(2 * len(edges) + max(last - first + 2, 2))
    count = 0
    for edge in edges:
        for y in (edge[1], edge[3]):
            levels[count] = min(max(y, 0.0), float(rows))
            count += 1
    for row in range(first, last + 1):
        levels[count] = min(max(row, 0), rows)
        count += 1
    return np.unique(levels[:count])


@kernel
def _cover_plane(edges: NDArray[np.float64], levels: NDArray[np.float64], plane: NDArray[np.float32]) -> None:
    """Add up the areas of one slice, row by row; the edges that cross a strip between two levels are its `active`."""
    steps = np.zeros(plane.shape[1] + 2)  # of the row: running sums over them are the shares
    active = np.empty(len(edges), dtype=np.int64)
    n_active, waiting = 0, 0
    for k in range(len(levels) - 1):
        bottom, top = levels[k], levels[k + 1]
        while waiting < len(edges) and edges[waiting, 1] <= bottom:
            active[n_active] = waiting
            n_active += 1
            waiting += 1
        kept = 0
        for n in range(n_active):
            if edges[active[n], 3] >= top:
                active[kept] = active[n]
                kept += 1
        n_active = kept
        if n_active:
            _add_strip(edges, active[:n_active], bottom, top, steps)
        row = floor(bottom)
        if top >= row + 1 or k == len(levels) - 2:
            _write_row(steps, plane[min(row, len(plane) - 1)])


@kernel
def _write_row(steps: NDArray[np.float64], row: NDArray[np.float32]) -> None:
    share = 0.0
    for column in range(len(row)):
        share += steps[column]
        row[column] = 0.0 if share < SNAP else (1.0 if share > 1.0 - SNAP else share)
    steps[:] = 0.0


@kernel
def _add_strip(
    edges: NDArray[np.float64], active: NDArray[np.int64], bottom: float, top: float, steps: NDArray[np.float64]
) -> None:
    """Part a strip where edges cross within it, and add its parts."""
    below, above = np.empty(len(active)), np.empty(len(active))
    for n in range(len(active)):
        below[n], above[n] = _x_at(edges[active[n]], bottom), _x_at(edges[active[n]], top)
    crossings = np.empty(len(active) * (len(active) - 1) // 2 + 2)
    crossings[0], crossings[1] = bottom, top
    count = 2
    for i in range(len(active)):
        for j in range(i):
            under, over = below[i] - below[j], above[i] - above[j]
            if (under < 0.0 < over) or (over < 0.0 < under):
                crossings[count] = bottom + (top - bottom) * (under / (under - over))
                count += 1
    heights = np.sort(crossings[:count])
    for k in range(count - 1):
        if heights[k + 1] > heights[k]:
            _add_part(edges, active, heights[k], heights[k + 1], steps)


@kernel
def _add_part(
    edges: NDArray[np.float64], active: NDArray[np.int64], bottom: float, top: float, steps: NDArray[np.float64]
) -> None:
    """Add a strip in which no edges cross: from left to right they open and close the region in turn."""
    middles = np.empty(len(active))
    for n in range(len(active)):
        middles[n] = _x_at(edges[active[n]], 0.5 * (bottom + top))
    sign = 1.0
    for n in np.argsort(middles):
        edge = edges[active[n]]
        _add_right_of(_x_at(edge, bottom), _x_at(edge, top), sign * (top - bottom), steps)
        sign = -sign


@kernel
def _x_at(edge: NDArray[np.float64], y: float) -> float:
    """Where an edge is at a height between its ends."""
    x = edge[0] + (y - edge[1]) * ((edge[2] - edge[0]) / (edge[3] - edge[1]))
    return min(max(x, min(edge[0], edge[2])), max(edge[0], edge[2]))


@kernel
def _add_right_of(x0: float, x1: float, height: float, steps: NDArray[np.float64]) -> None:
    """Add the area right of a straight piece from x0 to x1 that is `height` high; what lies outside is cut off."""
    columns = len(steps) - 2
    low, high = min(x0, x1), max(x0, x1)
    if high <= 0.0:
        steps[0] += height
        return
    if low >= columns:
        return
    per_x = height / (high - low) if high > low else 0.0
    if low < 0.0:
        steps[0] += -low * per_x
        height -= -low * per_x
        low = 0.0
    if high > columns:
        height -= (high - columns) * per_x
        high = float(columns)
    column = floor(low)
    while high > column + 1:
        part = (column + 1 - low) * per_x
        _add_in_column(column, 0.5 * (low + column + 1) - column, part, steps)
        height -= part
        column += 1
        low = float(column)
    _add_in_column(column, 0.5 * (low + high) - column, height, steps)


@kernel
def _add_in_column(column: int, middle: float, height: float, steps: NDArray[np.float64]) -> None:
    """A piece within one voxel, `middle` of it from the left: that voxel gets the rest, those right of it all."""
    steps[column] += height * (1.0 - middle)
    steps[column + 1] += height * middle
