"""Files cut short that belong to a series: the series is not whole without them, and its row must say so.

Where the last slice of a stack is cut, the others still form an even stack, and a volume that ends too early looks
right. A cut copy of a slice that is there intact does no harm.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..dicom.header_scan import FileProblem, read_identity
from ..findings import Finding
from .base import SeriesRecord
from .grouping import Group

SHOWN = 3  # file names in a message


class CutFile(NamedTuple):
    """A file cut short whose header could be read."""

    path: Path
    series_uid: str
    sop_instance_uid: str


def identify_cut(problem: FileProblem) -> tuple[str, str] | None:
    """SeriesInstanceUID and SOPInstanceUID of a file cut short; None of other files, and where nothing tells."""
    return read_identity(problem.path) if problem.finding.code == "truncated_file" else None


def with_damage(record: SeriesRecord, group: Group, cut: Sequence[CutFile]) -> SeriesRecord:
    """The record, with the finding `truncated_file` where files of its series are cut short and nowhere intact."""
    if not cut:
        return record
    folders = {header.path.parent for header in group.headers}
    intact = {header.text("SOPInstanceUID") for header in group.headers}
    lost = [
        file.path.name
        for file in cut
        if file.series_uid == record.SeriesInstanceUID
        and file.path.parent in folders
        and file.sop_instance_uid not in intact
    ]
    if not lost:
        return record
    names = ", ".join(lost[:SHOWN]) + (", ..." if len(lost) > SHOWN else "")
    message = f"{len(lost)} files of the series are cut short and not in it: {names}; get them again"
    finding = Finding(code="truncated_file", message=message, numbers={"files": len(lost)})
    return replace(record, findings=(*record.findings, finding))
