"""Any object that holds regions, RTSTRUCT or SEG, to a `Mask` on the grid of an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np

from ..errors import DicomError
from ..findings import Finding
from ..geometry import Grid
from ..rois import SeveralInMask, match_rois
from ..volume import FractionalMask, Mask, Volume
from .belonging import belonging_findings, regions_of_other_frames
from .elements import read_elements
from .regions import Between, Channels, FillPolicy, OffGrid, Regions
from .rtstruct import RTSTRUCT_STORAGE, read_structures
from .seg import SEG_STORAGE, read_segments

_SOP_CLASS = 0x00080016

Absent = Literal["empty", "skip", "fail"]
"""What a class becomes that matches no region: an empty channel, no channel, or an error."""


@overload
def read_mask(
    file: Path,
    reference: Grid | Volume | None = ...,
    rois: Mapping[str, Sequence[str]] | None = ...,
    *,
    several: SeveralInMask = ...,
    absent: Absent = ...,
    fractional: Literal[False] = ...,
    between: Between = ...,
    off_grid: OffGrid = ...,
    parallel: bool = ...,
) -> Mask: ...


@overload
def read_mask(
    file: Path,
    reference: Grid | Volume | None = ...,
    rois: Mapping[str, Sequence[str]] | None = ...,
    *,
    several: SeveralInMask = ...,
    absent: Absent = ...,
    fractional: Literal[True],
    between: Between = ...,
    off_grid: OffGrid = ...,
    parallel: bool = ...,
) -> FractionalMask: ...


def read_mask(
    file: Path,
    reference: Grid | Volume | None = None,
    rois: Mapping[str, Sequence[str]] | None = None,
    *,
    several: SeveralInMask = "merge",
    absent: Absent = "empty",
    fractional: bool = False,
    between: Between = "nearest",
    off_grid: OffGrid = "fail",
    parallel: bool = False,
) -> Mask | FractionalMask:
    """Decode the regions of an RTSTRUCT or a SEG onto the grid of an image.

    Parameters
    ----------
    reference : the image that the regions were drawn on, or its grid
        With the image it is also checked that the object belongs to it. None takes the grid of a SEG's own frames.
    rois : per class the patterns of the region names that make it up (`rois.match_rois`); None keeps every region
    several : what a class takes where several names match
        The union of their masks, the first, or a channel "class: name" for each ("separate").
    absent : what a class becomes that matches no region: an empty channel, no channel, or an error
    fractional : the share of each voxel instead of inside or outside
        RTSTRUCT: the exact area of the voxel within its slice (`kernels.coverage`). SEG: the stored fraction. Of a
        class of several regions the shares are added, up to 1: exact where regions do not overlap.
    between : RTSTRUCT: what slices between contour planes become (`contours`)
    off_grid : SEG: what happens where frames do not lie on the voxels of the grid
    parallel : use all threads of numba; off where the caller has threads or processes of its own

    Returns
    -------
    mask : (C, Z, Y, X), bool; float32 from 0 to 1 where `fractional`
        A channel per class, or per region in the order of the file; one that nothing fills stays empty, with a finding.

    Raises
    ------
    DicomError
        The file is neither, cannot be decoded, does not fit the grid (`GeometryError`), or lacks a class.
    ValueError
        An RTSTRUCT without reference, or policies that exclude one another.
    """
    if fractional and between == "interpolate":
        raise ValueError('fractional=True with between="interpolate": shapes between planes have no exact shares')
    path = Path(file)
    regions = read_regions(path)
    grid = _grid(regions, reference, path)
    groups, findings = _groups(regions, rois, several, absent, path)
    findings = [*regions.findings, *findings]
    left_out: set[str] = set()
    if isinstance(reference, Volume):
        findings += belonging_findings(regions, reference)
        left_out, found = regions_of_other_frames(regions, reference)
        findings += found
    taken = {label: [name for name in names if name not in left_out] for label, names in groups.items()}
    policy = FillPolicy(between=between, off_grid=off_grid, parallel=parallel)
    shape = (len(groups), *grid.shape)
    if fractional:
        shares = np.zeros(shape, dtype=np.float32)
        findings += _fill(regions, taken, grid, shares, policy)
        return FractionalMask(shares, grid, tuple(groups), regions.metadata, tuple(findings))
    channels = np.zeros(shape, dtype=np.bool_)
    findings += _fill(regions, taken, grid, channels, policy)
    return Mask(channels, grid, tuple(groups), regions.metadata, tuple(findings))


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


def _grid(regions: Regions, reference: Grid | Volume | None, path: Path) -> Grid:
    if reference is not None:
        return reference.grid if isinstance(reference, Volume) else reference
    grid = regions.own_grid()
    if grid is None:
        raise ValueError(f"{path.name} has contours and no voxels: give the image or the grid as reference")
    return grid


def _groups(
    regions: Regions,
    rois: Mapping[str, Sequence[str]] | None,
    several: SeveralInMask,
    absent: Absent,
    path: Path,
) -> tuple[dict[str, tuple[str, ...]], list[Finding]]:
    """Per channel the regions that make it up."""
    names = regions.names
    if rois is None:
        return {name: (name,) for name in names}, []
    classes = _matched(regions, rois, is_first=several == "first")
    missing = [_missing_finding(label, names) for label, taken in classes.items() if not taken]
    if missing and absent == "fail":
        raise DicomError(f"{path.name}: {'; '.join(finding.message for finding in missing)}")
    groups = {label: taken for label, taken in classes.items() if taken or absent == "empty"}
    if several == "separate":
        apart = {f"{label}: {name}": (name,) for label, taken in groups.items() for name in taken}
        empty: dict[str, tuple[str, ...]] = {label: () for label, taken in groups.items() if not taken}
        return {**apart, **empty}, missing
    several_taken = [_union_finding(label, taken) for label, taken in groups.items() if len(taken) > 1]
    return groups, [*several_taken, *missing]


def _matched(regions: Regions, rois: Mapping[str, Sequence[str]], *, is_first: bool) -> dict[str, tuple[str, ...]]:
    """Per class the regions whose name, as the file has it or made unique, a pattern matches: all that share one."""
    named: dict[str, list[str]] = {}
    for name, label in zip(regions.names, regions.labels, strict=True):
        for text in filter(None, dict.fromkeys((label, name))):
            named.setdefault(text, []).append(name)
    matches = match_rois(tuple(named), rois).classes
    taken = {label: dict.fromkeys(name for text in found for name in named[text]) for label, found in matches.items()}
    return {label: tuple(found)[: 1 if is_first else None] for label, found in taken.items()}


def _fill(
    regions: Regions, groups: Mapping[str, Sequence[str]], grid: Grid, channels: Channels, policy: FillPolicy
) -> list[Finding]:
    """Fill all channels of one region each at once, and the unions one by one: under even-odd they would cancel."""
    numbers = {name: number for number, name in enumerate(regions.names)}
    if all(len(names) == 1 for names in groups.values()):
        return regions.fill_all([numbers[names[0]] for names in groups.values()], grid, channels, policy)
    findings = []
    scratch = np.zeros_like(channels[:1])
    for channel, names in zip(channels, groups.values(), strict=True):
        for name in names:
            findings += regions.fill_all([numbers[name]], grid, scratch, policy)
            if channel.dtype == np.bool_:
                channel |= scratch[0]
            else:
                np.minimum(channel + scratch[0], 1, out=channel)
            scratch[:] = 0
    return findings


def _missing_finding(label: str, names: Sequence[str]) -> Finding:
    message = f"class {label!r} matches no region; there are {', '.join(map(repr, names)) or 'none'}"
    return Finding(code="roi_matches_nothing", message=message, numbers={"class": label})


def _union_finding(label: str, taken: Sequence[str]) -> Finding:
    message = f"class {label!r} is the union of {', '.join(map(repr, taken))}"
    return Finding(code="roi_matches_several", message=message, numbers={"class": label, "rois": list(taken)})
