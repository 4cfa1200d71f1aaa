"""The user's own files: any folder layout, any file names, DICOM beside anything else."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..dicom.scan import FileProblem, InstanceHeader, Progress, scan
from ..errors import SourceError
from ..findings import Finding
from .base import SeriesRecord
from .damage import CutFile, identify_cut, with_damage
from .grouping import Group, group_headers
from .inventory import Entry, Inventory, Memory
from .records import make_record
from .references import Resolver
from .walk import UNKNOWN, Paths, Stamp, walk


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What a folder holds: every file is in one record or in one problem."""

    records: tuple[SeriesRecord, ...]
    problems: tuple[FileProblem, ...]
    inventory: Inventory
    """What the next scan needs, to read only what has changed."""


class Folder:
    """A `Source`: the files below one folder.

    Raises
    ------
    SourceError
        The folder is missing, is a file or cannot be listed.
    """

    name = "folder"

    def __init__(
        self,
        path: Path | str,
        *,
        collection_id: str | None = None,
        license: str | None = None,
        doi: str | None = None,
    ) -> None:
        self.path = Path(path).absolute()  # not resolved: links stay the names that the user knows
        self._origin = {"source": self.name, "collection_id": collection_id, "license": license, "doi": doi}
        if not self.path.exists():
            raise SourceError(f"no folder at {self.path}: check the path, and whether its disk is mounted")
        if not self.path.is_dir():
            raise SourceError(f"{self.path} is a file, not a folder: give the folder that holds it")

    def series(self) -> Iterator[SeriesRecord]:
        """List the series, sorted by patient, study, modality, series and place."""
        yield from self.scan().records

    def scan(
        self, *, jobs: int | None = None, progress: Progress | None = None, before: Inventory | None = None
    ) -> FolderScan:
        """Read the header of every file below the folder that is new or has changed.

        Parameters
        ----------
        jobs
            Processes; the number of CPUs where None.
        progress
            Called with the number of files done and of all files to be read.
        before
            What an earlier scan has noted.

        Raises
        ------
        SourceError
            There is no file, or none that is part of a DICOM series.
        """
        inventory, unread, problems = _list(self.path, before)
        if not len(inventory) and not unread and not problems:
            raise SourceError(f"{self.path} is empty: give a folder that holds DICOM files, at any depth")
        for number, result in enumerate(scan(unread, jobs=jobs, progress=progress)):
            inventory.add(*_entry(result, unread.stamp(number)))
        problems += [entry.result for entry in inventory.problems() if isinstance(entry.result, FileProblem)]
        uids = inventory.series_uids()
        if not uids:
            raise SourceError(_nothing_found(self.path, problems))
        records, left_out = self._describe(inventory, uids)
        return FolderScan(
            records=tuple(sorted(records, key=_order)),
            problems=tuple(sorted([*problems, *left_out], key=lambda problem: str(problem.path))),
            inventory=inventory,
        )

    def _describe(self, inventory: Inventory, uids: Sequence[str]) -> tuple[list[SeriesRecord], list[FileProblem]]:
        """Records, and files left out of them, of one series after the other, so that few headers are in memory."""
        resolver = Resolver(inventory.object_headers())
        cut = [CutFile(entry.result.path, *entry.identity) for entry in inventory.problems() if entry.identity]
        for uid in inventory.object_series():  # what refers to another object may come before it
            resolver.learn(inventory.headers(uid))
        records: list[SeriesRecord] = []
        left_out: list[FileProblem] = []
        for uid in uids:
            headers = inventory.headers(uid)
            resolver.learn(headers)
            for group in group_headers(headers):
                record = make_record(group, resolver.resolve(group), self.path, **self._origin)
                records.append(with_damage(record, group, cut))
                left_out += _left_out(group)
        return records, left_out


def _list(root: Path, before: Inventory | None) -> tuple[Inventory, Paths, list[FileProblem]]:
    """What is known of the files below a folder, those that have to be read, and what cannot be listed."""
    inventory, memory = Inventory(root), Memory(before)
    unread, problems = Paths(), []
    for found in walk(root):
        if isinstance(found, FileProblem):
            problems.append(found)
        else:
            unread.add(found.folder, memory.recall(found, inventory))
    inventory.n_kept, inventory.n_read, inventory.n_gone = len(inventory), len(unread), memory.n_gone
    return inventory, unread, problems


def _entry(result: InstanceHeader | FileProblem, stamp: Stamp) -> tuple[str, Entry]:
    """A folder, and what was read of a file in it."""
    folder, _, name = str(result.path).rpartition(os.sep)
    if isinstance(result, FileProblem):
        return folder, Entry(name, stamp, result, identify_cut(result))
    if result.size_bytes != stamp.size_bytes:  # it has changed since it was listed
        stamp = Stamp(result.size_bytes, UNKNOWN)
    return folder, Entry(name, stamp, result)


def _left_out(group: Group) -> Iterator[FileProblem]:
    for duplicate in group.duplicates:
        message = f"same bytes as {duplicate.kept.name} beside it, which is in the index"
        yield FileProblem(duplicate.path, Finding(code="duplicate_file", message=message))


def _nothing_found(folder: Path, problems: list[FileProblem]) -> str:
    codes = sorted({problem.finding.code for problem in problems})
    counts = ", ".join(f"{sum(problem.finding.code == code for problem in problems)} {code}" for code in codes)
    first = problems[0]
    return (
        f"no DICOM series in {folder}: {len(problems)} files looked at ({counts}), such as {first.path.name}: "
        f"{first.finding.message}; give a folder that holds DICOM files, at any depth"
    )


def _order(record: SeriesRecord) -> tuple[str, ...]:
    return (
        record.PatientID or "",
        record.StudyInstanceUID or "",
        record.Modality or "",
        record.SeriesInstanceUID,
        record.uri,
        record.files[0],
    )
