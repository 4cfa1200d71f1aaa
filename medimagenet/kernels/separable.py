"""Separable resampling: loops over contiguous rows, with the neighbours along x gathered once per input row.

Output is made in strips of `STRIP` rows through all slices. The input rows that a strip needs from one slice are
expanded along x first: `near` holds, for each output column, the voxel below its index, `far` the one above, one
behind the other in a line of 2 n values. From there on everything is arithmetic on whole lines::

    slices k, k+1 --expand--> 2 panes of lines --blend z--> lines --blend y, x--> output row

A pane stays for as many output slices as lie above it, so a volume that gets three times as many slices gathers
once for three. Extra memory: two panes and `2 STRIP` lines per thread, whatever the number of slices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Voxels = NDArray[Any]
Indices = NDArray[np.int64]
Columns = NDArray[np.uint32]
"""Indices along x. Without a sign: whether an index is negative would be asked for every voxel, 1.6 times slower."""
Floats = NDArray[np.float32] | NDArray[np.float64]

STRIP = 16
"""Output rows per strip. Two panes of 500 columns are 140 kB then and stay in the cache of a core (8 to 32 rows: the
same within 10 %)."""


@kernel
def fill_outside(out: Voxels, inside: Indices, fill: Any, first: int, stop: int) -> None:
    """Write `fill` into what lies outside the source of the rows `first` to `stop` of all slices."""
    low, high = max(first, inside[1, 0]), min(stop, inside[1, 1])
    for z in range(out.shape[0]):
        if z < inside[0, 0] or z >= inside[0, 1] or low >= high:
            out[z, first:stop] = fill
            continue
        out[z, first:low] = fill
        out[z, high:stop] = fill
        out[z, low:high, : inside[2, 0]] = fill
        out[z, low:high, inside[2, 1] :] = fill


@kernel
def _choose_lines(ys: Indices, last: int, first: int, stop: int, lines: Indices, slots: Indices) -> int:
    """Which input rows the output rows need, each once, and where each output row finds its two; how many there are.

    Indices rise or fall steadily, so a row that is there already is one of the two that came last.
    """
    count = 0
    for y in range(first, stop):
        for side in range(2):
            row = min(ys[y] + side, last)
            slot = count
            for known in range(max(count - 2, 0), count):
                if lines[known] == row:
                    slot = known
            if slot == count:
                lines[count] = row
                count += 1
            slots[y - first, side] = slot
    return count


@kernel
def _expand(source: Voxels, z: int, lines: Indices, columns: Columns, row: Floats, pane: Floats) -> None:
    """Gather the voxels below and above each output column from the rows `lines` of one slice."""
    count, n = len(columns), source.shape[2]
    for number in range(len(lines)):
        voxels, line = source[z, lines[number]], pane[number]
        for x in range(n):
            row[x] = voxels[x]
        row[n] = row[n - 1]  # the voxel above the last
        for x in range(count):
            below = columns[x]
            line[x] = row[below]
            line[count + x] = row[below + np.uint32(1)]


@kernel
def _blend(near: Floats, far: Floats, weight: Any, line: Floats) -> None:
    """Between two lines of neighbouring slices."""
    for x in range(len(line)):
        line[x] = near[x] + weight * (far[x] - near[x])


@kernel
def _write(lower: Floats, upper: Floats, wy: Any, wx: Floats, target: Floats) -> None:
    """Between two lines of neighbouring rows, then between near and far."""
    count = len(wx)
    near, far, near_up, far_up = lower[:count], lower[count:], upper[:count], upper[count:]
    for x in range(count):
        a = near[x] + wy * (near_up[x] - near[x])
        b = far[x] + wy * (far_up[x] - far[x])
        target[x] = a + wx[x] * (b - a)


@kernel
def _write_rounded(lower: Floats, upper: Floats, wy: Any, wx: Floats, low: Any, high: Any, target: Voxels) -> None:
    """As `_write`, rounded half to even and saturated."""
    count = len(wx)
    near, far, near_up, far_up = lower[:count], lower[count:], upper[:count], upper[count:]
    for x in range(count):
        a = near[x] + wy * (near_up[x] - near[x])
        b = far[x] + wy * (far_up[x] - far[x])
        value = np.rint(a + wx[x] * (b - a))
        value = value if value > low else low
        target[x] = value if value < high else high


def _linear_body(
    source: Voxels,
    zs: Indices,
    ys: Indices,
    xs: Columns,
    wz: Floats,
    wy: Floats,
    wx: Floats,
    inside: Indices,
    fill: Any,
    rounds: bool,
    low: Any,
    high: Any,
    out: Voxels,
) -> None:
    """Strips of output rows, each through all slices."""
    x0, x1 = inside[2, 0], inside[2, 1]
    last_z, last_y = source.shape[0] - 1, source.shape[1] - 1
    columns, weights = xs[x0:x1], wx[x0:x1]
    for strip in prange((out.shape[1] + STRIP - 1) // STRIP):
        first, stop = strip * STRIP, min((strip + 1) * STRIP, out.shape[1])
        fill_outside(out, inside, fill, first, stop)
        first, stop = max(first, inside[1, 0]), min(stop, inside[1, 1])
        if first >= stop:
            continue
        lines, slots = np.empty(2 * STRIP, np.int64), np.empty((STRIP, 2), np.int64)
        lines = lines[: _choose_lines(ys, last_y, first, stop, lines, slots)]
        row = np.empty(source.shape[2] + 1, wx.dtype)
        panes = np.empty((2, len(lines), 2 * len(columns)), wx.dtype)
        blended = np.empty((len(lines), 2 * len(columns)), wx.dtype)
        held = np.full(2, -1)
        for z in range(inside[0, 0], inside[0, 1]):
            below, beyond = zs[z], min(zs[z] + 1, last_z)
            a = 1 if held[1] == below or (held[0] == beyond and held[0] != below) else 0
            if held[a] != below:
                _expand(source, below, lines, columns, row, panes[a])
                held[a] = below
            b = a if beyond == below else 1 - a
            if held[b] != beyond:
                _expand(source, beyond, lines, columns, row, panes[b])
                held[b] = beyond
            for number in range(len(lines)):
                _blend(panes[a, number], panes[b, number], wz[z], blended[number])
            for y in range(first, stop):
                lower, upper = blended[slots[y - first, 0]], blended[slots[y - first, 1]]
                target = out[z, y, x0:x1]
                if rounds:
                    _write_rounded(lower, upper, wy[y], weights, low, high, target)
                else:
                    _write(lower, upper, wy[y], weights, target)


@kernel
def _copy(row: Voxels, target: Voxels) -> None:
    """Voxel by voxel, which the compiler turns into a block copy; a slice assignment it would not."""
    for x in range(len(target)):
        target[x] = row[x]


@kernel
def _gather(row: Voxels, columns: Columns, target: Voxels) -> None:
    """The voxels of one input row that the output row shows."""
    for x in range(len(columns)):
        target[x] = row[columns[x]]


def _nearest_body(
    source: Voxels, zs: Indices, ys: Indices, xs: Columns, inside: Indices, fill: Any, out: Voxels
) -> None:
    """Copy voxels: `zs`, `ys`, `xs` hold the input index of every output index."""
    x0, x1 = inside[2, 0], inside[2, 1]
    columns = xs[x0:x1]
    for strip in prange((out.shape[1] + STRIP - 1) // STRIP):
        first, stop = strip * STRIP, min((strip + 1) * STRIP, out.shape[1])
        fill_outside(out, inside, fill, first, stop)
        first, stop = max(first, inside[1, 0]), min(stop, inside[1, 1])
        for z in range(inside[0, 0], inside[0, 1]):
            same_slice = z > inside[0, 0] and zs[z] == zs[z - 1]
            for y in range(first, stop):
                target = out[z, y, x0:x1]
                if same_slice:
                    _copy(out[z - 1, y, x0:x1], target)
                elif y > first and ys[y] == ys[y - 1]:
                    _copy(out[z, y - 1, x0:x1], target)
                else:
                    _gather(source[zs[z], ys[y]], columns, target)


Loop = Callable[..., None]
nearest: Loop = kernel(_nearest_body)
nearest_parallel: Loop = parallel_kernel(_nearest_body)
linear: Loop = kernel(_linear_body)
linear_parallel: Loop = parallel_kernel(_linear_body)
