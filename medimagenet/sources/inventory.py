"""What is known of the files below a folder: headers in few bytes, in memory and on disk beside an index.

Headers of a series differ in a few values. They are kept in runs, the files of one series in one folder: what they
share once, what differs per file, compressed; some 150 bytes per file. A file whose size and time of change are those
that were noted is not read again, as long as it was not changed in the seconds before it was read: within one tick of
a file system's clock nothing tells two contents apart.
"""

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic_core
from isal import isal_zlib

from .._version import __version__
from ..dicom.header_scan import FileProblem, HeaderRun, InstanceHeader
from ..dicom.instance import HASH_LENGTH, SCAN_KEYWORDS
from ..findings import Finding
from .arrow_columns import arrow_table
from .base import SINGLE_OBJECTS
from .nifti_rows import LocalNifti, NiftiHeader
from .walk import UNKNOWN, Listing, Stamp

FORMAT = 2
"""Of the file beside an index. One of another format, or that another version's scan has made, is not looked at."""

TICK_NS = 2_000_000_000
"""Coarsest clock of a file system: FAT counts in two seconds."""

_OPEN_FILES = 16_384  # headers kept as they are before they are packed: 50 MB
_RUNS_AT_ONCE = 2_000  # written as one row group
_KEY = b"medimagenet_files"
_COMPRESSION = dict.fromkeys(("folder", "series_uid", "has_objects", "n_files"), "zstd") | {
    "stamps": "none",  # compressed already
    "content": "none",
}
_SCHEMA = pa.schema(
    [
        ("folder", pa.string()),
        ("series_uid", pa.string()),
        ("has_objects", pa.bool_()),
        ("n_files", pa.int32()),
        ("stamps", pa.binary()),
        ("content", pa.binary()),
    ]
)


class Entry(NamedTuple):
    """A file of no DICOM series, and what it holds."""

    name: str
    stamp: Stamp
    result: FileProblem | LocalNifti
    identity: tuple[str, str] | None = None
    """Of a file cut short: the SeriesInstanceUID and SOPInstanceUID that can still be read."""


@dataclass(frozen=True, slots=True)
class Run:
    """Files of one folder and one series, packed. Files that are in no series have an empty UID."""

    folder: str
    series_uid: str
    has_objects: bool
    n_files: int
    stamps: bytes
    content: bytes

    def read_stamps(self) -> dict[str, Stamp]:
        """Name -> stamp."""
        names, sizes, times = _unpack(self.stamps)
        return {name: Stamp(*values) for name, *values in zip(names, sizes, times, strict=True)}

    def headers(self) -> HeaderRun:
        """Of the files of a series, in the order of the stamps."""
        return _unpack_headers(self.folder, _unpack(self.stamps), _unpack(self.content))

    def others(self) -> list[Entry]:
        """Files of no series."""
        return list(_unpack_others(self.folder, self.read_stamps(), _unpack(self.content)))


@dataclass(slots=True)
class _Open:
    """Files of one folder and one series, not packed yet."""

    runs: list[HeaderRun] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    @property
    def has_objects(self) -> bool:
        return any(modality in SINGLE_OBJECTS for run in self.runs for modality in run.texts("Modality"))

    def pack(self, folder: str, uid: str) -> Run:
        run = HeaderRun.joined(self.runs)
        names = [file.rpartition(os.sep)[2] for file in run.files]
        stamps = _pack([names, list(run.sizes), self.times])
        return Run(folder, uid, self.has_objects, len(run), stamps, _pack(_content(run)))


class Inventory:
    """What is below one folder.

    Parameters
    ----------
    root
        The folder, absolute.
    taken_ns
        Time before it was listed.
    """

    def __init__(self, root: Path, taken_ns: int | None = None) -> None:
        self.root = root
        self.taken_ns = time.time_ns() if taken_ns is None else taken_ns
        self._runs: dict[str, list[Run]] = defaultdict(list)
        self._open: dict[str, dict[str, _Open]] = defaultdict(lambda: defaultdict(_Open))  # by series and folder
        self._others: dict[str, list[Entry]] = defaultdict(list)
        self._n_open = 0
        self.n_read = self.n_kept = self.n_gone = 0
        """Files read by the scan that made it, files that were as noted before, and files that are there no more."""

    # ---- filling

    def add(self, folder: str, entry: Entry) -> None:
        """Note one file of no series."""
        self._others[folder].append(entry)
        self._has_grown(1)

    def add_headers(self, folder: str, run: HeaderRun, times: Sequence[int]) -> None:
        """Note files of one folder and one series, and when each was changed."""
        held = self._open[run.texts("SeriesInstanceUID")[0]][folder]
        held.runs.append(run)
        held.times += times
        self._has_grown(len(run))

    def add_run(self, run: Run) -> None:
        """Note files that were packed before."""
        self._runs[run.series_uid].append(run)

    def _has_grown(self, n_files: int) -> None:
        self._n_open += n_files
        if self._n_open >= _OPEN_FILES:
            self._pack_open()

    def _pack_open(self) -> None:
        for uid, folders in self._open.items():
            self._runs[uid] += [held.pack(folder, uid) for folder, held in folders.items()]
        self._runs[""] += [_pack_others(folder, entries) for folder, entries in self._others.items()]
        self._open.clear()
        self._others.clear()
        self._n_open = 0

    # ---- asking

    def __len__(self) -> int:
        return self._n_open + sum(run.n_files for runs in self._runs.values() for run in runs)

    def series_uids(self) -> list[str]:
        """Of all series, those that hold single objects last."""
        objects = self._holds_objects()
        return sorted(objects, key=lambda uid: (objects[uid], uid))

    def object_series(self) -> list[str]:
        """UIDs of the series that hold single objects: structure sets, doses, ..."""
        return sorted(uid for uid, holds in self._holds_objects().items() if holds)

    def _holds_objects(self) -> dict[str, bool]:
        objects = {uid: any(run.has_objects for run in runs) for uid, runs in self._runs.items() if uid}
        for uid, folders in self._open.items():
            objects[uid] = objects.get(uid, False) or any(held.has_objects for held in folders.values())
        return objects

    def object_headers(self) -> Iterator[InstanceHeader]:
        """The headers of single objects."""
        for uid in self.object_series():
            for header in self.headers(uid):
                if header.modality in SINGLE_OBJECTS:
                    yield header

    def headers(self, series_uid: str) -> HeaderRun:
        """Those of one series, in no order."""
        packed = [run.headers() for run in self._runs.get(series_uid, ())]
        held = [run for folder in self._open.get(series_uid, {}).values() for run in folder.runs]
        return HeaderRun.joined([*packed, *held])

    def others(self) -> list[Entry]:
        """Files that are in no series of DICOM."""
        packed = [entry for run in self._runs.get("", ()) for entry in run.others()]
        return packed + [entry for entries in self._others.values() for entry in entries]

    # ---- on disk

    def write(self, path: Path) -> None:
        """Write a Parquet file with a row per run."""
        self._pack_open()
        runs = [run for uid in sorted(self._runs) for run in self._runs[uid]]
        about = {"format": FORMAT, "scan": _scan_version(), "root": str(self.root), "taken_ns": self.taken_ns}
        schema = _SCHEMA.with_metadata({_KEY: json.dumps(about).encode()})
        settings: dict[str, Any] = {"compression": _COMPRESSION, "use_dictionary": False, "write_page_checksum": True}
        with pq.ParquetWriter(path, schema, **settings) as writer:
            for start in range(0, len(runs), _RUNS_AT_ONCE):
                part = runs[start : start + _RUNS_AT_ONCE]
                columns = {name: [getattr(run, name) for run in part] for name in _SCHEMA.names}
                columns["folder"] = [_below(self.root, run.folder) for run in part]
                writer.write_table(arrow_table(columns, schema))

    @classmethod
    def read(cls, path: Path, root: Path) -> "Inventory | None":
        """What `write` wrote; None where there is nothing that tells of `root`, in this format and by this scan."""
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                about = json.loads((file.schema_arrow.metadata or {})[_KEY])
                if (about["format"], about["scan"], about["root"]) != (FORMAT, _scan_version(), str(root)):
                    return None
                if not file.schema_arrow.equals(_SCHEMA):  # no checksum is over the names and types
                    return None
                rows = file.read(columns=_SCHEMA.names).to_pylist()
            found = cls(root, int(about["taken_ns"]))
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, OverflowError):
            return None  # cut or foreign: everything is read again
        for row in rows:
            found.add_run(Run(**(row | {"folder": str(root.joinpath(row["folder"]))})))
        return found


class Memory:
    """What an earlier inventory knows of the files that are listed now."""

    def __init__(self, before: Inventory | None) -> None:
        self._by_folder: dict[str, list[Run]] = defaultdict(list)
        self.n_gone = 0 if before is None else len(before)
        """Files noted that have not been listed so far."""
        self._trusted_ns = 0 if before is None else before.taken_ns - TICK_NS
        for run in () if before is None else (run for runs in before._runs.values() for run in runs):
            self._by_folder[run.folder].append(run)

    def recall(self, listing: Listing, inventory: Inventory) -> dict[str, Stamp]:
        """Put what is known of a folder into an inventory; what has to be read is left."""
        unread = dict(listing.stamps)
        for run in self._by_folder.get(listing.folder, ()):
            noted = run.read_stamps()
            self.n_gone -= len(noted.keys() & listing.stamps.keys())
            same = {name for name, stamp in noted.items() if self._is_same(stamp, listing.stamps.get(name))}
            if len(same) == len(noted):
                inventory.add_run(run)
            elif same:
                _add_some(inventory, run, noted, same)
            for name in same:
                del unread[name]
        return unread

    def _is_same(self, noted: Stamp, now: Stamp | None) -> bool:
        return noted == now and UNKNOWN not in noted and noted.modified_ns < self._trusted_ns


def _below(root: Path, folder: str) -> str:
    return Path(folder).relative_to(root).as_posix()


def _scan_version() -> str:
    """Names what a scan reads: headers of another one may lack values."""
    return f"{__version__}-{hashlib.sha256(' '.join(SCAN_KEYWORDS).encode()).hexdigest()[:16]}"


# ---- packing


def _pack(value: Any) -> bytes:
    return bytes(isal_zlib.compress(pydantic_core.to_json(value), 1))


def _unpack(data: bytes) -> Any:
    return pydantic_core.from_json(isal_zlib.decompress(data))


def _add_some(inventory: Inventory, run: Run, stamps: Mapping[str, Stamp], names: Collection[str]) -> None:
    """Note those files of a run that have these names."""
    if run.series_uid:
        places = [place for place, name in enumerate(stamps) if name in names]
        times = [stamp.modified_ns for name, stamp in stamps.items() if name in names]
        inventory.add_headers(run.folder, run.headers().take(places), times)
        return
    for entry in run.others():
        if entry.name in names:
            inventory.add(run.folder, entry)


def _content(run: HeaderRun) -> dict[str, Any]:
    """What of headers is not in the stamps."""
    pixels = "".join("01"[has] for has in run.pixels)
    return {"common": run.common, "columns": run.columns, "hashes": "".join(run.hashes), "pixels": pixels}


def _unpack_headers(folder: str, stamps: Sequence[Any], content: Mapping[str, Any]) -> HeaderRun:
    names, sizes, _ = stamps
    hashes = content["hashes"]
    return HeaderRun(
        files=[f"{folder}{os.sep}{name}" for name in names],
        sizes=sizes,
        hashes=[hashes[start : start + HASH_LENGTH] for start in range(0, len(hashes), HASH_LENGTH)],
        pixels=[has == "1" for has in content["pixels"]],
        common=content["common"],
        columns=content["columns"],
    )


def _pack_others(folder: str, entries: Sequence[Entry]) -> Run:
    stamps = [[e.name for e in entries], [e.stamp.size_bytes for e in entries], [e.stamp.modified_ns for e in entries]]
    return Run(folder, "", False, len(entries), _pack(stamps), _pack([_pack_other(entry) for entry in entries]))


def _pack_other(entry: Entry) -> Any:
    if isinstance(entry.result, LocalNifti):
        return asdict(entry.result.header)
    return [entry.result.finding.to_row(), entry.identity]


def _unpack_others(folder: str, stamps: Mapping[str, Stamp], content: Iterable[Any]) -> Iterator[Entry]:
    for (name, stamp), value in zip(stamps.items(), content, strict=True):
        path = Path(folder, name)
        if isinstance(value, dict):
            affine = tuple(tuple(row) for row in value.pop("affine"))
            shape, spacing = tuple(value.pop("shape")), tuple(value.pop("spacing_mm"))
            header = NiftiHeader(shape=shape, spacing_mm=spacing, affine=affine, **value)
            yield Entry(name, stamp, LocalNifti(path, header))
        else:
            finding, identity = value
            problem = FileProblem(path, Finding.from_row(finding))
            yield Entry(name, stamp, problem, tuple(identity) if identity else None)
