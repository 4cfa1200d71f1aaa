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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from operator import eq
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib

from .._version import __version__
from ..dicom.header_scan import FileProblem, InstanceHeader
from ..dicom.instance import HASH_LENGTH, SCAN_KEYWORDS
from ..findings import Finding
from .base import SINGLE_OBJECTS
from .nifti_rows import LocalNifti, NiftiHeader
from .walk import UNKNOWN, Listing, Stamp

FORMAT = 1
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
    """A file and what it holds."""

    name: str
    stamp: Stamp
    result: InstanceHeader | FileProblem | LocalNifti
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

    def entries(self) -> list[Entry]:
        """Everything."""
        unpack = _unpack_headers if self.series_uid else _unpack_others
        return list(unpack(self.folder, self.read_stamps(), _unpack(self.content)))


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
        self._open: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))  # by series and folder
        self._n_open = 0
        self._open_objects: set[tuple[str, str]] = set()  # series and folders of `_open` that hold single objects
        self.n_read = self.n_kept = self.n_gone = 0
        """Files read by the scan that made it, files that were as noted before, and files that are there no more."""

    # ---- filling

    def add(self, folder: str, entry: Entry) -> None:
        """Note one file."""
        uid = ""
        if isinstance(entry.result, InstanceHeader):
            uid = entry.result.series_uid
            if entry.result.modality in SINGLE_OBJECTS:
                self._open_objects.add((uid, folder))
        self._open[uid][folder].append(entry)
        self._n_open += 1
        if self._n_open >= _OPEN_FILES:
            self._pack_open()

    def add_run(self, run: Run) -> None:
        """Note files that were packed before."""
        self._runs[run.series_uid].append(run)

    def _pack_open(self) -> None:
        for uid, folders in self._open.items():
            self._runs[uid] += [
                _pack_run(folder, uid, entries, (uid, folder) in self._open_objects)
                for folder, entries in folders.items()
            ]
        self._open.clear()
        self._open_objects.clear()
        self._n_open = 0

    # ---- asking

    def __len__(self) -> int:
        return self._n_open + sum(run.n_files for runs in self._runs.values() for run in runs)

    def series_uids(self) -> list[str]:
        """Of all series, those that hold single objects last."""
        objects = self._holds_objects()
        return sorted((uid for uid in objects if uid), key=lambda uid: (objects[uid], uid))

    def object_series(self) -> list[str]:
        """UIDs of the series that hold single objects: structure sets, doses, ..."""
        objects = self._holds_objects()
        return [uid for uid in self.series_uids() if objects[uid]]

    def _holds_objects(self) -> dict[str, bool]:
        objects: dict[str, bool] = {uid: any(run.has_objects for run in runs) for uid, runs in self._runs.items()}
        objects.update((uid, objects.get(uid, False)) for uid in self._open)
        objects.update((uid, True) for uid, _ in self._open_objects)
        return objects

    def object_headers(self) -> Iterator[InstanceHeader]:
        """The headers of single objects."""
        packed = (run.entries() for runs in self._runs.values() for run in runs if run.has_objects)
        held = (self._open[uid][folder] for uid, folder in sorted(self._open_objects))
        for entry in chain.from_iterable(chain(packed, held)):
            if isinstance(entry.result, InstanceHeader) and entry.result.modality in SINGLE_OBJECTS:
                yield entry.result

    def headers(self, series_uid: str) -> list[InstanceHeader]:
        """Those of one series, in no order."""
        return [entry.result for entry in self._entries(series_uid) if isinstance(entry.result, InstanceHeader)]

    def others(self) -> list[Entry]:
        """Files that are in no series of DICOM."""
        return list(self._entries(""))

    def _entries(self, series_uid: str) -> Iterator[Entry]:
        for run in self._runs.get(series_uid, ()):
            yield from run.entries()
        if series_uid in self._open:
            yield from chain.from_iterable(self._open[series_uid].values())

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
                writer.write_table(pa.table(columns, schema=schema))

    @classmethod
    def read(cls, path: Path, root: Path) -> "Inventory | None":
        """What `write` wrote; None where there is nothing that tells of `root`, in this format and by this scan."""
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                about = json.loads((file.schema_arrow.metadata or {})[_KEY])
                if (about["format"], about["scan"], about["root"]) != (FORMAT, _scan_version(), str(root)):
                    return None
                rows = file.read(columns=_SCHEMA.names).to_pylist()
            found = cls(root, int(about["taken_ns"]))
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
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
                for entry in run.entries():
                    if entry.name in same:
                        inventory.add(listing.folder, entry)
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
    return bytes(isal_zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1))


def _unpack(data: bytes) -> Any:
    return json.loads(isal_zlib.decompress(data))


def _pack_run(folder: str, uid: str, entries: list[Entry], has_objects: bool = False) -> Run:
    stamps = [[e.name for e in entries], [e.stamp.size_bytes for e in entries], [e.stamp.modified_ns for e in entries]]
    content = _pack_headers(entries) if uid else _pack_others(entries)
    return Run(folder, uid, has_objects, len(entries), _pack(stamps), _pack(content))


def _pack_headers(entries: Iterable[Entry]) -> dict[str, Any]:
    headers = [entry.result for entry in entries if isinstance(entry.result, InstanceHeader)]
    common = headers[0].values
    return {
        "common": common,
        "own": [_difference(header.values, common) for header in headers],
        "hashes": "".join(header.header_hash for header in headers),
        "pixels": "".join("01"[header.has_pixels] for header in headers),
    }


def _difference(values: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """What makes `values` of `common`; None for what is to be left out, which no value is."""
    if len(values) == len(common) and all(map(eq, values, common)):
        # the same keys in one order; the scan shares what is equal
        return {
            key: value
            for (key, value), known in zip(values.items(), common.values(), strict=True)
            if value is not known
        }
    own = {key: value for key, value in values.items() if common.get(key) is not value}
    if len(values) - len(own) < len(common):
        own |= {key: None for key in common if key not in values}
    return own


def _unpack_headers(folder: str, stamps: Mapping[str, Stamp], content: Mapping[str, Any]) -> Iterator[Entry]:
    hashes, common = content["hashes"], content["common"]
    for number, ((name, stamp), own) in enumerate(zip(stamps.items(), content["own"], strict=True)):
        values = common | own
        if None in own.values():
            values = {key: value for key, value in values.items() if value is not None}
        header = InstanceHeader(
            file=f"{folder}{os.sep}{name}",
            size_bytes=stamp.size_bytes,
            header_hash=hashes[number * HASH_LENGTH : (number + 1) * HASH_LENGTH],
            has_pixels=content["pixels"][number] == "1",
            values=values,
        )
        yield Entry(name, stamp, header)


def _pack_others(entries: Iterable[Entry]) -> list[Any]:
    return [_pack_other(entry) for entry in entries]


def _pack_other(entry: Entry) -> Any:
    if isinstance(entry.result, LocalNifti):
        return asdict(entry.result.header)
    if isinstance(entry.result, FileProblem):
        return [entry.result.finding.to_row(), entry.identity]
    raise TypeError(f"{entry.name} is of a series")


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
