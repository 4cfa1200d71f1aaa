"""A cut slice is told with the series that lacks it, wherever in the stack it was."""

import shutil

import pytest

from medimagenet.sources import Folder
from medimagenet.synthetic import write_patients


@pytest.fixture
def truth(tmp_path):
    return write_patients(tmp_path, 1, modalities=("CT",), size=(24, 24, 8), spacing=(14, 14, 28), jobs=1)[0]


def scanned(truth):
    """The CT's row, and the codes of the report."""
    result = Folder(truth.folder).scan(jobs=1)
    return result.records[0], [problem.finding.code for problem in result.problems]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("number", [0, 3, 7])
def test_the_series_says_that_a_slice_is_lost(truth, number):
    cut(truth.paths["CT"][number])
    record, problems = scanned(truth)
    finding = next(finding for finding in record.findings if finding.code == "truncated_file")
    assert finding.numbers == {"files": 1}
    assert truth.paths["CT"][number].name in finding.message
    assert problems == ["truncated_file"]
    assert record.n_instances == 7


def test_a_cut_copy_of_an_intact_slice_does_no_harm(truth):
    copy = truth.paths["CT"][2].with_name("copy.dcm")
    shutil.copy(truth.paths["CT"][2], copy)
    cut(copy)
    record, problems = scanned(truth)
    assert record.findings == ()
    assert problems == ["truncated_file"]
    assert record.n_instances == 8


def test_a_header_cut_short_belongs_to_no_series(truth):
    path = truth.paths["CT"][0].with_name("header.dcm")
    path.write_bytes(truth.paths["CT"][0].read_bytes()[:200])
    record, problems = scanned(truth)
    assert record.findings == ()
    assert len(problems) == 1
