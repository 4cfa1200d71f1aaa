"""RTPLAN and RTDOSE: dciodvfy, the dose by formula, SimpleITK's geometry, and references that resolve to the CT."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk


@pytest.mark.parametrize("modality", ["RTPLAN", "RTDOSE"])
@pytest.mark.parametrize("name", ["oblique", "upright"])
def test_the_validator_finds_no_error(modality, name, request, dciodvfy):
    (path,) = request.getfixturevalue(name).paths[modality]
    assert dciodvfy(path) == []


def test_the_dose_is_the_formula(oblique):
    ds = pydicom.dcmread(oblique.paths["RTDOSE"][0])
    gray = ds.pixel_array * float(ds.DoseGridScaling)
    rows = np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3)
    normal = np.cross(rows[0], rows[1])
    between_rows, between_columns = (float(value) for value in ds.PixelSpacing)
    field = oblique.dose
    rng = np.random.default_rng(0)
    for k, j, i in zip(*(rng.integers(0, n, 200) for n in gray.shape), strict=True):
        point = np.array(ds.ImagePositionPatient, dtype=float)
        point += rows[0] * between_columns * i + rows[1] * between_rows * j + normal * ds.GridFrameOffsetVector[k]
        distance = np.sqrt((((point - field.center) / field.sigma) ** 2).sum())
        assert gray[k, j, i] == pytest.approx(field.peak_gy * np.exp(-0.5 * distance**2), abs=0.00051)
    assert gray.max() > 0.9 * field.peak_gy
    assert ds.DoseUnits == "GY"


def test_simpleitk_reads_the_grid(upright):
    image, grid = sitk.ReadImage(str(upright.paths["RTDOSE"][0])), upright.grids["RTDOSE"]
    assert image.GetSize() == grid.size
    np.testing.assert_allclose(image.GetOrigin(), grid.origin, atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing, atol=1e-6)
    np.testing.assert_allclose(sitk.GetArrayFromImage(image) * 0.001, upright.dose.on(grid), atol=0.00051)


def test_references_lead_from_the_dose_to_the_ct(oblique):
    dose, plan, structures, ct = (pydicom.dcmread(oblique.paths[m][0]) for m in ("RTDOSE", "RTPLAN", "RTSTRUCT", "CT"))
    assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
    assert plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == structures.SOPInstanceUID
    series = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series[0].SeriesInstanceUID == ct.SeriesInstanceUID
