"""CompileReport: every sample once, every finding in the table."""

import csv
from pathlib import Path

from medimagenet.compiler import CompileReport, Outcome
from medimagenet.compiler.report import report_path
from medimagenet.findings import Finding

GAP = Finding(code="missing_slices", message='one "slice", at 12.5 mm', numbers={"gap_mm": 12.5})
INFO = Finding(code="other_annotation", message="two others")

REPORT = CompileReport(
    path=Path("x.zarr"),
    outcomes=(
        Outcome(sample_id="a", state="written"),
        Outcome(sample_id="b", state="skipped", findings=(GAP, INFO)),
        Outcome(sample_id="c", state="unchanged", findings=(INFO,)),
        Outcome(sample_id="d", state="removed"),
    ),
    not_formed=(("1.2.3", "no RTSTRUCT"),),
)


def test_states():
    assert REPORT.written == ("a",)
    assert REPORT.unchanged == ("c",)
    assert [outcome.sample_id for outcome in REPORT.skipped] == ["b"]
    assert REPORT.findings() == (GAP, INFO, INFO)


def test_csv_has_a_row_per_finding_and_one_for_each_sample_without():
    rows = list(csv.DictReader(REPORT.to_csv().splitlines()))
    assert [(row["sample_id"], row["state"], row["code"]) for row in rows] == [
        ("a", "written", ""),
        ("b", "skipped", "missing_slices"),
        ("b", "skipped", "other_annotation"),
        ("c", "unchanged", "other_annotation"),
        ("d", "removed", ""),
        ("1.2.3", "not_formed", ""),
    ]
    assert rows[1]["message"] == GAP.message
    assert rows[1]["numbers"] == '{"gap_mm": 12.5}'
    assert rows[5]["message"] == "no RTSTRUCT"


def test_dict_counts():
    counts = REPORT.to_dict()
    assert [counts[state] for state in ("written", "unchanged", "skipped", "removed")] == [1, 1, 1, 1]
    assert len(counts["samples"]) == 6


def test_the_report_lies_beside_the_store():
    assert report_path(Path("a/x.zarr")) == Path("a/x.zarr.report.csv")
