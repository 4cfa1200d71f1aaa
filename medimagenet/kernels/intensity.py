"""Intensities: clip, shift and scale in one pass; statistics and exact percentiles.

Statistics leave out voxels that are nan or infinite and say how many there were. Which voxels count is said by
``nonzero`` (those that are not exactly 0, the foreground of a masked MR) and by a mask; both together mean both.
"""

from collections.abc import Callable, Sequence
from math import fsum, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._blocks import finite_squares, finite_sums, integer_sums, normalize_past_caches
from ._jit import fence, kernel, parallel_kernel, prange, threads
from ._vectors import LANES, block_squares, block_sums
from .histogram import counts_at, percentiles_of_counts, value_counts
from .ranks import ranked_values

Voxels = NDArray[Any]
Chosen = NDArray[np.bool_]

BLOCK = 4096
"""Voxels that are summed on their own before their sum joins the others: keeps the error of 10^9 voxels near 1e-13."""
_GROUP = 64
"""Blocks per step of a parallel loop."""
_STREAMED_BYTES = 1 << 24
"""Results of this size leave the caches in any case: writing past them takes three quarters of the time."""


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
    flat, target = np.ascontiguousarray(source).reshape(-1), out.reshape(-1)
    if out.nbytes < _STREAMED_BYTES or np.may_share_memory(out, source):
        normalize = _normalize_parallel if parallel else _normalize
        normalize(target, flat, *constants)
        return
    head = -(out.ctypes.data // 4) % LANES
    tail = (len(target) - head) // LANES * LANES + head
    normalize_past = _normalize_past_caches_parallel if parallel else _normalize_past_caches
    normalize_past(target.ctypes.data + 4 * head, flat[head:tail], *constants)
    for few in (slice(0, head), slice(tail, None)):
        _normalize(target[few], flat[few], *constants)


def statistics(
    voxels: Voxels, *, mask: Chosen | None = None, nonzero: bool = False, parallel: bool = False
) -> Statistics:
    """Count, range, mean and standard deviation; the same with and without `parallel` (all threads of numba).

    For whole numbers of at most 16 bits the sums are exact. Others are summed in float64, block by block, squares
    around the mean of their block.

    Raises
    ------
    ValueError
        The mask is of another shape.
    """
    flat, chosen = _flat(voxels, mask)
    if _is_small_integer(flat):
        return _integer_statistics(flat, chosen, nonzero, parallel)
    return _statistics(flat, chosen, nonzero, parallel)


def percentiles(
    voxels: Voxels,
    q: Sequence[float],
    *,
    mask: Chosen | None = None,
    nonzero: bool = False,
    parallel: bool = False,
) -> list[float]:
    """Percentiles `q` (0 to 100), exact, linear between neighbours as `numpy.percentile`; nan where nothing counts.

    Numbers of 16 bits go through one histogram, of 32 bits through two, which sort nothing and copy nothing; others
    are sorted. `parallel`: on all threads of numba.

    Raises
    ------
    ValueError
        The mask is of another shape, or a percentile is not within 0 to 100.
    """
    if not all(0 <= each <= 100 for each in q):
        raise ValueError(f"percentiles must be within 0 to 100, got {list(q)}")
    flat, chosen = _flat(voxels, mask)
    parts = threads() if parallel else 1
    if _is_small_integer(flat):
        bins = value_counts(flat, chosen, nonzero=nonzero, parts=parts)
        return percentiles_of_counts(bins, int(np.iinfo(flat.dtype).min), q)
    if flat.dtype.itemsize == 4:
        return ranked_values(flat, chosen, q, nonzero=nonzero, parts=parts)
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
_EVERYTHING: Chosen = np.zeros(0, dtype=np.bool_)


def _flat(voxels: Voxels, mask: Chosen | None) -> tuple[Voxels, Chosen]:
    """Both in one dimension; an empty mask stands for none."""
    if mask is not None and mask.shape != voxels.shape:
        raise ValueError(f"mask {mask.shape} must have the shape of the voxels {voxels.shape}")
    flat = np.ascontiguousarray(voxels).reshape(-1)
    flat = flat.view(np.uint8) if flat.dtype == np.bool_ else flat
    return flat, _EVERYTHING if mask is None else np.ascontiguousarray(mask, dtype=np.bool_).reshape(-1)


def _is_small_integer(flat: Voxels) -> bool:
    return flat.dtype.kind in "ui" and flat.dtype.itemsize <= 2


def _integer_statistics(flat: Voxels, chosen: Chosen, nonzero: bool, parallel: bool) -> Statistics:
    steps = max(-(-len(flat) // (BLOCK * _GROUP)), 1)
    sums = np.empty((steps, 5), dtype=np.int64)
    integer_sums = _integer_sums_parallel if parallel else _integer_sums
    integer_sums(flat, chosen, nonzero, sums)
    count, total, squares = (int(sums[:, column].sum()) for column in range(3))
    if count == 0:
        return _NOTHING
    variance = count * squares - total**2  # times count², in Python's integers: no overflow and no cancellation
    low, high = float(sums[:, 3].min()), float(sums[:, 4].max())
    return Statistics(count, 0, low, high, total / count, sqrt(variance) / count)


def _statistics(flat: Voxels, chosen: Chosen, nonzero: bool, parallel: bool) -> Statistics:
    whole = len(flat) // BLOCK
    table = np.empty((whole + 1, 6))
    fill = _fill_table_parallel if parallel else _fill_table
    fill(flat, chosen, nonzero, table[:whole])
    _fill_table(*_padded(flat[whole * BLOCK :], chosen[whole * BLOCK :]), nonzero, table[whole:])
    counts, not_finite, low, high = table[:, 0], int(table[:, 1].sum()), table[:, 3].min(), table[:, 4].max()
    count = int(counts.sum())
    if count == 0:
        return _NOTHING._replace(not_finite=not_finite)
    mean = fsum(table[:, 2]) / count
    filled = counts > 0
    apart = counts[filled] * (table[filled, 2] / counts[filled] - mean) ** 2  # of each block's mean from that of all
    std = sqrt((fsum(table[:, 5]) + fsum(apart)) / count)
    return Statistics(count, not_finite, float(low), float(high), mean, std)


def _padded(rest: Voxels, chosen: Chosen) -> tuple[Voxels, Chosen]:
    """What is left after the last whole block, as a block: what is added does not count."""
    block, counts = np.zeros(BLOCK, rest.dtype), np.zeros(BLOCK, np.bool_)
    block[: len(rest)] = rest
    counts[: len(rest)] = chosen if len(chosen) else True
    return block, counts


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


def _normalize_past_caches_body(
    address: int, source: Voxels, low: np.float32, high: np.float32, subtract: np.float32, divide: np.float32
) -> None:
    """As `_normalize_body`, for a multiple of `LANES`, into memory that begins at a multiple of 64."""
    size = BLOCK * _GROUP
    for group in prange((len(source) + size - 1) // size):
        start = group * size
        count = min(size, len(source) - start)
        normalize_past_caches(source, start, count, address + 4 * start, low, high, subtract, divide)
        fence()


def _integer_sums_body(flat: Voxels, chosen: Chosen, nonzero: bool, sums: NDArray[np.int64]) -> None:
    """Per group of blocks: count, sum, sum of squares, minimum, maximum. Exact up to 2^31 voxels of 16 bits."""
    for group in prange(len(sums)):
        first, stop = group * BLOCK * _GROUP, min((group + 1) * BLOCK * _GROUP, len(flat))
        count, total, squares = np.int64(0), np.int64(0), np.int64(0)
        low, high = np.int64(1 << 31), np.int64(-(1 << 31))
        if len(chosen) == 0 and not nonzero:
            count = np.int64(stop - first)
            whole = first + (stop - first) // BLOCK * BLOCK
            for start in range(first, whole, BLOCK):
                part_total, part_squares, least, most = integer_sums(flat, start, BLOCK)
                total, squares = total + part_total, squares + part_squares
                low, high = min(low, np.int64(least)), max(high, np.int64(most))
            for i in range(whole, stop):
                value = np.int64(flat[i])
                total += value
                squares += value * value
                low, high = min(low, value), max(high, value)
        else:
            for i in range(first, stop):
                value = np.int64(flat[i])
                keep = counts_at(i, value, chosen, nonzero)
                count += np.int64(keep)
                part = value if keep else np.int64(0)  # no branch: half the voxels of a mask are hard to foresee
                total += part
                squares += part * part
                low, high = min(low, value if keep else low), max(high, value if keep else high)
        sums[group, 0], sums[group, 1], sums[group, 2], sums[group, 3], sums[group, 4] = (
            count,
            total,
            squares,
            low,
            high,
        )


def _fill_table_body(flat: Voxels, chosen: Chosen, nonzero: bool, table: NDArray[np.float64]) -> None:
    """Per block: how many count, how many are not finite, sum, minimum, maximum, squares around the block's mean."""
    for group in prange((len(table) + _GROUP - 1) // _GROUP):
        for block in range(group * _GROUP, min((group + 1) * _GROUP, len(table))):
            start = block * BLOCK
            if len(chosen) == 0 and not nonzero:
                total, low, high = finite_sums(flat, start, BLOCK)
                if np.isfinite(total):
                    table[block, 0], table[block, 1], table[block, 2] = BLOCK, 0, total
                    table[block, 3], table[block, 4] = low, high
                    table[block, 5] = finite_squares(flat, start, BLOCK, total / BLOCK)
                    continue
            if len(chosen) == 0:
                count, broken, total, low, high = _sums(flat, chosen, start, BLOCK, nonzero)
                squares = _squares(flat, chosen, start, BLOCK, nonzero, total / max(count, 1))
            else:
                count, broken, total, low, high = _chosen_sums(flat, chosen, start, BLOCK, nonzero)
                squares = _chosen_squares(flat, chosen, start, BLOCK, nonzero, total / max(count, 1))
            table[block, 0], table[block, 1], table[block, 2] = count, broken, total
            table[block, 3], table[block, 4], table[block, 5] = low, high, squares


@kernel
def _count_not_finite(flat: Voxels) -> int:
    """Number of nan and infinite values."""
    count = 0
    for i in range(len(flat)):
        count += not np.isfinite(flat[i])
    return count


_sums, _chosen_sums = block_sums(is_masked=False), block_sums(is_masked=True)
_squares, _chosen_squares = block_squares(is_masked=False), block_squares(is_masked=True)

Loop = Callable[..., None]
_normalize: Loop = kernel(_normalize_body)
_normalize_parallel: Loop = parallel_kernel(_normalize_body)
_normalize_past_caches: Loop = kernel(_normalize_past_caches_body)
_normalize_past_caches_parallel: Loop = parallel_kernel(_normalize_past_caches_body)
_integer_sums: Loop = kernel(_integer_sums_body)
_integer_sums_parallel: Loop = parallel_kernel(_integer_sums_body)
_fill_table: Loop = kernel(_fill_table_body)
_fill_table_parallel: Loop = parallel_kernel(_fill_table_body)
