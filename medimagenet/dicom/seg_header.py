"""What the header of a SEG says of its segments and frames, read from the table of elements: fast for many frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError
from ..findings import Finding
from .elements import Elements
from .regions import unique_name

PER_FRAME, SHARED = 0x52009230, 0x52009229
SEGMENTS, CATEGORY, TYPE, TYPE_MODIFIER = 0x00620002, 0x00620003, 0x0062000F, 0x00620011
REGION, REGION_MODIFIER = 0x00082218, 0x00082220
POSITION, ORIENTATION, MEASURES, IDENTIFICATION = 0x00209113, 0x00209116, 0x00289110, 0x0062000A
REFERENCED_SERIES = 0x00081115
SEQUENCES = np.array(
    [
        *(PER_FRAME, SHARED, SEGMENTS, CATEGORY, TYPE, TYPE_MODIFIER, REGION, REGION_MODIFIER),
        *(POSITION, ORIENTATION, MEASURES, IDENTIFICATION, REFERENCED_SERIES),
    ],
    dtype=np.int64,
)

SAME_PLACE_MM = 0.01  # as of slices: well below the thinnest, well above the rounding of decimal strings

_IMAGE_POSITION, _IMAGE_ORIENTATION, _PIXEL_SPACING = 0x00200032, 0x00200037, 0x00280030
_THICKNESS, _BETWEEN_SLICES = 0x00180050, 0x00180088
_SEGMENT_NUMBER, _SEGMENT_LABEL, _REFERENCED_SEGMENT = 0x00620004, 0x00620005, 0x0062000B
_CODE_VALUES = (0x00080100, 0x00080119, 0x00080120)  # CodeValue, LongCodeValue, URNCodeValue
_SCHEME, _MEANING = 0x00080102, 0x00080104
_TEXTS = {
    "description": 0x00620006,
    "algorithm_type": 0x00620008,
    "algorithm_name": 0x00620009,
    "tracking_id": 0x00620020,
    "tracking_uid": 0x00620021,
}
_CODES = {
    "category": CATEGORY,
    "type": TYPE,
    "type_modifier": TYPE_MODIFIER,
    "anatomic_region": REGION,
    "anatomic_region_modifier": REGION_MODIFIER,
}


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """Where the frames lie."""

    origins: NDArray[np.float64]
    """(frames, 3), LPS mm: centre of the first pixel."""
    steps: NDArray[np.float64]
    """(frames, 3, 2), mm: from pixel to pixel along a row, along a column."""
    thickness: float | None
    """mm, of the first frame: Spacing Between Slices (0018,0088), or Slice Thickness (0018,0050)."""


def read_codes(elements: Elements, item: int) -> dict[str, Any]:
    """What a segment is, in words and codes; JSON values, absent ones left out."""
    fields = elements.fields(item)
    found: dict[str, Any] = {name: elements.name(fields.get(tag)) for name, tag in _TEXTS.items()}
    for name, tag in _CODES.items():
        inside = _first(elements, fields.get(tag))
        if inside is None and tag == TYPE_MODIFIER:  # it belongs inside the type
            kind = _first(elements, fields.get(TYPE))
            inside = None if kind is None else _first(elements, kind.get(tag))
        found[name] = None if inside is None else _code(elements, inside)
    return {name: value for name, value in found.items() if value is not None}


def _code(elements: Elements, fields: Mapping[int, int]) -> dict[str, str | None]:
    value = next((text for tag in _CODE_VALUES if (text := elements.text(fields.get(tag)))), None)
    return {
        "value": value,
        "scheme": elements.text(fields.get(_SCHEME)),
        "meaning": elements.name(fields.get(_MEANING)),
    }


def read_segment_list(elements: Elements, sequence: int | None) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Number of each segment by its name, made unique, and what each is.

    Raises
    ------
    DicomError
        Two segments have one number.
    """
    names: dict[str, int] = {}
    described = []
    for position, item in enumerate(elements.items(sequence), start=1):
        fields = elements.fields(item)
        number = elements.number(fields.get(_SEGMENT_NUMBER))
        number = position if number is None else number
        if number in names.values():
            raise DicomError(
                f"{elements.path.name} describes two segments of SegmentNumber (0062,0004) {number}: nothing says "
                "which of them a frame shows"
            )
        label = elements.name(fields.get(_SEGMENT_LABEL)) or f"segment {number}"
        name = unique_name(label, f"segment {number}", names)
        names[name] = number
        described.append({"name": name, "number": number, "label": label, **read_codes(elements, item)})
    return names, described


def read_planes(elements: Elements, groups: list[int], shared: int | None) -> Planes:
    """Where each frame lies: by its own functional groups, or by those that all share.

    Raises
    ------
    DicomError
        A frame has no place in the patient.
    """
    common = {} if shared is None else elements.fields(shared)
    origins, steps = np.empty((len(groups), 3)), np.empty((len(groups), 3, 2))
    known: dict[tuple[int, int], NDArray[np.float64]] = {}
    thickness: float | None = None
    for k, group in enumerate(groups):
        own = elements.fields(group)
        try:
            position = _macro(elements, own, common, POSITION)
            origins[k] = elements.decimals(position[_IMAGE_POSITION])
            places = tuple(own.get(tag, common.get(tag, -1)) for tag in (ORIENTATION, MEASURES))
            if places not in known:
                measures = _macro(elements, own, common, MEASURES)
                known[places[0], places[1]] = _steps(elements, _macro(elements, own, common, ORIENTATION), measures)
                thickness = thickness or _thickness(elements, measures)
            steps[k] = known[places[0], places[1]]
        except (KeyError, ValueError) as error:
            raise DicomError(
                f"{elements.path.name}: frame {k} has no place in the patient: {_absent(error)}"
            ) from error
    return Planes(origins, steps, thickness)


def _absent(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"({error.args[0] >> 16:04X},{error.args[0] & 0xFFFF:04X}) is absent"
    return str(error)


def _steps(elements: Elements, orientation: Mapping[int, int], measures: Mapping[int, int]) -> NDArray[np.float64]:
    between_rows, between_columns = elements.decimals(measures[_PIXEL_SPACING]).tolist()
    directions = elements.decimals(orientation[_IMAGE_ORIENTATION]).reshape(2, 3).T
    steps: NDArray[np.float64] = directions * [between_columns, between_rows]
    return steps


def _thickness(elements: Elements, measures: Mapping[int, int]) -> float | None:
    for tag in (_BETWEEN_SLICES, _THICKNESS):
        row = measures.get(tag)
        if row is not None and elements.rows[row][2]:
            value = abs(float(elements.decimals(row)[0]))
            if value > 0:
                return value
    return None


def read_frame_segments(elements: Elements, groups: list[int], shared: int | None) -> tuple[int, ...]:
    """The segment that each frame shows.

    Raises
    ------
    DicomError
        A frame does not say it.
    """
    common = {} if shared is None else elements.fields(shared)
    found = []
    for k, group in enumerate(groups):
        try:
            number = elements.number(
                _macro(elements, elements.fields(group), common, IDENTIFICATION)[_REFERENCED_SEGMENT]
            )
        except KeyError as error:
            raise DicomError(
                f"{elements.path.name}: frame {k} does not say which segment it shows: {_absent(error)}"
            ) from error
        found.append(int(number or 0))
    return tuple(found)


def frame_findings(described: int, frames: int, shown: tuple[int, ...], numbers: tuple[int, ...]) -> list[Finding]:
    """Where the parts of a file contradict each other."""
    findings = []
    if described != frames:
        message = f"it describes {described} frames and has {frames}: those that have both are used"
        about = {"described": described, "frames": frames}
        findings.append(Finding(code="segment_frames_unmatched", message=message, numbers=about))
    unknown = sorted(set(shown) - set(numbers))
    if unknown:
        count = sum(number in unknown for number in shown)
        message = f"{count} frames show segments that are not described ({unknown}) and are left out"
        about = {"frames": count, "segments": len(unknown)}
        findings.append(Finding(code="segment_frame_unknown", message=message, numbers=about))
    return findings


def repeated_findings(
    places: Planes, shown: tuple[int, ...], names: Mapping[int, str], greatest: float | None
) -> list[Finding]:
    """Where several frames of a segment lie at one place: of a label map (`shown` is empty) any frames."""
    segments = np.array(shown or np.zeros(len(places.origins)), dtype=np.float64)
    at = np.column_stack([places.origins, places.steps.reshape(-1, 6)]) / SAME_PLACE_MM
    again = np.zeros(len(at), dtype=bool)
    for shift in (0.0, 0.5):  # the two sides of a rounding border of one are inside a cell of the other
        rows = np.column_stack([segments, np.floor(at + shift)])
        _, cells, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        again |= counts[cells.reshape(-1)] > 1
    if not again.any():
        return []
    concerned = [names.get(number, f"number {number}") for number in sorted(set(segments[again].astype(int).tolist()))]
    few = f" of {', '.join(map(repr, concerned[:3]))}{', ...' if len(concerned) > 3 else ''}" if shown else ""
    taken = "union is" if greatest is None else "largest values are"
    message = f"{int(again.sum())} frames{few} lie where another frame of the same lies: their {taken} taken"
    about = {"frames": int(again.sum()), "segments": len(concerned) if shown else 0}
    return [Finding(code="segment_frames_repeated", message=message, numbers=about)]


def _macro(elements: Elements, own: Mapping[int, int], common: Mapping[int, int], tag: int) -> dict[int, int]:
    """The fields of a functional group of one frame, or of that of all frames."""
    inside = _first(elements, own.get(tag))
    inside = _first(elements, common.get(tag)) if inside is None else inside
    if inside is None:
        raise KeyError(tag)
    return inside


def _first(elements: Elements, sequence: int | None) -> dict[int, int] | None:
    """The fields of the first item of a sequence."""
    items = elements.items(sequence)
    return elements.fields(items[0]) if items else None
