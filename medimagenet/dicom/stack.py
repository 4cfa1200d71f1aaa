"""From the planes of single slices to the order of a stack and its `Grid`, or to findings that say why there is none.

Slices are ordered by the position of their first voxel along the normal, row direction x column direction (DICOM PS3.3
C.7.6.2.1.1); instance numbers and file names say nothing about place. The tolerances of spacing, in-plane position
and orthogonality are those of IDC's volume_geometry_index, so that findings here agree with the public index.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import atan, degrees, hypot, inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding, Severity, worst
from ..geometry import Direction, Grid, Triple

STEP_TOLERANCE = 0.01  # of the mean step: a step that differs more makes the finding nonuniform_spacing (IDC)
PLACE_TOLERANCE = 0.1  # of the mean step: a slice farther from its place in an even stack makes the stack unusable
IN_PLANE_TOLERANCE_MM = 0.1  # sideways movement over the whole stack (IDC)
CROSS_TOLERANCE = 0.01  # of 1: length of row x column (IDC)
DUPLICATE_TOLERANCE_MM = 0.01  # well below the thinnest slices, well above the rounding of decimal strings
COSINE_TOLERANCE = 1e-4  # 0.05 mm at the far edge of a 500 mm image, half the in-plane tolerance
PIXEL_TOLERANCE = 1e-4  # relative: 0.05 voxel at the far edge of 512
MULTIPLE_TOLERANCE = 0.1  # of the usual step: a gap this close to a multiple of it is one where slices are missing

_SHARED = (  # what two slices of a stack must have in common, beside their places
    *("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "NumberOfFrames", "Rows", "Columns", "ImageType"),
)

Orientation = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlane:
    """Where one image instance lies, by its header."""

    position: Triple | None
    """Image Position (Patient) (0020,0032): centre of the first voxel, LPS mm."""
    orientation: Orientation | None
    """Image Orientation (Patient) (0020,0037): direction along a row, then along a column, unit cosines."""
    pixel_spacing: tuple[float, float] | None
    """Pixel Spacing (0028,0030): between rows, between columns, mm, in the order DICOM stores it."""
    rows: int
    columns: int
    image_type: tuple[str, ...] = ()
    """Image Type (0008,0008)."""
    instance_number: int | None = None
    n_frames: int = 1
    slice_thickness: float | None = None
    """Slice Thickness (0018,0050), mm: used only where a single slice leaves no step to measure."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The order of slices and, where they form a volume, its grid. A finding of severity ERROR <=> no grid."""

    order: tuple[int, ...]
    """Indices into the planes given, bottom to top along the normal; by instance number where there is no normal."""
    grid: Grid | None
    findings: tuple[Finding, ...]


def plane_from_values(values: Mapping[str, Any]) -> SlicePlane:
    """The plane that header values describe.

    Parameters
    ----------
    values : by DICOM keyword
        Numbers may be text; what is absent, empty or not a number becomes None (rows and columns 0).
    """
    position = _numbers(values.get("ImagePositionPatient"), 3)
    orientation = _shared_numbers(values.get("ImageOrientationPatient"), 6)
    spacing = _shared_numbers(values.get("PixelSpacing"), 2)
    thickness = _shared_numbers(values.get("SliceThickness"), 1)
    number = _numbers(values.get("InstanceNumber"), 1)
    frames = _shared_numbers(values.get("NumberOfFrames"), 1)
    return SlicePlane(
        position=(position[0], position[1], position[2]) if position else None,
        orientation=(*orientation[:3], *orientation[3:6]) if orientation else None,  # type: ignore[arg-type]
        pixel_spacing=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        rows=_whole(values.get("Rows")),
        columns=_whole(values.get("Columns")),
        image_type=_texts(values.get("ImageType")),
        instance_number=int(number[0]) if number else None,
        n_frames=int(frames[0]) if frames else 1,
        slice_thickness=thickness[0] if thickness and thickness[0] > 0 else None,
    )


def stack_slices(planes: Sequence[SlicePlane]) -> Stack:
    """Order the slices of a series and find out whether they form a volume.

    Never raises for odd data: what is unusual comes back as findings.

    Raises
    ------
    ValueError
        There are no planes.
    """
    if not planes:
        raise ValueError("a stack needs at least one slice, got none")
    findings = list(_check_slices(planes))
    if not _fails(findings):
        findings += _check_likeness(planes)
    if _fails(findings):
        return Stack(_numbered_order(planes), None, tuple(findings))
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    numbers = np.array([_number_or_last(plane) for plane in planes])
    return _stack_places(planes[0], positions, numbers, findings)


def stack_of_columns(common: Mapping[str, Any], columns: Mapping[str, Sequence[Any]], count: int) -> Stack:
    """`stack_slices` of `count` slices; faster where they differ in place and number only.

    Parameters
    ----------
    common
        Header values that all slices have.
    columns : by keyword, of each slice
        The others; None where it is absent.
    """
    first = {**common, **{keyword: column[0] for keyword, column in columns.items()}}
    if columns.keys().isdisjoint(_SHARED):
        places = columns.get("ImagePositionPatient", [first.get("ImagePositionPatient")] * count)
        numbers = columns.get("InstanceNumber", [first.get("InstanceNumber")] * count)
        found = _stack_of_places(first, places, [inf if number is None else number for number in numbers])
        if found is not None:
            return found
    own = [{keyword: column[k] for keyword, column in columns.items()} for k in range(count)]
    return stack_slices([plane_from_values({**common, **one}) for one in own])


def _stack_of_places(first: Mapping[str, Any], places: Sequence[Any], numbers: Sequence[Any]) -> Stack | None:
    """The stack of slices that are like the first but for their places and numbers; None where something is odd."""
    plane = plane_from_values(first)
    if not (plane.position and plane.orientation) or [*_check_slices([plane])]:
        return None
    if min(plane.rows, plane.columns) < 1 or _skew(plane.orientation) is not None:
        return None
    if not all(isinstance(place, list) and len(place) == 3 for place in places):
        return None
    if not all(isinstance(number, int | float) for number in numbers):
        return None
    try:
        positions = np.array(places, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return _stack_places(plane, positions, np.array(numbers), []) if np.isfinite(positions).all() else None


def _stack_places(
    plane: SlicePlane, positions: NDArray[np.float64], numbers: NDArray[np.generic], findings: list[Finding]
) -> Stack:
    """The stack of slices that are like `plane`: `positions` (n, 3) LPS mm, `numbers` (n,) for ties."""
    rows, columns, normal = axes_of(plane)
    heights = positions @ normal
    order = np.lexsort((numbers, heights))
    findings += _check_places(positions[order] @ np.column_stack([rows, columns]), heights[order], plane)
    if _fails(findings):
        return Stack(tuple(order.tolist()), None, tuple(findings))
    x, y, z = positions[order[0]].tolist()
    grid = _grid(replace(plane, position=(x, y, z)), np.column_stack([rows, columns, normal]), heights[order])
    return Stack(tuple(order.tolist()), grid, tuple(findings))


def _check_slices(planes: Sequence[SlicePlane]) -> Iterable[Finding]:
    """What makes single slices unfit for a stack."""
    n_frames = max(plane.n_frames for plane in planes)
    if n_frames > 1:
        yield Finding(
            code="multi_frame",
            message=f"an instance holds {n_frames} frames and does not say where each lies (no functional groups)",
            numbers={"frames": n_frames},
        )
        return
    if any("MOSAIC" in plane.image_type for plane in planes):
        yield Finding(
            code="mosaic",
            message="slices are tiles of one image (ImageType MOSAIC), and nothing says how many or where they lie",
        )
    absent = [k for k, plane in enumerate(planes) if not (plane.position and plane.orientation and plane.pixel_spacing)]
    if absent:
        yield Finding(
            code="no_position",
            message=f"{len(absent)} of {len(planes)} slices have no ImagePositionPatient (0020,0032), "
            "ImageOrientationPatient (0020,0037) or PixelSpacing (0028,0030)",
            numbers={"slices": len(absent), "of": len(planes)},
        )


def _check_likeness(planes: Sequence[SlicePlane]) -> Iterable[Finding]:
    """What keeps slices from being one stack before their places are looked at."""
    first = planes[0]
    localizers = sum("LOCALIZER" in plane.image_type for plane in planes)
    if 0 < localizers < len(planes):
        yield Finding(
            code="localizer_mixed_in",
            message=f"{localizers} of {len(planes)} slices are localizers (ImageType)",
            numbers={"slices": localizers, "of": len(planes)},
        )
    kinds = sorted({plane.image_type[:2] for plane in planes if plane.image_type})
    if len(kinds) > 1:
        message = f"slices are {' and '.join(' '.join(kind) for kind in kinds)} (ImageType): not one image as acquired"
        yield Finding(code="mixed_image_type", message=message, numbers={"types": [list(kind) for kind in kinds]})
    sizes = sorted({(plane.columns, plane.rows) for plane in planes})
    if len(sizes) > 1 or min(sizes[0]) < 1:
        text = ", ".join(f"{columns} x {rows}" for columns, rows in sizes)
        yield Finding(code="mixed_size", message=f"slices have sizes {text}", numbers={"sizes": sizes})
    cosines = np.array([plane.orientation for plane in planes])
    if (deviation := float(np.abs(cosines - cosines[0]).max())) > COSINE_TOLERANCE:
        yield Finding(
            code="mixed_orientation",
            message=f"slices have different orientations: direction cosines differ by up to {deviation:.4g}",
            numbers={"cosine_difference": deviation},
        )
    pixels = np.array([plane.pixel_spacing for plane in planes])
    if float(np.abs(pixels / pixels[0] - 1).max()) > PIXEL_TOLERANCE:
        low, high = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
        yield Finding(
            code="mixed_spacing",
            message=f"slices have different pixel spacings, {low} to {high} mm (between rows, between columns)",
            numbers={"lowest_mm": low, "highest_mm": high},
        )
    if first.orientation and (length := _skew(first.orientation)) is not None:
        yield Finding(
            code="skewed_axes",
            message=f"ImageOrientationPatient (0020,0037) {list(first.orientation)} is not two unit vectors at a "
            f"right angle: the length of their cross product is {length:.4g}",
            numbers={"cross_product": length},
        )


@lru_cache(maxsize=256)
def _skew(orientation: Orientation) -> float | None:
    """Length of the cross product of two directions that are no unit vectors at a right angle; None where they are."""
    cosines = np.array(orientation).reshape(2, 3)
    products = cosines @ cosines.T - np.eye(2)
    length = float(np.linalg.norm(_cross(cosines[0], cosines[1])))
    is_skewed = abs(length - 1) > CROSS_TOLERANCE or float(np.abs(products).max()) > 2 * CROSS_TOLERANCE
    return length if is_skewed else None


def _check_places(in_plane: NDArray[np.float64], heights: NDArray[np.float64], plane: SlicePlane) -> Iterable[Finding]:
    """How the slices lie: `in_plane` (n, 2) and `heights` (n,), mm, sorted along the normal."""
    if len(heights) == 1:
        step, source = _lone_step(plane)
        yield Finding(
            code="single_slice",
            message=f"one slice only: {step:g} mm ({source}) stands for the step between slices",
            numbers={"step_mm": step},
        )
        return
    steps = np.diff(heights)
    shared = int(np.count_nonzero(steps <= DUPLICATE_TOLERANCE_MM))
    if shared:
        yield Finding(
            code="duplicate_slices",
            message=f"{len(heights)} slices lie at {len(heights) - shared} positions: "
            "a series that holds several volumes, or files that are there twice",
            numbers={"slices": len(heights), "positions": len(heights) - shared},
        )
        return
    yield from _check_sideways(in_plane, heights)
    yield from _check_steps(steps, heights)


def _check_sideways(in_plane: NDArray[np.float64], heights: NDArray[np.float64]) -> Iterable[Finding]:
    """Movement within the plane from slice to slice: even where the gantry is tilted, uneven where slices are off."""
    rise, offsets = heights - heights.mean(), in_plane - in_plane.mean(axis=0)
    slope = rise @ offsets / (rise @ rise)
    drift = hypot(*slope) * float(heights[-1] - heights[0])
    jitter = float(np.linalg.norm(offsets - np.outer(rise, slope), axis=1).max())
    if drift > IN_PLANE_TOLERANCE_MM:
        angle = degrees(atan(hypot(*slope)))
        yield Finding(
            code="gantry_tilt",
            message=f"the line through the slices is tilted by {angle:.3g} degrees against their normal "
            f"({drift:.3g} mm over the stack, tolerance {IN_PLANE_TOLERANCE_MM} mm)",
            numbers={"angle_degrees": angle, "drift_mm": drift},
        )
    if jitter > IN_PLANE_TOLERANCE_MM:
        yield Finding(
            code="shifted_slices",
            message=f"a slice lies {jitter:.3g} mm sideways from the line through the stack "
            f"(tolerance {IN_PLANE_TOLERANCE_MM} mm)",
            numbers={"jitter_mm": jitter},
        )


def _check_steps(steps: NDArray[np.float64], heights: NDArray[np.float64]) -> Iterable[Finding]:
    mean = float(heights[-1] - heights[0]) / len(steps)
    off_place = np.abs(heights - (heights[0] + mean * np.arange(len(heights))))
    worst_slice = int(off_place.argmax())
    off = float(off_place[worst_slice])
    low, high = float(steps.min()), float(steps.max())
    numbers = {"step_mm": mean, "lowest_step_mm": low, "highest_step_mm": high, "off_place_mm": off}
    if off > PLACE_TOLERANCE * mean:
        usual = float(np.sort(steps)[(len(steps) - 1) // 2])
        multiples = np.round(steps / usual)
        if np.abs(steps - multiples * usual).max() <= MULTIPLE_TOLERANCE * usual:
            missing = int((multiples - 1).sum())
            yield Finding(
                code="missing_slices",
                message=f"{missing} slice(s) missing: steps of {usual:g} mm, and gaps of up to {high:g} mm",
                numbers={"missing": missing, "usual_step_mm": usual, "highest_step_mm": high},
            )
            return
        yield Finding(
            code="uneven_slices",
            message=f"slice {worst_slice} of {len(heights)} is {off:.3g} mm from its place in an even stack "
            f"(mean step {mean:.4g} mm, steps from {low:.4g} to {high:.4g} mm, "
            f"tolerance {PLACE_TOLERANCE * mean:.3g} mm)",
            numbers=numbers,
        )
    elif max(mean - low, high - mean) > STEP_TOLERANCE * mean:
        yield Finding(
            code="nonuniform_spacing",
            message=f"steps between slices from {low:.4g} to {high:.4g} mm, mean {mean:.4g} mm "
            f"(tolerance {STEP_TOLERANCE:.0%}); no slice is more than {off:.3g} mm from its place",
            numbers=numbers,
        )


def _fails(findings: Iterable[Finding]) -> bool:
    return worst(findings) is Severity.ERROR


def axes_of(plane: SlicePlane) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along a row, along a column, along the normal, exactly at right angles."""
    if plane.orientation is None:
        raise ValueError("a plane without orientation has no axes")
    return _axes(plane.orientation)


@lru_cache(maxsize=256)
def _axes(orientation: Orientation) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    cosines = np.array(orientation).reshape(2, 3)
    along_row = cosines[0] / np.linalg.norm(cosines[0])
    normal = _cross(along_row, cosines[1])
    normal /= np.linalg.norm(normal)
    axes = along_row, _cross(normal, along_row), normal
    for axis in axes:  # they are shared by all who ask
        axis.setflags(write=False)
    return axes


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `np.cross`, which takes ten times as long for two vectors."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def _grid(plane: SlicePlane, direction: NDArray[np.float64], heights: NDArray[np.float64]) -> Grid:
    """The grid of a sound stack whose lowest slice is `plane`."""
    between_rows, between_columns = plane.pixel_spacing or (1.0, 1.0)
    n = len(heights)
    step = float(heights[-1] - heights[0]) / (n - 1) if n > 1 else _lone_step(plane)[0]
    origin = plane.position or (0.0, 0.0, 0.0)
    return Grid((plane.columns, plane.rows, n), (between_columns, between_rows, step), origin, direction_of(direction))


def direction_of(matrix: NDArray[np.float64]) -> Direction:
    """The direction of a grid from (3, 3), its columns the axes x, y, z."""
    rows = (matrix + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
    return tuple(rows[0]), tuple(rows[1]), tuple(rows[2])


def _lone_step(plane: SlicePlane) -> tuple[float, str]:
    """Step of a stack of one slice, mm, and what it comes from."""
    if plane.slice_thickness is None:
        return 1.0, "there is no SliceThickness (0018,0050)"
    return plane.slice_thickness, "SliceThickness (0018,0050)"


def _numbered_order(planes: Sequence[SlicePlane]) -> tuple[int, ...]:
    return tuple(sorted(range(len(planes)), key=lambda k: (_number_or_last(planes[k]), k)))


def _number_or_last(plane: SlicePlane) -> float:
    return inf if plane.instance_number is None else plane.instance_number


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None where the value is absent, of another length or not numbers."""
    if value is None:
        return None
    items = [value] if isinstance(value, str | int | float) else value
    try:
        numbers = tuple(map(float, items))
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(isfinite, numbers)) else None


def _shared_numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """As `_numbers`, of what is mostly the same in all slices of a series."""
    if type(value) is list and all(type(item) is str for item in value):
        return _numbers_of_texts(tuple(value), count)
    return _numbers_of_texts((value,), count) if type(value) is str else _numbers(value, count)


@lru_cache(maxsize=256)
def _numbers_of_texts(texts: tuple[str, ...], count: int) -> tuple[float, ...] | None:
    return _numbers(texts, count)


def _whole(value: Any) -> int:
    if isinstance(value, int):
        return value
    numbers = _numbers(value, 1)
    return int(numbers[0]) if numbers else 0


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(value.split("\\")) if isinstance(value, str) else tuple(map(str, value))
