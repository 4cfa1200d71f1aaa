"""The index of a folder of downloads: what the headers say, with what only the archive knew."""

from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..dicom.header_scan import FileProblem
from ..errors import IndexFileError, SourceError
from ..findings import Finding
from ..index import Index, index_directory
from ..index.report import files_path, problem_row, report_path
from ..index.schema import SCHEMA
from .attribution import FILE
from .journal import MANIFEST, Downloaded
from .layout import WORK_FOLDER

INDEX_FILE = "index.parquet"

_TOLD = ("collection_id", "license", "doi", "citation", "agreement", "analysis_result_id", "crdc_series_uuid")
_INDEX = Path(INDEX_FILE)
_OURS = frozenset({MANIFEST, FILE, INDEX_FILE, report_path(_INDEX).name, files_path(_INDEX).name})


def write_local_index(
    root: Path, records: Iterable[Downloaded], asked: Iterable[Mapping[str, Any]] = ()
) -> Path | None:
    """Write ``index.parquet`` of everything that was downloaded into a folder, and DICOM that is there besides.

    Parameters
    ----------
    root
        The folder.
    records
        What is complete in it.
    asked
        Rows of indexes that series were asked for by: all that is known of files that are no DICOM.

    Returns
    -------
    path : of the index, None where there is nothing to index.

    Raises
    ------
    SourceError, IndexFileError
        A file cannot be read, or the index cannot be written.
    """
    records = sorted(records, key=lambda record: (record.folder, record.files))  # not as they came
    if not records:
        return None
    path = root / INDEX_FILE
    places = {str(root / record.folder / name): record for record in records for name in record.files}
    found = _read_headers(root, path)
    by_place = {
        str(Path(row["uri"], row["files"][0])): row for row in found.rows() if not _is_work(root, Path(row["uri"]))
    }
    rows = [_with_origin(row, places.get(place)) for place, row in by_place.items() if not _is_nifti(places.get(place))]
    known = _known_rows(path, asked)
    rows += [_nifti_row(root, record, by_place, known.get(record.key, {})) for record in records if _is_nifti(record)]
    problems = [one for one in found.problems if not _is_expected(root, one, places)]
    problems += _unread(places, by_place, {one["path"] for one in problems})
    index = Index(pa.Table.from_pylist(rows, schema=SCHEMA), problems)
    index.inventory = found.inventory
    index.write(path)
    return path


def _read_headers(root: Path, path: Path) -> Index:
    """What headers tell of all files; those that have not changed since the last time are not read."""
    try:
        return index_directory(root, previous=path)
    except SourceError:  # nothing that we can read: archives may have held something else
        return Index.from_records([])


def _is_nifti(record: Downloaded | None) -> bool:
    return record is not None and record.file_format == "nifti"


def _with_origin(row: dict[str, Any], record: Downloaded | None) -> dict[str, Any]:
    return row if record is None else row | {name: getattr(record, name) for name in _TOLD}


def _known_rows(path: Path, asked: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Rows of the index that files were asked for by, now or in an earlier run, by key."""
    try:
        known: dict[str, Mapping[str, Any]] = {row["key"]: row for row in Index.read(path).rows()}
    except IndexFileError:  # none yet, or damaged: it is written anew
        known = {}
    return known | {row["key"]: row for row in asked}


def _nifti_row(
    root: Path, record: Downloaded, by_place: Mapping[str, Mapping[str, Any]], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Geometry from the header; who and what it is of as the archive says, where a header has no place for it."""
    told = {name: value for name, value in known.items() if value not in (None, [], ())}
    header = by_place.get(str(root / record.folder / record.files[0]), {})
    names = (*_TOLD, "key", "file_format", "SeriesInstanceUID", "Modality")
    return {**dict.fromkeys(SCHEMA.names), **header, **told, **{name: getattr(record, name) for name in names}} | {
        "source": "folder",
        "uri": str(root / record.folder),
        "files": list(record.files),
        "checksums": list(record.checksums),
        "n_instances": record.n_instances,
        "size_bytes": record.size_bytes,
        "content_hash": record.checksums[0],
    }


def _unread(places: Mapping[str, Downloaded], by_place: Mapping[str, Any], told: Set[str]) -> Iterator[dict[str, str]]:
    """NIfTI files without a header, of which nobody has told: in a folder without any readable file."""
    for place, record in places.items():
        if _is_nifti(record) and place not in by_place and place not in told:
            finding = Finding(code="unreadable_file", message="it was downloaded as NIfTI, and cannot be read as such")
            yield problem_row(FileProblem(Path(place), finding))


def _is_expected(root: Path, problem: Mapping[str, str], places: Mapping[str, Downloaded]) -> bool:
    """Whether a file in no series is one of our own lists, unfinished work, or came with a series, as a licence."""
    path = Path(problem["path"])
    record = places.get(str(path))
    beside = record is not None and record.file_format is None and problem["code"] == "not_dicom"
    return beside or _is_work(root, path) or (path.parent == root and path.name in _OURS)


def _is_work(root: Path, path: Path) -> bool:
    return (root / WORK_FOLDER) in (path, *path.parents)
