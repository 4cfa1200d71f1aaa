"""Exact percentiles of 32-bit numbers: two histograms, no sort and no copy.

Each number becomes an unsigned key of 32 bits in the same order (the sign bit flipped; of negative floats, all bits).
The first histogram counts the upper 16 bits of the keys and says in which bin a rank lies; the second counts the
lower 16 bits of the numbers in those bins.
"""

from collections.abc import Callable, Sequence
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Bits = NDArray[np.uint32]
Chosen = NDArray[np.bool_]
Counts = NDArray[np.int64]

HALF = 1 << 16
_BINS_AT_ONCE = 8
"""Bins that are looked into in one pass: their tables are 4 MB per thread."""
_FLOAT, _SIGNED, _UNSIGNED = 0, 1, 2


def ranked_values(
    flat: NDArray[Any], chosen: Chosen, q: Sequence[float], *, nonzero: bool = False, parts: int = 1
) -> list[float]:
    """Percentiles `q` (0 to 100) of what counts, as `numpy.percentile` computes them in float64; nan of nothing.

    Parameters
    ----------
    flat : one-dimensional, float32, int32 or uint32; nan and infinite ones do not count
    chosen : which count; empty: all
    nonzero : leave out what is exactly 0
    parts : how many threads count
    """
    kind = {"f": _FLOAT, "i": _SIGNED, "u": _UNSIGNED}[flat.dtype.kind]
    bits = flat.view(np.uint32)
    upper = np.zeros((parts, HALF), dtype=np.int64)
    count_upper = _count_upper_parallel if parts > 1 else _count_upper
    count_upper(bits, chosen, nonzero, kind, upper)
    cumulated = np.cumsum(upper.sum(axis=0))
    count = int(cumulated[-1])
    if count == 0:
        return [float("nan")] * len(q)
    positions = [(count - 1) * (each / 100) for each in q]
    ranks = sorted({min(floor(position) + above, count - 1) for position in positions for above in (0, 1)})
    values = dict(zip(ranks, _at_ranks(bits, chosen, nonzero, kind, cumulated, ranks, parts), strict=True))
    return [_between(values, position, count) for position in positions]


def _between(values: dict[int, float], position: float, count: int) -> float:
    """Linear between two ranks, from the nearer one, which is how NumPy rounds."""
    rank = min(floor(position), count - 1)
    low, high, share = values[rank], values[min(rank + 1, count - 1)], position - rank
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def _at_ranks(
    bits: Bits, chosen: Chosen, nonzero: bool, kind: int, cumulated: Counts, ranks: Sequence[int], parts: int
) -> list[float]:
    bins = np.searchsorted(cumulated, ranks, side="right")
    wanted = np.unique(bins)
    keys = np.empty(len(ranks), dtype=np.uint32)
    count_lower = _count_lower_parallel if parts > 1 else _count_lower
    for start in range(0, len(wanted), _BINS_AT_ONCE):
        taken = wanted[start : start + _BINS_AT_ONCE]
        slots = np.full(HALF, -1, dtype=np.int8)
        slots[taken] = np.arange(len(taken))
        lower = np.zeros((parts, len(taken), HALF), dtype=np.int64)
        count_lower(bits, chosen, nonzero, kind, slots, lower)
        inside = np.cumsum(lower.sum(axis=0), axis=1)
        for number, (rank, upper) in enumerate(zip(ranks, bins.tolist(), strict=True)):
            if slots[upper] >= 0:
                before = int(cumulated[upper - 1]) if upper else 0
                lower_half = np.searchsorted(inside[slots[upper]], rank - before, side="right")
                keys[number] = (upper << 16) | int(lower_half)
    return _values(keys, kind)


def _values(keys: Bits, kind: int) -> list[float]:
    """Keys back to numbers."""
    if kind == _UNSIGNED:
        return keys.astype(np.float64).tolist()
    top = np.uint32(1 << 31)
    if kind == _SIGNED:
        return (keys ^ top).view(np.int32).astype(np.float64).tolist()
    return np.where(keys & top, keys ^ top, ~keys).view(np.float32).astype(np.float64).tolist()


@kernel
def _key(bits: np.uint32, kind: int) -> np.uint32:
    """Unsigned, in the order of the numbers."""
    if kind == 2:
        return bits
    if kind == 0 and bits >> np.uint32(31):
        return bits ^ np.uint32(0xFFFFFFFF)
    return bits ^ np.uint32(0x80000000)


@kernel
def _counts(i: int, bits: np.uint32, chosen: Chosen, nonzero: bool, kind: int) -> bool:
    """Whether a number counts."""
    if len(chosen) and not chosen[i]:
        return False
    if kind == 0:
        size = bits & np.uint32(0x7FFFFFFF)
        return bool(size < np.uint32(0x7F800000) and not (nonzero and size == 0))
    return not (nonzero and bits == 0)


def _count_upper_body(bits: Bits, chosen: Chosen, nonzero: bool, kind: int, bins: Counts) -> None:
    """(parts, 65536): how often each upper half of a key occurs, to be added over the parts."""
    parts = len(bins)
    for part in prange(parts):
        for i in range(len(bits) * part // parts, len(bits) * (part + 1) // parts):
            if _counts(i, bits[i], chosen, nonzero, kind):
                bins[part, _key(bits[i], kind) >> np.uint32(16)] += 1


def _count_lower_body(
    bits: Bits, chosen: Chosen, nonzero: bool, kind: int, slots: NDArray[np.int8], bins: Counts
) -> None:
    """(parts, bins looked into, 65536): the lower halves of the keys in those bins."""
    parts = len(bins)
    for part in prange(parts):
        for i in range(len(bits) * part // parts, len(bits) * (part + 1) // parts):
            key = _key(bits[i], kind)
            slot = slots[key >> np.uint32(16)]
            if slot >= 0 and _counts(i, bits[i], chosen, nonzero, kind):
                bins[part, slot, key & np.uint32(0xFFFF)] += 1


Loop = Callable[..., None]
_count_upper: Loop = kernel(_count_upper_body)
_count_upper_parallel: Loop = parallel_kernel(_count_upper_body)
_count_lower: Loop = kernel(_count_lower_body)
_count_lower_parallel: Loop = parallel_kernel(_count_lower_body)
