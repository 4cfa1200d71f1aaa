"""Shares of work in forked processes: what they write, what they raise, and what becomes of one that is killed."""

import os
import signal

import numpy as np
import pytest

from medimagenet.dicom.processes import HAS_FORK, all_in_processes, shared_empty
from medimagenet.errors import DicomError
from medimagenet.findings import Finding

pytestmark = pytest.mark.skipif(not HAS_FORK, reason="no fork on this system")


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_every_item_is_done_once(jobs):
    array = shared_empty((7, 3), np.dtype(np.int32))
    array[...] = 0

    def work(share):
        for k in share:
            array[k] += k + 1
        return True

    assert all_in_processes(work, range(7), jobs)
    np.testing.assert_array_equal(array, np.arange(1, 8)[:, None] * np.ones((1, 3), dtype=int))


def test_one_that_is_false_makes_all_false():
    assert not all_in_processes(lambda share: 3 not in share, range(5), 2)


def test_errors_come_with_their_findings():
    finding = Finding(code="not_decodable", message="m")

    def fail(share):
        if 1 in share:
            raise DicomError("broken", [finding])
        return True

    with pytest.raises(DicomError, match="broken") as caught:
        all_in_processes(fail, range(4), 2)
    assert caught.value.findings == (finding,)


def test_a_process_that_is_killed_is_named():
    def die(share):
        if 0 in share:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    with pytest.raises(DicomError, match="was killed"):
        all_in_processes(die, range(4), 2)
