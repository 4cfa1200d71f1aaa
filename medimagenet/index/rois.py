"""Names of regions over a cohort, and what the patterns of a recipe take of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..rois import RoiMatch, Several, match_rois, tg263_name
from ..sources.idc import NAME as PUBLIC_SOURCE
from .graph import Row
from .samples import find_samples
from .sides import untold_names

if TYPE_CHECKING:
    from .table import Index

REGIONS = ("RTSTRUCT", "SEG")
"""Modalities that name regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiCount:
    """One name of a region."""

    name: str
    """As the files have it; names that differ in letter case are counted apart."""
    tg263: str | None
    """What the name spells in the vocabulary of TG-263."""
    modalities: tuple[str, ...]
    series: int
    """How many objects have it."""
    patients: int
    taken_by: tuple[str, ...] = ()
    """Classes that its patterns belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """What one class takes in the objects that a recipe would read."""

    label: str
    once: int
    """Objects of which it takes one region."""
    several: int
    """Objects of which it takes more than one."""
    nothing: int
    """Objects of which it takes none."""
    names: tuple[str, ...]
    """All names that it takes, most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiTable:
    """Names of regions over a cohort."""

    rois: tuple[RoiCount, ...]
    """Most frequent first."""
    classes: tuple[ClassCount, ...] = ()
    objects: int = 0
    """RTSTRUCT and SEG objects that were looked at."""
    unknown: tuple[str, ...] = ()
    """Of which objects the index does not have the names, and where they are."""


def count_rois(
    index: "Index",
    classes: Mapping[str, Sequence[str]] | None = None,
    *,
    several: Several = "merge",
    modalities: str | Sequence[str] | None = None,
) -> RoiTable:
    """Count the names of regions.

    Parameters
    ----------
    classes : per class its patterns (`medimagenet.rois`); the table then says what each takes
    several : as `match_rois` takes it
    modalities : of samples, as `find_samples` takes them; then only the objects that samples are made of are counted

    Raises
    ------
    ValueError
        A pattern is none, or the modalities are wrong.
    """
    rows, unknown = _named(_objects(index, modalities))
    matches = [match_rois(row["roi_names"] or (), classes, several=several) for row in rows] if classes else []
    repeats = [Counter(row["roi_names"] or ()) for row in rows]
    taken_by: dict[str, dict[str, None]] = defaultdict(dict)
    for match in matches:
        for label, names in match.classes.items():
            for name in names:
                taken_by[name][label] = None
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for name in dict.fromkeys(row["roi_names"] or ()):
            found[name].append(row)
    counts = [_count(name, having, tuple(taken_by.get(name, ()))) for name, having in found.items()]
    return RoiTable(
        rois=tuple(sorted(counts, key=lambda count: (-count.series, count.name))),
        classes=tuple(_class(label, matches, repeats, is_first=several == "first") for label in classes or ()),
        objects=len(rows),
        unknown=unknown,
    )


def _objects(index: "Index", modalities: str | Sequence[str] | None) -> list[Row]:
    if modalities is None:
        return [row for row in index.rows() if row["Modality"] in REGIONS]
    samples = find_samples(index, modalities).samples
    rows = {row["key"]: row for sample in samples for row in sample.series.values() if row["Modality"] in REGIONS}
    return list(rows.values())


def _named(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Rows without public ones whose names are in a side index that was not here when they were written."""
    told = {row["Modality"] for row in rows if row["source"] == PUBLIC_SOURCE and row["roi_names"] is not None}
    untold = Counter(str(row["Modality"]) for row in rows if _is_untold(row, told))
    sentences = tuple(untold_names(modality, count) for modality, count in sorted(untold.items()))
    return [row for row in rows if not _is_untold(row, told)], sentences


def _is_untold(row: Row, told: set[str]) -> bool:
    return row["source"] == PUBLIC_SOURCE and row["Modality"] not in told and row["roi_names"] is None


def _count(name: str, rows: Sequence[Row], taken_by: tuple[str, ...]) -> RoiCount:
    return RoiCount(
        name=name,
        tg263=tg263_name(name),
        modalities=tuple(sorted({str(row["Modality"]) for row in rows})),
        series=len(rows),
        patients=len({row["PatientID"] for row in rows}),
        taken_by=taken_by,
    )


def _class(
    label: str, matches: Sequence[RoiMatch], repeats: Sequence[Mapping[str, int]], *, is_first: bool
) -> ClassCount:
    """Per object the regions of a class; `repeats` says how many of its regions share a name."""
    taken = [match.classes[label] for match in matches]
    regions = [
        min(len(group), 1) if is_first else sum(count[name] for name in group)
        for group, count in zip(taken, repeats, strict=True)
    ]
    names: dict[str, int] = defaultdict(int)
    for group in taken:
        for name in group:
            names[name] += 1
    return ClassCount(
        label=label,
        once=regions.count(1),
        several=sum(number > 1 for number in regions),
        nothing=regions.count(0),
        names=tuple(sorted(names, key=lambda name: (-names[name], name))),
    )
