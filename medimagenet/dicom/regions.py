"""What every object that holds regions offers, RTSTRUCT or SEG, and how they are to be put on a grid."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..geometry import Grid

Channels = NDArray[np.bool_] | NDArray[np.float32]
"""(C, Z, Y, X): voxels inside, or the share of each voxel that is inside."""

Between = Literal["nearest", "interpolate"]
"""Slices between contour planes: as the plane within half a slice step, or by the shapes of both neighbours."""

OffGrid = Literal["fail", "nearest"]
"""Frames that do not lie on the voxels of the grid: refused, or each voxel takes the frames' nearest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillPolicy:
    """How regions are put on a grid that is not quite theirs."""

    between: Between = "nearest"
    off_grid: OffGrid = "fail"
    parallel: bool = False
    """Use all threads of numba."""


class Regions(Protocol):
    """Named regions that can be filled into the channels of a mask."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, each once."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Per region its name as the file has it, which several may share; empty where it has none."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """DICOM keywords of the object."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is unusual about the object as a whole."""

    @property
    def referenced_series(self) -> tuple[str, ...]:
        """SeriesInstanceUIDs of the images that the regions were drawn on; empty where it does not say."""

    @property
    def frames_of_reference(self) -> tuple[str, ...]:
        """Frame of reference UIDs of the object; empty where it names none."""

    @property
    def region_frames(self) -> tuple[str | None, ...]:
        """Per region the frame of reference UID that its coordinates are in, None where the file does not say."""

    def own_grid(self) -> Grid | None:
        """The grid that the regions have by themselves; None of contours, which have none."""

    def fill_all(self, numbers: Sequence[int], grid: Grid, channels: Channels, policy: FillPolicy) -> list[Finding]:
        """Fill region ``numbers[k]`` (from 0) into ``channels[k]``, which is all zero; give the findings.

        Raises
        ------
        GeometryError
            The regions cannot be put on this grid.
        """


def unique_name(label: str, apart: str, taken: Container[str]) -> str:
    """The label, or where a region before has this name: "label (apart)", and were that taken too, "label (apart, 2)".

    Examples
    --------
    >>> unique_name("GTV", "ROI 7", {"GTV", "GTV (ROI 7)"})
    'GTV (ROI 7, 2)'
    """
    names = chain((label, f"{label} ({apart})"), (f"{label} ({apart}, {again})" for again in count(2)))
    return next(name for name in names if name not in taken)


def finding_of(code: str, name: str, what: str, number: int | None = None, of: str = "contours") -> Finding:
    """A finding about one region: ``region 'GTV' has ...``, with the number `of` what it is about."""
    numbers = {"roi": name} if number is None else {"roi": name, of: number}
    return Finding(code=code, message=f"region {name!r} {what}", numbers=numbers)
