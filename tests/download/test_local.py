"""The index of a folder of downloads."""

from dataclasses import replace

from medimagenet import Index
from medimagenet.download import download
from medimagenet.download.journal import read_records
from medimagenet.download.layout import WORK_FOLDER
from medimagenet.download.local import INDEX_FILE, write_local_index
from tests.download.conftest import QUICK, make_instance


def test_other_files_of_the_user_are_indexed_and_keep_their_own_terms(cloud, server, tmp_path):
    (tmp_path / "mine").mkdir(parents=True)
    (tmp_path / "mine" / "a.dcm").write_bytes(make_instance("1.7", 1))
    (tmp_path / "mine" / "notes.txt").write_text("hello")
    report = download(cloud.index, tmp_path, limits=QUICK)
    index = Index.read(report.index)
    assert {row["SeriesInstanceUID"]: row["license"] for row in index.rows()} == {
        "1.2.826.0.1": "CC BY 4.0",
        "1.2.826.0.2": "CC BY 4.0",
        "1.7": None,
    }
    assert [problem["path"] for problem in index.problems] == [str(tmp_path / "mine" / "notes.txt")]


def test_what_is_unfinished_is_not_in_it(cloud, server, tmp_path):
    download(cloud.index, tmp_path, limits=QUICK)
    work = tmp_path / WORK_FOLDER / "series" / "x"
    work.mkdir(parents=True)
    (work / "00.dcm").write_bytes(make_instance("1.8", 1))
    (work / "01.part").write_bytes(b"half")
    index = Index.read(write_local_index(tmp_path, read_records(tmp_path).values()))
    assert sorted(row["SeriesInstanceUID"] for row in index.rows()) == ["1.2.826.0.1", "1.2.826.0.2"]
    assert index.problems == []


def test_nothing_downloaded_is_no_index(tmp_path):
    assert write_local_index(tmp_path, []) is None
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_dicom_keep_what_was_known_of_them(cloud, server, tmp_path):
    """Of the row they were asked for by; later of the index that is there, and at least of the manifest."""
    download(cloud.index, tmp_path, limits=QUICK)
    records = [replace(one, file_format="nifti") for one in read_records(tmp_path).values()]
    (tmp_path / INDEX_FILE).unlink()
    first = Index.read(write_local_index(tmp_path, records, cloud.index.rows())).rows()
    again = Index.read(write_local_index(tmp_path, records)).rows()
    assert first == again
    assert [row["PatientID"] for row in first] == ["P1", "P1"]
    (tmp_path / INDEX_FILE).write_bytes(b"cut")
    (tmp_path / INDEX_FILE).unlink()
    rows = Index.read(write_local_index(tmp_path, records)).rows()
    assert [(row["PatientID"], row["license"], row["files"]) for row in rows] == [
        (None, "CC BY 4.0", ["0000.dcm", "0001.dcm", "0002.dcm"])
    ] * 2
    assert [len(Index.paths(row)[0].read_bytes()) > 0 for row in rows] == [True, True]
