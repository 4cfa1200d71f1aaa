"""What is complete in a folder of downloads, so that it is never asked for again.

Each series that is done is a file of the journal, written before its files are moved to their places: whoever opens the
journal finishes moves that were interrupted. When a run ends the journal goes into ``DOWNLOADS.parquet``, a row per
series: what came from where, when, under which licence.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .._disk import flush
from .._version import __version__
from ..errors import SourceError
from .checksum import file_checksum, kind_of, same
from .files import read_json, write_json, write_whole
from .layout import WORK_FOLDER

MANIFEST = "DOWNLOADS.parquet"
MANIFEST_VERSION = 1
_METADATA = b"medimagenet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A series that is here: a row of ``DOWNLOADS.parquet``. Its columns are called as in an index."""

    key: str
    """Of the row of the index that was asked for."""
    source: str
    collection_id: str | None
    StudyInstanceUID: str | None
    SeriesInstanceUID: str
    Modality: str | None
    analysis_result_id: str | None
    crdc_series_uuid: str | None
    file_format: str | None
    uri: str
    """Where it came from."""
    index_version: str | None
    """Of the public index that said so."""
    folder: str
    """Below the folder of the download, with forward slashes."""
    files: tuple[str, ...]
    """Below `folder`."""
    sizes: tuple[int, ...]
    """Bytes, of each file."""
    checksums: tuple[str, ...]
    """Of each file: of the archive where it gave one that was compared, else sha256 of what arrived."""
    n_instances: int
    size_bytes: int
    license: str | None
    license_spdx: str | None
    license_url: str | None
    doi: str | None
    citation: str | None
    agreement: str | None
    fetched_at: str
    """UTC, ISO 8601."""
    fetched_by: str
    """This program and its version."""


_TYPES = {
    "files": pa.list_(pa.string()),
    "sizes": pa.list_(pa.int64()),
    "checksums": pa.list_(pa.string()),
    "n_instances": pa.int64(),
    "size_bytes": pa.int64(),
}
SCHEMA = pa.schema([(field.name, _TYPES.get(field.name, pa.string())) for field in fields(Downloaded)])

Move = tuple[Path, Path]
"""From a place in the work folder to the final one."""


class Journal:
    """The journal of one folder, which is locked while it is open.

    Raises
    ------
    SourceError
        Another download into this folder is running, or its ``DOWNLOADS.parquet`` is damaged or something else.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root / WORK_FOLDER / "journal"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._moving: set[Path] = set()
        self._lock = (root / WORK_FOLDER / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise SourceError(f"another download into {root} is running: wait for it, or stop it") from error
        try:
            self._finish_moves()
            self.records = read_records(root)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()  # which unlocks

    def commit(self, record: Downloaded, moves: Sequence[Move]) -> None:
        """Move the files of a series, which are flushed to the disk, to their places, and note that it is complete.

        Raises
        ------
        SourceError
            A place is taken by something else, which stays as it is.
        """
        wanted = {self.root / record.folder / name: checksum for name, checksum in _checksums(record)}
        for _, target in moves:
            if target.exists() and not same(file_checksum(target, kind_of(wanted[target])), wanted[target]):
                raise SourceError(
                    f"{target} is there and is not what was downloaded: it is not overwritten; move it away, or choose "
                    "another folder or template"
                )
        relative = [[str(place.relative_to(self.root)) for place in move] for move in moves]
        self._moving.add(self._path(record.key))
        write_json(self._path(record.key), {"record": asdict(record), "moves": relative})
        _move(moves)
        self.records[record.key] = record
        self._moving.discard(self._path(record.key))

    def consolidate(self) -> None:
        """Write ``DOWNLOADS.parquet`` anew, whole or not at all; in the journal stay moves that were interrupted."""
        journal = [path for path in self._folder.glob("*.json") if path not in self._moving]
        if not journal:
            return
        write_manifest(self.root / MANIFEST, self.records.values())
        for path in journal:
            path.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _finish_moves(self) -> None:
        for path in self._folder.glob("*.json"):
            moves = _read_entry(path, self.root)[1]
            _move([move for move in moves if move[0].exists()])


def read_records(root: Path) -> dict[str, Downloaded]:
    """What was completed in a folder, by key. Nothing is locked or changed.

    Raises
    ------
    SourceError
        As of `read_manifest`.
    """
    found = read_manifest(root / MANIFEST)
    for path in sorted((root / WORK_FOLDER / "journal").glob("*.json")):
        record = _read_entry(path, root)[0]
        found += [record] if record is not None else []
    return {record.key: record for record in found}


def is_complete(root: Path, record: Downloaded) -> bool:
    """Whether the files of a series are there, in their sizes."""
    sizes = zip(record.files, record.sizes, strict=True)
    return all(_size(root / record.folder / name) == size for name, size in sizes)


def _read_entry(path: Path, root: Path) -> tuple[Downloaded | None, list[Move]]:
    """An entry of the journal. One of another version is none: its series is asked for again."""
    entry = read_json(path)
    try:
        return _record(entry["record"]), [(root / start, root / end) for start, end in entry["moves"]]
    except (KeyError, TypeError, ValueError):
        return None, []


def read_manifest(path: Path) -> list[Downloaded]:
    """The rows of a ``DOWNLOADS.parquet``; none where there is no such file.

    Raises
    ------
    SourceError
        The file is damaged, something else, or of a newer version.
    """
    if not path.exists():
        return []
    try:
        schema = pq.read_schema(path)
        version = json.loads((schema.metadata or {})[_METADATA])["downloads_version"]
        if version > MANIFEST_VERSION:
            raise SourceError(f"{path} is of version {version}, this program knows {MANIFEST_VERSION}: update it")
        with pq.ParquetFile(path) as file:  # read_table would import pandas where it is installed: half a second
            return [_record(row) for row in file.read().to_pylist()]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"{path} is damaged, or is no list of downloads ({reason}): it is not overwritten; move it away. Files "
            "that are there already are then compared with their checksums and kept"
        ) from error


def write_manifest(path: Path, records: Iterable[Downloaded]) -> None:
    """Write a ``DOWNLOADS.parquet``, sorted, whole or not at all."""
    rows = [asdict(record) for record in sorted(records, key=lambda record: (record.folder, record.key))]
    text = json.dumps({"downloads_version": MANIFEST_VERSION, "created_by": f"medimagenet {__version__}"})
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({_METADATA: text.encode()}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_whole(path, sink.getvalue().to_pybytes())


def _record(row: dict[str, Any]) -> Downloaded:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Downloaded)}
    for name in ("files", "sizes", "checksums"):
        values[name] = tuple(values[name])
    return Downloaded(**values)


def _checksums(record: Downloaded) -> Iterable[tuple[str, str]]:
    return zip(record.files, record.checksums, strict=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _move(moves: Sequence[Move]) -> None:
    folders = {target.parent for _, target in moves}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for start, target in moves:
        start.replace(target)
    for folder in folders:
        flush(folder)
