"""Where work on samples is done: in this process, in threads, in processes, or in an executor of the user."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait as wait_for
from typing import TYPE_CHECKING, Any, TypeVar

from .._lazy import LazyModule

if TYPE_CHECKING:
    from ..kernels import _jit
else:
    _jit = LazyModule("medimagenet.kernels._jit")  # numba, which alone workers need

Tell = Callable[[str, str, int, int], None]
"""Called from within the work on an item: its name, what is done to it, how much of that is done, and of how much."""

T = TypeVar("T")
R = TypeVar("R")

THREADS_UP_TO_BYTES = 1 << 30
"""Input below which threads of this process do the work. A worker process takes about a second to start and to load
compiled code, in which a thread reads some 300 MB; decoding, rasterizing and compressing hold no lock, while parsing
headers does, so that on many cores and much data processes win."""
MOST_THREADS = 8
"""Beyond this many, the parsing of headers keeps them waiting for one another."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many work, and where."""

    jobs: int | None
    """One per core where None; 1 works in this process."""
    executor: Executor | None = None
    """Of the user, such as a Dask client's; `jobs` then says nothing."""
    input_bytes: int | None = None
    """Of all items. Where it is known and small, threads do the work."""
    tell: Tell | None = None
    """Given to the function behind its arguments; nothing is heard from an executor of the user."""

    def run(self, function: Callable[..., R], items: Sequence[T], *arguments: Any) -> Iterator[R]:
        """``function(item, *arguments)`` of every item, as they are done; with `tell` behind, where there is one."""
        cores = os.cpu_count() or 1
        jobs = min(self.jobs or cores, len(items))
        if self.executor is not None:
            yield from _bounded(self.executor, function, items, arguments, 64)
        elif jobs <= 1:
            yield from (function(item, *arguments, *self._telling(self.tell)) for item in items)
        elif self.input_bytes is not None and self.input_bytes < THREADS_UP_TO_BYTES and jobs <= MOST_THREADS:
            with ThreadPoolExecutor(jobs) as pool:
                yield from _bounded(pool, function, items, (*arguments, *self._telling(self.tell)), 2 * jobs)
        else:
            yield from self._run_in_processes(function, items, arguments, jobs, max(1, cores // jobs))

    def _run_in_processes(
        self, function: Callable[..., R], items: Sequence[T], arguments: tuple[Any, ...], jobs: int, threads: int
    ) -> Iterator[R]:
        context = get_context("spawn")
        with _heard(self.tell, context) as queue:
            start = (threads, queue)
            with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=start) as pool:
                yield from _bounded(pool, function, items, (*arguments, *self._telling(_send)), 2 * jobs)

    def _telling(self, way: Tell | None) -> tuple[Tell | None, ...]:
        """What goes behind the arguments: the way to tell, where somebody listens."""
        return () if self.tell is None else (way,)


_queue: Any = None
"""In a worker process: where to what it tells goes."""


def _send(*told: Any) -> None:
    """`Tell` in a worker process."""
    if _queue is not None:
        _queue.put(told)


@contextmanager
def _heard(tell: Tell | None, context: Any) -> Iterator[Any]:
    """A queue whose items are told by a thread of this process until the end; None where nobody listens."""
    if tell is None:
        yield None
        return
    queue = context.Queue()
    listener = threading.Thread(target=lambda: [tell(*told) for told in iter(queue.get, None)], daemon=True)
    listener.start()
    try:
        yield queue
    finally:
        queue.put(None)
        listener.join(timeout=5)
        queue.close()


def _begin(threads: int, queue: Any = None) -> None:
    """What a worker process does first. It ends with its parent: one that was killed cannot end it.

    A worker holds both ends of the pipe that its work comes through, so that it would wait there for ever; and until
    then it would write into a store that the next run believes to be its own.
    """
    global _queue
    _queue = queue
    _jit.set_threads(threads)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _bounded(
    executor: Executor, function: Callable[..., R], items: Sequence[T], arguments: tuple[Any, ...], most: int
) -> Iterator[R]:
    """Keep `most` items under way, so that memory does not grow with their number."""
    waiting = iter(items)
    running = {_submit(executor, function, item, arguments) for item in islice(waiting, most)}
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            running |= {_submit(executor, function, item, arguments) for item in islice(waiting, len(done))}
    except BaseException:
        for future in running:
            future.cancel()
        raise


def _submit(executor: Executor, function: Callable[..., R], item: T, arguments: tuple[Any, ...]) -> Future[R]:
    """Hand an item over. A worker that is started by it never sees Ctrl-C, which a terminal sends to every process.

    It inherits that SIGINT is blocked; the parent answers the signal as soon as the block is lifted, and ends its
    workers. Without this each of them would print a traceback, those still importing too.
    """
    if not isinstance(executor, ThreadPoolExecutor):
        resource_tracker.ensure_running()  # when it starts, it lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(function, item, *arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
