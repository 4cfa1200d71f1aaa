"""The report beside an index: files that are in no row, and why. CSV with the columns path, code, severity, message."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..dicom.header_scan import FileProblem  # would load pydicom, which a query does not need

COLUMNS = ("path", "code", "severity", "message")


def report_path(index_path: Path) -> Path:
    """X.report.csv for X.parquet."""
    return _beside(index_path, ".report.csv")


def files_path(index_path: Path) -> Path:
    """X.files.parquet for X.parquet: what is known of the files of a folder, so that unchanged ones are not read."""
    return _beside(index_path, ".files.parquet")


def _beside(index_path: Path, ending: str) -> Path:
    name = index_path.stem if index_path.suffix == ".parquet" else index_path.name
    return index_path.with_name(f"{name}{ending}")


def problem_row(problem: "FileProblem") -> dict[str, str]:
    """One line of the report."""
    finding = problem.finding
    return {
        "path": str(problem.path),
        "code": finding.code,
        "severity": str(finding.severity),
        "message": finding.message,
    }


def format_report(rows: Iterable[Mapping[str, str]]) -> bytes:
    """The report as CSV. File names that are not UTF-8 keep their bytes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def read_report(path: Path) -> list[dict[str, str]]:
    """The rows of a report; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return [dict(row) for row in csv.DictReader(stream)]
