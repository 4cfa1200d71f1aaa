"""Each defect of an image, as pydicom sees it, against the sound patient of the same seed."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient

GRID = Grid((16, 14, 9), (15.0, 15.0, 20.0), (10.5, -20.25, 100.0))
MIDDLE = 4


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    def write(name, modalities=("CT",)):
        return write_patient(tmp_path_factory.mktemp("p"), grid=GRID, modalities=modalities, defects=(name,))

    return write


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_patient(tmp_path_factory.mktemp("sound"), grid=GRID, modalities=("CT",))


def slices(truth, modality="CT"):
    return [pydicom.dcmread(path) for path in sorted((truth.folder / modality).iterdir())]


def heights(datasets):
    return [float(ds.ImagePositionPatient[2]) for ds in datasets]


def test_missing_slices(planted):
    assert heights(slices(planted("missing_slices"))) == [100 + 20 * k for k in range(9) if k != MIDDLE]


def test_duplicate_slices(planted):
    found = slices(planted("duplicate_slices"))
    assert sorted(heights(found)) == sorted([100.0 + 20 * k for k in range(9)] + [100.0 + 20 * MIDDLE])
    assert len({ds.SOPInstanceUID for ds in found}) == len({ds.InstanceNumber for ds in found}) == 10


@pytest.mark.parametrize(("name", "step"), [("nonuniform_spacing", 0.04), ("uneven_slices", 0.3)])
def test_a_slice_out_of_its_place(planted, name, step):
    expected = [100.0 + 20 * (k + step * (k == MIDDLE)) for k in range(9)]
    np.testing.assert_allclose(heights(slices(planted(name))), expected)


def test_gantry_tilt(planted):
    found = slices(planted("gantry_tilt"))
    places = np.array([ds.ImagePositionPatient for ds in found], dtype=float)
    np.testing.assert_allclose(np.diff(places[:, 1]), 20 * np.tan(np.radians(15)))
    np.testing.assert_allclose(np.diff(places[:, [0, 2]], axis=0), [[0, 20]] * 8)
    assert {float(ds.GantryDetectorTilt) for ds in found} == {15.0}


def test_mixed_orientation(planted):
    found = slices(planted("mixed_orientation"))
    normals = [tuple(np.cross(*np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3))) for ds in found]
    assert normals == [(0, 0, 1)] * 6 + [(0, -1, 0)] * 3


def test_localizer_mixed_in(planted):
    *others, scout = slices(planted("localizer_mixed_in"))
    assert "LOCALIZER" in scout.ImageType
    assert scout.SeriesInstanceUID == others[0].SeriesInstanceUID
    assert scout.SOPInstanceUID not in {ds.SOPInstanceUID for ds in others}
    assert list(scout.PixelSpacing) == [30, 30]
    assert list(scout.ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]


def test_mixed_spacing(planted):
    assert [float(ds.PixelSpacing[0]) for ds in slices(planted("mixed_spacing"))] == [15.0] * 4 + [16.5] * 5


def test_mixed_size(planted):
    found = slices(planted("mixed_size"))
    assert [ds.pixel_array.shape for ds in found] == [(14 - (k == MIDDLE), 16) for k in range(9)]


def test_no_position(planted):
    assert ["ImagePositionPatient" in ds for ds in slices(planted("no_position"))] == [k != MIDDLE for k in range(9)]


def test_single_slice(planted):
    assert heights(slices(planted("single_slice"))) == [180.0]


def test_mixed_modality(planted):
    assert [ds.Modality for ds in slices(planted("mixed_modality"))] == ["OT"] + ["CT"] * 8


def test_mixed_rescale_keeps_the_hu(planted, sound):
    truth = planted("mixed_rescale")
    assert [float(ds.RescaleSlope) for ds in slices(truth)] == [0.5, 1.0] * 4 + [0.5]
    for path, other in zip(truth.paths["CT"], sound.paths["CT"], strict=True):
        images = [sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (path, other)]
        np.testing.assert_array_equal(*images)


def test_lossy_compressed(planted):
    assert {ds.LossyImageCompression for ds in slices(planted("lossy_compressed"))} == {"01"}


def test_not_monochrome(planted):
    assert {ds.pixel_array.shape for ds in slices(planted("not_monochrome"))} == {(14, 16, 3)}


def test_constant_image(planted):
    assert all(not ds.pixel_array.any() for ds in slices(planted("constant_image")))


def test_suv_not_computable(planted):
    truth = planted("suv_not_computable", ("CT", "PT"))
    assert not any("PatientWeight" in ds for ds in slices(truth, "PT"))


def test_the_leading_image_gets_the_defect(planted):
    truth = planted("missing_slices", ("MR", "CT"))
    assert (len(slices(truth, "MR")), len(slices(truth))) == (8, 9)
