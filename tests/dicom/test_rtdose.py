"""Dose grids of known content, and real ones."""

import numpy as np
import pydicom
import pytest
import SimpleITK

from medimagenet.dicom import read_dose
from medimagenet.errors import DicomError, GeometryError
from medimagenet.geometry import Grid
from medimagenet.volume import Volume

STORED = np.arange(24, dtype=np.uint32).reshape(4, 2, 3)


@pytest.mark.parametrize("offsets", [[0, 2.5, 5, 7.5], [30, 32.5, 35, 37.5]], ids=["relative", "absolute"])
def test_dose_is_stored_times_scaling_at_its_planes(write_dose, offsets):
    dose = read_dose(write_dose(STORED, offsets, 0.25))
    np.testing.assert_array_equal(dose.array, (STORED * 0.25).astype(np.float32))
    assert (dose.unit, dose.findings) == ("Gy", ())
    assert dose.grid.spacing == (3.0, 2.0, 2.5)
    assert dose.grid.origin == (1.0, 2.0, 30.0)


ORIENTATIONS = {
    "HFS": [1, 0, 0, 0, 1, 0],
    "HFP": [-1, 0, 0, 0, -1, 0],
    "FFS": [-1, 0, 0, 0, 1, 0],
    "FFP": [1, 0, 0, 0, -1, 0],
    "HFDR": [0, -1, 0, 1, 0, 0],
}


@pytest.mark.parametrize("position", ORIENTATIONS)
@pytest.mark.parametrize("offsets", [[0, 2, 4, 6], [0, -2, -4, -6], [30, 32, 34, 36], [30, 28, 26, 24]])
def test_planes_of_a_patient_who_lies_otherwise(write_dose, position, offsets):
    """Relative offsets run along the normal, absolute ones are z (C.8.8.3.2)."""
    orientation = ORIENTATIONS[position]
    path = write_dose(STORED, offsets, 1.0, change=lambda ds: setattr(ds, "ImageOrientationPatient", orientation))
    dose = read_dose(path)
    row, column = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    normal_z = float(np.cross(row, column)[2])
    for frame, offset in enumerate(offsets):
        z = offset if offsets[0] else 30 + offset * normal_z
        for y, x in np.ndindex(2, 3):
            index = dose.grid.to_index(np.array([1.0, 2.0, z]) + 3 * x * row + 2 * y * column)
            i, j, k = np.rint(index).astype(int)
            np.testing.assert_allclose(index, (i, j, k), atol=1e-9)
            assert dose.array[k, j, i] == STORED[frame, y, x]
    is_unusual = offsets[0] != 0 and normal_z < 0
    assert [finding.code for finding in dose.findings] == ["dose_offsets_unusual"] * is_unusual


def test_planes_that_are_not_transverse_have_no_z(write_dose):
    def sagittal(dataset):
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

    assert read_dose(write_dose(STORED, [0, 2, 4, 6], 1.0, change=sagittal)).grid.orientation == "PIR"
    with pytest.raises(GeometryError, match="its planes are not transverse: they cannot be placed by z"):
        read_dose(write_dose(STORED, [30, 32, 34, 36], 1.0, change=sagittal))


def test_a_transfer_syntax_of_two_values_is_named(write_dose):
    path = write_dose(STORED, [0, 1, 2, 3], 1.0)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1", b"1.2\\840.10008.1.2.1", 1))
    with pytest.raises(DicomError):
        read_dose(path)


def test_planes_that_run_downwards_are_turned_over(write_dose):
    dose = read_dose(write_dose(STORED, [0, -2, -4, -6], 1.0))
    np.testing.assert_array_equal(dose.array, STORED[::-1])
    assert dose.grid.origin == (1.0, 2.0, 24.0)


def without_scaling(dataset):
    del dataset.DoseGridScaling


@pytest.mark.parametrize(
    ("offsets", "change", "error", "message"),
    [
        ([0, 1, 2], None, GeometryError, "4 frames but 3 offsets"),
        ([5, 6, 7, 8], None, GeometryError, "begins with 5, which is neither 0 nor the z"),
        ([0, 1, 2, 9], None, GeometryError, "forms no volume"),
        ([0, 1, 2, 3], lambda dataset: setattr(dataset, "DoseGridScaling", 0), DicomError, "must be above 0"),
        ([0, 1, 2, 3], lambda dataset: setattr(dataset, "DoseGridScaling", "1e308"), DicomError, "up to inf"),
        ([0, 1, 2, 3], without_scaling, DicomError, r"no DoseGridScaling \(3004,000E\)"),
    ],
)
def test_what_is_no_dose_is_named(write_dose, offsets, change, error, message):
    with pytest.raises(error, match=message):
        read_dose(write_dose(STORED, offsets, 1.0, change=change))


def test_dose_on_another_grid_is_linear_between_voxels_as_in_simpleitk(write_dose):
    stored = np.random.default_rng(0).integers(0, 1000, (6, 7, 8)).astype(np.uint32)
    path = write_dose(stored, [0, 2, 4, 6, 8, 10], 0.01)
    grid = Grid((9, 8, 7), (2.1, 1.3, 1.1), (0.7, 2.9, 29.4), ((0.8, -0.6, 0), (0.6, 0.8, 0), (0, 0, 1)))
    dose = read_dose(path, grid)
    like = Volume(np.zeros(grid.shape, np.float32), grid).to_sitk()
    expected = SimpleITK.GetArrayFromImage(SimpleITK.Resample(read_dose(path).to_sitk(), like))
    np.testing.assert_allclose(dose.array, expected, atol=1e-4)
    outside = SimpleITK.GetArrayFromImage(SimpleITK.Resample(read_dose(path).to_sitk() * 0 + 1, like)) == 0
    (finding,) = dose.findings
    assert (finding.code, finding.numbers) == ("dose_outside_grid", {"voxels": int(outside.sum())})
    assert 0 < outside.sum() < outside.size


def test_a_value_that_is_no_number_is_named(write_dose):
    path = write_dose(STORED, [0, 1.25, 2.5, 3.75], 1.0)
    path.write_bytes(path.read_bytes().replace(b"1.25", b"1x25"))
    with pytest.raises(DicomError, match=r"GridFrameOffsetVector \(3004,000C\) that is not numbers: .*1x25"):
        read_dose(path)


def test_an_offset_without_end_is_no_number(write_dose):
    path = write_dose(STORED, [0, 11.25, 22.5, 33.75], 1.0)
    path.write_bytes(path.read_bytes().replace(b"11.25", b"9e999"))
    with pytest.raises(DicomError, match=r"GridFrameOffsetVector \(3004,000C\) that is not numbers: .*9e999"):
        read_dose(path)


def test_one_offset_for_several_frames(write_dose):
    with pytest.raises(GeometryError, match="4 frames but 1 offsets"):
        read_dose(write_dose(STORED, [0, 1, 2, 3], 1.0, change=lambda ds: setattr(ds, "GridFrameOffsetVector", 0)))


def test_more_frames_than_are_stated_is_a_finding(write_dose):
    dose = read_dose(write_dose(STORED, [0, 1, 2, 3], 1.0, change=lambda ds: setattr(ds, "NumberOfFrames", 2)))
    (finding,) = dose.findings
    assert (finding.code, finding.numbers) == ("dose_frames_unmatched", {"frames": 4, "stated": 2})


@pytest.mark.parametrize(
    ("keyword", "value", "codes"),
    [
        ("DoseUnits", "RELATIVE", ["dose_not_absolute"]),
        ("DoseType", "ERROR", ["dose_not_absolute"]),
        ("DoseType", "EFFECTIVE", []),
        ("DoseSummationType", "BEAM", ["dose_not_whole_plan"]),
        ("DoseSummationType", "PLAN", []),
        ("DoseGridScaling", "1000", ["dose_implausible"]),
    ],
)
def test_what_keeps_a_dose_from_being_that_of_a_plan_in_gray(write_dose, keyword, value, codes):
    dose = read_dose(write_dose(STORED, [0, 1, 2, 3], 1.0, change=lambda dataset: setattr(dataset, keyword, value)))
    assert [finding.code for finding in dose.findings] == codes


def test_a_dose_of_another_frame_of_reference(write_dose):
    path = write_dose(STORED, [0, 1, 2, 3], 1.0, change=lambda dataset: setattr(dataset, "FrameOfReferenceUID", "1.9"))
    grid = read_dose(path).grid
    for frame, codes in (("1.9", []), ("1.8", ["wrong_image"])):
        image = Volume(np.zeros(grid.shape), grid, metadata={"FrameOfReferenceUID": frame})
        assert [finding.code for finding in read_dose(path, image).findings] == codes


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["rtdose", "rtdose_expb", "rtdose_rle", "rtdose_1frame"])
def test_real_doses_equal_pydicom(realdata, name):
    path = realdata / "rtdose" / "pydicom_tps" / f"{name}.dcm"
    dataset = pydicom.dcmread(path)
    expected = dataset.pixel_array * float(dataset.DoseGridScaling)
    dose = read_dose(path)
    np.testing.assert_allclose(dose.array, expected.reshape(dose.array.shape), rtol=1e-6)
    assert dose.unit is None
    codes = [finding.code for finding in dose.findings]
    assert "dose_not_absolute" in codes
    assert ("dose_frames_unmatched" in codes) == (name == "rtdose_1frame")


@pytest.mark.realdata
def test_a_real_plane(realdata):
    dose = read_dose(realdata / "rtdose" / "eyeplan" / "rtdose.dcm")
    assert (dose.array.max(), dose.unit) == (9896.0, "Gy")
    assert "dose_implausible" in [finding.code for finding in dose.findings]


def test_pixels_that_are_there_twice_are_refused(write_dose):
    path = write_dose(np.ones((2, 3, 4), dtype=np.uint16), [0, 3], 0.5)
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OW\0\0\x30\0\0\0" + bytes(48))
    with pytest.raises(DicomError, match=r"PixelData \(7FE0,0010\) twice") as caught:
        read_dose(path)
    assert [finding.code for finding in caught.value.findings] == ["pixel_data_repeated"]
