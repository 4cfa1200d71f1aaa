"""SEG: the segments of a segmentation object (DICOM PS3.3 A.51), and their masks on the grid of an image.

Frames may come in any order, may leave planes out and may overlap; each says which segment it shows and where it lies.
A fractional segment is cut at half of its greatest value. Frames must lie on the voxels of the reference grid; they
may cover less or more of it, run in other directions, and miss planes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ..errors import DicomError, GeometryError
from ..findings import Finding
from ..geometry import Grid
from .elements import read_dataset, read_elements
from .header import METADATA, keyword_values
from .pixels import NATIVE, decode_frames

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
SEG_STORAGE = (SEGMENTATION_STORAGE, LABEL_MAP_STORAGE)

ALIGNMENT_TOLERANCE = 0.25  # voxels: farther off, a frame is on another grid, and copying voxels would shift it


@dataclass(frozen=True, slots=True, eq=False)
class FramePlane:
    """Where a frame lies."""

    origin: NDArray[np.float64]
    """(3,), LPS mm: centre of its first pixel."""
    steps: NDArray[np.float64]
    """(3, 2), mm: from pixel to pixel along a row, along a column."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The content of a SEG object."""

    names: tuple[str, ...]
    """Per segment its SegmentLabel (0062,0005), made unique; in the order of SegmentSequence."""
    numbers: tuple[int, ...]
    """Per segment its SegmentNumber (0062,0004)."""
    frames: NDArray[Any]
    """(frames, rows, columns): 0 and 1, fractions, or segment numbers."""
    planes: tuple[FramePlane, ...]
    frame_segments: tuple[int, ...]
    """Per frame the segment it shows; empty for a label map."""
    threshold: float
    """A pixel of a frame belongs to its segment from this value on."""
    metadata: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def fill(self, number: int, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
        """Fill segment `number` (from 0) into a mask (Z, Y, X) of the grid that is all False; give its findings.

        Raises
        ------
        GeometryError
            The frames do not lie on the voxels of the grid.
        """
        segment = self.numbers[number]
        outside = 0
        for k, (frame, plane) in enumerate(zip(self.frames, self.planes, strict=True)):
            if not self.frame_segments:
                outside += _place(frame == segment, plane, grid, mask)
            elif self.frame_segments[k] == segment:
                outside += _place(frame >= self.threshold, plane, grid, mask)
        if not outside:
            return []
        name = self.names[number]
        message = f"segment {name!r} has {outside} voxels outside the image: they are cut off"
        return [Finding(code="segment_outside_image", message=message, numbers={"roi": name, "voxels": outside})]


def read_segments(path: Path) -> Segmentation:
    """Read a SEG file: BINARY, FRACTIONAL or LABELMAP.

    Raises
    ------
    DicomError
        The file is not a readable segmentation, its pixels cannot be decoded, or its frames have no place.
    """
    path = Path(path)
    dataset = read_dataset(path)
    if dataset.SOPClassUID not in SEG_STORAGE:
        raise DicomError(f"{path.name} is not a segmentation: its SOPClassUID (0008,0016) is {dataset.SOPClassUID}")
    for keyword in ("BitsAllocated", "Columns", "PerFrameFunctionalGroupsSequence", "Rows", "SegmentSequence"):
        if keyword not in dataset:
            raise DicomError(f"{path.name} is a segmentation without {keyword}")
    elements = read_elements(path, header_only=True)
    frames = _frames(dataset, path.name)
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    if len(groups) != len(frames):
        raise DicomError(f"{path.name} describes {len(groups)} frames and has {len(frames)}")
    planes = tuple(_plane(dataset, group, k, path.name) for k, group in enumerate(groups))
    is_map = dataset.get("SegmentationType") == "LABELMAP"
    shown = () if is_map else tuple(_segment(dataset, group, k, path.name) for k, group in enumerate(groups))
    numbers, names = _segments(dataset)
    threshold, findings = _threshold(dataset, frames)
    metadata = MappingProxyType(keyword_values(elements, METADATA))
    return Segmentation(names, numbers, frames, planes, shown, threshold, metadata, findings)


def _place(pixels: NDArray[np.bool_], plane: FramePlane, grid: Grid, mask: NDArray[np.bool_]) -> int:
    """Set the voxels of a frame in the mask; give the number of those that lie outside."""
    first = grid.to_index(plane.origin)
    steps = np.linalg.inv(grid.matrix) @ plane.steps
    whole_first, whole_steps = np.rint(first), np.rint(steps)
    rows, columns = pixels.shape
    corners = np.array([[0, columns - 1, 0, columns - 1], [0, 0, rows - 1, rows - 1]])
    shift = (steps - whole_steps) @ corners + (first - whole_first)[:, None]
    if np.abs(shift).max() > ALIGNMENT_TOLERANCE or not (np.abs(whole_steps).sum(axis=0) == 1).all():
        raise GeometryError(
            f"a frame of the segmentation is {np.abs(shift).max():.3g} voxels off the grid of the image (tolerance "
            f"{ALIGNMENT_TOLERANCE}): give the image that was segmented as reference, and resample the mask after"
        )
    row, column = np.nonzero(pixels)
    index = whole_steps.astype(np.int64) @ np.stack([column, row]) + whole_first.astype(np.int64)[:, None]
    inside = ((index >= 0) & (index < np.array(grid.size)[:, None])).all(axis=0)
    x, y, z = index[:, inside]
    mask[z, y, x] = True
    return int(np.count_nonzero(~inside))


def _frames(dataset: pydicom.Dataset, name: str) -> NDArray[Any]:
    """Stored values, (frames, rows, columns). Bits are packed from frame to frame without a gap (PS3.5 8.1.1)."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if dataset.BitsAllocated != 1 or syntax not in NATIVE or "PixelData" not in dataset:
        frames = decode_frames(dataset, name)
        return frames if frames.ndim == 3 else frames[None]
    shape = (int(dataset.get("NumberOfFrames", 1)), dataset.Rows, dataset.Columns)
    count = int(np.prod(shape))
    packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    if 8 * len(packed) < count:
        raise DicomError(f"{name} is cut short: {8 * len(packed)} of {count} pixels are there")
    return np.unpackbits(packed, count=count, bitorder="little").reshape(shape)


def _plane(dataset: pydicom.Dataset, group: pydicom.Dataset, number: int, name: str) -> FramePlane:
    try:
        position = _macro(dataset, group, "PlanePositionSequence").ImagePositionPatient
        cosines = _macro(dataset, group, "PlaneOrientationSequence").ImageOrientationPatient
        spacing = _macro(dataset, group, "PixelMeasuresSequence").PixelSpacing
        between_rows, between_columns = map(float, spacing)
        directions = np.array(cosines, dtype=np.float64).reshape(2, 3).T
        return FramePlane(np.array(position, dtype=np.float64), directions * [between_columns, between_rows])
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DicomError(f"{name}: frame {number} has no place in the patient: {error}") from error


def _segment(dataset: pydicom.Dataset, group: pydicom.Dataset, number: int, name: str) -> int:
    try:
        return int(_macro(dataset, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DicomError(f"{name}: frame {number} does not say which segment it shows: {error}") from error


def _macro(dataset: pydicom.Dataset, group: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
    """A functional group of one frame, or that of all frames."""
    if keyword not in group:
        group = dataset.SharedFunctionalGroupsSequence[0]
    return getattr(group, keyword)[0]


def _segments(dataset: pydicom.Dataset) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and unique names of the segments."""
    names: dict[str, int] = {}
    for position, item in enumerate(dataset.SegmentSequence, start=1):
        number = int(item.get("SegmentNumber", position))
        label = str(item.get("SegmentLabel") or "").strip() or f"segment {number}"
        names[label if label not in names else f"{label} (segment {number})"] = number
    if dataset.get("SegmentationType") == "LABELMAP":
        names = {name: number for name, number in names.items() if number != 0}  # 0 is the background
    return tuple(names.values()), tuple(names)


def _threshold(dataset: pydicom.Dataset, frames: NDArray[Any]) -> tuple[float, tuple[Finding, ...]]:
    """The value from which on a pixel belongs to its segment."""
    if dataset.get("SegmentationType") != "FRACTIONAL":
        return 1.0, ()
    greatest = int(dataset.get("MaximumFractionalValue", 255))
    between = int(np.count_nonzero((frames > 0) & (frames < greatest)))
    if not between:
        return greatest / 2, ()
    message = f"{between} voxels are fractional: those of at least half of {greatest} are taken"
    return greatest / 2, (Finding(code="segment_thresholded", message=message, numbers={"voxels": between}),)
