"""RTSTRUCT: the regions of a structure set (DICOM PS3.3 A.19), and their masks on the grid of an image (`contours`)."""

from collections import Counter
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
from .contours import Contour, Roi, fill_packed, fill_rois
from .elements import Elements, read_elements
from .header import METADATA, keyword_values
from .regions import Channels, FillPolicy, unique_name

RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

_SOP_CLASS = 0x00080016
_SERIES_UID = 0x0020000E
_FRAME_OF_REFERENCE = 0x00200052
_FRAMES, _STUDIES, _SERIES = 0x30060010, 0x30060012, 0x30060014
_ROIS, _ROI_NUMBER, _ROI_NAME = 0x30060020, 0x30060022, 0x30060026
_ROI_CONTOURS, _CONTOURS, _CONTOUR_TYPE, _CONTOUR_DATA = 0x30060039, 0x30060040, 0x30060042, 0x30060050
_REFERENCED_ROI, _ROI_FRAME = 0x30060084, 0x30060024


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

    @property
    def labels(self) -> tuple[str, ...]:
        """Per region its ROI Name as the file has it."""
        return tuple(roi.label for roi in self.rois)

    @property
    def region_frames(self) -> tuple[str | None, ...]:
        """Per region the frame of reference UID that its contours are in, None where the file does not say."""
        return tuple(roi.frame_of_reference for roi in self.rois)

    def fill(self, number: int, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
        """Fill region `number` (from 0) into a mask (Z, Y, X) of the grid that is all False; give its findings."""
        return fill_roi(self.rois[number], grid, mask)

    def own_grid(self) -> Grid | None:
        """None: contours have no voxels."""
        return None

    def fill_all(self, numbers: Sequence[int], grid: Grid, channels: Channels, policy: FillPolicy) -> list[Finding]:
        """Fill region ``numbers[k]`` (from 0) into ``channels[k]``, which is all zero; give the findings."""
        return fill_rois([self.rois[number] for number in numbers], grid, channels, policy)

    def fill_packed(self, grid: Grid, *, parallel: bool = False) -> tuple[NDArray[np.uint8], list[Finding]]:
        """Every region as one bit: an eighth of the memory of a mask.

        Returns
        -------
        packed : (bytes, Z, Y, X)
            Region k is bit ``k % 8`` of byte ``k // 8`` (`medimagenet.kernels.rasterize.unpack_region`).
        findings
        """
        return fill_packed(self.rois, grid, parallel=parallel)


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
    findings += _number_findings(rois, contours)
    frames, series = _references(elements, fields.get(_FRAMES))
    metadata = MappingProxyType(keyword_values(elements, METADATA))
    frames = tuple(dict.fromkeys([*frames, *(roi.frame_of_reference for roi in rois if roi.frame_of_reference)]))
    return StructureSet(rois, series, frames, metadata, findings)


def fill_roi(roi: Roi, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
    """Fill one region into a mask (Z, Y, X) of `grid` that is all False, in place; give its findings."""
    return fill_rois([roi], grid, mask[np.newaxis], FillPolicy())


def _contours(elements: Elements, sequence: int | None) -> Iterable[Contour]:
    for item in elements.items(sequence):
        fields = elements.fields(item)
        row = fields.get(_CONTOUR_DATA)
        if row is None or not elements.rows[row][2]:
            continue
        numbers = elements.decimals(row)
        if not len(numbers):  # blanks
            continue
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
        label = elements.name(fields.get(_ROI_NAME))
        given = f"ROI {number}" if label is None else label
        name = unique_name(given, f"ROI {number}", rois)
        if label is None:
            message = f"region {number} has no name: it is called {name!r}"
            findings.append(Finding(code="roi_name_missing", message=message))
        elif name != given:
            message = f"the name {given!r} is repeated: region {number} is called {name!r}"
            findings.append(Finding(code="roi_name_repeated", message=message))
        frame = elements.text(fields.get(_ROI_FRAME))
        rois[name] = Roi(number, name, tuple(contours.get(number, ())), frame, label or "")
    if not rois:
        findings.append(Finding(code="no_regions", message="it names no regions: StructureSetROISequence is empty"))
    return tuple(rois.values()), tuple(findings)


def _number_findings(rois: Sequence[Roi], contours: Mapping[int, Sequence[Contour]]) -> tuple[Finding, ...]:
    """Contours of no region, and contours that two regions claim."""
    findings = []
    counts = Counter(roi.number for roi in rois)
    for number, count in counts.items():
        if count > 1:
            message = f"{count} regions have the number {number}: each has the contours that refer to it"
            about = {"number": number, "regions": count}
            findings.append(Finding(code="roi_number_repeated", message=message, numbers=about))
    strays = {number: len(group) for number, group in contours.items() if group and number not in counts}
    if strays:
        message = f"{sum(strays.values())} contours refer to regions that the file does not name ({sorted(strays)})"
        found = {"contours": sum(strays.values()), "numbers": sorted(strays)}
        findings.append(Finding(code="contour_without_region", message=message, numbers=found))
    return tuple(findings)


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
