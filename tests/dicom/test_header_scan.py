"""Scanning in processes gives what reading one by one gives, in the same order."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from medimagenet.dicom import thorough
from medimagenet.dicom.header_scan import read_header, scan
from medimagenet.errors import SourceError

PATHS = sorted(path for path in Path(pydicom.__file__).parent.glob("data/test_files/**/*") if path.is_file())
UNUSUAL = [Path(get_testdata_file(name)) for name in ("MR_small_bigendian.dcm", "rtstruct.dcm")]  # for pydicom


@pytest.mark.parametrize("jobs", [1, 2, None])
def test_order_and_results_do_not_depend_on_processes(jobs):
    paths = PATHS[::-1]
    assert list(scan(paths, jobs=jobs)) == [read_header(path) for path in paths]


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_ends_at_the_number_of_files(jobs):
    calls = []
    list(scan(PATHS, jobs=jobs, progress=lambda done, total: calls.append((done, total))))
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert calls[-1] == (len(PATHS), len(PATHS))


def test_no_files():
    assert list(scan([], jobs=2)) == []


def test_a_scan_that_is_given_up_ends(tmp_path):
    running = scan(PATHS, jobs=2)
    next(running)
    running.close()


def test_a_process_that_is_killed_is_said(monkeypatch):
    monkeypatch.setattr(thorough, "read_thoroughly", lambda path: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(SourceError, match=r"one of 2 processes .* was killed"):
        list(scan(UNUSUAL * 70, jobs=2))


def test_jobs_below_one():
    with pytest.raises(ValueError, match="got 0"):
        list(scan(PATHS, jobs=0))


def test_a_folder_of_usual_files_loads_no_pydicom():
    """Loading it takes as long as reading thousands of headers."""
    usual = [get_testdata_file(name) for name in ("CT_small.dcm", "MR_small_implicit.dcm", "rtplan.dcm")]
    program = f"""
import sys
from pathlib import Path
from medimagenet.dicom.header_scan import scan
import medimagenet.sources.folder
assert all(header.series_uid for header in scan([Path(name) for name in {usual}]))
print("pydicom" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
