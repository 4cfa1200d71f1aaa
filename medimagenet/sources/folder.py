"""The user's own files: any folder layout, any file names, DICOM and NIfTI beside anything else."""

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..dicom.header_scan import FileProblem, HeaderRun, Progress, scan_runs
from ..errors import SourceError
from ..findings import Finding
from .base import SeriesRecord
from .damage import CutFile, identify_cut, with_damage
from .grouping import Group, group_headers
from .inventory import Entry, Inventory, Memory
from .nifti_names import is_nifti
from .nifti_rows import LocalNifti
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
        inventory, unread, nifti, problems = _list(self.path, before)
        if not (len(inventory) or unread or nifti or problems):
            raise SourceError(f"{self.path} is empty: give a folder that holds DICOM or NIfTI, at any depth")
        for numbers, found in scan_runs(unread, jobs=jobs, progress=progress):
            if isinstance(found, FileProblem):
                inventory.add(*_entry(found, unread.stamp(numbers[0])))
            else:
                _note_headers(inventory, found, [unread.stamp(number) for number in numbers])
        for number, path in enumerate(nifti):
            inventory.add(*_entry(_read_nifti(Path(path)), nifti.stamp(number)))
        problems += [entry.result for entry in inventory.others() if isinstance(entry.result, FileProblem)]
        records, left_out = self._describe(inventory)
        records += self._describe_nifti(inventory)
        if not records:
            raise SourceError(_nothing_found(self.path, problems))
        return FolderScan(
            records=tuple(sorted(records, key=_order)),
            problems=tuple(sorted([*problems, *left_out], key=lambda problem: str(problem.path))),
            inventory=inventory,
        )

    def _describe(self, inventory: Inventory) -> tuple[list[SeriesRecord], list[FileProblem]]:
        """Records, and files left out of them, of one series after the other, so that few headers are in memory."""
        resolver = Resolver(inventory.object_headers())
        cut = [CutFile(entry.result.path, *entry.identity) for entry in inventory.others() if entry.identity]
        for uid in inventory.object_series():  # what refers to another object may come before it
            resolver.learn(inventory.headers(uid))
        records: list[SeriesRecord] = []
        left_out: list[FileProblem] = []
        for uid in inventory.series_uids():
            headers = inventory.headers(uid)
            resolver.learn(headers)
            for group in group_headers(headers):
                record = make_record(group, resolver.resolve(group), self.path, **self._origin)
                records.append(with_damage(record, group, cut))
                left_out += _left_out(group)
        return records, left_out

    def _describe_nifti(self, inventory: Inventory) -> list[SeriesRecord]:
        found = [(one.result, one.stamp.size_bytes) for one in inventory.others() if isinstance(one.result, LocalNifti)]
        origin = {name: value for name, value in self._origin.items() if name != "source"}
        return list(_nifti().local_records(found, self.path, origin, self.name)) if found else []


def _nifti() -> Any:
    """The module that loads nibabel, by name and not by import: folders of DICOM do not need it."""
    return importlib.import_module(".nifti_files", __package__)


def _read_nifti(path: Path) -> FileProblem | LocalNifti:
    found = _nifti().read_nifti_header(path)
    return FileProblem(path, found) if isinstance(found, Finding) else LocalNifti(path, found)


def _list(root: Path, before: Inventory | None) -> tuple[Inventory, Paths, Paths, list[FileProblem]]:
    """What is known of the files below a folder, those to be read, NIfTI apart, and what cannot be listed."""
    inventory, memory = Inventory(root), Memory(before)
    unread, nifti, problems = Paths(), Paths(), []
    for found in walk(root):
        if isinstance(found, FileProblem):
            problems.append(found)
        else:
            stamps = memory.recall(found, inventory)
            named = {name: stamps[name] for name in filter(is_nifti, stamps)}
            nifti.add(found.folder, named)
            unread.add(found.folder, {n: s for n, s in stamps.items() if n not in named} if named else stamps)
    inventory.n_kept, inventory.n_read = len(inventory), len(unread) + len(nifti)
    inventory.n_gone = memory.n_gone
    return inventory, unread, nifti, problems


def _entry(result: FileProblem | LocalNifti, stamp: Stamp) -> tuple[str, Entry]:
    """A folder, and what was read of a file in it."""
    folder, _, name = str(result.path).rpartition(os.sep)
    if isinstance(result, FileProblem) and not is_nifti(name):
        return folder, Entry(name, stamp, result, identify_cut(result))
    return folder, Entry(name, stamp, result)


def _note_headers(inventory: Inventory, run: HeaderRun, stamps: Sequence[Stamp]) -> None:
    """Put headers into an inventory, folder by folder."""
    times = [
        stamp.modified_ns if stamp.size_bytes == size else UNKNOWN  # it has changed since it was listed
        for stamp, size in zip(stamps, run.sizes, strict=True)
    ]
    folders = [file.rpartition(os.sep)[0] for file in run.files]
    start = 0
    for folder, same in groupby(folders):
        end = start + len(list(same))
        inventory.add_headers(folder, run if end - start == len(run) else run[start:end], times[start:end])
        start = end


def _left_out(group: Group) -> Iterator[FileProblem]:
    for duplicate in group.duplicates:
        message = f"same bytes as {duplicate.kept.name} beside it, which is in the index"
        yield FileProblem(duplicate.path, Finding(code="duplicate_file", message=message))


def _nothing_found(folder: Path, problems: list[FileProblem]) -> str:
    codes = sorted({problem.finding.code for problem in problems})
    counts = ", ".join(f"{sum(problem.finding.code == code for problem in problems)} {code}" for code in codes)
    first = problems[0]
    return (
        f"no DICOM series and no NIfTI in {folder}: {len(problems)} files looked at ({counts}), "
        f"such as {first.path.name}: "
        f"{first.finding.message}; give a folder that holds DICOM or NIfTI, at any depth"
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
