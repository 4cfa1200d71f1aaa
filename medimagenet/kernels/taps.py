r"""Resampling with an anti-aliasing filter: each output voxel is a weighted sum of many input voxels along each axis.

Where voxels become larger, what varies faster than the new grid can hold is averaged first, by a Gaussian whose width
makes up for the difference of the two voxels' point spread functions, full widths at half maximum of 1 and `step`
input voxels (Cardoso et al., Scale factor point spread function matching, MICCAI 2015)::

    sigma = sqrt(step^2 - 1) / (2 sqrt(2 ln 2))        in input voxels, cut off at 4 sigma

Filter and linear interpolation are one table of weights per axis, so nothing of the size of the volume is held in
between: strips of output rows are made one slice at a time, as in `medimagenet.kernels.separable`. An axis whose
voxels do not become larger is interpolated only. Sums are of differences from one of the voxels: a constant comes out
exactly.
"""

from collections.abc import Callable
from math import ceil, log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange
from .separable import STRIP, Floats, Indices, Voxels, fill_outside

CUT_OFF = 4
"""The Gaussian ends here, in sigma: what is left out is 6e-5 of it."""


class Taps(NamedTuple):
    """Input voxels and weights of each output voxel along one axis."""

    voxel: Indices
    """(count, taps), within the volume; the first one is where differences are taken from."""
    weight: NDArray[np.float64]
    """(count, taps), sum to 1."""


def sigma_of(step: float) -> float:
    """Width of the filter, in input voxels; 0 where voxels do not become larger."""
    return sqrt(max(step * step - 1, 0.0)) / (2 * sqrt(2 * log(2)))


def gaussian(sigma: float) -> NDArray[np.float64]:
    """(2 r + 1,), sum 1; of length 1 for sigma 0."""
    radius = ceil(CUT_OFF * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-12)) ** 2)
    result: NDArray[np.float64] = weights / weights.sum()
    return result


def axis_taps(n: int, index: NDArray[np.float64], sigma: float, place: Callable[[Indices, int], Indices]) -> Taps:
    """Filter and linear interpolation at continuous indices, within 0 to n - 1, of an axis of n voxels.

    Parameters
    ----------
    place
        Where voxels beyond the first and the last are taken from: of indices and n, indices within 0 to n - 1.
    """
    below = np.minimum(np.floor(index), max(n - 2, 0)).astype(np.int64)
    share = (index - below)[:, None]
    shape = gaussian(sigma)
    radius = len(shape) // 2
    lower, upper = np.pad(shape, (0, 1)), np.pad(shape, (1, 0))
    weight = (1 - share) * lower + share * upper
    taps = below[:, None] + np.arange(-radius, radius + 2)
    order = np.argsort(np.abs(np.arange(-radius, radius + 2)), kind="stable")  # the nearest voxel first
    return Taps(place(taps, n)[:, order], weight[:, order])


@kernel
def _choose_lines(ys: Indices, first: int, stop: int, lines: Indices, slots: Indices, seen: Indices) -> int:
    """Which input rows the output rows need and where each finds its own; how many there are."""
    count = 0
    for y in range(first, stop):
        for tap in range(ys.shape[1]):
            row = ys[y, tap]
            if seen[row] < 0:
                seen[row] = count
                lines[count] = row
                count += 1
            slots[y - first, tap] = seen[row]
    for number in range(count):
        seen[lines[number]] = -1
    return count


@kernel
def _begin(line: Floats, base: Voxels) -> None:
    for x in range(len(base)):
        line[x] = base[x]


@kernel
def _add(line: Floats, voxels: Voxels, base: Voxels, weight: Any) -> None:
    """Add the weighted difference of two lines."""
    for x in range(len(base)):
        line[x] += weight * (line.dtype.type(voxels[x]) - line.dtype.type(base[x]))


@kernel
def _along_x(row: Floats, xs: Indices, wx: Floats, values: Floats) -> None:
    """`xs` and `wx` are (taps, count)."""
    base = xs[0]
    for x in range(len(values)):
        values[x] = row[base[x]]
    for tap in range(1, len(xs)):
        index, weight = xs[tap], wx[tap]
        for x in range(len(values)):
            values[x] += weight[x] * (row[index[x]] - row[base[x]])


def _filter_body(
    source: Voxels,
    zs: Indices,
    ys: Indices,
    xs: Indices,
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
    """Strips of output rows, each through all slices; `xs` and `wx` are (taps, columns inside)."""
    x0, x1, nx = inside[2, 0], inside[2, 1], source.shape[2]
    for strip in prange((out.shape[1] + STRIP - 1) // STRIP):
        first, stop = strip * STRIP, min((strip + 1) * STRIP, out.shape[1])
        fill_outside(out, inside, fill, first, stop)
        first, stop = max(first, inside[1, 0]), min(stop, inside[1, 1])
        if first >= stop:
            continue
        lines, slots = np.empty(source.shape[1], np.int64), np.empty((STRIP, ys.shape[1]), np.int64)
        lines = lines[: _choose_lines(ys, first, stop, lines, slots, np.full(source.shape[1], -1))]
        pane, row = np.empty((len(lines), nx), wx.dtype), np.empty(nx, wx.dtype)
        values = np.empty(x1 - x0, wx.dtype)
        for z in range(inside[0, 0], inside[0, 1]):
            for number in range(len(lines)):
                base = source[zs[z, 0], lines[number]]
                _begin(pane[number], base)
                for tap in range(1, zs.shape[1]):
                    _add(pane[number], source[zs[z, tap], lines[number]], base, wz[z, tap])
            for y in range(first, stop):
                middle = pane[slots[y - first, 0]]
                _begin(row, middle)
                for tap in range(1, ys.shape[1]):
                    _add(row, pane[slots[y - first, tap]], middle, wy[y, tap])
                _along_x(row, xs, wx, values)
                _write(values, rounds, low, high, out[z, y, x0:x1])


@kernel
def _write(values: Floats, rounds: bool, low: Any, high: Any, target: Voxels) -> None:
    """Whole numbers rounded half to even and saturated; nan becomes `low`."""
    if rounds:
        for x in range(len(values)):
            value = np.rint(values[x])
            value = value if value > low else low
            target[x] = value if value < high else high
    else:
        for x in range(len(values)):
            target[x] = values[x]


Loop = Callable[..., None]
weighted: Loop = kernel(_filter_body)
weighted_parallel: Loop = parallel_kernel(_filter_body)
