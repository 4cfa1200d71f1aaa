"""Workers: the same results wherever the work is done, bounded, and in the place that the size asks for."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from medimagenet.compiler import workers
from medimagenet.compiler.workers import Workers


def place(number, factor):
    return number * factor, os.getpid(), threading.get_ident()


def places(found):
    return {(process, thread) for _, process, thread in found}


def test_one_job_works_here():
    found = list(Workers(1).run(place, range(5), 3))
    assert [value for value, *_ in found] == [0, 3, 6, 9, 12]
    assert places(found) == {(os.getpid(), threading.get_ident())}


def test_small_input_is_done_by_threads_of_this_process():
    found = list(Workers(2, input_bytes=1000).run(place, range(20), 1))
    assert sorted(value for value, *_ in found) == list(range(20))
    assert {process for process, _ in places(found)} == {os.getpid()}
    assert threading.get_ident() not in {thread for _, thread in places(found)}


@pytest.mark.parametrize("size", [None, workers.THREADS_UP_TO_BYTES])
def test_other_input_is_done_by_processes(size):
    found = list(Workers(2, input_bytes=size).run(pow, [2, 3], 2))
    assert sorted(found) == [4, 9]


def test_no_more_than_a_few_wait_for_the_caller():
    started = []
    with ThreadPoolExecutor(1) as pool:
        results = workers._bounded(pool, started.append, range(100), (), 4)
        next(results)
        assert len(started) <= 8
        assert len(list(results)) == 99


def test_a_failure_reaches_the_caller_and_stops_the_rest():
    def fail(number):
        done.append(number)
        raise ValueError(f"number {number}")

    done: list[int] = []
    with pytest.raises(ValueError, match="number"):
        list(Workers(2, input_bytes=0).run(fail, range(100)))
    assert len(done) < 100


def telling(number, tell=None):
    """Work that tells how far it is, as a step does."""
    if tell is not None:
        tell(f"item {number}", "counting", number, 10)
    return number


@pytest.mark.parametrize(("jobs", "size"), [(1, None), (2, 0), (2, workers.THREADS_UP_TO_BYTES)])
def test_what_work_tells_is_heard_from_wherever_it_is_done(jobs, size):
    heard = []
    found = list(Workers(jobs, input_bytes=size, tell=lambda *told: heard.append(told)).run(telling, range(4)))
    assert sorted(found) == [0, 1, 2, 3]
    assert sorted(heard) == [(f"item {number}", "counting", number, 10) for number in range(4)]


def test_an_executor_of_the_user_tells_nothing():
    heard = []
    with ThreadPoolExecutor(1) as pool:
        found = list(Workers(None, pool, tell=lambda *told: heard.append(told)).run(telling, range(4)))
    assert (sorted(found), heard) == ([0, 1, 2, 3], [])
