"""From sources to an index."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..dicom.header_scan import Progress
from ..errors import SourceError
from ..sources.base import SeriesRecord, Source
from ..sources.dicomdir import DicomDir
from ..sources.folder import Folder
from ..sources.inventory import Inventory
from ..sources.registry import listed_source, source_names
from .links import link_records
from .report import files_path, problem_row
from .table import Index

_NAMED = re.compile(r"(?P<name>[a-z][a-z0-9_-]+):(?P<argument>.+)", re.DOTALL)  # one letter is a disk of Windows


def index_directory(
    folder: Path | str,
    *,
    previous: Path | str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    collection_id: str | None = None,
    license: str | None = None,
    doi: str | None = None,
) -> Index:
    """Index the DICOM files below a folder: any layout, any names, beside anything else.

    Only headers are read. Each file is in one row of the index or in one of its `problems`, with the reason.

    Parameters
    ----------
    folder
        Is walked to any depth; links are followed.
    previous
        An index of the same folder that was written before. Files that have their size and time of change since are
        not read again; the index is the same as without, and `Index.inventory` says how many were read.
    jobs
        Processes; the number of CPUs where None.
    progress
        Called with the number of files done and of all that are read.
    collection_id, license, doi
        Written into every row.

    Raises
    ------
    SourceError
        The folder is missing, empty, a file, or holds no DICOM series.
    """
    source = Folder(folder, collection_id=collection_id, license=license, doi=doi)
    before = None if previous is None else Inventory.read(files_path(Path(previous)), source.path)
    found = source.scan(jobs=jobs, progress=progress, before=before)
    index = Index.from_records(link_records(found.records), [problem_row(problem) for problem in found.problems])
    index.inventory = found.inventory
    return index


def index_source(
    target: str,
    *,
    previous: Path | str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    collection_id: str | None = None,
    license: str | None = None,
    doi: str | None = None,
) -> Index:
    """Index a folder, or what a source lists.

    Parameters
    ----------
    target
        A folder, a DICOMDIR, or the name of a source, a colon and what is asked of it, such as
        ``dicomweb:https://pacs.example.org/dicom-web`` or ``archive:manifest.yaml``.
    previous, jobs, progress
        Of a folder: as of `index_directory`.
    collection_id, license, doi
        Written into every row of a folder, and into those rows of a source for which the source itself says nothing.

    Raises
    ------
    SourceError
        There is no such folder or source, or it cannot be listed, or lists nothing.
    """
    named = _NAMED.fullmatch(target)
    origin = {"collection_id": collection_id, "license": license, "doi": doi}
    if Path(target).is_file():  # a DICOMDIR, or nothing that can be indexed
        return _index_listed(DicomDir(target), target, origin, progress)
    if named is None or named["name"] == Folder.name or Path(target).exists():
        folder = named["argument"] if named is not None and not Path(target).exists() else target
        return index_directory(folder, previous=previous, jobs=jobs, progress=progress, **origin)
    if named["name"] not in source_names():
        raise SourceError(
            f"no folder at {target}, and no source {named['name']!r}: there are {', '.join(source_names())}"
        )
    return _index_listed(listed_source(named["name"], named["argument"]), target, origin, progress)


def _index_listed(source: Source, target: str, origin: dict[str, str | None], progress: Progress | None) -> Index:
    if hasattr(source, "progress"):
        source.progress = progress  # of sources that ask a question per series
    records = list(_with_origin(source, origin))
    if not records:
        raise SourceError(f"{target} has no series that it lets us see")
    problems = getattr(source, "problems", ())  # of sources that look at files
    return Index.from_records(link_records(records), [problem_row(problem) for problem in problems])


def _with_origin(source: Source, origin: dict[str, str | None]) -> Iterator[SeriesRecord]:
    for record in source.series():
        missing = {name: value for name, value in origin.items() if value and not getattr(record, name)}
        yield replace(record, **missing) if missing else record  # type: ignore[arg-type]
