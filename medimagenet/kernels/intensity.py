"""Intensities: clip, shift and scale in one pass; statistics and exact percentiles.

Statistics leave out voxels that are nan or infinite and say how many there were. Which voxels count is said by
``nonzero`` (those that are not exactly 0, the foreground of a masked MR) and by a mask; both together mean both.
"""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Voxels = NDArray[Any]

BLOCK = 4096
"""Voxels that are summed on their own before their sum joins the others: keeps the error of 10^9 voxels near 1e-13."""


class Statistics(NamedTuple):
    """What the voxels that count are like; nan where there are none."""

    voxels: int
    """How many count."""
    not_finite: int
    """Voxels left out because they are nan or infinite."""
    minimum: float
    maximum: float
    mean: float
    std: float
    """Of the population: divided by the number of voxels."""


def normalize_into(
    out: NDArray[np.float32],
    source: Voxels,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    subtract: float = 0.0,
    divide: float = 1.0,
    parallel: bool = False,
) -> None:
    """Write ``(clip(source, low, high) - subtract) / divide`` into `out`, reading and writing every voxel once.

    Parameters
    ----------
    out : float32, C-contiguous
        Of the shape of `source`; may be `source` itself. Computed in float32; nan stays nan.
    source : any real type
    low, high, subtract, divide : as in `medimagenet.volume.Normalization`
    parallel : use all threads of numba

    Raises
    ------
    ValueError
        `out` is not float32, not C-contiguous, or of another shape than `source`.
    """
    if out.dtype != np.float32 or not out.flags.c_contiguous or out.shape != source.shape:
        raise ValueError(
            f"out must be C-contiguous float32 of shape {source.shape}, got {out.dtype} {out.shape} "
            f"with strides {out.strides}"
        )
    constants = (np.float32(low), np.float32(high), np.float32(subtract), np.float32(divide))
    normalize = _normalize_parallel if parallel else _normalize
    normalize(out.reshape(-1), np.ascontiguousarray(source).reshape(-1), *constants)


def statistics(voxels: Voxels, *, mask: NDArray[np.bool_] | None = None, nonzero: bool = False) -> Statistics:
    """Count, range, mean and standard deviation.

    For whole numbers of at most 16 bits the sums are exact; others are summed in float64 around the mean.

    Raises
    ------
    ValueError
        The mask is of another shape.
    """
    flat, chosen = _flat(voxels, mask)
    return _integer_statistics(flat, chosen, nonzero) if _is_small_integer(flat) else _statistics(flat, chosen, nonzero)


def percentiles(
    voxels: Voxels, q: Sequence[float], *, mask: NDArray[np.bool_] | None = None, nonzero: bool = False
) -> list[float]:
    """Percentiles `q` (0 to 100), exact, linear between neighbours as `numpy.percentile`; nan where nothing counts.

    Whole numbers of at most 16 bits go through a histogram, which sorts nothing and copies nothing.

    Raises
    ------
    ValueError
        The mask is of another shape, or a percentile is not within 0 to 100.
    """
    if not all(0 <= each <= 100 for each in q):
        raise ValueError(f"percentiles must be within 0 to 100, got {list(q)}")
    flat, chosen = _flat(voxels, mask)
    if _is_small_integer(flat):
        lowest = int(np.iinfo(flat.dtype).min)
        bins = np.zeros(1 << (8 * flat.dtype.itemsize), dtype=np.int64)
        _count_values(flat, chosen, nonzero, lowest, bins)
        return _histogram_percentiles(np.cumsum(bins), lowest, q)
    keep = np.isfinite(flat)
    keep &= chosen if len(chosen) else True
    keep &= flat != 0 if nonzero else True
    taken = flat[keep].astype(np.float64)
    return np.percentile(taken, q).tolist() if len(taken) else [float("nan")] * len(q)


def count_not_finite(voxels: Voxels) -> int:
    """Number of voxels that are nan or infinite."""
    if voxels.dtype.kind != "f":
        return 0
    return int(_count_not_finite(np.ascontiguousarray(voxels).reshape(-1)))


_NOTHING = Statistics(0, 0, float("nan"), float("nan"), float("nan"), float("nan"))
_EVERYTHING = np.zeros(0, dtype=np.bool_)


def _flat(voxels: Voxels, mask: NDArray[np.bool_] | None) -> tuple[Voxels, NDArray[np.bool_]]:
    """Both in one dimension; an empty mask stands for none."""
    if mask is not None and mask.shape != voxels.shape:
        raise ValueError(f"mask {mask.shape} must have the shape of the voxels {voxels.shape}")
    flat = np.ascontiguousarray(voxels).reshape(-1)
    flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
    return flat, _EVERYTHING if mask is None else np.ascontiguousarray(mask, dtype=np.bool_).reshape(-1)


def _is_small_integer(flat: Voxels) -> bool:
    return flat.dtype.kind in "ui" and flat.dtype.itemsize <= 2


def _integer_statistics(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool) -> Statistics:
    sums = _integer_sums(flat, chosen, nonzero)
    count, total, squares, low, high = (int(value) for value in sums)
    if count == 0:
        return _NOTHING
    variance = count * squares - total**2  # times count², in Python's integers: no overflow and no cancellation
    return Statistics(count, 0, float(low), float(high), total / count, sqrt(variance) / count)


def _statistics(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool) -> Statistics:
    count, not_finite, total, low, high = _float_sums(flat, chosen, nonzero)
    if count == 0:
        return _NOTHING._replace(not_finite=int(not_finite))
    mean = float(total / count)
    std = sqrt(_squared_deviations(flat, chosen, nonzero, mean) / count)
    return Statistics(int(count), int(not_finite), float(low), float(high), mean, std)


def _histogram_percentiles(cumulated: NDArray[np.int64], lowest: int, q: Sequence[float]) -> list[float]:
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


def _normalize_body(
    out: NDArray[np.float32],
    source: Voxels,
    low: np.float32,
    high: np.float32,
    subtract: np.float32,
    divide: np.float32,
) -> None:
    """One pass; comparisons are written so that nan falls through them."""
    for i in prange(len(source)):
        value = np.float32(source[i])
        value = low if value < low else value
        value = high if value > high else value
        out[i] = (value - subtract) / divide


@kernel
def _counts(i: int, value: Any, chosen: NDArray[np.bool_], nonzero: bool) -> bool:
    """Whether voxel i is among those asked for."""
    return (len(chosen) == 0 or chosen[i]) and not (nonzero and value == 0)


@kernel
def _integer_sums(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool) -> tuple[np.int64, ...]:
    """Count, sum, sum of squares, minimum, maximum: exact up to 2^31 voxels of 16 bits."""
    count, total, squares = np.int64(0), np.int64(0), np.int64(0)
    low, high = np.int64(1 << 31), np.int64(-(1 << 31))
    if len(chosen) == 0 and not nonzero:  # without a choice in it the compiler turns the loop into vectors
        for i in range(len(flat)):
            value = np.int64(flat[i])
            total += value
            squares += value * value
            low, high = min(low, value), max(high, value)
        return np.int64(len(flat)), total, squares, low, high
    for i in range(len(flat)):
        value = np.int64(flat[i])
        if _counts(i, value, chosen, nonzero):
            count += 1
            total += value
            squares += value * value
            low, high = min(low, value), max(high, value)
    return count, total, squares, low, high


@kernel
def _finite_or(value: float, other: float) -> float:
    """The value, or `other` in place of nan and infinity: their difference from themselves is nan."""
    return value if value - value == 0 else other


@kernel
def _four_sums(voxels: Voxels) -> tuple[float, float, float, float]:
    """Sum of each of four blocks in its order; side by side, so that no addition waits for the one before."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(BLOCK):
        a += _finite_or(np.float64(voxels[i]), 0.0)
        b += _finite_or(np.float64(voxels[i + BLOCK]), 0.0)
        c += _finite_or(np.float64(voxels[i + 2 * BLOCK]), 0.0)
        d += _finite_or(np.float64(voxels[i + 3 * BLOCK]), 0.0)
    return a, b, c, d


@kernel
def _four_squares(voxels: Voxels, mean: float) -> tuple[float, float, float, float]:
    """As `_four_sums`, of the squared distances from the mean."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(BLOCK):
        a += (_finite_or(np.float64(voxels[i]), mean) - mean) ** 2
        b += (_finite_or(np.float64(voxels[i + BLOCK]), mean) - mean) ** 2
        c += (_finite_or(np.float64(voxels[i + 2 * BLOCK]), mean) - mean) ** 2
        d += (_finite_or(np.float64(voxels[i + 3 * BLOCK]), mean) - mean) ** 2
    return a, b, c, d


@kernel
def _range(voxels: Voxels) -> tuple[float, float]:
    """Lowest and highest finite value of n x 64 voxels: 64 side by side."""
    low, high = np.full(64, np.inf), np.full(64, -np.inf)
    for start in range(0, len(voxels), 64):
        for lane in range(64):
            value = np.float64(voxels[start + lane])
            least, most = _finite_or(value, np.inf), _finite_or(value, -np.inf)
            low[lane] = least if least < low[lane] else low[lane]
            high[lane] = most if most > high[lane] else high[lane]
    return low.min(), high.max()


@kernel
def _float_sums(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool) -> tuple[int, int, float, float, float]:
    """Count, how many are not finite, sum, minimum, maximum."""
    count, not_finite, total, begin = 0, 0, 0.0, 0
    low, high = np.inf, -np.inf
    if len(chosen) == 0 and not nonzero:
        begin = len(flat) // (4 * BLOCK) * 4 * BLOCK
        count = begin - _count_not_finite(flat[:begin])
        not_finite = begin - count
        low, high = _range(flat[:begin])
        for start in range(0, begin, 4 * BLOCK):
            for part in _four_sums(flat[start : start + 4 * BLOCK]):
                total += part
    for start in range(begin, len(flat), BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, len(flat))):
            value = np.float64(flat[i])
            if _counts(i, value, chosen, nonzero):
                if np.isfinite(value):
                    count += 1
                    part += value
                    low, high = min(low, value), max(high, value)
                else:
                    not_finite += 1
        total += part
    return count, not_finite, total, low, high


@kernel
def _squared_deviations(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool, mean: float) -> float:
    """Sum of the squared distances from the mean."""
    total, begin = 0.0, 0
    if len(chosen) == 0 and not nonzero:
        begin = len(flat) // (4 * BLOCK) * 4 * BLOCK
        for start in range(0, begin, 4 * BLOCK):
            for part in _four_squares(flat[start : start + 4 * BLOCK], mean):
                total += part
    for start in range(begin, len(flat), BLOCK):
        part = 0.0
        for i in range(start, min(start + BLOCK, len(flat))):
            value = np.float64(flat[i])
            if _counts(i, value, chosen, nonzero) and np.isfinite(value):
                part += (value - mean) * (value - mean)
        total += part
    return total


@kernel
def _count_values(flat: Voxels, chosen: NDArray[np.bool_], nonzero: bool, lowest: int, bins: NDArray[np.int64]) -> None:
    """Histogram with one bin per value."""
    for i in range(len(flat)):
        value = np.int64(flat[i])
        if _counts(i, value, chosen, nonzero):
            bins[value - lowest] += 1


@kernel
def _count_not_finite(flat: Voxels) -> int:
    """Number of nan and infinite values."""
    count = 0
    for i in range(len(flat)):
        count += not np.isfinite(flat[i])
    return count


_normalize: Callable[..., None] = kernel(_normalize_body)
_normalize_parallel: Callable[..., None] = parallel_kernel(_normalize_body)
