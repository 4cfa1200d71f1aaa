"""Cubic interpolation with aligned axes, of a few rows of coefficients at a time.

The coefficients of a whole volume take more memory than most outputs. The filter along y runs there and back, and on
the way back a voxel forgets what lies `HALO` rows behind it. So windows of rows are made one after the other: the way
there goes on where the window before ended, the way back begins a halo behind the window::

    rows of the source       |... window k ...|... window k+1 ...|
    there, for window k      ------------------------->
    back                       <----------------------|  halo |
    held for window k+1                     [---------------->)

What is held and the window lie in two buffers that all windows share: both together are an eighth of the output, or
the coefficients of all rows where these are not more.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ._jit import kernel, parallel_kernel, prange, threads
from .separable import STRIP, Floats, Indices, Voxels
from .spline import (
    LANES,
    POLE,
    SplineAxis,
    back,
    cubic,
    cubic_parallel,
    filter_rows,
    filter_stack,
    filter_stack_parallel,
    forth,
    start_weights,
)

HALO = {np.float32: 32, np.float64: 64}
"""Rows after which the filter has forgotten: 0.268 to this power is far below half a unit in the last place."""
SHARE = 8
"""The buffers may be this part of the output ..."""
FEWEST_ROWS = 48
"""... but windows of fewer rows would filter the halo more often than the volume."""
OVERLAP = 3
"""Rows that a window shares with the one before: the taps of an output row lie at most this far apart."""
LOWEST_STRIP = 4


class Window(NamedTuple):
    """Some rows of coefficients, and the output rows whose last tap is among them."""

    limits: Indices
    """(4,): the first row, the first that is not held, the first of the next window, and where the way back begins."""
    stop: int
    """One behind the last row."""
    rows: tuple[int, int]
    """First output row, and one behind the last; equal where there is none."""


def interpolate(
    source: Voxels,
    work: type[np.float32] | type[np.float64],
    axes: tuple[SplineAxis, SplineAxis, SplineAxis],
    inside: Indices,
    fill: Any,
    rule: tuple[bool, Any, Any],
    out: Voxels,
    *,
    parallel: bool,
) -> None:
    """Fill `out` (Z, Y, X) with values between the voxels of `source` (Z, Y, X), both C-contiguous.

    Parameters
    ----------
    axes : taps and weights of z, y and x; those of x for the output columns inside the source alone
    inside : (3, 2), per axis the first output voxel inside the source and one behind the last; the others get `fill`
    rule : whether to round, and the lowest and highest value, in `work`
    """
    z, y, x = axes
    rows = window_rows(source.shape, np.dtype(work).itemsize, out.nbytes, HALO[work], y.taps)
    pole, halo = work(POLE), HALO[work]
    start_z, start_y, start_x = (start_weights(n).astype(work) for n in source.shape)
    height = source.shape[1]
    found: Floats = np.empty((source.shape[0], min(rows + halo + OVERLAP, height), source.shape[2]), np.dtype(work))
    held: Floats = np.empty((source.shape[0], 0 if rows >= height else halo + OVERLAP, source.shape[2]), np.dtype(work))
    advance, stack, fill_rows = _LOOPS[parallel]
    columns, weights_x = x.below.astype(np.uint32), np.ascontiguousarray(x.weights.T, dtype=work)
    weights = z.weights.astype(work), y.weights.astype(work), weights_x
    for window in windows(height, rows, halo, y.taps):
        advance(source, start_y, start_x, pole, window.limits, held, found)
        first, stop = window.rows
        if first == stop:
            continue
        begin = int(window.limits[0])
        stack(found[:, : window.stop - begin], start_z, pole)
        strip = min(STRIP, max(LOWEST_STRIP, -(-(stop - first) // (2 * threads())))) if parallel else STRIP
        lines = np.array([first, stop, strip])
        fill_rows(found, z.taps, y.taps - begin, columns, *weights, inside, fill, *rule, lines, out)


def window_rows(shape: tuple[int, ...], itemsize: int, out_bytes: int, halo: int, taps: Indices) -> int:
    """How many rows of coefficients a window has: all of them where windows save nothing, or taps go to and fro."""
    steps = np.diff(taps.max(axis=1))
    fitting = out_bytes // SHARE // (shape[0] * shape[2] * itemsize) - 2 * (halo + OVERLAP)
    rows = max(fitting, FEWEST_ROWS)
    is_steady = bool((steps >= 0).all() or (steps <= 0).all())
    return rows if is_steady and rows + 2 * (halo + OVERLAP) < shape[1] else shape[1]


def windows(height: int, rows: int, halo: int, taps: Indices) -> Iterator[Window]:
    """The windows in the order of the rows, up to the last that an output row needs."""
    owners = taps.max(axis=1) // rows
    for k in range(int(owners.max()) + 1):
        begin, stop = max(k * rows - OVERLAP, 0), min((k + 1) * rows, height)
        done = 0 if k == 0 else min(k * rows + halo, height)
        end = min(stop + halo, height)
        own = np.flatnonzero(owners == k)
        served = (int(own[0]), int(own[-1]) + 1) if len(own) else (0, 0)
        yield Window(np.array([begin, done, stop - OVERLAP, end]), stop, served)


def _advance_body(
    source: Voxels, start_y: Floats, start_x: Floats, pole: Any, limits: Indices, held: Floats, found: Floats
) -> None:
    """The rows of a window, filtered along x and y, slice by slice; what the next one begins with goes to `held`."""
    begin, done, following, end = limits[0], limits[1], limits[2], limits[3]
    known = max(done - begin, 0)
    for z in prange(source.shape[0]):
        lines = found[z, : end - begin]
        for row in range(known):
            lines[row] = held[z, row]
        turned = np.zeros((source.shape[2], LANES), found.dtype)
        filter_rows(source[z, done:end], start_x, pole, turned, lines[known:])
        if source.shape[1] > 1:
            forth(lines, start_y, pole, known)
            for row in range(min(end - following, held.shape[1])):
                held[z, row] = lines[following - begin + row]
            back(lines, pole)


Loop = Callable[..., None]
_advance: Loop = kernel(_advance_body)
_advance_parallel: Loop = parallel_kernel(_advance_body)
_LOOPS: dict[bool, tuple[Loop, Loop, Loop]] = {
    False: (_advance, filter_stack, cubic),
    True: (_advance_parallel, filter_stack_parallel, cubic_parallel),
}
