"""What objects refer to: SOPInstanceUIDs resolved to the series of one folder tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from ..dicom.header_scan import HeaderRun, InstanceHeader
from ..findings import Finding
from .base import SINGLE_OBJECTS
from .grouping import Group

BY_INSTANCE = ("RTPLAN", "RTDOSE")
"""Modalities that refer to single objects by SOPInstanceUID, and to no series."""

MOST_UNRESOLVED = 16  # instances kept of which no series is known: enough to find it later, and not a row of megabytes


@dataclass(frozen=True, slots=True)
class References:
    """What one object refers to."""

    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class Resolver:
    """Knows the series of those instances that objects refer to, and no others, in 12 bytes each.

    They are known by a hash of 64 bits: of a million of them two have the same once in a hundred million folders.

    Parameters
    ----------
    objects
        Headers of the objects that will be resolved.
    """

    def __init__(self, objects: Iterable[InstanceHeader]) -> None:
        wanted = chain.from_iterable(map(hash, _instances(header)) for header in objects)
        self._wanted = _unique(np.fromiter(wanted, dtype=np.int64))
        self._numbers = np.full(len(self._wanted), -1, dtype=np.int32)
        self._series: list[str] = []

    def learn(self, headers: Iterable[InstanceHeader]) -> None:
        """Note the series of instances. Of two series with one instance the later one counts."""
        if not len(self._wanted):
            return
        for uid, instances in _by_series(headers):
            places, hits = self._find(instances)
            if hits.any():
                self._numbers[places[hits]] = len(self._series)
                self._series.append(uid)

    def _find(self, uids: Iterable[str]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where instances are among those wanted, and whether they are."""
        hashes = np.fromiter(map(hash, uids), dtype=np.int64)
        places = np.searchsorted(self._wanted, hashes)
        hits = np.zeros(len(hashes), dtype=np.bool_)
        inside = places < len(self._wanted)
        hits[inside] = self._wanted[places[inside]] == hashes[inside]
        return places, hits

    def _series_of(self, instances: list[str]) -> list[str | None]:
        places, hits = self._find(instances)
        numbers = np.full(len(places), -1, dtype=np.int64)
        numbers[hits] = self._numbers[places[hits]]
        return [self._series[number] if number >= 0 else None for number in numbers.tolist()]

    def resolve(self, group: Group) -> References:
        """What the object of a group refers to; nothing for slices."""
        header = group.headers[0]
        series = header.texts("ReferencedSeriesUIDs")
        if header.modality not in SINGLE_OBJECTS:
            return References(tuple(series))
        instances = _instances(header)
        homes = self._series_of(instances)
        unresolved = [uid for uid, home in zip(instances, homes, strict=True) if home is None]
        if not series:
            series = list(dict.fromkeys(home for home in homes if home is not None))
        if header.modality in BY_INSTANCE:
            return References(tuple(series), tuple(instances))
        if not series:
            return References((), tuple(unresolved[:MOST_UNRESOLVED]))
        return References(tuple(series), (), tuple(_partly_here(unresolved, instances)))


def _by_series(headers: Iterable[InstanceHeader]) -> Iterator[tuple[str, Iterable[str]]]:
    """SeriesInstanceUIDs and SOPInstanceUIDs."""
    if isinstance(headers, HeaderRun) and "SeriesInstanceUID" in headers.common:
        yield headers.texts("SeriesInstanceUID")[0], headers.texts("SOPInstanceUID")
        return
    for uid, found in groupby(headers, key=lambda header: header.series_uid):
        yield uid, [header.sop_instance_uid for header in found]


def _unique(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `np.unique`, which takes ten times as long."""
    numbers.sort()
    return numbers[np.append(np.diff(numbers) != 0, np.ones(min(1, len(numbers)), dtype=np.bool_))]


def _instances(header: InstanceHeader) -> list[str]:
    found: list[str] = header.values.get("ReferencedSOPInstanceUIDs", [])
    return found


def _partly_here(unresolved: list[str], instances: list[str]) -> Iterable[Finding]:
    """Some of the images are here and some are not: none at all is told by the series that is absent."""
    if 0 < len(unresolved) < len(instances):
        yield Finding(
            code="dangling_reference",
            message=f"{len(unresolved)} of {len(instances)} images that it refers to are not in the index",
            numbers={"images": len(unresolved), "of": len(instances)},
        )
