"""Counts of an index: how much of what, under which licences."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .licenses import allows_commercial_use, by_restrictiveness

if TYPE_CHECKING:
    from .table import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalityCount:
    """What an index has of a modality."""

    modality: str | None
    patients: int
    series: int
    instances: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseCount:
    """What an index has under a licence."""

    license: str | None
    commercial: bool
    """Whether it is known to allow commercial use."""
    series: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of an index. A patient is a PatientID within a collection: different collections use the same ones."""

    collections: int
    patients: int
    studies: int
    series: int
    instances: int
    size_bytes: int
    modalities: tuple[ModalityCount, ...]
    """Most series first."""
    licenses: tuple[LicenseCount, ...]
    """The most restrictive first."""


_PATIENTS = "count(DISTINCT {'collection': coalesce(collection_id, ''), 'patient': PatientID})"


def count_index(index: "Index", rows: str = "series") -> Stats:
    """Count what an index has.

    Parameters
    ----------
    index
        Where to count.
    rows
        SQL of what is counted: the table of all that the index has, or a query in brackets.
    """
    (totals,) = index.fetch(
        f"SELECT count(DISTINCT collection_id), {_PATIENTS}, count(DISTINCT StudyInstanceUID), count(*), "
        f"coalesce(sum(n_instances), 0), coalesce(sum(size_bytes), 0) FROM {rows}"
    )
    modalities = index.fetch(
        f"SELECT Modality, {_PATIENTS}, count(*), sum(n_instances), sum(size_bytes) FROM {rows} "
        "GROUP BY 1 ORDER BY 3 DESC, 1"
    )
    licenses = {row[0]: row for row in index.fetch(f"SELECT license, count(*), sum(size_bytes) FROM {rows} GROUP BY 1")}
    return Stats(
        **dict(zip(Stats.__dataclass_fields__, map(int, totals), strict=False)),
        modalities=tuple(
            ModalityCount(
                modality=name, patients=patients, series=series, instances=int(instances), size_bytes=int(size)
            )
            for name, patients, series, instances, size in modalities
        ),
        licenses=tuple(
            LicenseCount(
                license=name,
                commercial=allows_commercial_use(name),
                series=licenses[name][1],
                size_bytes=int(licenses[name][2]),
            )
            for name in by_restrictiveness(licenses)
        ),
    )
