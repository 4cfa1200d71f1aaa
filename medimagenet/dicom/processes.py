"""Work that fills an array, shared out to processes: decoders of compressed pixels hold Python's lock while they work.

Processes are forked: they have the headers and the work without any of it being sent, and write their slices into
memory that this process shares with them. Where there is no fork (macOS, Windows) the caller works on its own.
"""

import mmap
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError

T = TypeVar("T")

HAS_FORK = sys.platform == "linux"


def shared_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array in memory that processes forked from now on share."""
    n_bytes = max(1, int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(mmap.mmap(-1, n_bytes), dtype=dtype, count=int(np.prod(shape))).reshape(shape)


def all_in_processes(work: Callable[[Sequence[T]], bool], items: Sequence[T], jobs: int) -> bool:
    """Whether `work` is true of every share of the items, each done in a process of its own.

    Raises
    ------
    Exception
        What `work` raised in the first process that failed.
    DicomError
        A process was killed, as systems do when memory runs out.
    """
    context = multiprocessing.get_context("fork")
    running = []
    for share in (items[start::jobs] for start in range(jobs)):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(work, share, sender))
        process.start()
        sender.close()
        running.append((process, receiver))
    try:
        answers = [_answer(receiver) for _, receiver in running]
    finally:
        for process, receiver in running:
            receiver.close()
            process.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return all(answers)


def _run(work: Callable[[Sequence[T]], bool], share: Sequence[T], sender: Connection) -> None:
    try:
        answer: bool | Exception = work(share)
    except Exception as error:
        answer = error
    sender.send(answer)
    sender.close()


def _answer(receiver: Connection) -> bool | BaseException:
    try:
        answer: bool | BaseException = receiver.recv()
    except EOFError:
        return DicomError("a process that decoded pixels was killed, mostly for lack of memory: try again with jobs=1")
    return answer
