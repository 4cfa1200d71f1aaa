r"""Analytic shapes: solids whose volume is known by formula and whose inside is known at every point.

Each shape is a unit solid seen through an affine map. A point p (LPS mm) is taken to the unit frame by
``u = W (p - center)``, where the columns of W's inverse are the shape's axes. Inside is where `level` is not negative::

    ellipsoid   1 - |u|²                                  4/3 π |det|
    shell       min(1 - |u|², |u|² - inner²)              4/3 π (1 - inner³) |det|
    torus       tube² - (sqrt(x² + y²) - 1)² - z²         2 π² tube² |det|

A torus cut across its axis is a ring, a shell cut through its middle too: both give contours inside contours.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from ..geometry import IDENTITY, Direction, Grid, Triple

EVERYTHING = slice(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(ABC):
    """A unit solid, stretched, turned and moved.

    Raises
    ------
    ValueError
        A radius is not positive.
    """

    center: Triple
    """LPS mm."""
    radii: Triple
    """Length of the three axes, mm."""
    axes: Direction = IDENTITY
    """Rows of the 3x3 matrix whose column k is the unit vector of axis k."""

    def __post_init__(self) -> None:
        if min(self.radii) <= 0:
            raise ValueError(f"radii must be three positive lengths in mm, got {self.radii}")

    @property
    @abstractmethod
    def unit_volume(self) -> float:
        """Volume of the unit solid."""

    @property
    def unit_reach(self) -> float:
        """Radius of a ball around the unit solid."""
        return 1.0

    @abstractmethod
    def unit_level(self, u: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
        """Level at points of the unit frame: x, y, z arrays that broadcast."""

    @property
    def volume_mm3(self) -> float:
        """The exact volume, mm³."""
        return self.unit_volume * float(np.prod(self.radii)) * abs(float(np.linalg.det(np.asarray(self.axes))))

    def level(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level (...) at (..., 3) points, LPS mm: not negative inside, zero on the surface."""
        u = (np.asarray(points, dtype=np.float64) - np.asarray(self.center)) @ self._to_unit().T
        return self.unit_level((u[..., 0], u[..., 1], u[..., 2]))

    def window(self, grid: Grid) -> tuple[slice, slice, slice]:
        """Slices, rows and columns of a grid's array that hold the shape and a voxel around it; may be empty."""
        stretch = np.asarray(self.axes) * np.asarray(self.radii)
        reach = self.unit_reach * np.linalg.norm(np.linalg.inv(grid.matrix) @ stretch, axis=1)  # voxels along x, y, z
        middle = grid.to_index(self.center)
        low = np.maximum(np.floor(middle - reach).astype(int) - 1, 0)
        high = np.minimum(np.ceil(middle + reach).astype(int) + 2, grid.size)
        x, y, z = (slice(int(first), max(int(first), int(last))) for first, last in zip(low, high, strict=True))
        return z, y, x

    def level_of_slice(
        self, grid: Grid, k: int, rows: slice = EVERYTHING, columns: slice = EVERYTHING
    ) -> NDArray[np.float64]:
        """Level (Y, X) at the voxel centres of slice `k` of a grid, or of a window in it."""
        to_unit = self._to_unit()
        steps = to_unit @ grid.matrix  # column: change of u for one voxel along x, y, z
        start = to_unit @ (np.asarray(grid.origin) - np.asarray(self.center)) + k * steps[:, 2]
        x, y = np.arange(grid.size[0])[None, columns], np.arange(grid.size[1])[rows, None]
        u = tuple(start[c] + steps[c, 0] * x + steps[c, 1] * y for c in range(3))
        return self.unit_level(u)

    def mask(self, grid: Grid) -> NDArray[np.bool_]:
        """(Z, Y, X): whether the centre of each voxel is in the shape."""
        inside = np.zeros(grid.shape, dtype=np.bool_)
        slices, rows, columns = self.window(grid)
        for k in range(slices.start, slices.stop):
            inside[k, rows, columns] = self.level_of_slice(grid, k, rows, columns) >= 0.0
        return inside

    def _to_unit(self) -> NDArray[np.float64]:
        return np.linalg.inv(np.asarray(self.axes) * np.asarray(self.radii))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid(Shape):
    """A solid ellipsoid of three radii."""

    @property
    def unit_volume(self) -> float:
        """4/3 π."""
        return 4.0 / 3.0 * pi

    def unit_level(self, u: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
        """1 - |u|²."""
        x, y, z = u
        return 1.0 - (x * x + y * y + z * z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Shape):
    """An ellipsoid with a hole of the same form inside.

    Raises
    ------
    ValueError
        `inner` is not between 0 and 1.
    """

    inner: float
    """Size of the hole as part of the radii, between 0 and 1."""

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        if not 0.0 < self.inner < 1.0:
            raise ValueError(f"inner is the hole's part of the radii, between 0 and 1, got {self.inner}")

    @property
    def unit_volume(self) -> float:
        """4/3 π (1 - inner³)."""
        return 4.0 / 3.0 * pi * (1.0 - self.inner**3)

    def unit_level(self, u: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
        """min(1 - |u|², |u|² - inner²)."""
        x, y, z = u
        square = x * x + y * y + z * z
        return np.minimum(1.0 - square, square - self.inner**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Torus(Shape):
    """A ring around its third axis; `radii` stretch a ring of radius 1 and tube `tube`.

    Raises
    ------
    ValueError
        `tube` is not between 0 and 1: the ring would close on itself.
    """

    tube: float
    """Radius of the tube as part of the ring's, between 0 and 1."""

    def __post_init__(self) -> None:
        Shape.__post_init__(self)
        if not 0.0 < self.tube < 1.0:
            raise ValueError(f"tube is its radius as part of the ring's, between 0 and 1, got {self.tube}")

    @property
    def unit_volume(self) -> float:
        """2 π² tube² (Pappus)."""
        return 2.0 * pi**2 * self.tube**2

    @property
    def unit_reach(self) -> float:
        """1 + tube."""
        return 1.0 + self.tube

    def unit_level(self, u: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
        """tube² - (sqrt(x² + y²) - 1)² - z²."""
        x, y, z = u
        ring = np.sqrt(x * x + y * y) - 1.0
        return self.tube**2 - ring * ring - z * z
