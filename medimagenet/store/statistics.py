"""What the voxels of an array are like, in numbers that travel with its row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.5)
"""Of the column `percentiles`. Those that nnU-Net (0.5, 99.5) and MONAI's scaling (1, 99) use are among them."""

_LARGEST_HISTOGRAM = 1 << 17
"""Values of up to 17 bits are counted, wider ones are sorted."""


def statistics(array: NDArray[Any]) -> dict[str, Any]:
    """Minimum, maximum, mean, standard deviation (of the population) and percentiles of the finite voxels.

    Percentiles are exact: linear between the two nearest voxels, as NumPy's default. Every figure of an array
    without a finite voxel is None.
    """
    if array.dtype.kind in "iu" and int(array.max()) - int(array.min()) < _LARGEST_HISTOGRAM:
        return _of_counts(*_histogram(array))
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        empty = dict.fromkeys(("min", "max", "mean", "std", "percentiles"))
        return {**empty, "not_finite": int(array.size)}
    values = finite.astype(np.float64)
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "std": float(values.std()),
        "percentiles": np.percentile(values, PERCENTILES).tolist(),
        "not_finite": int(array.size - finite.size),
    }


def _histogram(array: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values that occur, and how often."""
    low = int(array.min())
    counts = np.zeros(int(array.max()) - low + 1, dtype=np.int64)
    for plane in array.reshape(-1, array.shape[-2] * array.shape[-1]):  # bincount casts to int64: a slice at a time
        found = np.bincount(plane.astype(np.int64) - low)
        counts[: found.size] += found
    present = np.flatnonzero(counts)
    return (present + low).astype(np.float64), counts[present]


def _of_counts(values: NDArray[np.float64], counts: NDArray[np.int64]) -> dict[str, Any]:
    total = int(counts.sum())
    mean = float(values @ counts) / total
    variance = float((values - mean) ** 2 @ counts) / total
    ends = np.cumsum(counts)

    def at(rank: float) -> float:
        """The value at a rank of the sorted voxels; between two whole ranks, linear."""
        below = float(values[np.searchsorted(ends, np.floor(rank), side="right")])
        above = float(values[np.searchsorted(ends, np.ceil(rank), side="right")])
        return below + (above - below) * (rank - np.floor(rank))

    return {
        "min": float(values[0]),
        "max": float(values[-1]),
        "mean": mean,
        "std": variance**0.5,
        "percentiles": [float(at(p / 100 * (total - 1))) for p in PERCENTILES],
        "not_finite": 0,
    }
