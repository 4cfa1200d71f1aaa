"""`medimagenet doctor`: the report as table and JSON, and the code that a script looks at."""

import pytest

from medimagenet import doctor
from medimagenet.doctor import Check, Report, Status


@pytest.fixture
def report(monkeypatch):
    def show(*checks):
        monkeypatch.setattr("medimagenet.cli.doctor.examine", lambda folder: Report(checks))

    return show


WELL = Check(area="machine", name="memory", status=Status.OK, detail="8 GB")
EXTRA = Check(area="versions", name="extra", status=Status.MISSING, detail="no torch", remedy='pip install "x[train]"')
BROKEN = Check(area="codecs", name="blosc", status=Status.MISSING, detail="gone", remedy="get it", required=True)


def test_ready(call, report):
    report(WELL, EXTRA)
    answer = call("doctor")
    assert (answer.code, answer.err) == (0, "")
    assert 'pip install "x[train]"' in answer.out
    assert answer.out.endswith("ready: everything that is required works\n")


def test_not_ready_is_1(call, report):
    report(WELL, BROKEN)
    answer = call("doctor")
    assert answer.code == 1
    assert answer.out.endswith("not ready: blosc\n")
    assert call("doctor", "--json").document["ready"] is False


def test_folder_is_where_the_disk_is_measured(call, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("medimagenet.cli.doctor.examine", lambda folder: seen.append(folder) or Report(()))
    call("doctor", "--folder", tmp_path)
    call("doctor")
    assert seen == [tmp_path, None]
    assert doctor.Report(()).is_ready
