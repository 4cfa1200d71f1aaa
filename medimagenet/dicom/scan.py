"""Read the headers of many files, in processes, in order. Pixel data are never read."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from ..errors import SourceError
from .instance import SCAN_KEYWORDS, FileProblem, InstanceHeader, read_header

__all__ = ["SCAN_KEYWORDS", "FileProblem", "InstanceHeader", "read_header", "scan"]

Progress = Callable[[int, int], None]

_BATCH = 64  # files a process is given at once: about 0.1 s of work, so that progress moves and hand-over costs little
_IN_FLIGHT = 4  # batches per process that wait or are done: bounds memory where the consumer is slow


def scan(
    paths: Sequence[Path], *, jobs: int | None = None, progress: Progress | None = None
) -> Iterator[InstanceHeader | FileProblem]:
    """Yield the header, or the problem, of each path, in the order of `paths`.

    Parameters
    ----------
    paths
        Files, with any name.
    jobs
        Processes; the number of CPUs where None. With 1, and for a few files, none is started.
    progress
        Called with the number of files done and of all files.

    Raises
    ------
    ValueError
        `jobs` is below 1.
    SourceError
        A process was killed, as systems do when memory runs out.
    """
    jobs = jobs if jobs is not None else _cpu_count()
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    results = map(_read_batch, batches) if min(jobs, len(batches)) < 2 else _read_in_processes(batches, jobs)
    done = 0
    for result in results:
        done += len(result)
        yield from result
        if progress is not None:
            progress(done, len(paths))


def _read_batch(paths: Sequence[Path]) -> list[InstanceHeader | FileProblem]:
    return [read_header(path) for path in paths]


def _read_in_processes(batches: list[Sequence[Path]], jobs: int) -> Iterator[list[InstanceHeader | FileProblem]]:
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
