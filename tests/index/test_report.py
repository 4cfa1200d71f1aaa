"""The report is CSV that Python's csv reads, whatever is in a name."""

import csv
import os
from pathlib import Path

from medimagenet.dicom.header_scan import FileProblem
from medimagenet.findings import Finding
from medimagenet.index.report import format_report, problem_row, read_report, report_path

NAMES = ["/plain", '/with "quotes", commas', "/with\nline", "/ä€𝄞", os.fsdecode(b"/not text \xff")]


def test_any_name_comes_back(tmp_path):
    finding = Finding(code="unreadable_file", message="cannot be opened: No such file or directory")
    rows = [problem_row(FileProblem(Path(name), finding)) for name in NAMES]
    path = tmp_path / "x.report.csv"
    path.write_bytes(format_report(rows))
    assert read_report(path) == rows
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        assert [line["path"] for line in csv.DictReader(stream)] == NAMES
    assert {(row["code"], row["severity"]) for row in rows} == {("unreadable_file", "error")}


def test_no_report_is_no_problem(tmp_path):
    assert read_report(tmp_path / "x.report.csv") == []


def test_it_lies_beside_the_index():
    assert report_path(Path("/a/x.parquet")) == Path("/a/x.report.csv")
    assert report_path(Path("/a/x.v2.parquet")) == Path("/a/x.v2.report.csv")
    assert report_path(Path("/a/index")) == Path("/a/index.report.csv")
