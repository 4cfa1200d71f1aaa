"""Dose grids of known content, and real ones."""

import numpy as np
import pydicom
import pytest

from medimagenet.dicom import read_dose
from medimagenet.errors import DicomError, GeometryError

STORED = np.arange(24, dtype=np.uint32).reshape(4, 2, 3)


@pytest.mark.parametrize("offsets", [[0, 2.5, 5, 7.5], [30, 32.5, 35, 37.5]], ids=["relative", "absolute"])
def test_dose_is_stored_times_scaling_at_its_planes(write_dose, offsets):
    dose = read_dose(write_dose(STORED, offsets, 0.25))
    np.testing.assert_array_equal(dose.array, (STORED * 0.25).astype(np.float32))
    assert (dose.unit, dose.findings) == ("Gy", ())
    assert dose.grid.spacing == (3.0, 2.0, 2.5)
    assert dose.grid.origin == (1.0, 2.0, 30.0)


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
        ([0, 1, 2, 3], without_scaling, DicomError, r"no DoseGridScaling \(3004,000E\)"),
    ],
)
def test_what_is_no_dose_is_named(write_dose, offsets, change, error, message):
    with pytest.raises(error, match=message):
        read_dose(write_dose(STORED, offsets, 1.0, change=change))


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
    assert "dose_not_absolute" in [finding.code for finding in dose.findings]


@pytest.mark.realdata
def test_a_real_plane(realdata):
    dose = read_dose(realdata / "rtdose" / "eyeplan" / "rtdose.dcm")
    assert (dose.array.max(), dose.unit) == (9896.0, "Gy")
