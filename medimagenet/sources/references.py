"""What objects refer to: SOPInstanceUIDs resolved to the series of one folder tree."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..dicom.scan import InstanceHeader
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
    """Knows the series of those instances that objects refer to, and no others, so that it stays small."""

    def __init__(self, headers: Iterable[InstanceHeader]) -> None:
        headers = list(headers)
        wanted = {uid for header in headers if header.modality in SINGLE_OBJECTS for uid in _instances(header)}
        self._series: dict[str, str] = {}
        for header in headers:
            if header.sop_instance_uid in wanted:
                self._series[header.sop_instance_uid] = header.series_uid

    def resolve(self, group: Group) -> References:
        """What the object of a group refers to; nothing for slices."""
        header = group.headers[0]
        series = header.texts("ReferencedSeriesUIDs")
        if header.modality not in SINGLE_OBJECTS:
            return References(tuple(series))
        instances = _instances(header)
        unresolved = [uid for uid in instances if uid not in self._series]
        if not series:
            series = list(dict.fromkeys(self._series[uid] for uid in instances if uid in self._series))
        if header.modality in BY_INSTANCE:
            return References(tuple(series), tuple(instances))
        if not series:
            return References((), tuple(unresolved[:MOST_UNRESOLVED]))
        return References(tuple(series), (), tuple(_partly_here(unresolved, instances)))


def _instances(header: InstanceHeader) -> list[str]:
    return header.texts("ReferencedSOPInstanceUIDs")


def _partly_here(unresolved: list[str], instances: list[str]) -> Iterable[Finding]:
    """Some of the images are here and some are not: none at all is told by the series that is absent."""
    if 0 < len(unresolved) < len(instances):
        yield Finding(
            code="dangling_reference",
            message=f"{len(unresolved)} of {len(instances)} images that it refers to are not in the index",
            numbers={"images": len(unresolved), "of": len(instances)},
        )
