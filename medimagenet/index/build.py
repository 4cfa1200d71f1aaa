"""From sources to an index."""

from pathlib import Path

from ..dicom.scan import Progress
from ..sources.folder import Folder
from .links import link_records
from .report import problem_row
from .table import Index


def index_directory(
    folder: Path | str,
    *,
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
    jobs
        Processes; the number of CPUs where None.
    progress
        Called with the number of files done and of all files.
    collection_id, license, doi
        Written into every row.

    Raises
    ------
    SourceError
        The folder is missing, empty, a file, or holds no DICOM series.
    """
    found = Folder(folder, collection_id=collection_id, license=license, doi=doi).scan(jobs=jobs, progress=progress)
    return Index.from_records(link_records(found.records), [problem_row(problem) for problem in found.problems])
