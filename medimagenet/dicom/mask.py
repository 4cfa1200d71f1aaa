"""Any object that holds regions, RTSTRUCT or SEG, to a `Mask` on the grid of an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from ..findings import Finding
from ..geometry import Grid
from ..rois import Several, match_rois
from ..volume import Mask, Volume
from .elements import read_elements
from .rtstruct import RTSTRUCT_STORAGE, read_structures
from .seg import SEG_STORAGE, read_segments

_SOP_CLASS = 0x00080016


class Regions(Protocol):
    """Named regions that can be filled into a mask one by one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, each once."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """DICOM keywords of the object."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is unusual about the object as a whole."""

    def fill(self, number: int, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
        """Fill region `number` (from 0) into a mask (Z, Y, X) of the grid that is all False; give its findings."""


def read_mask(
    file: Path,
    reference: Grid | Volume,
    rois: Mapping[str, Sequence[str]] | None = None,
    *,
    several: Several = "merge",
) -> Mask:
    """Decode the regions of an RTSTRUCT or a SEG onto the grid of an image.

    Parameters
    ----------
    reference : the image that the regions were drawn on, or its grid
    rois : per class the patterns of the region names that make it up (`rois.match_rois`); None keeps every region
    several : what a class takes where several names match: the union of their masks, or the first

    Returns
    -------
    mask : (C, Z, Y, X)
        A channel per class, or per region in the order of the file; one that nothing fills stays empty, with a finding.

    Raises
    ------
    DicomError
        The file is neither, cannot be decoded, or does not fit the grid (`GeometryError`).
    """
    grid = reference.grid if isinstance(reference, Volume) else reference
    regions = read_regions(Path(file))
    if rois is None:
        groups: dict[str, tuple[str, ...]] = {name: (name,) for name in regions.names}
        findings = list(regions.findings)
    else:
        groups = dict(match_rois(regions.names, rois, several=several).classes)
        findings = [*regions.findings, *_match_findings(groups, regions.names)]
    array = np.zeros((len(groups), *grid.shape), dtype=np.bool_)
    for channel, names in zip(array, groups.values(), strict=True):
        findings += _fill_union(regions, names, grid, channel)
    return Mask(array, grid, tuple(groups), regions.metadata, tuple(findings))


def read_regions(path: Path) -> Regions:
    """Open an object that holds regions, whichever its kind.

    Raises
    ------
    DicomError
        The file is neither RTSTRUCT nor SEG, or cannot be read.
    """
    elements = read_elements(path, header_only=True)
    sop_class = elements.text(elements.fields().get(_SOP_CLASS))
    if sop_class == RTSTRUCT_STORAGE:
        return read_structures(path)
    if sop_class in SEG_STORAGE:
        return read_segments(path)
    raise DicomError(f"{path.name} holds no regions: its SOPClassUID (0008,0016) {sop_class} is not RTSTRUCT or SEG")


def _fill_union(regions: Regions, names: Sequence[str], grid: Grid, channel: NDArray[np.bool_]) -> list[Finding]:
    """Fill the union of regions into a channel; each is filled by itself, for under even-odd they would cancel."""
    findings = []
    for name in names:
        number = regions.names.index(name)
        if len(names) == 1:
            return regions.fill(number, grid, channel)
        single = np.zeros(grid.shape, dtype=np.bool_)
        findings += regions.fill(number, grid, single)
        channel |= single
    return findings


def _match_findings(groups: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[Finding]:
    findings = []
    for label, taken in groups.items():
        if not taken:
            message = f"class {label!r} matches no region; there are {', '.join(map(repr, names)) or 'none'}"
            findings.append(Finding(code="roi_matches_nothing", message=message, numbers={"class": label}))
        elif len(taken) > 1:
            message = f"class {label!r} is the union of {', '.join(map(repr, taken))}"
            numbers = {"class": label, "rois": list(taken)}
            findings.append(Finding(code="roi_matches_several", message=message, numbers=numbers))
    return findings
