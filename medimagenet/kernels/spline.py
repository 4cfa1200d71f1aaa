r"""Cubic B-spline interpolation: from voxels to coefficients, and values between them.

The spline through the voxels is a sum of B-splines, one per voxel; its coefficients come from a recursive filter
along each axis, there and back, with the pole ``sqrt(3) - 2`` (Unser, Aldroubi, Eden: B-spline signal processing,
IEEE Trans. Signal Processing 41, 1993). Beyond the first and last voxel the voxels are mirrored, the border voxel
itself not repeated, as in scipy's ``mode="mirror"`` and in ITK::

    voxel   2  1 | 0  1  2 ... n-2  n-1 | n-2  n-3

The value at an index between k and k + 1 takes the coefficients k - 1 to k + 2. The filter runs over lines that lie
side by side, so that each step of the recursion is arithmetic on whole rows; along x, blocks of `LANES` rows are
turned for that. With aligned axes the coefficients are made a few rows at a time (`spline_windows`); an oblique map
needs them all, one volume of the size of the source in the type of the arithmetic.
"""

from collections.abc import Callable
from math import floor, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange
from .borders import folded, is_inside
from .separable import Columns, Floats, Indices, Voxels, fill_outside

POLE = sqrt(3) - 2
LANES = 16
"""Rows filtered side by side along x."""
_FORGOTTEN = 1e-18
"""Weight below which a voxel no longer counts for the start of the recursion."""


class SplineAxis(NamedTuple):
    """Coefficients and weights of each output voxel along one axis."""

    taps: Indices
    """(count, 4): input voxels, mirrored into the volume."""
    below: Indices
    """(count,): input voxel at or below the index, 0 to n - 2; the first tap is the one before it."""
    weights: NDArray[np.float64]
    """(count, 4): sum to 1."""


def spline_axis(n: int, index: NDArray[np.float64]) -> SplineAxis:
    """Taps and weights of continuous indices on an axis of n voxels; beyond the first and last voxel as on them."""
    clamped = np.clip(index, 0, n - 1)
    below = np.minimum(np.floor(clamped), max(n - 2, 0)).astype(np.int64)
    t = clamped - below
    weights = np.stack([(1 - t) ** 3, 4 - 6 * t**2 + 3 * t**3, 4 - 6 * (1 - t) ** 2 + 3 * (1 - t) ** 3, t**3], axis=1)
    period = max(2 * n - 2, 1)
    taps = np.abs(below[:, None] + np.arange(-1, 3)) % period
    return SplineAxis(np.minimum(taps, period - taps) if n > 1 else np.zeros_like(taps), below, weights / 6)


def coefficients(source: Voxels, work: type[np.float32] | type[np.float64], *, parallel: bool = False) -> Floats:
    """B-spline coefficients of a volume (Z, Y, X), computed and kept in `work`."""
    found: Floats = np.empty(source.shape, dtype=np.dtype(work))
    starts = [start_weights(n).astype(work) for n in source.shape]
    filter_slices = _filter_slices_parallel if parallel else _filter_slices
    filter_slices(source, starts[1], starts[2], work(POLE), found)
    (filter_stack_parallel if parallel else filter_stack)(found, starts[0], work(POLE))
    return found


def start_weights(n: int) -> NDArray[np.float64]:
    """Weights of the voxels 0, 1, ... in the first value of the causal filter on a mirrored line of n."""
    k = np.arange(n)
    mirrored = np.where((k > 0) & (k < n - 1), POLE ** np.maximum(2.0 * n - 2 - k, 0), 0.0)
    weights: NDArray[np.float64] = np.asarray(POLE**k + mirrored, dtype=np.float64)
    if n > 1:
        weights /= 1 - POLE ** (2 * n - 2)
    return weights[: int(np.flatnonzero(np.abs(weights) > _FORGOTTEN)[-1]) + 1]


@kernel
def _add(line: Floats, other: Floats, factor: Any) -> None:
    """Add a multiple of another line."""
    for x in range(len(line)):
        line[x] += factor * other[x]


@kernel
def _filter(lines: Floats, start: Floats, pole: Any) -> None:
    """Voxels to coefficients along the first axis of (n, lanes), in place."""
    if len(lines) > 1:
        forth(lines, start, pole, 0)
        back(lines, pole)


@kernel
def forth(lines: Floats, start: Floats, pole: Any, known: int) -> None:
    """The way there, of which the first `known` lines are done."""
    if known == 0:
        first = np.zeros(lines.shape[1], lines.dtype)
        for k in range(len(start)):
            _add(first, lines[k], start[k])
        lines[0] = first
    for k in range(max(known, 1), len(lines)):
        _add(lines[k], lines[k - 1], pole)


@kernel
def back(lines: Floats, pole: Any) -> None:
    """The way back: begins as at a border, which is forgotten where there is none."""
    n, lanes = lines.shape
    gain = lines.dtype.type(6)  # (1 - pole)(1 - 1 / pole)
    end = gain * pole / (pole * pole - lines.dtype.type(1))
    last, before = lines[n - 1], lines[n - 2]
    for x in range(lanes):
        last[x] = end * (last[x] + pole * before[x])
    for k in range(n - 2, -1, -1):
        line, following = lines[k], lines[k + 1]
        for x in range(lanes):
            line[x] = pole * (following[x] - gain * line[x])


@kernel
def filter_rows(source: Voxels, start: Floats, pole: Any, turned: Floats, found: Floats) -> None:
    """Along x: `LANES` rows at a time, turned so that they lie side by side."""
    ny, nx = source.shape
    for first in range(0, ny, LANES):
        count = min(LANES, ny - first)
        for y in range(count):
            row = source[first + y]
            for x in range(nx):
                turned[x, y] = row[x]
        _filter(turned, start, pole)
        for y in range(count):
            row_found = found[first + y]
            for x in range(nx):
                row_found[x] = turned[x, y]


def _filter_slices_body(source: Voxels, start_y: Floats, start_x: Floats, pole: Any, found: Floats) -> None:
    """Along x, then along y, slice by slice."""
    for z in prange(source.shape[0]):
        turned = np.zeros((source.shape[2], LANES), found.dtype)
        filter_rows(source[z], start_x, pole, turned, found[z])
        _filter(found[z], start_y, pole)


def _filter_stack_body(found: Floats, start: Floats, pole: Any) -> None:
    """Along z, in place: all slices of one row at a time."""
    for y in prange(found.shape[1]):
        _filter(found[:, y], start, pole)


@kernel
def _blend(a: Floats, b: Floats, c: Floats, d: Floats, weights: Floats, line: Floats) -> None:
    """Weighted sum of four lines."""
    wa, wb, wc, wd = weights[0], weights[1], weights[2], weights[3]
    for x in range(len(a)):
        line[x] = (wa * a[x] + wb * b[x]) + (wc * c[x] + wd * d[x])


@kernel
def _choose_lines(taps: Indices, first: int, stop: int, lines: Indices, slots: Indices) -> int:
    """Which input rows the output rows need and where each finds its four; how many there are."""
    count = 0
    for y in range(first, stop):
        for tap in range(4):
            slot = count
            for known in range(max(count - 8, 0), count):  # a row that is needed again has come not long ago
                if lines[known] == taps[y, tap]:
                    slot = known
            if slot == count:
                lines[count] = taps[y, tap]
                count += 1
            slots[y - first, tap] = slot
    return count


@kernel
def _mirror_ends(row: Floats, n: int) -> None:
    """Continue a row whose n coefficients begin at 1: one to the left, two to the right."""
    row[0] = row[min(2, n)]
    row[n + 1] = row[max(n - 1, 1)]
    row[n + 2] = row[max(n - 2, 1)]


@kernel
def _between(row: Floats, columns: Columns, weights: Floats, x: int) -> Any:
    """Value of output column x; the row has one coefficient more at the left."""
    k = columns[x]
    left = weights[0, x] * row[k] + weights[1, x] * row[k + np.uint32(1)]
    return left + (weights[2, x] * row[k + np.uint32(2)] + weights[3, x] * row[k + np.uint32(3)])


@kernel
def _write(row: Floats, columns: Columns, weights: Floats, rounds: bool, low: Any, high: Any, target: Voxels) -> None:
    """Values along x; whole numbers rounded half to even and saturated."""
    if rounds:
        for x in range(len(columns)):
            value = np.rint(_between(row, columns, weights, x))
            value = value if value > low else low
            target[x] = value if value < high else high
    else:
        for x in range(len(columns)):
            target[x] = _between(row, columns, weights, x)


def _cubic_body(
    source: Floats,
    zs: Indices,
    ys: Indices,
    columns: Columns,
    wz: Floats,
    wy: Floats,
    wx: Floats,
    inside: Indices,
    fill: Any,
    rounds: bool,
    low: Any,
    high: Any,
    rows: Indices,
    out: Voxels,
) -> None:
    """Strips of output rows. `rows` are the first, one behind the last, and how many a strip has.

    `zs`, `ys`, `wz`, `wy` are (count, 4), `wx` is (4, columns inside).
    """
    x0, x1, n = inside[2, 0], inside[2, 1], source.shape[2]
    height = rows[2]
    for strip in prange((rows[1] - rows[0] + height - 1) // height):
        first = rows[0] + strip * height
        stop = min(first + height, rows[1])
        fill_outside(out, inside, fill, first, stop)
        first, stop = max(first, inside[1, 0]), min(stop, inside[1, 1])
        if first >= stop:
            continue
        lines, slots = np.empty(4 * height, np.int64), np.empty((height, 4), np.int64)
        lines = lines[: _choose_lines(ys, first, stop, lines, slots)]
        pane, row = np.empty((len(lines), n), wx.dtype), np.empty(n + 3, wx.dtype)
        for z in range(inside[0, 0], inside[0, 1]):
            a, b, c, d = source[zs[z, 0]], source[zs[z, 1]], source[zs[z, 2]], source[zs[z, 3]]
            for number in range(len(lines)):
                y = lines[number]
                _blend(a[y], b[y], c[y], d[y], wz[z], pane[number])
            for y in range(first, stop):
                s = slots[y - first]
                _blend(pane[s[0]], pane[s[1]], pane[s[2]], pane[s[3]], wy[y], row[1:])
                _mirror_ends(row, n)
                _write(row, columns, wx, rounds, low, high, out[z, y, x0:x1])


@kernel
def _taps(index: float, n: int, taps: Indices, weights: NDArray[np.float64]) -> None:
    """As `spline_axis`, for one index."""
    clamped = min(max(index, 0.0), n - 1.0)
    below = min(floor(clamped), max(n - 2, 0))
    t = clamped - below
    s = 1.0 - t
    weights[0], weights[3] = s * s * s / 6, t * t * t / 6
    weights[1], weights[2] = (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6
    for tap in range(4):
        k = abs(below + tap - 1)
        k = 2 * n - 2 - k if k >= n else k
        taps[tap] = max(k, 0)


@kernel
def _value(source: Floats, taps: Indices, weights: NDArray[np.float64]) -> float:
    """Sum over 64 coefficients, in float64."""
    total = 0.0
    for i in range(4):
        for j in range(4):
            row = source[taps[0, i], taps[1, j]]
            part = 0.0
            for k in range(4):
                part += weights[2, k] * row[taps[2, k]]
            total += weights[0, i] * weights[1, j] * part
    return total


def _affine_cubic_body(
    source: Floats,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    border: int,
    fill: Any,
    rounds: bool,
    low: Any,
    high: Any,
    out: Voxels,
) -> None:
    """Under any affine map."""
    for oz in prange(out.shape[0]):
        taps, weights = np.empty((3, 4), np.int64), np.empty((3, 4))
        for oy in range(out.shape[1]):
            base = offset + matrix[:, 0] * oz + matrix[:, 1] * oy
            for ox in range(out.shape[2]):
                z, y, x = base[0] + matrix[0, 2] * ox, base[1] + matrix[1, 2] * ox, base[2] + matrix[2, 2] * ox
                if border == 1 and not is_inside(z, y, x, source):
                    out[oz, oy, ox] = fill
                    continue
                if border == 2:
                    z, y, x = folded(z, source.shape[0]), folded(y, source.shape[1]), folded(x, source.shape[2])
                _taps(z, source.shape[0], taps[0], weights[0])
                _taps(y, source.shape[1], taps[1], weights[1])
                _taps(x, source.shape[2], taps[2], weights[2])
                value = _value(source, taps, weights)
                if rounds:
                    value = min(max(np.rint(value), low), high)
                out[oz, oy, ox] = value


Loop = Callable[..., None]
_filter_slices: Loop = kernel(_filter_slices_body)
_filter_slices_parallel: Loop = parallel_kernel(_filter_slices_body)
filter_stack: Loop = kernel(_filter_stack_body)
filter_stack_parallel: Loop = parallel_kernel(_filter_stack_body)
cubic: Loop = kernel(_cubic_body)
cubic_parallel: Loop = parallel_kernel(_cubic_body)
affine_cubic: Loop = kernel(_affine_cubic_body)
affine_cubic_parallel: Loop = parallel_kernel(_affine_cubic_body)
