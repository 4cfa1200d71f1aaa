"""The reference graph of an index: which rows an annotation was made from, directly and through others."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ..sources.idc import NAME as PUBLIC_SOURCE
from .links import ANNOTATIONS, REGISTRATION

Row = Mapping[str, Any]


def nearness(one: Row, other: Row) -> int:
    """How many folders the paths of two rows share, from the root on."""
    shared = 0
    for part, other_part in zip(PurePath(one["uri"]).parts, PurePath(other["uri"]).parts, strict=False):
        if part != other_part:
            break
        shared += 1
    return shared


def preference(row: Row, towards: Row) -> tuple[Any, ...]:
    """Sort key of candidates that could belong to `towards`, the best first."""
    return (
        row["PatientID"] != towards["PatientID"],
        row["StudyInstanceUID"] != towards["StudyInstanceUID"],
        -nearness(row, towards),
        -row["n_instances"],
        -len(row["roi_names"] or ()),
        row["SeriesInstanceUID"],
        row["key"],
    )


class Graph:
    """What each annotation of an index was made from.

    Parameters
    ----------
    rows
        Rows of an index. Their order does not matter.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._by_series: dict[str, list[Row]] = defaultdict(list)
        self._by_instance: dict[str, list[Row]] = defaultdict(list)
        self._by_frame: dict[tuple[str | None, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            self._by_series[row["SeriesInstanceUID"]].append(row)
            if row["SOPInstanceUID"]:
                self._by_instance[row["SOPInstanceUID"]].append(row)
            if row["FrameOfReferenceUID"]:
                self._by_frame[row["PatientID"], row["FrameOfReferenceUID"]].append(row)
        self.modalities = {row["Modality"] for row in self.rows}
        self._registrations: dict[str | None, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row["Modality"] == REGISTRATION:
                self._registrations[row["PatientID"]].append(row)
        annotations = [row for row in self.rows if row["Modality"] in ANNOTATIONS]
        public = [row for row in annotations if row["source"] == PUBLIC_SOURCE]
        told = {row["Modality"] for row in public if row["referenced_series"] is not None}
        self._untold = {(row["PatientID"], row["Modality"]) for row in public if row["Modality"] not in told}
        self._sources = {row["key"]: self._find_sources(row) for row in annotations}
        self._annotated = {
            (row["Modality"], origin["SeriesInstanceUID"])
            for row in annotations
            for origin in self.origins(row).values()
        }

    def sources(self, row: Row) -> list[Row]:
        """The rows that an annotation references directly: of each UID the nearest row."""
        return self._sources.get(row["key"], [])

    def origins(self, row: Row) -> dict[str, Row]:
        """The rows that an annotation was made from, directly and through others, by key."""
        found: dict[str, Row] = {}
        waiting = self.sources(row)
        while waiting:
            found.update((source["key"], source) for source in waiting)
            waiting = [deeper for source in waiting for deeper in self.sources(source) if deeper["key"] not in found]
        return found

    def is_annotated(self, row: Row, modality: str) -> bool:
        """Whether an annotation of this modality was made from a series of this UID, be it another copy of it."""
        return (modality, row["SeriesInstanceUID"]) in self._annotated

    def is_untold(self, row: Row, modality: str) -> bool:
        """Whether the patient has public annotations of this modality of which the index does not say what they mean.

        Of public series a side index says it, and only of those modalities for which there is one (`sides`).
        """
        return (row["PatientID"], modality) in self._untold

    def in_frame(self, row: Row, modality: str) -> list[Row]:
        """Rows of a modality with the patient and frame of reference of `row`, which is not among them."""
        frame = self._by_frame.get((row["PatientID"], row["FrameOfReferenceUID"] or ""), [])
        return [other for other in frame if other["Modality"] == modality and other["key"] != row["key"]]

    def registered(self, row: Row, modality: str) -> list[tuple[Row, Row]]:
        """Rows of a modality in other frames of reference of the patient, and the REG that leads from there to `row`.

        A REG joins its own frame of reference and those of the series that it refers to.
        """
        found: dict[str, tuple[Row, Row]] = {}
        for registration in self._registrations.get(row["PatientID"], ()):
            frames = self._registered_frames(registration)
            if row["FrameOfReferenceUID"] not in frames:
                continue
            for frame in frames - {row["FrameOfReferenceUID"]}:
                for other in self._by_frame.get((row["PatientID"], frame), []):
                    if other["Modality"] == modality:
                        found.setdefault(other["key"], (other, registration))
        return list(found.values())

    def _registered_frames(self, registration: Row) -> set[str]:
        series = [row for uid in registration["referenced_series"] or () for row in self._by_series.get(uid, ())]
        same = [row for row in series if row["PatientID"] == registration["PatientID"]]
        return {row["FrameOfReferenceUID"] for row in [registration, *same]} - {None, ""}

    def _find_sources(self, row: Row) -> list[Row]:
        targets = [self._by_instance.get(uid, []) for uid in row["referenced_instances"] or ()]
        if not any(targets):
            targets = [self._by_series.get(uid, []) for uid in row["referenced_series"] or ()]
        return [best for candidates in targets if (best := _nearest(candidates, row)) is not None]


def _nearest(candidates: Sequence[Row], row: Row) -> Row | None:
    others = [candidate for candidate in candidates if candidate["key"] != row["key"]]
    return min(others, key=lambda candidate: preference(candidate, row), default=None)
