"""NIfTI on disk, written by nibabel, as rows beside DICOM. Judges: nibabel, SimpleITK."""

import gzip
import json
import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medimagenet.errors import SourceError
from medimagenet.findings import Finding
from medimagenet.index import index_directory
from medimagenet.sources.nifti_files import read_dataset, read_nifti_header

AFFINE = np.array([[-0.8, 0, 0, 90.0], [0, -0.9, 0, 100.0], [0, 0, 2.5, -300.0], [0, 0, 0, 1]])


def write(path, shape=(6, 5, 4), affine=AFFINE, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, dtype=dtype), affine), path)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1)])
def test_geometry_is_that_of_simpleitk(tmp_path, write_slice, ending, flip):
    path = write(tmp_path / f"x{ending}", affine=AFFINE @ np.diag([*flip, 1.0]))
    (row,) = index_directory(tmp_path, jobs=1).rows()
    image = sitk.ReadImage(str(path))
    assert tuple(row["shape"]) == image.GetSize()[::-1]
    assert row["spacing_mm"] == pytest.approx(image.GetSpacing())
    assert row["orientation"] == sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    assert (row["file_format"], row["n_instances"], row["files"]) == ("nifti", 1, [path.name])
    assert row["size_bytes"] == path.stat().st_size


def test_a_dataset_of_nnunet_is_samples(tmp_path):
    root = tmp_path / "Dataset007"
    for case in ("p1", "p2"):
        write(root / "imagesTr" / f"{case}_0000.nii.gz")
        write(root / "imagesTr" / f"{case}_0001.nii.gz")
        write(root / "labelsTr" / f"{case}.nii.gz", dtype=np.uint8)
    write(root / "imagesTs" / "p3_0000.nii.gz")
    document = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "liver": 1, "tumour": 2}}
    (root / "dataset.json").write_text(json.dumps(document))
    index = index_directory(tmp_path, jobs=1, license="CC-BY-4.0")
    found = index.samples("CT,SEG").samples
    assert [{modality: row["files"] for modality, row in sample.series.items()} for sample in found] == [
        {"CT": [f"{case}_0000.nii.gz"], "SEG": [f"{case}.nii.gz"]} for case in ("p1", "p2")
    ]
    assert len(index.samples("PT,SEG").samples) == 2
    assert {row["Modality"] for row in index.rows()} == {"CT", "PT", "SEG"}
    labels = [row for row in index.rows() if row["Modality"] == "SEG"]
    assert {tuple(row["roi_names"]) for row in labels} == {("liver", "tumour")}
    assert {row["license"] for row in index.rows()} == {"CC-BY-4.0"}
    assert [problem["path"] for problem in index.problems] == [str(root / "dataset.json")]


def test_a_label_on_another_grid_belongs_to_no_image(tmp_path):
    write(tmp_path / "p1" / "ct.nii.gz")
    write(tmp_path / "p1" / "seg.nii.gz", shape=(6, 5, 3))
    label = next(row for row in index_directory(tmp_path, jobs=1).rows() if row["Modality"] == "SEG")
    assert label["referenced_series"] == []
    assert [finding["code"] for finding in label["findings"]] == ["no_reference"]


def test_a_tree_that_moves_keeps_its_keys(tmp_path):
    for place in ("a", "b"):
        write(tmp_path / place / "data" / "imagesTr" / "x.nii.gz")
        write(tmp_path / place / "data" / "labelsTr" / "x.nii.gz")
    keys = [[row["key"] for row in index_directory(tmp_path / place / "data", jobs=1).rows()] for place in ("a", "b")]
    assert keys[0] == keys[1]


def test_unchanged_files_are_not_read_again(tmp_path):
    folder, out = tmp_path / "data", tmp_path / "x.parquet"
    paths = [write(folder / "p1" / name) for name in ("ct.nii.gz", "seg.nii.gz")]
    for path in paths:
        os.utime(path, ns=(0, 0))
    first = index_directory(folder, jobs=1)
    first.write(out)
    size = paths[0].stat().st_size
    paths[0].write_bytes(bytes(size))
    os.utime(paths[0], ns=(0, 0))
    again = index_directory(folder, jobs=1, previous=out)
    assert again.table.equals(first.table)
    assert (again.inventory.n_read, again.inventory.n_kept) == (0, 2)


def test_files_that_are_no_nifti_or_cut(tmp_path):
    good = write(tmp_path / "good.nii")
    (tmp_path / "cut.nii").write_bytes(good.read_bytes()[:-7])
    (tmp_path / "text.nii").write_text("hello")
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(good.read_bytes())[:60])
    index = index_directory(tmp_path, jobs=1)
    assert [row["files"] for row in index.rows()] == [["good.nii"]]
    found = {problem["path"].rpartition("/")[2]: problem for problem in index.problems}
    assert {name: problem["code"] for name, problem in found.items()} == {
        "cut.nii": "truncated_file",
        "cut.nii.gz": "unreadable_file",
        "empty.nii.gz": "unreadable_file",
        "text.nii": "unreadable_file",
    }
    assert "ends 7 bytes before" in found["cut.nii"]["message"]
    good.unlink()
    with pytest.raises(SourceError, match="no DICOM series and no NIfTI"):
        index_directory(tmp_path, jobs=1)


def test_a_file_without_a_place_says_so(tmp_path):
    image = nibabel.Nifti1Image(np.ones((3, 3, 3), np.uint8), None)
    nibabel.save(image, tmp_path / "x.nii")
    header = read_nifti_header(tmp_path / "x.nii")
    assert not isinstance(header, Finding)
    assert not header.is_placed
    (row,) = index_directory(tmp_path, jobs=1).rows()
    assert [finding["code"] for finding in row["findings"]] == ["no_image_geometry"]


@pytest.mark.parametrize(
    ("document", "classes"),
    [
        ({"labels": {"0": "background", "2": "b", "1": "a"}, "modality": {"0": "CT"}}, ("a", "b")),
        ({"labels": {"background": 0, "a": 1}}, ("a",)),
        ([1], ()),
        ({}, ()),
    ],
)
def test_dataset_files(tmp_path, document, classes):
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    assert read_dataset(tmp_path).classes == classes


def test_references_of_real_patients(realdata):
    """The reference images of the sarcoma set have the geometry of the DICOM that they were made from."""
    rows = index_directory(realdata / "sts_reference" / "STS_008", jobs=1).rows()
    assert {row["Modality"] for row in rows} >= {"CT", "PT", "MR"}
    for row in rows:
        image = nibabel.load(f"{row['uri']}/{row['files'][0]}")
        assert tuple(row["shape"]) == image.shape[::-1]
