"""read_mask: classes, unions, dispatch, and the nested contours of real lungs."""

import contextlib
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.dicom import read_mask, read_series, read_structures
from medimagenet.dicom.mask import read_regions
from medimagenet.errors import DicomError
from medimagenet.geometry import Grid
from medimagenet.kernels.rasterize import unpack_region

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


def test_regions_that_share_a_name_are_all_taken(write_rtstruct):
    path = write_rtstruct(
        {(1, "GTV"): [square(0, 3, 0, 3, 0)], (2, "GTV"): [square(5, 6, 5, 6, 1)], (3, ""): [square(0, 0, 0, 0, 2)]}
    )
    mask = read_mask(path, GRID, {"tumour": ["gtv"]})
    assert mask.array.sum() == 16 + 4
    assert [(f.code, f.numbers) for f in mask.findings if f.code == "roi_matches_several"] == [
        ("roi_matches_several", {"class": "tumour", "rois": ["GTV", "GTV (ROI 2)"]})
    ]
    assert read_mask(path, GRID, {"tumour": ["gtv"]}, several="first").array.sum() == 16
    assert read_mask(path, GRID, {"tumour": [r"gtv \(roi 2\)"]}).array.sum() == 4
    assert read_mask(path, GRID, {"t": ["gtv"]}, several="separate").names == ("t: GTV", "t: GTV (ROI 2)")
    assert read_mask(path, GRID, {"unnamed": ["roi 3"]}).array.sum() == 1


def test_an_image_holds_no_regions(write_series):
    (path,) = write_series(np.zeros((1, 2, 2), dtype=np.int16)).iterdir()
    with pytest.raises(DicomError, match=r"holds no regions: its SOPClassUID \(0008,0016\) 1\.2\.840\.10008"):
        read_regions(path)


def test_each_region_of_a_class_by_itself(structures):
    mask = read_mask(structures, GRID, {"tumour": ["gtv.*"], "liver": ["liver"]}, several="separate")
    assert mask.names == ("tumour: GTV left", "tumour: GTV right", "liver")
    np.testing.assert_array_equal(mask.array[:2], read_mask(structures, GRID).array[:2])


def test_a_class_that_matches_nothing(structures):
    wanted = {"liver": ["liver"], "heart": ["heart"]}
    skipped = read_mask(structures, GRID, wanted, absent="skip")
    assert (skipped.names, [f.code for f in skipped.findings]) == (("heart",), ["roi_matches_nothing"])
    with pytest.raises(DicomError, match=r"RS\.dcm: class 'liver' matches no region; there are 'GTV left'"):
        read_mask(structures, GRID, wanted, absent="fail")


def test_contours_need_a_grid(structures):
    with pytest.raises(ValueError, match="give the image or the grid as reference"):
        read_mask(structures)


def test_shares_of_voxels(structures, write_rtstruct):
    mask = read_mask(structures, GRID, {"tumour": ["gtv.*"], "heart": ["heart"]}, fractional=True)
    assert mask.array.dtype == np.float32
    left, right, heart = read_mask(structures, GRID).array
    np.testing.assert_array_equal(mask.array, np.stack([left | right, heart]))
    triangle = write_rtstruct({(1, "t"): [[(0.5, 0.5, 1), (5.5, 0.5, 1), (0.5, 3.5, 1)]]}, name="t.dcm")
    share = read_mask(triangle, GRID, fractional=True)
    assert share.volumes_mm3()["t"] == pytest.approx(7.5)
    assert share["t"][1, 1, 1] == 1
    assert share["t"][1, 1, 5] == pytest.approx(0.5 * 1 * 0.6)
    with pytest.raises(ValueError, match="no exact shares"):
        read_mask(triangle, GRID, fractional=True, between="interpolate")


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
    assert {finding.code for finding in mask.findings} == {"contour_fills_nothing"}
    packed, findings = read_structures(path).fill_packed(volume.grid, parallel=True)
    assert packed.shape == (1, *volume.grid.shape)
    assert findings == list(mask.findings)
    for number, channel in enumerate(mask.array):
        np.testing.assert_array_equal(unpack_region(packed, number), channel)
    lungs = read_mask(path, volume, {"lungs": ["lung.*"]}, parallel=True)
    np.testing.assert_array_equal(lungs.array[0], mask["Lung-Left"] | mask["Lung-Right"])


@pytest.mark.realdata
@settings(max_examples=150)
@given(
    name=st.sampled_from(
        ["seg/dcmqi/24x38x3/seg/label.seg", "seg/pydicom/liver_rle.dcm", "rtstruct/rt_utils_mock/rt.dcm"]
    ),
    damage=st.lists(st.tuples(st.integers(132, 9000), st.binary(max_size=6)), min_size=1, max_size=6),
    cut=st.none() | st.integers(140, 9000),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_read_or_refused(realdata, tmp_path_factory, name, damage, cut):
    data = bytearray((realdata / name).read_bytes())
    for at, replacement in damage:
        data[at : at + len(replacement)] = replacement
    path = tmp_path_factory.mktemp("damaged") / "x.dcm"
    path.write_bytes(data[:cut])
    grid = Grid((24, 38, 3))
    with contextlib.suppress(DicomError):
        mask = read_mask(path, grid, off_grid="nearest")
        assert mask.array.shape == (len(mask.names), *grid.shape)
