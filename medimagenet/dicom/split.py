"""Which slices of a series form which volume: one, several, or one of several channels.

A SeriesInstanceUID may hold several orientations or sizes, localizers, echoes, b-values, phases, time points or
acquisitions. First slices that cannot stand on one grid are parted: localizers, sizes, orientations, pixel spacings.
Then, where slices share a place, by what differs between them. A keyword, or two or three together, is the reason only
if each of its values has one slice at every place; those volumes are the channels of one array. Keywords that differ
from slice to slice (times, instance numbers) count where the slices, sorted by them, come place by place or volume by
volume, without exception. Slices whose steps are uneven are parted where a keyword gives even stacks that reach into
one another. Otherwise nothing is guessed: the stack keeps its finding, `duplicate_slices` or `uneven_slices`.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding, Severity
from ..geometry import Grid
from .stack import COSINE_TOLERANCE, DUPLICATE_TOLERANCE_MM, PIXEL_TOLERANCE, SlicePlane, Stack, axes_of, stack_slices

Values = Mapping[str, Any]

KINDS = (
    *("EchoTime", "EchoNumbers", "DiffusionBValue", "DiffusionGradientOrientation", "InversionTime"),
    *("TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime"),
    *("NominalPercentageOfRespiratoryPhase", "NominalRespiratoryTriggerDelayTime", "TriggerTime", "ImageType"),
    *("ComplexImageComponent", "VelocityEncodingDirection", "ASLContext", "FlipAngle", "KVP", "ConvolutionKernel"),
    *("FrameReferenceTime", "AcquisitionNumber", "StackID"),
)
"""What may tell volumes apart by its values, in the order in which it is tried, the most telling first."""
ORDERS = ("AcquisitionTime", "ContentTime", "FrameReferenceDateTime", "InstanceNumber")
"""What may differ from slice to slice as well, and tells volumes apart by its order."""
MOST_TOGETHER = 3  # keywords: b-value and direction, and an echo or a phase
_B_VALUE, _DIRECTION = "DiffusionBValue", "DiffusionGradientOrientation"
_SHOWN = 8  # volumes in a message


@dataclass(frozen=True, slots=True)
class Part:
    """The slices of one volume, or the reasons why they form none."""

    channels: tuple[tuple[int, ...], ...]
    """Per channel the indices of its slices among those given, bottom to top; one channel where there is no grid."""
    grid: Grid | None
    findings: tuple[Finding, ...]
    axis: str | None = None
    """Keyword, or keywords joined by ", ", that the channels differ in; None where there is one channel."""
    values: tuple[Any, ...] = ()
    """Per channel its value, JSON values; of several keywords lists; of an order by slices that of the first."""


@dataclass(frozen=True, slots=True)
class Split:
    """The volumes of a series."""

    parts: tuple[Part, ...]
    """By their first slice among those given."""
    findings: tuple[Finding, ...]
    """Of the series as a whole: those of its volume, or why it holds several."""

    @property
    def grid(self) -> Grid | None:
        """The grid of the series, None where it is not one volume."""
        return self.parts[0].grid if len(self.parts) == 1 else None

    @property
    def order(self) -> tuple[int, ...]:
        """All slices, part by part and channel by channel."""
        return tuple(index for part in self.parts for channel in part.channels for index in channel)


def split_slices(planes: Sequence[SlicePlane], values: Callable[[int], Values]) -> Split:
    """Find the volumes of a series.

    Parameters
    ----------
    planes : of all slices, in any order
    values : gives what may tell slice k from others at its place, by keyword; called only where slices share places
        or are unevenly spaced

    Raises
    ------
    ValueError
        There are no planes.
    """
    whole = stack_slices(planes)
    if whole.grid is not None:
        return Split((Part((whole.order,), whole.grid, whole.findings),), whole.findings)
    parts: list[Part] = []
    for members in _alike(planes):
        stack = whole if len(members) == len(planes) else stack_slices([planes[k] for k in members])
        parts += _parts(members, planes, stack, values)
    if len(parts) == 1:
        return Split(tuple(parts), parts[0].findings)
    reasons = [finding for finding in whole.findings if finding.severity is Severity.ERROR]
    return Split(tuple(parts), (*reasons, _several(parts, planes)))


def _parts(
    members: Sequence[int], planes: Sequence[SlicePlane], stack: Stack, values: Callable[[int], Values]
) -> list[Part]:
    """The volumes of slices that can stand on one grid."""
    codes = {finding.code for finding in stack.findings if finding.severity is Severity.ERROR}
    found: list[Part] = []
    if codes == {"duplicate_slices"}:
        found = _apart(members, planes, [values(k) for k in members])
    elif codes in ({"uneven_slices"}, {"missing_slices"}):
        table = [values(k) for k in members]
        several = (_by_extent(key, members, planes, table) for key in KINDS)
        found = next((parts for parts in several if parts and _interleave(parts, planes)), [])
    if found:
        return found
    return [Part((tuple(members[k] for k in stack.order),), stack.grid, stack.findings)]


def _several(parts: Sequence[Part], planes: Sequence[SlicePlane]) -> Finding:
    texts, rows = [], []
    for part in parts:
        plane, n_slices = planes[part.channels[0][0]], len(part.channels[0])
        size = (plane.columns, plane.rows, n_slices)
        channels = f", {len(part.channels)} channels" if len(part.channels) > 1 else ""
        lacks = [finding.code for finding in part.findings if finding.severity is Severity.ERROR]
        reason = f" ({', '.join(lacks)})" if lacks else ""
        texts.append(f"{' x '.join(map(str, size))}{channels}{reason}")
        rows.append({"size": size, "channels": len(part.channels), "errors": lacks})
    shown = "; ".join(texts[:_SHOWN]) + ("; ..." if len(texts) > _SHOWN else "")
    message = f"the series holds {len(parts)} volumes: {shown}"
    return Finding(code="several_volumes", message=message, numbers={"volumes": rows})


def _alike(planes: Sequence[SlicePlane]) -> list[list[int]]:
    """Indices of slices that can stand on one grid, each group in the order given."""
    groups: list[list[int]] = []
    for index, plane in enumerate(planes):
        group = next((group for group in groups if _can_share_grid(planes[group[0]], plane)), None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    return groups


def _can_share_grid(one: SlicePlane, other: SlicePlane) -> bool:
    if (one.rows, one.columns) != (other.rows, other.columns):
        return False
    if ("LOCALIZER" in one.image_type) != ("LOCALIZER" in other.image_type):
        return False
    if not _is_placed(one) or not _is_placed(other):
        return _is_placed(one) == _is_placed(other)
    cosines = np.subtract(one.orientation or 0, other.orientation or 0)
    pixels = np.divide(one.pixel_spacing or 1, other.pixel_spacing or 1)
    return bool(np.abs(cosines).max() <= COSINE_TOLERANCE and np.abs(pixels - 1).max() <= PIXEL_TOLERANCE)


def _is_placed(plane: SlicePlane) -> bool:
    return None not in (plane.position, plane.orientation, plane.pixel_spacing)


def _apart(members: Sequence[int], planes: Sequence[SlicePlane], table: Sequence[Values]) -> list[Part]:
    """Slices that share places as the channels of a volume, or as several volumes; empty where nothing parts them."""
    series = _by_extent("SeriesNumber", members, planes, table)
    if series:  # another series that was given the same UID, and no channel of this one
        return series
    places = _places(members, planes)
    n_places = int(places.max()) + 1
    if len(members) % n_places == 0 and np.ptp(np.bincount(places)) == 0:
        found = _by_kind(table, places, n_places) or _by_order(table, places, n_places)
        if found is not None:
            return _channels(members, planes, *found)
    return next((parts for key in KINDS if (parts := _by_extent(key, members, planes, table))), [])


def _by_extent(key: str, members: Sequence[int], planes: Sequence[SlicePlane], table: Sequence[Values]) -> list[Part]:
    """A volume per value of a keyword, each with places of its own; empty where that gives no even stacks."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(table):
        groups[_key(row.get(key))].append(index)
    if len(groups) < 2 or min(map(len, groups.values())) < 2:
        return []
    parts = _volumes(members, planes, groups.values())
    return parts if all(part.grid for part in parts) else []


def _interleave(parts: Sequence[Part], planes: Sequence[SlicePlane]) -> bool:
    """Whether volumes reach into one another: stacks end to end may be one of variable spacing."""
    normal = axes_of(planes[parts[0].channels[0][0]])[2]
    ends = sorted(
        tuple(float(np.dot(planes[part.channels[0][k]].position or 0, normal)) for k in (0, -1)) for part in parts
    )
    return all(above[0] < below[1] for below, above in pairwise(ends))


def _volumes(members: Sequence[int], planes: Sequence[SlicePlane], groups: Iterable[list[int]]) -> list[Part]:
    parts = []
    for group in groups:
        stack = stack_slices([planes[members[k]] for k in group])
        parts.append(Part((tuple(members[group[k]] for k in stack.order),), stack.grid, stack.findings))
    return parts


def _channels(
    members: Sequence[int], planes: Sequence[SlicePlane], axis: str, labels: Sequence[Any], groups: list[list[int]]
) -> list[Part]:
    """One volume with a channel per group; where their grids are not the same, a volume per group."""
    parts = _volumes(members, planes, groups)
    first = parts[0]
    if first.grid is None or any(part.grid is None or not part.grid.is_close(first.grid) for part in parts):
        return parts
    message = f"{len(members)} slices are {len(groups)} volumes on one grid, told apart by {axis}"
    numbers = {"axis": axis, "channels": len(groups), "slices": len(groups[0])}
    finding = Finding(code="several_channels", message=message, numbers=numbers)
    channels = tuple(part.channels[0] for part in parts)
    return [Part(channels, first.grid, (*first.findings, finding), axis, tuple(map(_jsonable, labels)))]


def _places(members: Sequence[int], planes: Sequence[SlicePlane]) -> NDArray[np.int64]:
    """The number of each slice's place, from 0 along the normal."""
    cosines = np.array(planes[members[0]].orientation).reshape(2, 3)
    heights = np.array([planes[k].position for k in members], dtype=np.float64) @ np.cross(cosines[0], cosines[1])
    order = np.argsort(heights, kind="stable")
    rises = np.diff(heights[order]) > DUPLICATE_TOLERANCE_MM
    places = np.empty(len(members), dtype=np.int64)
    places[order] = np.concatenate([[0], np.cumsum(rises)])
    return places


Found = tuple[str, list[Any], list[list[int]]]


def _by_kind(table: Sequence[Values], places: NDArray[np.int64], n_places: int) -> Found | None:
    """By the values of one to three keywords that differ."""
    varying = [key for key in KINDS if len({_key(row.get(key)) for row in table}) > 1]
    for together in range(1, MOST_TOGETHER + 1):
        for keys in combinations(varying, together):
            if _DIRECTION in keys and _B_VALUE in varying and _B_VALUE not in keys:
                continue  # a direction says nothing without its b-value
            labels = [tuple(row.get(key) for key in keys) for row in table]
            groups = _complete_groups(labels, places, n_places)
            if groups is not None:
                named = [labels[group[0]] for group in groups]
                return ", ".join(keys), [label[0] if together == 1 else label for label in named], groups
    return None


def _by_order(table: Sequence[Values], places: NDArray[np.int64], n_places: int) -> Found | None:
    """By the order of a keyword: volume after volume, or all slices of a place after one another."""
    for key in ORDERS:
        labels = [row.get(key) for row in table]
        if None in labels:
            continue
        groups = _complete_groups(labels, places, n_places) if len(set(map(_key, labels))) > 1 else None
        groups = groups or _runs(labels, places, n_places)
        if groups is not None:
            return key, [labels[group[0]] for group in groups], groups
    return None


def _runs(labels: Sequence[Any], places: NDArray[np.int64], n_places: int) -> list[list[int]] | None:
    if len(set(map(_key, labels))) < len(labels):
        return None
    order = sorted(range(len(labels)), key=lambda k: _sortable(labels[k]))
    by_volume = np.array(order).reshape(-1, n_places)
    if all(len(set(places[volume].tolist())) == n_places for volume in by_volume):
        return by_volume.tolist()
    by_place = np.array(order).reshape(n_places, -1)
    if all(len(set(places[place].tolist())) == 1 for place in by_place):
        return by_place.T.tolist()
    return None


def _complete_groups(labels: Iterable[Any], places: NDArray[np.int64], n_places: int) -> list[list[int]] | None:
    """Indices by label, sorted by label; None unless every label has one slice at every place."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    sample: dict[Hashable, Any] = {}
    for index, label in enumerate(labels):
        groups[_key(label)].append(index)
        sample[_key(label)] = label
    for group in groups.values():
        if len(group) != n_places or len(set(places[group].tolist())) != n_places:
            return None
    return [groups[key] for key in sorted(groups, key=lambda key: _sortable(sample[key]))]


def _key(label: Any) -> str:
    """Equal for equal labels."""
    return repr(label)


def _sortable(label: Any) -> tuple[Any, ...]:
    """Labels of one keyword in order: absent, numbers, texts, those of several values one after the other."""
    if label is None:
        return (0,)
    if isinstance(label, int | float):
        return (1, label)
    if isinstance(label, str):
        return (2, label)
    return (3, *map(_sortable, label))


def _jsonable(label: Any) -> Any:
    return [_jsonable(item) for item in label] if isinstance(label, tuple) else label
