r"""Where voxels are taken from within a volume and beyond its border.

Along an axis of n voxels the volume covers ``-0.5 <= index < n - 0.5``. Within half a voxel of the border the edge
voxel is continued; beyond it come, by the kind of `Border`, the edge voxel, a constant, or the volume mirrored at the
outer faces of its edge voxels::

    reflect      d c b a | a b c d | d c b a
"""

from math import floor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel

Border = Literal["edge", "constant", "reflect"]
Indices = NDArray[np.int64]
Voxels = NDArray[Any]

BORDERS = {"edge": 0, "constant": 1, "reflect": 2}


def border_code(border: Border) -> int:
    """What kernels know it by: 0 edge, 1 constant, 2 reflect."""
    return BORDERS[border]


class AxisTable(NamedTuple):
    """Where each output voxel of one axis takes its value from."""

    below: Indices
    """Lower neighbour; the upper one is the next voxel, or the same at the end."""
    weight: NDArray[np.float64]
    """Share of the upper neighbour, 0 to 1."""
    nearest: Indices
    inside: tuple[int, int]
    """First and one past the last output voxel that lies within the source; all where the border is continued."""


def axis_tables(
    source: tuple[int, ...],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: tuple[int, ...],
    border: Border,
) -> list[AxisTable]:
    """Tables of the three axes under a diagonal matrix."""
    maps = zip(source, offset, matrix.diagonal(), shape, strict=True)
    return [_axis_table(n, start + step * np.arange(count, dtype=np.float64), border) for n, start, step, count in maps]


def _axis_table(n: int, index: NDArray[np.float64], border: Border) -> AxisTable:
    placed = within(n, index, border)
    clamped = np.clip(placed, 0, n - 1)
    below = np.minimum(np.floor(clamped), max(n - 2, 0)).astype(np.int64)
    nearest = np.clip(np.floor(placed + 0.5), 0, n - 1).astype(np.int64)
    return AxisTable(below, clamped - below, nearest, columns_inside(n, index, border))


def within(n: int, index: NDArray[np.float64], border: Border) -> NDArray[np.float64]:
    """Indices mirrored into -0.5 to n - 0.5 where the border reflects; else as they are."""
    if border != "reflect":
        return index
    turned = np.mod(index + 0.5, 2 * n)
    beyond = (index < -0.5) | (index > n - 0.5)  # the others stay, to the last bit
    return np.where(beyond, np.minimum(turned, 2 * n - turned) - 0.5, index)


def columns_inside(n: int, index: NDArray[np.float64], border: Border) -> tuple[int, int]:
    """First and one past the last index that is not the constant's."""
    if border != "constant":
        return 0, len(index)
    within = np.flatnonzero((index >= -0.5) & (index < n - 0.5))
    return (int(within[0]), int(within[-1]) + 1) if len(within) else (0, 0)


def voxels_clamped(index: Indices, n: int) -> Indices:
    """The edge voxel beyond the edge."""
    return np.clip(index, 0, n - 1)


def voxels_reflected(index: Indices, n: int) -> Indices:
    """Mirrored at the outer faces of the edge voxels."""
    turned = np.mod(index, 2 * n)
    result: Indices = np.minimum(turned, 2 * n - 1 - turned)
    return result


@kernel
def is_inside(z: float, y: float, x: float, source: Voxels) -> bool:
    """Whether an index lies within the voxels of the source."""
    return -0.5 <= z < source.shape[0] - 0.5 and -0.5 <= y < source.shape[1] - 0.5 and -0.5 <= x < source.shape[2] - 0.5


@kernel
def folded(index: float, n: int) -> float:
    """Mirrored into -0.5 to n - 0.5 at the outer faces of the edge voxels."""
    if -0.5 <= index <= n - 0.5:
        return index
    turned = (index + 0.5) % (2.0 * n)
    return min(turned, 2.0 * n - turned) - 0.5


@kernel
def nearest_index(index: float, n: int) -> int:
    """floor(index + 0.5), within 0..n-1."""
    return min(max(floor(index + 0.5), 0), n - 1)


@kernel
def split_index(index: float, n: int) -> tuple[int, int, float]:
    """Lower neighbour, upper neighbour and weight of the upper one, all within 0..n-1."""
    clamped = min(max(index, 0.0), n - 1.0)
    below = floor(clamped)
    return below, min(below + 1, n - 1), clamped - below
