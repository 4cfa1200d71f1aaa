"""What keeps a synthetic image from being a cartoon: smooth texture inside the body and white noise everywhere.

Both are functions of a seed alone, slice by slice, so that neither the number of processes nor the order of work
changes a byte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid

WAVES = 8
SHORTEST, LONGEST = 0.08, 0.5  # wavelengths, as part of the field of view: lumps the size of organs


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """A sum of plane waves in the patient, of mean 0 and standard deviation 1."""

    waves: NDArray[np.float64]
    """(waves, 3), radians per mm along patient x, y, z."""
    phases: NDArray[np.float64]
    """(waves,), radians."""

    @classmethod
    def random(cls, rng: np.random.Generator, extent_mm: float) -> "Texture":
        """Waves of random direction whose lengths are a part of `extent_mm`."""
        directions = rng.normal(size=(WAVES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = extent_mm * np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), WAVES))
        return cls(directions * (2.0 * np.pi / lengths)[:, None], rng.uniform(0.0, 2.0 * np.pi, WAVES))

    def of_slice(self, grid: Grid, k: int) -> NDArray[np.float64]:
        """(Y, X) at the voxel centres of slice `k`. A wave is the product of one along x and one along y."""
        steps = self.waves @ grid.matrix  # radians per voxel along x, y, z
        start = self.waves @ np.asarray(grid.origin) + self.phases + steps[:, 2] * k
        along_x = np.exp(1j * np.outer(steps[:, 0], np.arange(grid.size[0])))
        along_y = np.exp(1j * (np.outer(steps[:, 1], np.arange(grid.size[1])) + start[:, None]))
        return np.asarray((along_y.T @ along_x).real * np.sqrt(2.0 / WAVES))
