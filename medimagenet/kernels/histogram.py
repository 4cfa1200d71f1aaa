"""Histograms of whole numbers of at most 16 bits, one bin per value: what exact percentiles of them need."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Voxels = NDArray[Any]
Chosen = NDArray[np.bool_]
Counts = NDArray[np.int64]
Table = NDArray[np.uint32]

_COUNTED = 1 << 31
"""Voxels that are counted in one table: its numbers have 32 bits, so that more of it stays in the caches."""
_FOUR = 4


def value_counts(flat: Voxels, chosen: Chosen, *, nonzero: bool = False, parts: int = 1) -> Counts:
    """How often each value of an integer type of at most 16 bits occurs, the lowest first.

    Parameters
    ----------
    flat, chosen : one-dimensional; an empty `chosen` takes all
    parts : how many threads count
    """
    limits = np.iinfo(flat.dtype)
    size = int(limits.max) - int(limits.min) + 1
    parallel, parts = parts > 1, max(parts, -(-len(flat) // _COUNTED))
    if flat.dtype.itemsize == 2 and len(chosen) == 0 and not nonzero and flat.ctypes.data % 8 == 0:
        return _counted_in_fours(flat, parts, parallel)
    bins = np.zeros((parts, 2, size), dtype=np.uint32)
    count = _count_values_parallel if parallel else _count_values
    count(flat, chosen, nonzero, int(limits.min), bins)
    total: Counts = bins.sum(axis=(0, 1), dtype=np.int64)
    return total


def _counted_in_fours(flat: Voxels, parts: int, parallel: bool) -> Counts:
    """All of an aligned array of 16 bits."""
    whole = len(flat) // _FOUR * _FOUR
    bins = np.zeros((parts, _FOUR, 1 << 16), dtype=np.uint32)
    count = _count_fours_parallel if parallel else _count_fours
    count(flat[:whole].view(np.uint64), bins)
    total: Counts = bins.sum(axis=(0, 1), dtype=np.int64)
    np.add.at(total, flat[whole:].view(np.uint16), 1)
    return np.roll(total, 1 << 15) if flat.dtype.kind == "i" else total  # the negative ones first


def percentiles_of_counts(bins: Counts, lowest: int, q: Sequence[float]) -> list[float]:
    """Percentiles `q` (0 to 100) of what was counted, the first bin that of `lowest`; nan of nothing."""
    cumulated = np.cumsum(bins)
    count = int(cumulated[-1])
    if count == 0:
        return [float("nan")] * len(q)
    found = []
    for each in q:
        position = each / 100 * (count - 1)
        rank = int(position)
        low, high = np.searchsorted(cumulated, [rank, min(rank + 1, count - 1)], side="right")
        found.append(float(lowest + low + (position - rank) * (high - low)))
    return found


@kernel
def counts_at(i: int, value: Any, chosen: Chosen, nonzero: bool) -> bool:
    """Whether voxel i is among those asked for."""
    asked = not (nonzero and value == 0)
    return asked & chosen[i] if len(chosen) else asked


def _count_values_body(flat: Voxels, chosen: Chosen, nonzero: bool, lowest: int, bins: NDArray[np.uint32]) -> None:
    """Histograms with one bin per value: (parts, 2, values), to be added. Neighbours, which are often equal, go to
    two tables in turn: an addition would have to wait for the one before."""
    parts = len(bins)
    for part in prange(parts):
        first, stop = len(flat) * part // parts, len(flat) * (part + 1) // parts
        if len(chosen) == 0 and not nonzero:
            for i in range(first, stop - 1, 2):
                bins[part, 0, np.int64(flat[i]) - lowest] += np.uint32(1)
                bins[part, 1, np.int64(flat[i + 1]) - lowest] += np.uint32(1)
            if (stop - first) % 2:
                bins[part, 0, np.int64(flat[stop - 1]) - lowest] += np.uint32(1)
        else:
            for i in range(first, stop):
                value = np.int64(flat[i])
                if counts_at(i, value, chosen, nonzero):
                    bins[part, 0, value - lowest] += np.uint32(1)


def _count_fours_body(words: NDArray[np.uint64], bins: NDArray[np.uint32]) -> None:
    """(parts, 4, 65536): what `_count_in_tables` finds in each part of the words, to be added."""
    parts = len(bins)
    for part in prange(parts):
        first, stop = len(words) * part // parts, len(words) * (part + 1) // parts
        _count_in_tables(words[first:stop], bins[part, 0], bins[part, 1], bins[part, 2], bins[part, 3])


@kernel
def _count_in_tables(words: NDArray[np.uint64], first: Table, second: Table, third: Table, fourth: Table) -> None:
    """The first to the fourth 16 bits of each word, each in a table of its own.

    An addition has to wait for the one before it in the same bin, so neighbours, which are often equal, go to four
    tables; and a word like the one before (air is a sixth of a chest CT) is only counted.
    """
    held, times = np.uint64(0), np.uint32(0)
    for k in range(len(words)):
        word = words[k]
        if word == held:
            times += np.uint32(1)
        else:
            _add_word(held, times, first, second, third, fourth)
            held, times = word, np.uint32(1)
    _add_word(held, times, first, second, third, fourth)


@kernel
def _add_word(word: np.uint64, times: np.uint32, first: Table, second: Table, third: Table, fourth: Table) -> None:
    bits = np.uint64(0xFFFF)
    first[word & bits] += times
    second[word >> np.uint64(16) & bits] += times
    third[word >> np.uint64(32) & bits] += times
    fourth[word >> np.uint64(48)] += times


Loop = Callable[..., None]
_count_values: Loop = kernel(_count_values_body)
_count_values_parallel: Loop = parallel_kernel(_count_values_body)
_count_fours: Loop = kernel(_count_fours_body)
_count_fours_parallel: Loop = parallel_kernel(_count_fours_body)
