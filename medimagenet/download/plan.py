"""What a download would bring, before a byte is asked for: series, files, bytes, room on the disk, licences."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SourceError
from ..index import Index
from ..sources.idc import NAME as PUBLIC_SOURCE
from ..sources.registry import remote_source
from .journal import Downloaded, is_complete, read_records
from .layout import DEFAULT_TEMPLATE, check_template, series_folder
from .licenses import Terms, terms_of

_COLUMNS = (
    *("key", "source", "collection_id", "PatientID", "StudyInstanceUID", "StudyDate", "SeriesInstanceUID"),
    *("SOPInstanceUID", "Modality", "SeriesDescription", "SeriesNumber", "BodyPartExamined", "uri", "files"),
    *("n_instances", "size_bytes", "license", "doi", "analysis_result_id", "crdc_series_uuid", "file_format"),
    *("checksums", "agreement", "citation"),
)
_RESERVE = 256 << 20  # bytes of a disk that are left to others


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSeries:
    """A series that is to be fetched."""

    row: Mapping[str, Any]
    """Of the index that was asked for."""
    folder: str
    """Where it will be, below the folder of the download."""

    @property
    def work_name(self) -> str:
        """Name of its place in the work folder, the same in every run."""
        return hashlib.sha256(self.row["key"].encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPlan:
    """What a download would do."""

    folder: Path
    series: tuple[PlannedSeries, ...]
    """That are not there yet."""
    files: int
    """Of these series; where they come packed, what comes out."""
    size_bytes: int
    """Of these series, as their archives say."""
    free_bytes: int
    """On the disk of the folder."""
    complete: int
    """Series that are there already, and are not asked for again."""
    local: int
    """Series that are files of the user: there is nothing to fetch."""
    collections: Mapping[str, int] = field(default_factory=dict)
    """Series to fetch of each collection."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Series to fetch from each source."""
    terms: tuple[Terms, ...] = ()
    """Licences and agreements of all selected series, the most restrictive first."""

    @property
    def fits(self) -> bool:
        """Whether there is room on the disk."""
        return self.size_bytes + _RESERVE * bool(self.size_bytes) <= self.free_bytes

    def check_room(self) -> None:
        """Raise unless there is room on the disk.

        Raises
        ------
        SourceError
            With both sizes.
        """
        if not self.fits:
            free, needed, kept = (f"{size / 1e9:.1f} GB" for size in (self.free_bytes, self.size_bytes, _RESERVE))
            raise SourceError(
                f"{self.folder} has {free} free, the download takes {needed} and {kept} are left to others: select "
                "less, or use another disk"
            )


def plan_download(selection: Index, folder: Path | str, *, template: str = DEFAULT_TEMPLATE) -> DownloadPlan:
    """What `download` would do. Nothing is asked for, and nothing is written.

    Parameters
    ----------
    selection
        Series of any index, for example of a `search`.
    folder
        Where they would be.
    template
        Their folders below it: text and ``%`` with the name of a column, such as
        ``%collection_id/%PatientID/%Modality``.

    Raises
    ------
    ValueError
        The template is wrong.
    SourceError
        A series is of a source that cannot be fetched from, or what is in the folder is damaged.
    """
    root = Path(folder).absolute()
    check_template(template)
    records = read_records(root)
    is_public = f"source = '{PUBLIC_SOURCE}'"  # a million rows, of which few columns are needed
    rows = selection.sql(f"SELECT {', '.join(_COLUMNS)} FROM series WHERE {is_public}").to_pylist()
    rows += selection.sql(f"SELECT * FROM series WHERE NOT ({is_public})").to_pylist()  # whatever their sources ask for
    local = [row for row in rows if row["source"] == "folder"]
    remote = [row for row in rows if row["source"] != "folder"]
    for name in {row["source"] for row in remote}:
        remote_source(name)
    wanted = list(_placed(remote, template, records))
    missing = [one for one in wanted if not _is_there(root, records.get(one.row["key"]))]
    return DownloadPlan(
        folder=root,
        series=tuple(missing),
        files=sum(one.row["n_instances"] or 1 for one in missing),
        size_bytes=sum(one.row["size_bytes"] or 0 for one in missing),
        free_bytes=_free_bytes(root),
        complete=len(wanted) - len(missing),
        local=len(local),
        collections=_count(one.row["collection_id"] or "" for one in missing),
        sources=_count(one.row["source"] for one in missing),
        terms=terms_of(remote),
    )


def _is_there(root: Path, record: Downloaded | None) -> bool:
    return record is not None and is_complete(root, record)


def _placed(
    rows: Iterable[Mapping[str, Any]], template: str, records: Mapping[str, Downloaded]
) -> Iterable[PlannedSeries]:
    """Each row once, in a folder that no other content of the same series has."""
    owners = {(record.folder, record.SeriesInstanceUID): key for key, record in records.items()}
    seen: set[str] = set()
    for row in rows:
        key = row["key"]
        if key in seen:
            continue
        seen.add(key)
        folder = records[key].folder if key in records else series_folder(template, row)
        if owners.setdefault((folder, row["SeriesInstanceUID"]), key) != key:
            folder = f"{folder}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"  # a revision, or the same UID twice
            owners[folder, row["SeriesInstanceUID"]] = key
        yield PlannedSeries(row=row, folder=folder)


def _free_bytes(root: Path) -> int:
    place = next(place for place in (root, *root.parents) if place.exists())
    return shutil.disk_usage(place).free


def _count(names: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items()))
