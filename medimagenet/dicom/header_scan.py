"""Read the headers of many files, in order. Pixel data are never read.

The usual encodings are read by compiled code in this process, faster than results come back from another one. What
that leaves goes to pydicom: in processes, where there is much of it.
"""

import importlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import SourceError
from .header_run import HeaderRun
from .instance import SCAN_KEYWORDS, FileProblem, InstanceHeader

__all__ = [
    "SCAN_KEYWORDS",
    "FileProblem",
    "HeaderRun",
    "InstanceHeader",
    "read_header",
    "read_identity",
    "scan",
    "scan_runs",
]

Progress = Callable[[int, int], None]
Result = InstanceHeader | FileProblem

_WINDOW = 4096  # files read before the first of them is given: 0.1 s, and enough to see whether processes pay
_BATCH = 64  # files a process is given at once: about 0.1 s of work, so that progress moves and hand-over costs little
_THREADS = 2  # that read ahead: more wait for the one that makes values
_IN_FLIGHT = 4  # batches per process that wait or are done: bounds memory where the consumer is slow


def read_header(path: Path | str) -> Result:
    """Read the header of one file, with any name, with or without preamble.

    Returns
    -------
    header : InstanceHeader
        Or a `FileProblem`, whose finding is `not_dicom`, `dicomdir`, `unreadable_file`, `truncated_file` or
        `no_series_uid`. Never raises for what is in a file.
    """
    path = Path(path)
    return _quick().QuickReader().read(path) or _read_by_pydicom(path)


def scan(
    paths: Sequence[Path] | Sequence[str], *, jobs: int | None = None, progress: Progress | None = None
) -> Iterator[Result]:
    """Yield the header, or the problem, of each path, in the order of `paths`.

    Parameters
    ----------
    paths
        Files, with any name.
    jobs
        Processes for files that need pydicom; the number of CPUs where None. With 1, and for a few files, no process
        and no thread is started.
    progress
        Called with the number of files done and of all files.

    Raises
    ------
    ValueError
        `jobs` is below 1.
    SourceError
        A process was killed, as systems do when memory runs out.
    """
    ready: dict[int, Result] = {}
    next_one = 0
    for numbers, found in scan_runs(paths, jobs=jobs, progress=progress):
        ready.update(zip(numbers, [found] if isinstance(found, FileProblem) else found, strict=True))
        while next_one in ready:
            yield ready.pop(next_one)
            next_one += 1


def scan_runs(
    paths: Sequence[Path] | Sequence[str], *, jobs: int | None = None, progress: Progress | None = None
) -> Iterator[tuple[list[int], HeaderRun | FileProblem]]:
    """As `scan`, the files of a series together: numbers of files, rising, and their headers. In no order.

    A million headers by themselves take far longer to make than to read.
    """
    jobs = jobs if jobs is not None else _cpu_count()
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    tell = progress or (lambda done, total: None)
    done = 0
    for start in range(0, len(paths), _WINDOW):
        window, rest = [os.fspath(path) for path in paths[start : start + _WINDOW]], list[int]()
        for part in _quick().QuickReader().read_runs(window, threads=min(jobs, _THREADS)):
            yield from (([start + number for number in numbers], run) for numbers, run in part.runs)
            rest += part.rest
            done += part.n_files - len(part.rest)
            tell(done, len(paths))
        for number, result in zip(rest, _read_rest([Path(window[k]) for k in rest], jobs), strict=True):
            yield [start + number], result if isinstance(result, FileProblem) else HeaderRun.of([result])
            done += 1
            if done % _BATCH == 0 or done == len(paths):
                tell(done, len(paths))


def _read_rest(paths: Sequence[Path], jobs: int) -> Iterator[Result]:
    """What only pydicom reads, in order."""
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    results = map(_read_batch, batches) if min(jobs, len(batches)) < 2 else _read_in_processes(batches, jobs)
    for result in results:
        yield from result


def _read_batch(paths: Sequence[Path]) -> list[Result]:
    return [_read_by_pydicom(path) for path in paths]


def read_identity(path: Path) -> tuple[str, str] | None:
    """SeriesInstanceUID and SOPInstanceUID of a file that may be cut short; None where it does not hold both."""
    identity: tuple[str, str] | None = _thorough().read_identity(path)
    return identity


def _read_by_pydicom(path: Path) -> Result:
    result: Result = _thorough().read_thoroughly(path)
    return result


def _quick() -> Any:
    """The module that loads numba, by name and not by import: where no file has changed nothing is read."""
    return importlib.import_module(".quick", __package__)


def _thorough() -> Any:
    """The module that loads pydicom, by name and not by import: most folders never need it."""
    return importlib.import_module(".thorough", __package__)


def _read_in_processes(batches: list[Sequence[Path]], jobs: int) -> Iterator[list[Result]]:
    # Linux: fork, as PyTorch's DataLoader does, so that a script needs no "if __name__ == '__main__'"; workers only
    # run Python code that takes no lock another thread could hold. Elsewhere: the platform's own way.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(min(jobs, len(batches)), mp_context=context)
    try:
        waiting = iter(batches)
        running = [pool.submit(_read_batch, batch) for batch in islice(waiting, jobs * _IN_FLIGHT)]
        while running:
            yield running.pop(0).result()
            running += [pool.submit(_read_batch, batch) for batch in islice(waiting, 1)]
    except BrokenProcessPool as error:
        raise SourceError(
            f"one of {jobs} processes that read headers was killed, mostly for lack of memory: try again with jobs=1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _cpu_count() -> int:
    """CPUs that this process may use: fewer than the machine has in containers and batch jobs."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
