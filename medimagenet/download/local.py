"""The index of a folder of downloads: what the headers say, with what only the archive knew."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import IndexFileError
from ..index import Index, index_directory
from ..index.schema import SCHEMA
from .attribution import FILE
from .journal import MANIFEST, Downloaded
from .layout import WORK_FOLDER

INDEX_FILE = "index.parquet"

_TOLD = ("collection_id", "license", "doi", "agreement", "analysis_result_id", "crdc_series_uuid")
_OURS = frozenset({MANIFEST, FILE, INDEX_FILE, "index.report.csv"})


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
    records = list(records)
    if not records:
        return None
    path = root / INDEX_FILE
    places = {str(root / record.folder / name): record for record in records for name in record.files}
    rows: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    if any(record.file_format is None for record in records):
        found = index_directory(root)
        rows = [
            _with_origin(row, places)
            for row in found.rows()
            if not _is_work(root, Path(row["uri"])) and not _is_other(row, places)
        ]
        problems = [one for one in found.problems if not _is_known(root, Path(one["path"]), places)]
    rows += _other_rows(root, path, records, asked)
    Index(pa.Table.from_pylist(rows, schema=SCHEMA), problems).write(path)
    return path


def _is_other(row: Mapping[str, Any], places: Mapping[str, Downloaded]) -> bool:
    """Whether a row is of a download that is no DICOM, of which the index it was asked for by knows more."""
    return row["file_format"] is not None and str(Path(row["uri"], row["files"][0])) in places


def _with_origin(row: dict[str, Any], places: Mapping[str, Downloaded]) -> dict[str, Any]:
    record = places.get(str(Path(row["uri"], row["files"][0])))
    return row if record is None else row | {name: getattr(record, name) for name in _TOLD}


def _other_rows(
    root: Path, path: Path, records: Iterable[Downloaded], asked: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of files that are no DICOM: of the index they were asked for by, now or in an earlier run."""
    known: dict[str, Mapping[str, Any]] = {}
    try:
        known = {row["key"]: row for row in Index.read(path).rows()} if path.exists() else {}
    except IndexFileError:  # it is written anew
        known = {}
    known |= {row["key"]: row for row in asked}
    return [
        {**dict.fromkeys(SCHEMA.names), **known.get(record.key, {}), **_here(root, record)}
        for record in records
        if record.file_format is not None
    ]


def _here(root: Path, record: Downloaded) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in (*_TOLD, "key", "file_format", "SeriesInstanceUID", "Modality")}
    return values | {
        "source": "folder",
        "uri": str(root / record.folder),
        "files": list(record.files),
        "checksums": list(record.checksums),
        "n_instances": record.n_instances,
        "size_bytes": record.size_bytes,
        "content_hash": record.checksums[0],
    }


def _is_known(root: Path, path: Path, places: Mapping[str, Downloaded]) -> bool:
    """Whether a file is one of our own lists, unfinished work, or a download that is meant to be no DICOM."""
    return str(path) in places or _is_work(root, path) or (path.parent == root and path.name in _OURS)


def _is_work(root: Path, path: Path) -> bool:
    return (root / WORK_FOLDER) in (path, *path.parents)
