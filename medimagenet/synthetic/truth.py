"""PatientTruth: what is known about a synthetic patient without reading a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid, Triple
from ..volume import Mask
from .phantom import Phantom


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseField:
    """A smooth dose: ``peak_gy * exp(-|(p - center) / sigma|² / 2)`` at a point p, LPS mm."""

    center: Triple
    """LPS mm."""
    sigma: Triple
    """Width along x, y, z, mm."""
    peak_gy: float

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Dose in Gy (...) at (..., 3) points, LPS mm."""
        u = (np.asarray(points, dtype=np.float64) - np.asarray(self.center)) / np.asarray(self.sigma)
        return self.peak_gy * np.exp(-0.5 * (u * u).sum(axis=-1))

    def on(self, grid: Grid) -> NDArray[np.float64]:
        """Dose in Gy (Z, Y, X) at the voxel centres of a grid."""
        z, y, x = np.indices(grid.shape)
        return self.at(grid.to_patient(np.stack([x, y, z], axis=-1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientTruth:
    """One synthetic patient: what was written where, and what is true about it."""

    patient_id: str
    folder: Path
    """Holds everything that was written for this patient."""
    paths: Mapping[str, tuple[Path, ...]]
    """By DICOM modality; images by rising position along the normal, before any defect was planted."""
    series_uids: Mapping[str, tuple[str, ...]]
    """SeriesInstanceUIDs by DICOM modality; annotations have one per annotated image."""
    grids: Mapping[str, Grid]
    """Of every image and of the dose, by modality."""
    phantom: Phantom
    noise: float
    """0 where every voxel has exactly the value of its organ."""
    dose: DoseField
    """The field that an RTDOSE of this patient samples, Gy."""
    defects: tuple[str, ...] = ()
    """Names of the planted defects, keys of `DEFECTS`."""

    @property
    def organs(self) -> tuple[str, ...]:
        """Names of the regions, in painting order."""
        return self.phantom.names

    @property
    def leading(self) -> str:
        """Modality of the first image, the one that annotations and image defects belong to."""
        return next(iter(self.grids))

    @property
    def volumes_mm3(self) -> dict[str, float]:
        """Analytic volume of each organ, mm³."""
        return self.phantom.volumes_mm3

    @property
    def values(self) -> dict[str, dict[str, float]]:
        """By modality ("CT" in HU, "MR" as signal, "PT" in SUVbw g/ml) and organ: the value without noise."""
        organs = self.phantom.organs
        return {modality: {organ.name: organ.values[modality] for organ in organs} for modality in ("CT", "MR", "PT")}

    def masks(self, grid: Grid | str, names: Sequence[str] | None = None) -> Mask:
        """The true masks on a grid, or on that of a modality: all organs, or those named.

        A voxel is in when its centre is in the shape; regions overlap (everything is in the body too).
        """
        return self.phantom.masks(self._grid(grid), names)

    def image(self, modality: str, grid: Grid | str | None = None) -> NDArray[np.float64]:
        """(Z, Y, X), HU, signal or SUV: what a scan without noise shows, on its own grid or another."""
        return self.phantom.image(self._grid(modality if grid is None else grid), modality)

    def _grid(self, grid: Grid | str) -> Grid:
        if isinstance(grid, Grid):
            return grid
        if grid not in self.grids:
            raise ValueError(f"no {grid} was written for this patient; there are {', '.join(self.grids)}")
        return self.grids[grid]
