"""Workbooks, written by openpyxl where it is installed."""

import sys
import zipfile

import pytest

from medimagenet.download.selection import read_list
from medimagenet.errors import MissingPackageError, SourceError
from medimagenet.sources import workbook
from medimagenet.sources.tcia_manifest import read_manifest
from medimagenet.sources.workbook import read_sheet

UIDS = ["1.3.6.1.4.1.14519.5.2.1.2003425096925301717", "1.3.6.1.4.1.14519.5.2.1.2003425096925301718"]


@pytest.fixture
def write(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")

    def write(*rows):
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.create_sheet("Notes").append(["1.2.3.4.5.6.7.8"])
        path = tmp_path / "x.xlsx"
        book.save(path)
        return path

    return write


def test_cells_are_text(write):
    assert read_sheet(write(["a", None, 3.0, 2.5, 7, True], ["b"])) == [
        ["a", "", "3", "2.5", "7", "True"],
        ["b", "", "", "", "", ""],
    ]


@pytest.mark.parametrize("column", ["SeriesInstanceUID", "Series UID"])
def test_a_manifest_is_a_table_by_its_header(write, column):
    path = write(["Collection", column, "Study"], ["A", UIDS[0], "1.2.3.4.5.6.7"], ["B", UIDS[1]], ["C", None])
    assert read_manifest(path) == UIDS
    assert read_list(path).series_uids == tuple(UIDS)


def test_tables_of_other_routes_are_errors(write):
    with pytest.raises(SourceError, match="controlled access"):
        read_manifest(write(["name", "drs_uri"], ["a", "drs://x"]))
    with pytest.raises(SourceError, match="its columns are a, b"):
        read_manifest(write(["a", "b"], [1, 2]))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>no</html>"])
def test_what_is_no_workbook(tmp_path, content):
    pytest.importorskip("openpyxl")
    (tmp_path / "x.xlsx").write_bytes(content)
    with pytest.raises(SourceError, match="no workbook, or damaged"):
        read_sheet(tmp_path / "x.xlsx")
    with pytest.raises(SourceError, match="no workbook at"):
        read_sheet(tmp_path / "none.xlsx")


def test_other_zips_cut_ones_and_bombs(write, tmp_path, monkeypatch):
    path = write(["SeriesInstanceUID"], *([uid] for uid in UIDS))
    whole = path.read_bytes()
    with zipfile.ZipFile(tmp_path / "zip.xlsx", "w") as package:
        package.writestr("a.txt", "a")
    (tmp_path / "cut.xlsx").write_bytes(whole[: len(whole) // 2])
    for name in ("zip.xlsx", "cut.xlsx"):
        with pytest.raises(SourceError, match="no workbook, or damaged"):
            read_sheet(tmp_path / name)
    monkeypatch.setattr(workbook, "_MOST_BYTES", 1000)
    with pytest.raises(SourceError, match="unpacks to"):
        read_sheet(path)


def test_without_openpyxl_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingPackageError, match=r"medimagenet\[xlsx\]"):
        read_manifest(tmp_path / "x.xlsx")
