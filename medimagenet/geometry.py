"""Grid: where the voxels of an array are in the patient.

Everything here is LPS (x towards the patient's left, y towards posterior, z towards superior) in mm, and in x, y, z
order, as DICOM, ITK and SimpleITK have it. Only arrays are (Z, Y, X): `Grid.shape` is the shape of the array,
`Grid.size` the same numbers in x, y, z order. The position of a voxel is that of its centre::

    patient = origin + direction @ (spacing * index)          index = (x, y, z) from 0
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Triple = tuple[float, float, float]
Size = tuple[int, int, int]
Direction = tuple[Triple, Triple, Triple]

IDENTITY: Direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
ORTHONORMAL_TOLERANCE = 1e-3  # direction cosines in DICOM are decimal strings, often of 6 digits
LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # towards lower, towards higher LPS coordinate, per patient axis


@dataclass(frozen=True, slots=True)
class Grid:
    """Size, spacing, origin and direction of a volume: LPS mm, all in x, y, z order.

    Raises
    ------
    ValueError
        A size below 1, a spacing that is not positive and finite, an origin that is not finite, or a direction
        whose columns are not orthonormal to 1e-3 (a sheared stack is not a grid).
    """

    size: Size
    """Voxels along x, y, z."""
    spacing: Triple = (1.0, 1.0, 1.0)
    """Distance between voxel centres along x, y, z, mm."""
    origin: Triple = (0.0, 0.0, 0.0)
    """Centre of voxel (0, 0, 0), LPS mm."""
    direction: Direction = IDENTITY
    """Rows of the 3x3 matrix whose column k is the unit vector of axis k, as SimpleITK's GetDirection."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        object.__setattr__(self, "spacing", tuple(float(s) for s in self.spacing))
        object.__setattr__(self, "origin", tuple(float(o) for o in self.origin))
        rows = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        object.__setattr__(self, "direction", tuple(tuple(row) for row in rows.tolist()))
        if len(self.size) != 3 or min(self.size) < 1:
            raise ValueError(f"size must be three whole numbers of at least 1 in x, y, z order, got {self.size}")
        if len(self.spacing) != 3 or not all(isfinite(s) and s > 0 for s in self.spacing):
            raise ValueError(f"spacing must be three positive lengths in mm in x, y, z order, got {self.spacing}")
        if len(self.origin) != 3 or not all(map(isfinite, self.origin)):
            raise ValueError(f"origin must be three finite coordinates in mm (LPS), got {self.origin}")
        deviation = float(np.abs(rows.T @ rows - np.eye(3)).max())
        if not deviation <= ORTHONORMAL_TOLERANCE:
            raise ValueError(
                f"direction columns must be orthonormal to {ORTHONORMAL_TOLERANCE}, deviation {deviation:.2g}, "
                f"got {self.direction}"
            )

    @property
    def shape(self) -> Size:
        """Shape (Z, Y, X) of the array on this grid."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3), mm: maps an index step (x, y, z) to a step in the patient."""
        return np.asarray(self.direction) * np.asarray(self.spacing)

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4): maps (x, y, z, 1) indices to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self.matrix
        affine[:3, 3] = self.origin
        return affine

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4): maps (x, y, z, 1) indices to RAS mm, as NIfTI, nibabel and MONAI use it."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine

    @property
    def orientation(self) -> str:
        """Where x, y, z point to, by the nearest patient axis: "LPS" for an upright axial stack."""
        return "".join(LETTERS[axis][int(sign > 0)] for axis, sign in self._nearest_axes())

    def _nearest_axes(self) -> list[tuple[int, float]]:
        """Per index axis its nearest patient axis, each patient axis once, and the sign."""
        cosines = np.abs(np.asarray(self.direction))
        nearest: list[tuple[int, float]] = [(-1, 0.0)] * 3
        for _ in range(3):  # best match first, so that an oblique stack at 45 degrees still gets three axes
            patient, index = np.unravel_index(int(np.argmax(cosines)), (3, 3))
            nearest[int(index)] = (int(patient), self.direction[int(patient)][int(index)])
            cosines[patient, :] = -1
            cosines[:, index] = -1
        return nearest

    def to_patient(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 3) indices (x, y, z) to LPS mm."""
        return np.asarray(indices, dtype=np.float64) @ self.matrix.T + np.asarray(self.origin)

    def to_index(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 3) LPS mm to continuous indices (x, y, z)."""
        offsets = np.asarray(points, dtype=np.float64) - np.asarray(self.origin)
        return offsets @ np.linalg.inv(self.matrix).T

    def crop(self, start: Sequence[int], size: Sequence[int]) -> "Grid":
        """The grid of the box that begins at index `start` (x, y, z), which may lie outside."""
        origin = self.to_patient(np.asarray(start, dtype=np.float64))
        return Grid(_size(size), self.spacing, _triple(origin), self.direction)

    def axes_towards(self, orientation: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """How to turn an array on this grid so that its x, y, z point to `orientation`.

        Returns
        -------
        axes : per new axis x, y, z the present one that becomes it
        flips : per new axis x, y, z whether it runs backwards along that one

        Raises
        ------
        ValueError
            `orientation` does not name each of L/R, A/P, S/I once.
        """
        wanted = [_axis_of(letter, orientation) for letter in orientation]
        if sorted(axis for axis, _ in wanted) != [0, 1, 2]:
            raise ValueError(
                f"orientation must name each of L/R, A/P and S/I once, for example LPS, got {orientation!r}"
            )
        nearest = self._nearest_axes()
        axes, flips = [], []
        for patient, towards_higher in wanted:
            index = next(k for k in range(3) if nearest[k][0] == patient)
            axes.append(index)
            flips.append((nearest[index][1] > 0) != towards_higher)
        return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])

    def turned(self, axes: Sequence[int], flips: Sequence[bool]) -> "Grid":
        """The grid after `axes_towards` has been applied: the same voxels in the patient, in another order."""
        start = [0.0, 0.0, 0.0]
        direction = np.empty((3, 3))
        for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
            start[old] = float(self.size[old] - 1) if flip else 0.0
            direction[:, new] = np.asarray(self.direction)[:, old] * (-1.0 if flip else 1.0)
        size = _size([self.size[old] for old in axes])
        spacing = _triple([self.spacing[old] for old in axes])
        return Grid(size, spacing, _triple(self.to_patient(start)), _direction(direction))

    def with_spacing(self, spacing: Sequence[float | None]) -> "Grid":
        """The grid of another spacing that keeps the first voxel's centre, as MONAI's Spacing does.

        Along each axis there are as many voxels as fit between the first and the last centre, rounded to the
        nearest; None keeps the axis as it is.
        """
        target = [own if new is None else float(new) for own, new in zip(self.spacing, spacing, strict=True)]
        steps = [(n - 1) * own / new for n, own, new in zip(self.size, self.spacing, target, strict=True)]
        return Grid(_size([round(step) + 1 for step in steps]), _triple(target), self.origin, self.direction)

    def is_close(self, other: "Grid", *, tolerance_mm: float = 1e-2) -> bool:
        """Whether the corner voxels of both grids lie within `tolerance_mm`, and the sizes are equal."""
        if self.size != other.size:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.size])).reshape(3, -1).T
        return float(np.abs(self.to_patient(corners) - other.to_patient(corners)).max()) <= tolerance_mm

    def to_dict(self) -> dict[str, Any]:
        """JSON values: size, spacing, origin, direction, in x, y, z order."""
        return {
            "size": list(self.size),
            "spacing": list(self.spacing),
            "origin": list(self.origin),
            "direction": [list(row) for row in self.direction],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Grid":
        """The grid that `to_dict` was called on."""
        return cls(_size(values["size"]), _triple(values["spacing"]), _triple(values["origin"]), values["direction"])


def _axis_of(letter: str, orientation: str) -> tuple[int, bool]:
    """Patient axis that a letter names, and whether it points to its higher coordinate."""
    for axis, pair in enumerate(LETTERS):
        if letter in pair:
            return axis, letter == pair[1]
    raise ValueError(f"unknown letter {letter!r} in orientation {orientation!r}: use L/R, A/P, S/I")


def _size(values: Sequence[int]) -> Size:
    x, y, z = (int(value) for value in values)
    return x, y, z


def _triple(values: Sequence[float] | NDArray[np.float64]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _direction(matrix: NDArray[np.float64]) -> Direction:
    rows = [_triple(row) for row in matrix + 0.0]  # + 0.0 turns -0.0 into 0.0
    return rows[0], rows[1], rows[2]
