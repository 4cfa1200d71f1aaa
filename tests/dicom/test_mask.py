"""read_mask: classes, unions, dispatch, and the nested contours of real lungs."""

import zipfile

import numpy as np
import pytest

from medimagenet.dicom import read_mask, read_series
from medimagenet.dicom.mask import read_regions
from medimagenet.errors import DicomError
from medimagenet.geometry import Grid

GRID = Grid((10, 8, 3))


def square(x0, x1, y0, y1, z):
    return [(x0 - 0.5, y0 - 0.5, z), (x1 + 0.5, y0 - 0.5, z), (x1 + 0.5, y1 + 0.5, z), (x0 - 0.5, y1 + 0.5, z)]


@pytest.fixture
def structures(write_rtstruct):
    return write_rtstruct(
        {
            (1, "GTV left"): [square(0, 3, 0, 3, 0)],
            (2, "GTV right"): [square(2, 5, 2, 5, 0)],
            (3, "Heart"): [square(0, 9, 0, 7, 2)],
        }
    )


def test_every_region_is_a_channel(structures):
    mask = read_mask(structures, GRID)
    assert mask.names == ("GTV left", "GTV right", "Heart")
    assert mask.array.sum(axis=(1, 2, 3)).tolist() == [16, 16, 80]
    assert mask.overlap_voxels() == 4
    assert mask.metadata["Modality"] == "RTSTRUCT"


def test_a_class_is_the_union_of_regions_filled_one_by_one(structures):
    mask = read_mask(structures, GRID, {"tumour": ["gtv.*"], "heart": ["heart"], "liver": ["liver"]})
    assert mask.names == ("tumour", "heart", "liver")
    assert mask.array.sum(axis=(1, 2, 3)).tolist() == [16 + 16 - 4, 80, 0]
    assert [finding.code for finding in mask.findings] == ["roi_matches_several", "roi_matches_nothing"]
    assert "'GTV left', 'GTV right', 'Heart'" in mask.findings[1].message


def test_the_first_of_several(structures):
    mask = read_mask(structures, GRID, {"tumour": ["gtv.*right", "gtv.*"]}, several="first")
    np.testing.assert_array_equal(mask["tumour"], read_mask(structures, GRID)["GTV right"])
    assert mask.findings == ()


def test_an_image_holds_no_regions(write_series):
    (path,) = write_series(np.zeros((1, 2, 2), dtype=np.int16)).iterdir()
    with pytest.raises(DicomError, match=r"holds no regions: its SOPClassUID \(0008,0016\) 1\.2\.840\.10008"):
        read_regions(path)


@pytest.mark.realdata
def test_nested_contours_of_a_mock(realdata):
    folder = realdata / "rtstruct" / "rt_utils_mock"
    volume = read_series(sorted(folder.glob("ct_*.dcm")))
    assert read_mask(folder / "rt.dcm", volume).array.sum() == 1443
    outside = read_mask(folder / "invalid_reference_rt.dcm", volume)
    assert {finding.code for finding in outside.findings} == {"contour_outside_image"}


@pytest.mark.realdata
def test_real_lungs(realdata, tmp_path):
    with zipfile.ZipFile(realdata / "nsclc_radiomics" / "LUNG1-001.zip") as archive:
        archive.extractall(tmp_path)
    (path,) = (tmp_path / "LUNG1-001" / "mask_rtstruct").iterdir()
    volume = read_series(tmp_path / "LUNG1-001" / "image")
    mask = read_mask(path, volume)
    assert mask.names == ("GTV-1", "Spinal-Cord", "Lung-Left", "Lung-Right")
    assert mask["Lung-Left"].sum() == 795_750
    assert mask["Lung-Right"].sum() == 1_036_805
    lungs = read_mask(path, volume, {"lungs": ["lung.*"]})
    np.testing.assert_array_equal(lungs.array[0], mask["Lung-Left"] | mask["Lung-Right"])
