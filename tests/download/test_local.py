"""The index of a folder of downloads."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medimagenet import Index
from medimagenet.download import download
from medimagenet.download.journal import SCHEMA, Downloaded, read_records
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


@pytest.fixture
def nifti(tmp_path):
    """A folder with a NIfTI file by nibabel, what was noted of it, and the row it was asked for by."""
    (tmp_path / "heart").mkdir()
    name = "la_003.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([2, 3, 4, 1])), tmp_path / "heart" / name)
    size = (tmp_path / "heart" / name).stat().st_size
    known = {"key": "k", "source": "archive", "SeriesInstanceUID": "2.25.1", "Modality": "MR", "file_format": "nifti"}
    here = {"folder": "heart", "files": (name,), "sizes": (size,), "checksums": ("md5:0",), "n_instances": 1}
    told = {"size_bytes": size, "uri": "https://h/x", "license": "CC BY 4.0"}
    record = Downloaded(**dict.fromkeys(SCHEMA.names) | known | here | told)
    row = known | {"PatientID": "la_003", "roi_names": ["atrium"], "referenced_series": [], "shape": None}
    return tmp_path, record, row


def test_of_nifti_the_header_tells_the_grid_and_the_archive_whose_it_is(nifti):
    root, record, asked = nifti
    (row,) = Index.read(write_local_index(root, [record], [asked])).rows()
    assert (row["shape"], row["spacing_mm"]) == ([6, 5, 4], [2.0, 3.0, 4.0])
    assert (row["PatientID"], row["Modality"], row["roi_names"]) == ("la_003", "MR", ["atrium"])
    assert (row["key"], row["source"], row["license"], row["file_format"]) == ("k", "folder", "CC BY 4.0", "nifti")
    assert Index.paths(row) == [root / "heart" / "la_003.nii.gz"]
    (again,) = Index.read(write_local_index(root, [record])).rows()  # by the index that is there
    assert again == row
    (root / INDEX_FILE).write_bytes(b"cut")
    (root / INDEX_FILE).unlink()
    (least,) = Index.read(write_local_index(root, [record])).rows()
    assert (least["Modality"], least["shape"], least["roi_names"]) == ("MR", [6, 5, 4], [])


def test_a_damaged_nifti_file_is_told(nifti):
    root, record, asked = nifti
    (root / "heart" / "la_003.nii.gz").write_bytes(b"no gzip")
    index = Index.read(write_local_index(root, [record], [asked]))
    assert [row["PatientID"] for row in index.rows()] == ["la_003"]
    assert [Path(one["path"]).name for one in index.problems] == ["la_003.nii.gz"]
