"""CT, MR, PET: dciodvfy on every kind, SimpleITK for values and geometry, SUV by the formula of the QIBA profile."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

MODALITIES = ("CT", "MR", "PT")


def read_with_sitk(paths):
    return sitk.ReadImage([str(path) for path in paths])


def direction(image):
    return np.array(image.GetDirection()).reshape(3, 3)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", ["oblique", "upright"])
def test_the_validator_finds_no_error(modality, name, request, dciodvfy):
    truth = request.getfixturevalue(name)
    for path in truth.paths[modality][::9]:
        assert dciodvfy(path) == []


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", ["oblique", "upright"])
def test_geometry_is_the_grid(modality, name, request):
    truth = request.getfixturevalue(name)
    image, grid = read_with_sitk(truth.paths[modality]), truth.grids[modality]
    assert image.GetSize() == grid.size
    np.testing.assert_allclose(image.GetOrigin(), grid.origin, atol=1e-9)
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing, atol=1e-9)
    np.testing.assert_allclose(direction(image), grid.direction, atol=1e-9)


def test_grids_differ_between_modalities_and_share_their_middle(oblique):
    grids = [oblique.grids[modality] for modality in (*MODALITIES, "RTDOSE")]
    assert len(set(grids)) == 4
    middles = np.array([grid.to_patient((np.array(grid.size) - 1) / 2) for grid in grids])
    np.testing.assert_allclose(middles, np.broadcast_to(middles[0], middles.shape), atol=2e-3)


def test_without_noise_hu_and_signal_are_exact(oblique):
    for modality in ("CT", "MR"):
        array = sitk.GetArrayFromImage(read_with_sitk(oblique.paths[modality]))
        np.testing.assert_array_equal(array, oblique.image(modality))
        truth = oblique.masks(modality)
        assert set(np.unique(array[truth["GTV"]])) == {oblique.values[modality]["GTV"]}


def test_noise_has_the_size_it_should(upright):
    array = sitk.GetArrayFromImage(read_with_sitk(upright.paths["CT"])).astype(float)
    residual = array - upright.image("CT")
    body = upright.masks("CT")["body"]
    assert residual[~body].std() == pytest.approx(18, rel=0.15)  # clipped at -1024, hence a little less
    assert residual[body].std() == pytest.approx(np.hypot(18, 10), rel=0.1)
    assert abs(residual[body].mean()) < 4
    assert array.min() >= -1024


def suv_by_hand(path):
    ds = pydicom.dcmread(path)
    tracer = ds.RadiopharmaceuticalInformationSequence[0]
    assert (ds.Units, ds.DecayCorrection) == ("BQML", "START")
    assert {"ATTN", "DECY"} <= set(ds.CorrectedImage)

    def seconds(clock):
        return int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:])

    waited = seconds(ds.SeriesTime) - seconds(tracer.RadiopharmaceuticalStartTime)
    left = float(tracer.RadionuclideTotalDose) * np.exp(-np.log(2) * waited / float(tracer.RadionuclideHalfLife))
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    return stored * float(ds.RescaleSlope) * float(ds.PatientWeight) * 1000 / left, ds


def test_suv_by_hand_is_the_true_suv(oblique):
    expected = oblique.image("PT")
    slopes = set()
    for k, path in enumerate(oblique.paths["PT"]):
        suv, ds = suv_by_hand(path)
        np.testing.assert_allclose(suv, expected[k], atol=8.8 / 32767 / 2 * 1.001)  # half a stored step
        assert ds.SeriesDate == tracer_date(ds)
        slopes.add(float(ds.RescaleSlope))
    assert len(slopes) > 1


def tracer_date(ds):
    return ds.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime[:8]
