"""Dose-volume histograms: how much of a region gets how much dose."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..volume import FractionalMask, Mask, Volume

MM3_PER_CM3 = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class DoseVolumeHistogram:
    """Dose of the voxels of one region. Everything is exact for these voxels: nothing is read off bins."""

    name: str
    doses_gy: NDArray[np.float64]
    """(voxels,): of each voxel that the region has a share in, rising."""
    volumes_cm3: NDArray[np.float64]
    """(voxels,): the volume that the region takes of each."""

    @property
    def volume_cm3(self) -> float:
        """Of the whole region."""
        return float(self.volumes_cm3.sum())

    @property
    def min_gy(self) -> float:
        """Lowest dose; nan where the region is empty."""
        return float(self.doses_gy[0]) if len(self.doses_gy) else float("nan")

    @property
    def max_gy(self) -> float:
        """Highest dose; nan where the region is empty."""
        return float(self.doses_gy[-1]) if len(self.doses_gy) else float("nan")

    @property
    def mean_gy(self) -> float:
        """Mean over the volume; nan where the region is empty."""
        return float(np.average(self.doses_gy, weights=self.volumes_cm3)) if len(self.doses_gy) else float("nan")

    def volume_at(self, dose_gy: float) -> float:
        """V: the volume that gets at least this dose, cm³."""
        return float(self.volumes_cm3[np.searchsorted(self.doses_gy, dose_gy, side="left") :].sum())

    def dose_at(self, percent: float) -> float:
        """D: the dose that this part of the volume gets at least, Gy; nan where the region is empty.

        Raises
        ------
        ValueError
            `percent` is not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent of the volume must be within 0 to 100, got {percent}")
        if not len(self.doses_gy):
            return float("nan")
        hottest = np.cumsum(self.volumes_cm3[::-1])
        number = int(np.searchsorted(hottest, hottest[-1] * percent / 100 * (1 - 1e-12), side="left"))
        return float(self.doses_gy[::-1][min(number, len(hottest) - 1)])

    def cumulative(self, bin_width_gy: float = 0.01) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Doses 0, one bin, two bins, ... Gy to beyond the highest, and the volume that gets at least each, cm³."""
        edges = self._edges(bin_width_gy)
        below = np.concatenate([np.zeros(1), np.cumsum(self.volumes_cm3)])
        volumes = below[-1] - below[np.searchsorted(self.doses_gy, edges, side="left")]
        return edges, np.asarray(volumes, dtype=np.float64)

    def differential(self, bin_width_gy: float = 0.01) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Edges of the bins, Gy, and the volume in each, cm³: one fewer than edges."""
        edges = self._edges(bin_width_gy)
        volumes, _ = np.histogram(self.doses_gy, edges, weights=self.volumes_cm3)
        return edges, np.asarray(volumes, dtype=np.float64)

    def _edges(self, bin_width_gy: float) -> NDArray[np.float64]:
        if not bin_width_gy > 0:
            raise ValueError(f"bins must be wider than 0 Gy, got {bin_width_gy}")
        greatest = float(self.doses_gy[-1]) if len(self.doses_gy) else 0.0
        return np.asarray(np.arange(ceil(greatest / bin_width_gy) + 2) * bin_width_gy, dtype=np.float64)


def dose_volume_histogram(
    dose: Volume, mask: Mask | FractionalMask, names: Sequence[str] | None = None
) -> dict[str, DoseVolumeHistogram]:
    """Dose-volume histogram of each region.

    Parameters
    ----------
    dose : Gy, as `read_dose` gives it
    mask : on the grid of the dose; the shares of a fractional one count as part of a voxel
    names : regions; all where None

    Raises
    ------
    ValueError
        The dose is not in Gy, or dose and mask are on different grids.
    """
    if dose.unit != "Gy":
        raise ValueError(f"a dose-volume histogram needs dose in Gy, got unit {dose.unit}")
    if not dose.grid.is_close(mask.grid):
        raise ValueError(
            f"dose {dose.grid.size} and mask {mask.grid.size} are on different grids: "
            "give read_dose the image as reference, or read_mask the grid of the dose"
        )
    voxel = float(np.prod(mask.grid.spacing)) / MM3_PER_CM3
    return {name: _histogram(name, dose, mask[name], voxel) for name in (mask.names if names is None else names)}


def _histogram(
    name: str, dose: Volume, region: NDArray[np.bool_] | NDArray[np.float32], voxel_cm3: float
) -> DoseVolumeHistogram:
    inside = region > 0
    doses = dose.array[inside].astype(np.float64)
    order = np.argsort(doses, kind="stable")
    return DoseVolumeHistogram(name, doses[order], region[inside].astype(np.float64)[order] * voxel_cm3)
