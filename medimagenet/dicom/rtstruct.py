"""RTSTRUCT: the regions of a structure set (DICOM PS3.3 A.19), and their masks on the grid of an image.

A voxel belongs to a region when its centre lies inside, by the even-odd rule over all contours that the region has in
that slice: nested contours and key-holes stay holes. Vertices are never rounded. A contour goes to the slice that its
plane is nearest to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from ..findings import Finding
from ..geometry import Grid
from ..kernels.rasterize import fill_planes
from .elements import Elements, read_elements
from .header import METADATA, keyword_values

RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")  # an absent type is taken as the one that nearly all have
PLANAR_TOLERANCE = 0.1  # of a slice step: how far the vertices of a contour may lie apart along the normal
PLACE_TOLERANCE = 0.1  # of a slice step: a contour plane farther from its slice is a finding (PET: 0.012 is usual)
SAME_PLANE_TOLERANCE = 0.01  # of a slice step: contours this close together lie in one plane

_SOP_CLASS = 0x00080016
_SERIES_UID = 0x0020000E
_FRAME_OF_REFERENCE = 0x00200052
_FRAMES, _STUDIES, _SERIES = 0x30060010, 0x30060012, 0x30060014
_ROIS, _ROI_NUMBER, _ROI_NAME = 0x30060020, 0x30060022, 0x30060026
_ROI_CONTOURS, _CONTOURS, _CONTOUR_TYPE, _CONTOUR_DATA = 0x30060039, 0x30060040, 0x30060042, 0x30060050
_REFERENCED_ROI = 0x30060084


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One contour of a region."""

    points: NDArray[np.float64]
    """(n, 3), LPS mm."""
    geometric_type: str = "CLOSED_PLANAR"
    """Contour Geometric Type (3006,0042); empty where the file has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """One region of a structure set."""

    number: int
    """ROI Number (3006,0022), which contours refer to."""
    name: str
    """ROI Name (3006,0026); "ROI 7" where it is empty, "GTV (ROI 7)" where an earlier region has the same."""
    contours: tuple[Contour, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StructureSet:
    """The content of an RTSTRUCT object."""

    rois: tuple[Roi, ...]
    """In the order of StructureSetROISequence."""
    referenced_series: tuple[str, ...]
    """SeriesInstanceUIDs of the images that the contours were drawn on."""
    frames_of_reference: tuple[str, ...]
    metadata: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the regions, each once."""
        return tuple(roi.name for roi in self.rois)

    def fill(self, number: int, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
        """Fill region `number` (from 0) into a mask (Z, Y, X) of the grid that is all False; give its findings."""
        return fill_roi(self.rois[number], grid, mask)


def read_structures(path: Path) -> StructureSet:
    """Read an RTSTRUCT file.

    Contours are matched to regions by ReferencedROINumber (3006,0084); the order of the two lists means nothing.

    Raises
    ------
    DicomError
        The file is not a readable RTSTRUCT object.
    """
    path = Path(path)
    elements = read_elements(path)
    fields = elements.fields()
    if (sop_class := elements.text(fields.get(_SOP_CLASS))) != RTSTRUCT_STORAGE:
        raise DicomError(f"{path.name} is not an RTSTRUCT object: its SOPClassUID (0008,0016) is {sop_class}")
    contours: dict[int, list[Contour]] = {}
    for item in elements.items(fields.get(_ROI_CONTOURS)):
        inside = elements.fields(item)
        number = _integer(elements, inside.get(_REFERENCED_ROI))
        contours.setdefault(number, []).extend(_contours(elements, inside.get(_CONTOURS)))
    rois, findings = _named_rois(elements, fields.get(_ROIS), contours)
    frames, series = _references(elements, fields.get(_FRAMES))
    metadata = MappingProxyType(keyword_values(elements, METADATA))
    return StructureSet(rois, series, frames, metadata, findings)


def fill_roi(roi: Roi, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
    """Fill one region into a mask, in place.

    Parameters
    ----------
    mask : (Z, Y, X) of `grid`, all False

    Returns
    -------
    findings : what is unusual about its contours; a region without usable contours leaves the mask empty
    """
    findings = []
    if not roi.contours:
        findings.append(_finding("roi_without_contours", roi, "has no contours"))
    closed = [c for c in roi.contours if c.geometric_type in CLOSED]
    if len(closed) < len(roi.contours):
        others = sorted({c.geometric_type for c in roi.contours} - set(CLOSED))
        count = len(roi.contours) - len(closed)
        findings.append(_finding("contour_not_closed", roi, f"has {count} contours of type {', '.join(others)}", count))
    if not closed:
        return findings
    starts = np.cumsum([0, *(len(c.points) for c in closed)])
    vertices = grid.to_index(np.concatenate([c.points for c in closed]))
    return findings + _fill_closed(roi, vertices, starts, mask)


def _fill_closed(
    roi: Roi, vertices: NDArray[np.float64], starts: NDArray[np.int64], mask: NDArray[np.bool_]
) -> list[Finding]:
    """Fill closed contours given in index coordinates, (n, 3), x, y, z, contour k from `starts[k]` on."""
    lengths, firsts = np.diff(starts), starts[:-1]
    low, high = np.minimum.reduceat(vertices, firsts), np.maximum.reduceat(vertices, firsts)
    heights = np.add.reduceat(vertices[:, 2], firsts) / lengths
    slices = np.rint(heights)
    enough = lengths >= 3
    planar = high[:, 2] - low[:, 2] <= PLANAR_TOLERANCE
    placed = planar & (slices >= 0) & (slices < len(mask))
    placed_in_best = placed & _in_nearest_plane(heights, slices)
    used = placed_in_best & enough
    kept = np.ascontiguousarray(vertices[np.repeat(used, lengths), :2])
    counts = fill_planes(kept, np.cumsum([0, *lengths[used]]), slices[used].astype(np.int64), mask)
    edge = np.array(mask.shape[:0:-1]) - 0.5  # x, y of the outer edge of the outermost voxels
    outside = (low[used, :2].min(axis=1) < -0.5) | (high[used, :2] > edge).any(axis=1)
    offsets = np.abs(heights - slices)[placed & (np.abs(heights - slices) > PLACE_TOLERANCE)]
    what_happened = {
        "contour_not_planar": (~planar, "that are not parallel to the slices and are left out"),
        "contour_outside_image": (np.r_[planar & ~placed, outside], "that reach outside the image and are clipped"),
        "contour_fills_nothing": (np.r_[~enough, (counts == 0) & ~outside], "that hold no voxel centre"),
        "contour_between_slices": (
            np.r_[offsets > 0, placed & ~placed_in_best],
            f"in planes up to {offsets.max(initial=0):.2g} of a slice step from their slice; "
            f"{np.count_nonzero(placed & ~placed_in_best)} of them left out because another plane is nearer",
        ),
    }
    totals = {code: (int(np.count_nonzero(which)), text) for code, (which, text) in what_happened.items()}
    return [_finding(code, roi, f"has {n} contours {text}", n) for code, (n, text) in totals.items() if n]


def _in_nearest_plane(heights: NDArray[np.float64], slices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of contours in several planes that share a nearest slice, those in the plane nearest to it.

    Contours drawn more densely than the slices would otherwise cancel one another under the even-odd rule.
    """
    distance = np.abs(heights - slices)
    order = np.lexsort((heights, distance, slices))
    first = np.r_[True, np.diff(slices[order]) != 0]
    leader = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    is_near = np.empty(len(heights), dtype=bool)
    is_near[order] = np.abs(heights[order] - heights[leader]) <= SAME_PLANE_TOLERANCE
    return is_near


def _contours(elements: Elements, sequence: int | None) -> Iterable[Contour]:
    for item in elements.items(sequence):
        fields = elements.fields(item)
        row = fields.get(_CONTOUR_DATA)
        if row is None or not elements.rows[row][2]:
            continue
        numbers = elements.decimals(row)
        if len(numbers) % 3:
            raise DicomError(
                f"{elements.path.name} has a ContourData (3006,0050) of {len(numbers)} numbers, not a multiple of 3"
            )
        yield Contour(numbers.reshape(-1, 3), elements.text(fields.get(_CONTOUR_TYPE)) or "")


def _named_rois(
    elements: Elements, sequence: int | None, contours: Mapping[int, Sequence[Contour]]
) -> tuple[tuple[Roi, ...], tuple[Finding, ...]]:
    """The regions, each under a name of its own."""
    rois: dict[str, Roi] = {}
    findings = []
    for item in elements.items(sequence):
        fields = elements.fields(item)
        number = _integer(elements, fields.get(_ROI_NUMBER))
        name = elements.name(fields.get(_ROI_NAME))
        if name is None:
            name = f"ROI {number}"
            findings.append(
                Finding(code="roi_name_missing", message=f"region {number} has no name: it is called {name!r}")
            )
        if name in rois:
            repeated, name = name, f"{name} (ROI {number})"
            message = f"the name {repeated!r} is repeated: region {number} is called {name!r}"
            findings.append(Finding(code="roi_name_repeated", message=message))
        rois[name] = Roi(number, name, tuple(contours.get(number, ())))
    return tuple(rois.values()), tuple(findings)


def _references(elements: Elements, sequence: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Frame of reference UIDs and SeriesInstanceUIDs that the structure set names."""
    frames, series = [], []
    for frame in elements.items(sequence):
        fields = elements.fields(frame)
        frames.append(elements.text(fields.get(_FRAME_OF_REFERENCE)))
        for study in elements.items(fields.get(_STUDIES)):
            items = elements.items(elements.fields(study).get(_SERIES))
            series += [elements.text(elements.fields(item).get(_SERIES_UID)) for item in items]
    return tuple(filter(None, dict.fromkeys(frames))), tuple(filter(None, dict.fromkeys(series)))


def _integer(elements: Elements, row: int | None) -> int:
    """The value as an integer string (IS)."""
    text = elements.text(row)
    try:
        return int(text or "")
    except ValueError as error:
        raise DicomError(f"{elements.path.name} has a region whose number is {text!r}, not a whole number") from error


def _finding(code: str, roi: Roi, what: str, count: int | None = None) -> Finding:
    numbers = {"roi": roi.name} if count is None else {"roi": roi.name, "contours": count}
    return Finding(code=code, message=f"region {roi.name!r} {what}", numbers=numbers)
