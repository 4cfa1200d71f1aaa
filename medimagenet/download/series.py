"""One series: asked for, unpacked, checked, and moved to its place as a whole."""

import datetime
import functools
import hashlib
import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .._disk import flush
from .._version import __version__
from ..errors import SourceError
from ..index.collections import citations
from ..sources.base import RemoteFile, RemoteSource
from ..sources.idc_versions import current_version
from .content import WHOLE, Content, WrongContentError, check_content
from .journal import Downloaded, Journal
from .layout import WORK_FOLDER, safe_path
from .licenses import spdx
from .plan import PlannedSeries
from .transfer import Body, Received, Transfer, present
from .unpack import Limits, Member, unpack

_ATTEMPTS = 2  # at a series whose parts came whole and are not the series: a server that ended a zip early, say


class SeriesFetcher:
    """Fetches series into one folder. For any number of threads.

    Parameters
    ----------
    journal
        Of the folder.
    transfer
        What brings bodies.
    executor
        Runs the transfers of one series at the same time.
    """

    def __init__(self, journal: Journal, transfer: Transfer, executor: Executor) -> None:
        self._journal = journal
        self._transfer = transfer
        self._executor = executor
        self._work = journal.root / WORK_FOLDER
        self._packages: dict[str, threading.Lock] = {}
        self._unpacked: dict[str, list[Member]] = {}
        self._suspect = False  # whether an archive of several series may be wrong
        self._lock = threading.Lock()

    def fetch(self, planned: PlannedSeries, source: RemoteSource, received: Received) -> Content:
        """Bring one series to its place, and note that it is complete.

        Raises
        ------
        SourceError
            It cannot be had, or what arrives is not it. What arrived and is right is kept for the next run.
        """
        remotes = list(source.remote_files(planned.row))
        if not remotes:
            raise SourceError(f"{source.name} has no files of series {planned.row['SeriesInstanceUID']}")
        staging = self._work / "series" / planned.work_name
        for attempt in range(1, _ATTEMPTS + 1):
            staging.mkdir(parents=True, exist_ok=True)
            try:
                members = self._bring(planned, remotes, staging, received)
                packed = any(remote.package != "none" for remote in remotes)
                content = check_content(planned.row, members, packed=packed)
                break
            except WrongContentError:
                if all(remote.checksum for remote in remotes):
                    raise  # just these bytes would come again
                shutil.rmtree(staging)
                if attempt == _ATTEMPTS or planned.row["files"]:
                    self._suspect = True
                    raise
        self._commit(planned, content)
        shutil.rmtree(staging, ignore_errors=True)
        return content

    def clear(self, *, failed: bool) -> None:
        """Remove what no further run needs: after a failure what has come right stays."""
        if self._suspect or not failed:
            shutil.rmtree(self._work / "packages", ignore_errors=True)
        if not failed:
            shutil.rmtree(self._work / "series", ignore_errors=True)

    def _bring(
        self, planned: PlannedSeries, remotes: Sequence[RemoteFile], staging: Path, received: Received
    ) -> list[Member]:
        bring = functools.partial(self._bring_one, planned, staging, received)
        return [member for members in self._executor.map(bring, remotes) for member in members]

    def _bring_one(self, planned: PlannedSeries, staging: Path, received: Received, remote: RemoteFile) -> list[Member]:
        if remote.package == "none":
            return [self._bring_file(planned, staging, received, remote)]
        if planned.row["files"] and planned.row["file_format"] not in WHOLE:
            return self._part_of_package(planned, received, remote)
        body = self._transfer.fetch(remote, staging / _work_name(remote), received)
        return _unpacked(remote, body, _expected(planned.row))

    def _bring_file(self, planned: PlannedSeries, staging: Path, received: Received, remote: RemoteFile) -> Member:
        name = remote.path or unquote(urlsplit(remote.url).path).rpartition("/")[2]
        try:
            name = safe_path(name)
        except ValueError as error:
            raise SourceError(f"{remote.service or 'a server'} names a file that cannot be: {error}") from error
        there = self._present(planned, remote, name)
        body = there or self._transfer.fetch(remote, staging / _work_name(remote), received)
        if there is not None:
            received(there.size_bytes)
        return Member(
            path=body.path, name=name, size_bytes=body.size_bytes, checksum=body.checksum, verified=body.verified
        )

    def _present(self, planned: PlannedSeries, remote: RemoteFile, name: str) -> Body | None:
        """The file in its place, where it is known to be right: of a series of which other files were lost."""
        record = self._journal.records.get(planned.row["key"])
        known = dict(zip(record.files, record.checksums, strict=True)) if record is not None else {}
        checksum = remote.checksum or known.get(name)
        place = self._journal.root / planned.folder / name
        return present(replace(remote, checksum=checksum), place) if checksum else None

    def _part_of_package(self, planned: PlannedSeries, received: Received, remote: RemoteFile) -> list[Member]:
        """The files of a row that are in an archive with those of others, which is fetched once."""
        name = _work_name(remote)
        with self._lock:
            lock = self._packages.setdefault(name, threading.Lock())
        folder = self._work / "packages" / name
        with lock:
            folder.mkdir(parents=True, exist_ok=True)
            if name not in self._unpacked:
                body = self._transfer.fetch(remote, folder / "body", received)
                self._unpacked[name] = _unpacked(remote, body, Limits())
            members = self._unpacked[name]
        wanted = set(planned.row["files"])
        return [member for member in members if member.name in wanted]

    def _commit(self, planned: PlannedSeries, content: Content) -> None:
        place = self._journal.root / planned.folder
        moves = [(member.path, place / member.name) for member in content.members if member.path != place / member.name]
        # by many threads: 200 files take 0.13 s, one after the other 1.5 s (ext4)
        list(self._executor.map(flush, [start for start, _ in moves]))
        self._journal.commit(_record(planned, content), moves)


def _unpacked(remote: RemoteFile, body: Body, limits: Limits) -> list[Member]:
    """What is in an archive. One that is damaged is removed, so that it is asked for again."""
    folder = body.path.with_name(f"{body.path.name}.members")
    try:
        members = unpack(remote.package, body.path, folder, limits=limits, content_type=body.content_type)
    except SourceError as error:
        body.path.unlink(missing_ok=True)
        raise WrongContentError(str(error)) from error
    return [replace(member, name=f"{remote.path}/{member.name}" if remote.path else member.name) for member in members]


def _expected(row: Mapping[str, Any]) -> Limits:
    """What may come out of the archive of one series: what its index says, and some licences and lists."""
    if row["file_format"] in WHOLE:
        return Limits()  # its size is that of the archive
    limits = Limits(size_bytes=2 * row["size_bytes"] + (64 << 20) if row["size_bytes"] else None)
    return replace(limits, members=row["n_instances"] + 16) if row["n_instances"] else limits


def _work_name(remote: RemoteFile) -> str:
    """Name of a body in the work folder: the same in every run, and another for every question."""
    question = "\n".join([remote.method, remote.url, *map(str, sorted(remote.form.items()))])
    return hashlib.sha256(question.encode()).hexdigest()[:32]


def _record(planned: PlannedSeries, content: Content) -> Downloaded:
    row = planned.row
    spdx_name, license_url = spdx(row["license"])
    kept = ("source", "collection_id", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "analysis_result_id")
    more = ("key", "crdc_series_uuid", "file_format", "uri", "license", "doi", "agreement")
    return Downloaded(
        **{name: row[name] for name in (*kept, *more)},
        index_version=current_version().version if row["source"] == "idc" else None,
        folder=planned.folder,
        files=tuple(member.name for member in content.members),
        sizes=tuple(member.size_bytes for member in content.members),
        checksums=tuple(member.checksum for member in content.members),
        n_instances=content.instances,
        size_bytes=sum(member.size_bytes for member in content.members),
        license_spdx=spdx_name,
        license_url=license_url,
        citation=row.get("citation") or citations().get((row["doi"] or "").lower()),
        fetched_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        fetched_by=f"medimagenet {__version__}",
    )
