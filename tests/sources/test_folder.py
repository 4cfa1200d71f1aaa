"""Folders of small DICOM files written by pydicom."""

import os
from pathlib import Path

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources import Folder, FolderScan, folder
from medimagenet.sources.inventory import Inventory
from medimagenet.sources.walk import walk


def test_every_file_is_in_one_record_or_one_problem(tmp_path, write_slice):
    for n in range(3):
        write_slice(tmp_path / "a" / f"{n}", f"1.3.{n}", 3.0 * n)
    (tmp_path / "a" / "copy").write_bytes((tmp_path / "a" / "1").read_bytes())
    (tmp_path / "a" / "cut").write_bytes((tmp_path / "a" / "2").read_bytes()[:-10])
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    found = Folder(tmp_path).scan(jobs=1)
    assert isinstance(found, FolderScan)
    (record,) = found.records
    assert (record.files, record.uri, record.shape) == (("0", "1", "2"), str(tmp_path / "a"), (3, 4, 5))
    problems = {problem.path.relative_to(tmp_path).as_posix(): problem.finding.code for problem in found.problems}
    assert problems == {
        "a/copy": "duplicate_file",
        "a/cut": "truncated_file",
        "gone": "unreadable_file",
        "notes.txt": "not_dicom",
    }
    assert list(Folder(tmp_path).series()) == [record]


def test_the_origin_is_in_every_record(tmp_path, write_slice):
    write_slice(tmp_path / "x", "1.3.1")
    (record,) = Folder(tmp_path, collection_id="c", license="CC BY 4.0", doi="10.1/2").series()
    assert (record.source, record.collection_id, record.license, record.doi) == ("folder", "c", "CC BY 4.0", "10.1/2")


def test_order_does_not_depend_on_the_order_of_writing(tmp_path, write_slice):
    for tree, numbers in (("one", range(4)), ("two", reversed(range(4)))):
        for n in numbers:
            write_slice(tmp_path / tree / f"{n}", f"1.3.{n}", float(n), SeriesInstanceUID=f"1.{n % 2}")
    keys = [[record.key for record in Folder(tmp_path / tree).series()] for tree in ("one", "two")]
    assert keys[0] == keys[1]


def test_links_are_followed_once_and_loops_end(tmp_path, write_slice):
    write_slice(tmp_path / "in" / "a" / "0", "1.3.0")
    write_slice(tmp_path / "outside" / "1", "1.3.1")
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "b").symlink_to(tmp_path / "outside")
    (tmp_path / "in" / "c").symlink_to(tmp_path / "outside")
    found = [(os.path.relpath(listing.folder, tmp_path), list(listing.stamps)) for listing in walk(tmp_path / "in")]
    assert found == [("in/a", ["0"]), ("in/b", ["1"])]


def test_folders_that_cannot_be_listed_are_problems(tmp_path, write_slice, monkeypatch):
    write_slice(tmp_path / "0", "1.3.0")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (problem,) = Folder(tmp_path).scan(jobs=1).problems
    assert (problem.path, problem.finding.code) == (tmp_path / "closed", "unreadable_file")
    assert "Permission denied" in problem.finding.message


def test_a_folder_that_is_gone_before_it_is_entered(tmp_path, write_slice, monkeypatch):
    write_slice(tmp_path / "0", "1.3.0")
    (tmp_path / "brief").mkdir()
    stat = Path.stat

    def vanish(path, **settings):
        if path.name == "brief":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return stat(path, **settings)

    monkeypatch.setattr(Path, "stat", vanish)
    (problem,) = Folder(tmp_path).scan(jobs=1).problems
    assert (problem.path, problem.finding.code) == (tmp_path / "brief", "unreadable_file")


def test_files_that_vanish_shrink_or_grow_after_they_were_listed(tmp_path, write_slice, monkeypatch):
    """Each is in a row or in a problem, and none is taken as unchanged the next time."""
    root = tmp_path / "in"
    for n in range(5):
        write_slice(root / f"{n}", f"1.3.{n}", 3.0 * n)
        os.utime(root / f"{n}", ns=(10**18, 10**18))
    read = folder.scan_runs

    def disturb(paths, **settings):
        (root / "1").unlink()
        (root / "2").write_bytes((root / "2").read_bytes()[:-10])
        with (root / "3").open("ab") as file:
            file.write(bytes(8))
        return read(paths, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "scan_runs", disturb)
        found = Folder(root).scan(jobs=1)
    assert sorted(name for record in found.records for name in record.files) == ["0", "3", "4"]
    problems = {problem.path.name: problem.finding.code for problem in found.problems}
    assert problems == {"1": "unreadable_file", "2": "truncated_file"}
    found.inventory.write(tmp_path / "x.parquet")
    again = Folder(root).scan(jobs=1, before=Inventory.read(tmp_path / "x.parquet", root)).inventory
    assert (again.n_kept, again.n_read) == (2, 2)


def test_a_link_to_itself_and_a_pipe_are_problems(tmp_path, write_slice):
    write_slice(tmp_path / "0", "1.3.0")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    problems = {problem.path.name: problem.finding.code for problem in Folder(tmp_path).scan(jobs=1).problems}
    assert problems == {"loop": "unreadable_file", "pipe": "not_dicom"}


def test_a_file_that_may_not_be_opened_is_a_problem(tmp_path, write_slice):
    write_slice(tmp_path / "0", "1.3.0")
    write_slice(tmp_path / "1", "1.3.1", 3.0).chmod(0)
    if os.access(tmp_path / "1", os.R_OK):
        pytest.skip("this user may open every file")
    (problem,) = Folder(tmp_path).scan(jobs=1).problems
    assert (problem.path.name, problem.finding.code) == ("1", "unreadable_file")


def test_file_names_that_are_not_text(tmp_path, write_slice):
    write_slice(tmp_path / "0", "1.3.0")
    bad = tmp_path / os.fsdecode(b"\xff\xfe")
    write_slice(tmp_path / "1", "1.3.1", 3.0).rename(bad)
    found = Folder(tmp_path).scan(jobs=1)
    assert [record.files for record in found.records] == [("0",)]
    assert [(problem.path, problem.finding.code) for problem in found.problems] == [(bad, "unreadable_file")]


def test_an_absent_folder(tmp_path):
    with pytest.raises(SourceError, match=r"no folder at .*absent: check the path"):
        Folder(tmp_path / "absent")


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"")
    with pytest.raises(SourceError, match=r"x\.dcm is a file, not a folder"):
        Folder(tmp_path / "x.dcm")


def test_an_empty_folder(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(SourceError, match="is empty: give a folder that holds DICOM"):
        Folder(tmp_path).scan()


def test_a_folder_without_dicom(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(SourceError, match=r"2 files looked at \(2 not_dicom\), such as a.txt: not a DICOM file"):
        Folder(tmp_path).scan()
