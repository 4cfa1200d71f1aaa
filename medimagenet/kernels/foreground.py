"""Where the voxels of a class are: a fixed number of them, each with equal chance, the same for the same seed.

Class-balanced sampling then takes one lookup per patch, where others scan the label at each.
"""

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel


def foreground_points(
    labels: NDArray[np.uint8] | NDArray[np.bool_], limit: int = 10_000, *, value: int = 1, seed: int = 0
) -> NDArray[np.int32]:
    """Coordinates of at most `limit` voxels that have a value.

    Parameters
    ----------
    labels : (Z, Y, X)
        One channel of a mask (value 1), or a label map.
    limit
        Where there are more voxels, this many are drawn without replacement, each set with equal chance.
    value
        Which voxels are meant.
    seed
        The draw depends on it and on the number of voxels, on nothing else.

    Returns
    -------
    points : (n, 3), z, y, x, in C order

    Raises
    ------
    ValueError
        `labels` is not (Z, Y, X) of uint8 or bool, or `limit` is negative.
    """
    if labels.ndim != 3 or labels.dtype not in (np.dtype(np.uint8), np.dtype(np.bool_)):
        raise ValueError(f"labels must be (Z, Y, X) of uint8 or bool, got {labels.dtype} {labels.shape}")
    if limit < 0:
        raise ValueError(f"limit must not be negative, got {limit}")
    voxels = np.ascontiguousarray(labels).view(np.uint8)
    total = int(np.count_nonzero(voxels == value))
    points = np.empty((min(total, limit), 3), dtype=np.int32)
    _draw(voxels, value, total, seed & 0xFFFFFFFF, points)
    return points


@kernel
def _draw(labels: NDArray[np.uint8], value: int, left: int, seed: int, points: NDArray[np.int32]) -> None:
    """Selection sampling (Knuth, TAOCP 2, 3.4.2, algorithm S): of the `left` voxels still to come, each is taken with
    the chance that fills `points`. One pass, no memory, and the result is in order.

    Random numbers come from two multiply-with-carry generators (Marsaglia 1999) in plain 64-bit arithmetic, so that
    they are the same with and without compilation, on every machine, for ever.
    """
    first, second = seed ^ 362436069, (seed * 69069 + 521288629) & 0xFFFFFFFF
    wanted, taken = points.shape[0], 0
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                if labels[z, y, x] != value:
                    continue
                if taken == wanted:
                    return
                first = 36969 * (first & 65535) + (first >> 16)
                second = 18000 * (second & 65535) + (second >> 16)
                uniform = (((first << 16) + second) & 0xFFFFFFFF) / 4294967296.0
                if uniform * left < wanted - taken:
                    points[taken, 0], points[taken, 1], points[taken, 2] = z, y, x
                    taken += 1
                left -= 1
