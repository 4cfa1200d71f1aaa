"""Names of regions over a cohort, and what the patterns of a recipe take of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..rois import RoiMatch, Several, match_rois, tg263_name
from .graph import Row
from .samples import find_samples

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
    rows = _objects(index, modalities)
    matches = [match_rois(row["roi_names"] or (), classes, several=several) for row in rows] if classes else []
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
        classes=tuple(_class(label, matches) for label in classes or ()),
        objects=len(rows),
    )


def _objects(index: "Index", modalities: str | Sequence[str] | None) -> list[Row]:
    if modalities is None:
        return [row for row in index.rows() if row["Modality"] in REGIONS]
    samples = find_samples(index, modalities).samples
    rows = {row["key"]: row for sample in samples for row in sample.series.values() if row["Modality"] in REGIONS}
    return list(rows.values())


def _count(name: str, rows: Sequence[Row], taken_by: tuple[str, ...]) -> RoiCount:
    return RoiCount(
        name=name,
        tg263=tg263_name(name),
        modalities=tuple(sorted({str(row["Modality"]) for row in rows})),
        series=len(rows),
        patients=len({row["PatientID"] for row in rows}),
        taken_by=taken_by,
    )


def _class(label: str, matches: Sequence[RoiMatch]) -> ClassCount:
    taken = [match.classes[label] for match in matches]
    names: dict[str, int] = defaultdict(int)
    for group in taken:
        for name in group:
            names[name] += 1
    return ClassCount(
        label=label,
        once=sum(len(group) == 1 for group in taken),
        several=sum(len(group) > 1 for group in taken),
        nothing=sum(not group for group in taken),
        names=tuple(sorted(names, key=lambda name: (-names[name], name))),
    )
