"""Voxels of one grid on another one."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from ..kernels.resample import resample


def resample_onto(
    array: NDArray[Any],
    own: Grid,
    grid: Grid,
    *,
    interpolation: Literal["linear", "nearest"],
    fill: float = 0.0,
    parallel: bool = False,
) -> NDArray[Any]:
    """(Z, Y, X) of `grid`: the values of `array`, which is on `own`; `fill` where it has no voxels."""
    matrix, offset = index_map(own, grid)
    return resample(
        array, matrix, offset, grid.shape, interpolation=interpolation, border="constant", fill=fill, parallel=parallel
    )


def index_map(own: Grid, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (3, 3) and offset (3,) that map a (z, y, x) index of `grid` to one of `own`."""
    matrix = np.linalg.solve(own.matrix, grid.matrix)
    offset = own.to_index(np.asarray(grid.origin))
    return np.ascontiguousarray(matrix[::-1, ::-1]), np.ascontiguousarray(offset[::-1])


def voxels_outside(own: Grid, grid: Grid) -> int:
    """How many voxels of `grid` have their centre outside the voxels of `own`."""
    matrix, offset = index_map(own, grid)
    inside = np.ones(grid.shape, dtype=np.bool_)
    z, y, x = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    for axis, size in enumerate(own.shape):
        index = matrix[axis, 0] * z + matrix[axis, 1] * y + matrix[axis, 2] * x + offset[axis]
        inside &= (index >= -0.5) & (index < size - 0.5)
    return int(np.count_nonzero(~inside))
