"""From a selection of an index to files on this disk, with an index of them."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import MedImageNetError, UnreachableError
from ..index import Index
from ..sources.base import RemoteSource
from ..sources.http import Limits
from ..sources.registry import remote_source
from .attribution import FILE, attribution_text
from .content import Content
from .files import write_whole
from .journal import Journal, is_complete
from .layout import DEFAULT_TEMPLATE
from .licenses import check_accepted
from .local import INDEX_FILE, write_local_index
from .plan import DownloadPlan, PlannedSeries, plan_download
from .series import SeriesFetcher
from .transfer import Stopped, Transfer

JOBS = 32
"""Transfers at the same time. Each service has its own, mostly lower, limit."""

_SERIES_AT_ONCE = 8  # so that transfers never wait for one series to be listed, checked or moved

_UNREACHABLE = 8  # series after each other that nobody answers for, each after all attempts; there may be thousands

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedSeries:
    """A series that could not be had."""

    SeriesInstanceUID: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadReport:
    """What a download did."""

    folder: Path
    fetched: int
    """Series that were brought by this run."""
    complete: int
    """Series that were there before, and were not asked for."""
    local: int
    """Series that are files of the user."""
    failed: tuple[FailedSeries, ...]
    """Series that could not be had; the next run tries them again."""
    notes: tuple[str, ...]
    """What is odd about files that are just as their archive has them."""
    size_bytes: int
    """Of the series that this run brought."""
    seconds: float
    index: Path | None
    """Of all that is in the folder; None where there is nothing."""


def download(
    selection: Index,
    folder: Path | str,
    *,
    accept_licenses: Iterable[str] = (),
    template: str = DEFAULT_TEMPLATE,
    jobs: int = JOBS,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> DownloadReport:
    """Fetch series into a folder: in parallel, checked, and each whole or not at all.

    It can be interrupted at any moment; the next call fetches what is missing, and does not ask for what is complete.
    Beside the files it keeps ``index.parquet`` (an index of them), ``DOWNLOADS.parquet`` and ``ATTRIBUTION.md``.

    Parameters
    ----------
    selection
        Series of any index, for example of a `search`. Those that are files of the user are passed over.
    folder
        Is made where it is not there.
    accept_licenses
        Licences without commercial use, "unknown", and addresses of agreements that you have read and accept.
    template
        Folders of series below `folder`; see `plan_download`.
    jobs
        Most transfers at the same time; services have their own limits.
    progress
        Called with the number of bytes done and of all.
    limits
        In place of those of the services.

    Returns
    -------
    report : DownloadReport
        With the series that could not be had, and why: they do not stop others.

    Raises
    ------
    ValueError
        The template is wrong, or `jobs` is below 1.
    LicenseError
        Something has to be accepted first. Nothing was fetched.
    SourceError
        There is not enough room on the disk, another download into the folder is running, or a list in it is damaged.
    UnreachableError
        Nobody answers, for one series after the other.
    OSError
        The disk is full, or cannot be written. What is complete stays complete.

    Examples
    --------
    >>> found = open_index().search(collection="lctsc", modality="RTSTRUCT")  # doctest: +SKIP
    >>> download(found, "lctsc")  # doctest: +SKIP
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    start = time.perf_counter()
    plan = plan_download(selection, folder, template=template)
    check_accepted(plan.terms, accept_licenses)
    plan.check_room()
    root = plan.folder
    root.mkdir(parents=True, exist_ok=True)
    with Journal(root) as journal:
        run = _Run(journal, plan, jobs, progress, limits)
        try:
            run.fetch_all()
        finally:
            journal.consolidate()
            _write_attribution(journal)
        index: Path | None = root / INDEX_FILE
        if run.contents or not (root / INDEX_FILE).exists():
            index = write_local_index(root, journal.records.values(), [one.row for one in plan.series])
    return DownloadReport(
        folder=root,
        fetched=len(run.contents),
        complete=plan.complete + run.finished,
        local=plan.local,
        failed=tuple(sorted(run.failed, key=lambda one: one.SeriesInstanceUID)),
        notes=tuple(note for content in run.contents for note in content.notes),
        size_bytes=sum(member.size_bytes for content in run.contents for member in content.members),
        seconds=time.perf_counter() - start,
        index=index,
    )


class _Run:
    """The work of one call, in threads."""

    def __init__(
        self, journal: Journal, plan: DownloadPlan, jobs: int, progress: Progress | None, limits: Limits | None
    ) -> None:
        self.contents: list[Content] = []
        self.failed: list[FailedSeries] = []
        self.finished = 0
        """Series of which the last run had all, and this one moved the files to their places."""
        self._journal = journal
        self._plan = plan
        self._jobs = jobs
        self._limits = limits
        self._meter = _Meter(plan.size_bytes, progress)
        self._unreachable = 0  # series after each other that nobody answered for
        self._sources = {name: remote_source(name) for name in plan.sources}

    def fetch_all(self) -> None:
        stop = threading.Event()
        transfer = Transfer(stop, self._limits)
        with _pool(self._jobs, "transfer") as transfers, _pool(_SERIES_AT_ONCE, "series") as pool:
            fetcher = SeriesFetcher(self._journal, transfer, transfers)
            running = {pool.submit(self._fetch, fetcher, one): one for one in self._missing()}
            try:
                for future in as_completed(running):
                    self._take(running.pop(future), future)
            finally:
                stop.set()  # after the last one it stops nobody
                pool.shutdown(wait=False, cancel_futures=True)
                transfers.shutdown(wait=False, cancel_futures=True)
                transfer.close()
        fetcher.clear(failed=bool(self.failed))

    def _missing(self) -> Iterator[PlannedSeries]:
        """The plan without what the journal completed when it was opened."""
        for planned in self._plan.series:
            record = self._journal.records.get(planned.row["key"])
            if record is None or not is_complete(self._journal.root, record):
                yield planned
                continue
            self.finished += 1
            with self._meter.one(planned.row["size_bytes"] or 0):
                pass  # counts them as done

    def _fetch(self, fetcher: SeriesFetcher, planned: PlannedSeries) -> Content:
        source: RemoteSource = self._sources[planned.row["source"]]
        with self._meter.one(planned.row["size_bytes"] or 0) as received:
            return fetcher.fetch(planned, source, received)

    def _take(self, planned: PlannedSeries, future: Future[Content]) -> None:
        """Keep what a series gave. A full disk, or no network, ends the run: the next series would fare no better."""
        try:
            self.contents.append(future.result())
            self._unreachable = 0
        except (Stopped, CancelledError):
            return
        except MedImageNetError as error:
            self._unreachable = self._unreachable + 1 if isinstance(error, UnreachableError) else 0
            if self._unreachable == _UNREACHABLE:
                raise UnreachableError(
                    f"{error} ({_UNREACHABLE} series after each other: no more were tried)"
                ) from None
            row = planned.row
            self.failed.append(
                FailedSeries(SeriesInstanceUID=row["SeriesInstanceUID"], source=row["source"], reason=str(error))
            )


class _Meter:
    """Bytes that are done of all that were planned; a series counts for what its index said, however it comes."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    @contextmanager
    def one(self, planned: int) -> Iterator[Callable[[int], None]]:
        come = counted = 0

        def count_to(value: int) -> None:
            nonlocal counted
            self._done += value - counted
            counted = value
            if self._progress is not None:
                self._progress(self._done, self._total)

        def received(number: int) -> None:
            nonlocal come
            with self._lock:
                come += number
                count_to(min(come, planned))

        yield received
        with self._lock:
            count_to(planned)


@contextmanager
def _pool(workers: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix=f"medimagenet-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_attribution(journal: Journal) -> None:
    if journal.records:
        write_whole(journal.root / FILE, attribution_text(journal.records.values()).encode())
