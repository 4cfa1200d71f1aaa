"""The user's own files: any folder layout, any file names, DICOM beside anything else."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..dicom.scan import FileProblem, InstanceHeader, Progress, scan
from ..errors import SourceError
from ..findings import Finding
from .base import SeriesRecord
from .damage import cut_files, with_damage
from .grouping import Group, group_headers
from .records import make_record
from .references import Resolver

_NOT_TEXT = "its name, or that of a folder, is not UTF-8 and cannot be in an index: rename it"


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What a folder holds: every file is in one record or in one problem."""

    records: tuple[SeriesRecord, ...]
    problems: tuple[FileProblem, ...]


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

    def scan(self, *, jobs: int | None = None, progress: Progress | None = None) -> FolderScan:
        """Read the header of every file below the folder.

        Parameters
        ----------
        jobs
            Processes; the number of CPUs where None.
        progress
            Called with the number of files done and of all files.

        Raises
        ------
        SourceError
            There is no file, or none that is part of a DICOM series.
        """
        paths, problems = walk(self.path)
        if not paths and not problems:
            raise SourceError(f"{self.path} is empty: give a folder that holds DICOM files, at any depth")
        headers: list[InstanceHeader] = []
        for result in scan(paths, jobs=jobs, progress=progress):
            if isinstance(result, FileProblem):
                problems.append(result)
            else:
                headers.append(result)
        if not headers:
            raise SourceError(_nothing_found(self.path, problems))
        return self._describe(headers, problems)

    def _describe(self, headers: list[InstanceHeader], problems: list[FileProblem]) -> FolderScan:
        groups = group_headers(headers)
        resolver = Resolver(headers)
        cut = cut_files(problems)
        records = [
            with_damage(make_record(group, resolver.resolve(group), self.path, **self._origin), group, cut)
            for group in groups
        ]
        problems += [problem for group in groups for problem in _left_out(group)]
        return FolderScan(
            tuple(sorted(records, key=_order)), tuple(sorted(problems, key=lambda problem: str(problem.path)))
        )


def walk(folder: Path) -> tuple[list[Path], list[FileProblem]]:
    """Every file below a folder, sorted by folder and name, and the folders that cannot be listed.

    Links to folders are followed; a folder that is reached twice, also by a link to a parent, is entered once.
    """
    paths: list[Path] = []
    problems: list[FileProblem] = []
    seen: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        message = f"folder cannot be listed: {error.strerror or error}"
        problems.append(FileProblem(Path(error.filename), Finding(code="unreadable_file", message=message)))

    for directory, folders, files in os.walk(folder, followlinks=True, onerror=note):
        if not _enter(directory, seen):
            folders.clear()
            continue
        folders.sort()
        is_text = _is_text(directory)
        for name in sorted(files):
            if is_text and _is_text(name):
                paths.append(Path(directory, name))
            else:
                problems.append(FileProblem(Path(directory, name), Finding(code="unreadable_file", message=_NOT_TEXT)))
    return paths, problems


def _is_text(name: str) -> bool:
    """Whether a name can be written into a table. On Linux names are bytes, of any encoding."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _enter(directory: str, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder is new, by what it is and not by its name."""
    status = Path(directory).stat()
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return False
    seen.add(identity)
    return True


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
