"""Contours of one region in one plane that are there twice, or that cross: by the even-odd rule they cancel."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..kernels.rasterize import fill_regions

SAME_VERTEX = 1e-4  # voxels: far below what is drawn, above the rounding of one position read twice
MOST_PAIRS = 2000  # of one region that are compared: fifty times what real regions have
MOST_ORDERS = 16  # of the same vertices that are told apart
MOST_VOXELS = 1 << 24  # of the boxes of pairs that are compared: a file may have thousands of contours in one plane
VOXELS_AT_ONCE = 1 << 20  # of boxes that are filled in one call

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


def repeated_contours(vertices: Floats, lengths: Whole, low: Floats, high: Floats) -> NDArray[np.bool_]:
    """(contours,): whether an earlier contour has the same vertices, wherever either begins and which way it runs.

    Parameters
    ----------
    vertices : (n, 3), index coordinates of all contours
    lengths : (contours,), how many each has
    low, high : (contours, 3), the box of each
    """
    boxes = np.rint(np.column_stack([low, high]) / SAME_VERTEX).astype(np.int64)
    of_box: dict[bytes, list[int]] = {}
    for number, box in enumerate(boxes):
        of_box.setdefault(box.tobytes(), []).append(number)
    again = np.zeros(len(lengths), dtype=np.bool_)
    ends = np.cumsum(lengths)
    for numbers in of_box.values():
        if len(numbers) > 1:
            again[numbers] = _repeated([_ring(vertices[ends[k] - lengths[k] : ends[k]]) for k in numbers])
    return again


def count_crossings(
    vertices: Floats, lengths: Whole, planes: Whole, shape: tuple[int, int], counts: Whole | None = None
) -> int:
    """How many pairs of contours in one plane share some voxels, while each has others of its own.

    Of very many pairs only the first are compared: what is said of them is that they are there.

    Parameters
    ----------
    vertices : (n, 2), index coordinates x, y
    shape : (rows, columns) of the slices
    counts : (contours,), voxels inside each; None counts them here
    """
    if not len(planes) or len(np.unique(planes)) == len(planes):
        return 0
    firsts = np.cumsum(lengths) - lengths
    size = np.array([shape[1], shape[0]])
    low = np.maximum(np.ceil(np.minimum.reduceat(vertices, firsts)), 0)
    high = np.minimum(np.floor(np.maximum.reduceat(vertices, firsts)), size - 1)
    pairs = np.array(list(islice(_neighbours(planes, low, high), MOST_PAIRS)), dtype=np.int64).reshape(-1, 2)
    inner, outer = (np.minimum, np.maximum) if counts is None else (np.maximum, np.minimum)
    lowest, highest = inner(low[pairs[:, 0]], low[pairs[:, 1]]), outer(high[pairs[:, 0]], high[pairs[:, 1]])
    found = 0
    sizes = np.prod(highest - lowest + 1, axis=1)
    few = slice(int(np.searchsorted(np.cumsum(sizes), MOST_VOXELS)) + 1)
    pairs, lowest, highest = pairs[few], lowest[few], highest[few]
    at_once = max(1, int(VOXELS_AT_ONCE / float(sizes.max(initial=1))))
    for k in range(0, len(pairs), at_once):
        part = slice(k, k + at_once)
        sums, both = _overlaps(vertices, lengths, firsts, pairs[part], lowest[part], highest[part])
        alone = (sums if counts is None else counts[pairs[part]]).min(axis=1)
        found += int(np.count_nonzero((both > 0) & (both < alone)))
    return found


def _overlaps(
    vertices: Floats, lengths: Whole, firsts: Whole, pairs: Whole, lowest: Floats, highest: Floats
) -> tuple[Whole, Whole]:
    """Voxels of both contours of each pair (pairs, 2) within a box of its own, and those that both hold (pairs,)."""
    columns, rows = (highest - lowest + 1).max(axis=0).astype(int).tolist()
    of_one = lengths[pairs.reshape(-1)]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(of_one)])
    picked = np.arange(starts[-1]) + np.repeat(firsts[pairs.reshape(-1)] - starts[:-1], of_one)
    moved = vertices[picked] - np.repeat(np.repeat(lowest, 2, axis=0), of_one, axis=0)
    out = np.zeros((2, len(pairs), rows, columns), dtype=np.bool_)
    planes, layers = np.repeat(np.arange(len(pairs)), 2), np.tile(np.arange(2), len(pairs))
    fill_regions(moved, starts, planes, layers, out)
    sizes = highest - lowest + 1
    of_box = (np.arange(rows) < sizes[:, 1:])[:, :, None] & (np.arange(columns) < sizes[:, :1])[:, None]
    out &= of_box  # the boxes of other pairs may be larger, and this one's end at the edge of the image
    return np.count_nonzero(out, axis=(2, 3)).T, np.count_nonzero(out[0] & out[1], axis=(1, 2))


def _neighbours(planes: Whole, low: Floats, high: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of one plane whose boxes have voxels in common."""
    order = np.argsort(planes, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(planes[order])) + 1):
        for number, one in enumerate(group[:-1].tolist(), start=1):
            others = group[number:]
            meet = (np.maximum(low[one], low[others]) <= np.minimum(high[one], high[others])).all(axis=1)
            yield from ((one, other) for other in others[meet].tolist())


def _ring(vertices: Floats) -> Whole:
    """In steps of what counts as equal, without the last vertex where it is the first one again."""
    ring = np.rint(vertices / SAME_VERTEX).astype(np.int64)
    return ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring


def _repeated(rings: list[Whole]) -> list[bool]:
    """Whether an earlier ring is the same: only those of the same vertices, whatever their order, are compared."""
    known: dict[bytes, list[Whole]] = {}
    again = []
    for ring in rings:
        earlier = known.setdefault(ring[np.lexsort(ring.T)].tobytes(), [])
        again.append(any(_is_same_ring(ring, other) for other in earlier))
        if not again[-1] and len(earlier) < MOST_ORDERS:
            earlier.append(ring)
    return again


def _is_same_ring(one: Whole, other: Whole) -> bool:
    if len(one) != len(other):
        return False
    for turned in (other, other[::-1]):
        for start in np.flatnonzero((turned == one[0]).all(axis=1)).tolist():
            if np.array_equal(np.roll(turned, -start, axis=0), one):
                return True
    return False
