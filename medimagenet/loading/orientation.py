"""How a stored array is turned into what training wants, and where the voxels are then.

Stored arrays are (C, Z, Y, X). An item's axes are those of a code such as "RAS" in its order, so that "RAS" is
(C, X, Y, Z) with x running to the patient's right, exactly as MONAI's ``Orientationd`` leaves it; or, for None, the
store's own (C, Z, Y, X).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid, Size

Flips = tuple[bool, bool, bool]


@dataclass(frozen=True, slots=True)
class Turn:
    """Per axis of an item the axis of the grid (0 is x, 1 is y, 2 is z) that it shows, and whether backwards."""

    axes: Size
    flips: Flips

    @property
    def array_axes(self) -> Size:
        """Per axis of an item the axis of the stored (Z, Y, X) array that it shows."""
        return 2 - self.axes[0], 2 - self.axes[1], 2 - self.axes[2]

    def to_grid_order(self, shape: Size) -> Size:
        """Voxels along the grid's x, y, z of an item of `shape`."""
        sizes = [shape[self.axes.index(axis)] for axis in range(3)]
        return sizes[0], sizes[1], sizes[2]

    def affine(self, grid: Grid, start: Size, shape: Size) -> NDArray[np.float64]:
        """(4, 4), from the indices of an item to RAS mm.

        Parameters
        ----------
        start : x, y, z
            First voxel of the item's box in the grid, which may lie outside.
        shape : three
            Voxels along the axes of the item.
        """
        whole = _affine(grid, self)
        first = [0.0, 0.0, 0.0]
        for axis, flip, size in zip(self.axes, self.flips, shape, strict=True):
            first[axis] = float(start[axis] + size - 1) if flip else float(start[axis])
        affine = whole[0].copy()
        affine[:3, 3] = whole[1] @ [*first, 1.0]
        return affine


@lru_cache(maxsize=1024)
def _affine(grid: Grid, turn: Turn) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What all patches of a grid share: (4, 4) with the columns of their affine, and (3, 4) from its indices to RAS mm.

    A loader asks for each patch: making the grids of box and turn takes a twentieth of the patch's time.
    """
    steps = grid.affine_ras
    columns = np.eye(4)
    for column, (axis, flip) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        columns[:3, column] = -steps[:3, axis] if flip else steps[:3, axis]
    return columns, steps[:3]


STORED = Turn((2, 1, 0), (False, False, False))
"""The store's own order."""


def turn_towards(grid: Grid, orientation: str | None) -> Turn:
    """How arrays on `grid` are turned so that the item's axes point to `orientation`.

    Raises
    ------
    ValueError
        `orientation` does not name each of L/R, A/P, S/I once.
    """
    return STORED if orientation is None else Turn(*grid.axes_towards(orientation))


def check_orientation(orientation: str | None) -> None:
    """Raise ValueError unless a code names each of L/R, A/P, S/I once."""
    turn_towards(Grid((1, 1, 1)), orientation)


def item_shape(patch_size: Size, orientation: str | None) -> Size:
    """Voxels along the axes of an item: the patch size for a code, its reverse for the store's own order."""
    return patch_size if orientation is not None else (patch_size[2], patch_size[1], patch_size[0])


def whole_shape(grid: Grid, turn: Turn) -> Size:
    """Voxels along the axes of an item that is the whole volume."""
    sizes = [grid.size[axis] for axis in turn.axes]
    return sizes[0], sizes[1], sizes[2]
