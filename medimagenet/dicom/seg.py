"""SEG: the segments of a segmentation object (DICOM PS3.3 A.51), and their masks on the grid of an image.

Frames may come in any order, may leave planes out and may overlap; each says which segment it shows and where it lies.
A fractional segment is cut at half of its greatest value. Of frames of one segment at one place the union is taken, of
fractions the largest, with a finding. Frames should lie on the voxels of the reference grid, up to
cropping, turning over and missing planes: then voxels are copied. Where they do not, they can be resampled on request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, GeometryError
from ..findings import Finding
from ..geometry import Grid
from .elements import Elements, read_elements
from .header import METADATA, keyword_values
from .onto import resample_onto
from .regions import Channels, FillPolicy
from .seg_header import (
    PER_FRAME,
    REFERENCED_SERIES,
    SEGMENTS,
    SEQUENCES,
    SHARED,
    Planes,
    frame_findings,
    read_frame_segments,
    read_planes,
    read_segment_list,
    repeated_findings,
)
from .seg_pixels import SegmentPixels, read_pixels, set_bits
from .seg_values import value_findings

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
SEG_STORAGE = (SEGMENTATION_STORAGE, LABEL_MAP_STORAGE)

ALIGNMENT_TOLERANCE = 0.25  # voxels: farther off, a frame is on another grid, and copying voxels would shift it

MOST_PLANES = 4096  # more planes than any scan has, of which most are missing, are a broken position
MOST_MISSING = 20  # times as many planes as frames

_SOP_CLASS, _SERIES_UID, _FRAME_OF_REFERENCE = 0x00080016, 0x0020000E, 0x00200052
_FRAME_COUNT, _ROWS, _COLUMNS, _BITS = 0x00280008, 0x00280010, 0x00280011, 0x00280100
_KIND, _GREATEST, _PADDING = 0x00620001, 0x0062000E, 0x00280120
_REQUIRED = {
    _BITS: "BitsAllocated",
    _COLUMNS: "Columns",
    PER_FRAME: "PerFrameFunctionalGroupsSequence",
    _ROWS: "Rows",
    SEGMENTS: "SegmentSequence",
}


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
    pixels: SegmentPixels
    """Of the frames: 0 and 1, fractions, or segment numbers."""
    places: Planes
    frame_segments: tuple[int, ...]
    """Per frame the segment it shows; empty for a label map."""
    greatest: float | None
    """The value that stands for 1, of a fractional segmentation."""
    metadata: Mapping[str, Any]
    """DICOM keywords, and under "segments" what each segment is: its number, label, codes and algorithm."""
    findings: tuple[Finding, ...]
    referenced_series: tuple[str, ...] = ()

    @property
    def frames(self) -> NDArray[Any]:
        """(frames, rows, columns), all of them unpacked."""
        return np.stack(list(self.pixels))

    @property
    def planes(self) -> tuple[FramePlane, ...]:
        """Per frame its place."""
        return tuple(map(FramePlane, self.places.origins, self.places.steps))

    @property
    def threshold(self) -> float:
        """A pixel of a frame belongs to its segment from this value on."""
        return 1.0 if self.greatest is None else self.greatest / 2

    @property
    def frames_of_reference(self) -> tuple[str, ...]:
        """The frame of reference UID of the object."""
        own = self.metadata.get("FrameOfReferenceUID")
        return (own,) if own else ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Per segment its SegmentLabel as the file has it."""
        return tuple(item["label"] for item in self.metadata["segments"])

    @property
    def region_frames(self) -> tuple[str | None, ...]:
        """Of every segment the object's."""
        return (self.metadata.get("FrameOfReferenceUID"),) * len(self.names)

    def own_grid(self) -> Grid:
        """The grid of the frames: planes that are missing between them are planes of it.

        Raises
        ------
        GeometryError
            The frames differ in direction or pixel size, or are not evenly spaced.
        """
        return _grid_of(self.places, self.pixels.shape)

    def fill(self, number: int, grid: Grid, mask: NDArray[np.bool_]) -> list[Finding]:
        """Fill segment `number` (from 0) into a mask (Z, Y, X) of the grid that is all False; give its findings."""
        return self.fill_all([number], grid, mask[np.newaxis], FillPolicy())

    def fill_all(self, numbers: Sequence[int], grid: Grid, channels: Channels, policy: FillPolicy) -> list[Finding]:
        """Fill segment ``numbers[k]`` (from 0) into ``channels[k]``, which is all zero; give the findings.

        Raises
        ------
        GeometryError
            The frames do not lie on the voxels of the grid, and the policy does not say what then.
        """
        first, steps, shift = _on_grid(self.places, self.pixels.shape, grid)
        farthest = float(shift.max(initial=0.0))
        sparse = _slices_apart(first, steps) if farthest <= ALIGNMENT_TOLERANCE else 0
        if farthest <= ALIGNMENT_TOLERANCE and not (sparse and policy.off_grid == "nearest"):
            outside = self._copy(numbers, channels, first, steps)
            found = [(self.names[n], count) for n, count in zip(numbers, outside, strict=True) if count]
            return [*_sparse_findings(sparse), *(_outside_finding(name, count) for name, count in found)]
        if policy.off_grid == "fail":
            raise GeometryError(
                f"a frame of the segmentation is {farthest:.3g} voxels off the grid of the image (tolerance "
                f'{ALIGNMENT_TOLERANCE}): give the image that was segmented as reference, or off_grid="nearest"'
            )
        return self._resample(numbers, grid, channels, policy)

    def _copy(
        self, numbers: Sequence[int], channels: Channels, first: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> list[int]:
        """Copy the pixels of the frames to their voxels; per channel the number of those that lie outside."""
        wanted = {self.numbers[number]: k for k, number in enumerate(numbers)}
        outside = [0] * len(numbers)
        for k in range(len(first)):
            if self.frame_segments and self.frame_segments[k] not in wanted:
                continue
            if self.frame_segments and self.pixels.is_packed and channels.dtype == np.bool_:
                number = wanted[self.frame_segments[k]]
                outside[number] += _place_bits(self.pixels, k, first[k], steps[k], channels[number])
                continue
            frame = self.pixels[k]
            shown = self.frame_segments[k : k + 1] or sorted(wanted.keys() & set(np.unique(frame).tolist()))
            for segment in shown:
                pixels = self._values(frame, segment, channels.dtype)
                outside[wanted[segment]] += _place(pixels, first[k], steps[k], channels[wanted[segment]])
        return outside

    def _values(self, frame: NDArray[Any], segment: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """What a frame says of a segment: inside or not, or the share."""
        if not self.frame_segments:
            return (frame == segment).astype(dtype, copy=False)
        if dtype == np.bool_:
            return frame >= self.threshold if self.greatest is not None else frame != 0
        return (frame / (self.greatest or 1.0)).astype(dtype)

    def _resample(self, numbers: Sequence[int], grid: Grid, channels: Channels, policy: FillPolicy) -> list[Finding]:
        """Each voxel takes the nearest one of the frames' own grid."""
        own = self.own_grid()
        first, steps, _ = _on_grid(self.places, self.pixels.shape, own)
        scratch: Channels = np.zeros((1, *own.shape), dtype=channels.dtype)  # type: ignore[assignment]
        for number, channel in zip(numbers, channels, strict=True):
            self._copy([number], scratch, first, steps)
            channel[:] = resample_onto(scratch[0], own, grid, interpolation="nearest", parallel=policy.parallel)
            scratch[:] = 0
        spacing = " x ".join(f"{value:.4g}" for value in own.spacing)
        message = f"its frames have another grid than the image ({spacing} mm): voxels take the nearest one of theirs"
        return [Finding(code="segment_resampled", message=message, numbers={"spacing_mm": list(own.spacing)})]


def read_segments(path: Path) -> Segmentation:
    """Read a SEG file: BINARY, FRACTIONAL or LABELMAP.

    Raises
    ------
    DicomError
        The file is not a readable segmentation, its pixels cannot be decoded, or its frames have no place.
    """
    path = Path(path)
    elements = read_elements(path, header_only=True, sequences=SEQUENCES)
    fields = elements.fields()
    if (sop_class := elements.text(fields.get(_SOP_CLASS))) not in SEG_STORAGE:
        raise DicomError(f"{path.name} is not a segmentation: its SOPClassUID (0008,0016) is {sop_class}")
    for tag, keyword in _REQUIRED.items():
        if tag not in fields:
            raise DicomError(f"{path.name} is a segmentation without {keyword}")
    pixels = read_pixels(path, elements, _shape(elements, fields), elements.number(fields[_BITS]) or 0)
    groups = elements.items(fields[PER_FRAME])
    described = len(groups)
    groups = groups[: len(pixels)]
    shared = next(iter(elements.items(fields.get(SHARED))), None)
    is_map = elements.text(fields.get(_KIND)) == "LABELMAP"
    shown = () if is_map else read_frame_segments(elements, groups, shared)
    names, segments = read_segment_list(elements, fields[SEGMENTS])
    if is_map:
        names = {name: number for name, number in names.items() if number != 0}  # 0 is the background
    numbers = tuple(names.values())
    greatest = _greatest(elements, fields)
    places = read_planes(elements, groups, shared)
    findings = [
        *frame_findings(described, len(pixels), shown, numbers),
        *repeated_findings(places, shown, {number: name for name, number in names.items()}, greatest),
        *value_findings(
            pixels, numbers, is_map=is_map, greatest=greatest, padding=elements.number(fields.get(_PADDING))
        ),
    ]
    metadata = {**keyword_values(elements, METADATA), "segments": [item for item in segments if item["name"] in names]}
    series = [
        elements.text(elements.fields(item).get(_SERIES_UID)) for item in elements.items(fields.get(REFERENCED_SERIES))
    ]
    return Segmentation(
        tuple(names),
        numbers,
        pixels,
        places,
        shown,
        greatest,
        MappingProxyType(metadata),
        tuple(findings),
        tuple(uid for uid in dict.fromkeys(series) if uid),
    )


def _shape(elements: Elements, fields: Mapping[int, int]) -> tuple[int, int, int]:
    """Frames, rows, columns."""
    text = elements.text(fields.get(_FRAME_COUNT)) or "1"
    if not text.isdecimal():
        raise DicomError(f"{elements.path.name} has NumberOfFrames (0028,0008) {text!r}, not a whole number")
    return int(text), elements.number(fields[_ROWS]) or 0, elements.number(fields[_COLUMNS]) or 0


def _greatest(elements: Elements, fields: Mapping[int, int]) -> float | None:
    """Maximum Fractional Value (0062,000E), of a fractional segmentation."""
    if elements.text(fields.get(_KIND)) != "FRACTIONAL":
        return None
    return float(elements.number(fields.get(_GREATEST)) or 255)


def _slices_apart(first: NDArray[np.int64], steps: NDArray[np.int64]) -> int:
    """How many slices of the image the planes of the frames lie apart, where each leaves some out; else 0."""
    across = np.abs(steps).sum(axis=2) == 0
    if len(first) < 3 or (across != across[0]).any():
        return 0
    gaps = np.diff(np.unique(first[:, across[0]]))
    return int(gaps.min()) if len(gaps) > 1 and gaps.min() > 1 else 0


def _sparse_findings(step: int) -> list[Finding]:
    if not step:
        return []
    message = (
        f"its frames lie {step} slices of the image apart, or more: those between stay empty "
        '(off_grid="nearest" fills them)'
    )
    return [Finding(code="segment_planes_sparse", message=message, numbers={"slices": step})]


def _outside_finding(name: str, count: int) -> Finding:
    message = f"segment {name!r} has {count} voxels outside the image: they are cut off"
    return Finding(code="segment_outside_image", message=message, numbers={"roi": name, "voxels": count})


def _on_grid(
    places: Planes, shape: tuple[int, int, int], grid: Grid
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Per frame the voxel of its first pixel (x, y, z), the steps (3, 2) along a row and a column, and how far the
    farthest pixel is from its voxel; infinite where a step is not one voxel along one axis."""
    first = grid.to_index(places.origins)
    steps = np.linalg.inv(grid.matrix) @ places.steps
    whole_first, whole_steps = np.rint(first), np.rint(steps)
    rows, columns = shape[1:]
    corners = np.array([[0, columns - 1, 0, columns - 1], [0, 0, rows - 1, rows - 1]])
    shift = np.abs((steps - whole_steps) @ corners + (first - whole_first)[:, :, np.newaxis]).max(axis=(1, 2))
    is_along_axes = (np.abs(whole_steps).sum(axis=1) == 1).all(axis=1) & (np.abs(whole_steps).sum(axis=2) <= 1).all(
        axis=1
    )
    shift[~is_along_axes] = np.inf
    return whole_first.astype(np.int64), whole_steps.astype(np.int64), shift


def _place_bits(
    pixels: SegmentPixels, number: int, first: NDArray[np.int64], steps: NDArray[np.int64], channel: NDArray[Any]
) -> int:
    """`_place` of a frame whose bits are not unpacked: twenty times as fast where most of them are 0."""
    along_row, along_column, across = _axes(steps)
    plane = np.moveaxis(channel, [2 - across, 2 - along_column, 2 - along_row], [0, 1, 2])
    is_there = 0 <= first[across] < len(plane)
    target = plane[first[across] if is_there else 0]
    places = (first[along_column], steps[along_column, 1], first[along_row], steps[along_row, 0])
    count, inside = set_bits(pixels.data, number, pixels.shape[1], pixels.shape[2], *places, target, is_there)
    return int(count - inside)


def _axes(steps: NDArray[np.int64]) -> tuple[int, int, int]:
    """The axes (0 is x) that a row and a column of a frame run along, and the one across it."""
    along_row, along_column = (int(np.flatnonzero(steps[:, k])[0]) for k in (0, 1))
    return along_row, along_column, 3 - along_row - along_column


def _place(pixels: NDArray[Any], first: NDArray[np.int64], steps: NDArray[np.int64], channel: NDArray[Any]) -> int:
    """Put the pixels of a frame into a channel (Z, Y, X); give the number of those that lie outside."""
    count = int(np.count_nonzero(pixels))
    along_row, along_column, across = _axes(steps)
    if not count or not 0 <= first[across] < channel.shape[2 - across]:
        return count
    signs = int(steps[along_column, 1]), int(steps[along_row, 0])
    pixels = pixels[:: signs[0], :: signs[1]]
    plane = np.moveaxis(channel, [2 - across, 2 - along_column, 2 - along_row], [0, 1, 2])[first[across]]
    lowest = [
        int(first[axis]) - (size - 1 if sign < 0 else 0)
        for axis, size, sign in zip((along_column, along_row), pixels.shape, signs, strict=True)
    ]
    low = [max(start, 0) for start in lowest]
    high = [
        max(min(start + size, there), at)
        for start, size, there, at in zip(lowest, pixels.shape, plane.shape, low, strict=True)
    ]
    inside = pixels[low[0] - lowest[0] : high[0] - lowest[0], low[1] - lowest[1] : high[1] - lowest[1]]
    target = plane[low[0] : high[0], low[1] : high[1]]
    np.maximum(target, inside, out=target)
    return count - int(np.count_nonzero(inside))


def _grid_of(places: Planes, shape: tuple[int, int, int]) -> Grid:
    """The grid of which frames are planes."""
    if not len(places.steps):
        raise GeometryError("the segmentation has no frames: they form no grid")
    steps = places.steps[0]
    spacing = np.linalg.norm(steps, axis=0)
    if not np.allclose(places.steps, steps, rtol=0, atol=ALIGNMENT_TOLERANCE * spacing.min() / max(shape[1:])):
        raise GeometryError("the frames of the segmentation differ in direction or pixel size: they form no grid")
    cosines = steps / spacing
    normal = np.cross(cosines[:, 0], cosines[:, 1])
    heights = places.origins @ normal
    order = np.argsort(heights)
    gaps = np.diff(heights[order])
    gaps = gaps[gaps > ALIGNMENT_TOLERANCE * spacing.min()]
    between = float(gaps.min()) if len(gaps) else places.thickness or float(spacing.min())
    first = places.origins[order[0]]
    number = round(float(heights[order[-1]] - heights[order[0]]) / between) + 1
    if number > max(MOST_PLANES, MOST_MISSING * len(heights)):
        raise GeometryError(f"the {len(heights)} frames of the segmentation are spread over {number} planes")
    direction = np.column_stack([cosines, normal])
    rows = [(float(x), float(y), float(z)) for x, y, z in direction]
    try:
        grid = Grid(
            (shape[2], shape[1], number),
            (float(spacing[0]), float(spacing[1]), between),
            (float(first[0]), float(first[1]), float(first[2])),
            (rows[0], rows[1], rows[2]),
        )
    except ValueError as error:  # rows and columns that are not at right angles
        raise GeometryError(f"the frames of the segmentation form no grid: {error}") from error
    farthest = float(_on_grid(places, shape, grid)[2].max())
    if farthest > ALIGNMENT_TOLERANCE:
        raise GeometryError(
            f"the frames of the segmentation are not evenly spaced: with the smallest step, {between:.4g} mm, one is "
            f"{farthest:.3g} voxels off (tolerance {ALIGNMENT_TOLERANCE})"
        )
    return grid
