"""read_case: which series become what, against the readers of single series and the phantom's truth."""

import numpy as np
import pydicom
import pytest

from medimagenet.compiler import read_case
from medimagenet.compiler.decode import read_by_recipe
from medimagenet.dicom import read_mask, read_series
from medimagenet.errors import DicomError
from medimagenet.index import find_samples, index_directory
from medimagenet.preprocess import Recipe
from medimagenet.synthetic import write_patients

from .conftest import SIZE, SPACING


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ct-pt-dose")
    modalities = ("CT", "PT", "RTSTRUCT", "SEG", "RTPLAN", "RTDOSE")
    return write_patients(folder, 1, modalities=modalities, size=SIZE, spacing=SPACING, jobs=1, noise=0.0)[0]


def sample_of(truth, modalities):
    (sample,) = find_samples(index_directory(truth.folder, jobs=1), modalities).samples
    return sample


def test_all_rois_without_patterns(truth):
    case = read_case(sample_of(truth, "CT,RTSTRUCT"))
    assert list(case.images) == ["CT"]
    assert set(case.mask.names) == set(truth.organs)
    for name in truth.organs:
        np.testing.assert_array_equal(case.mask[name], truth.masks("CT", [name])[name])


def test_only_rois_that_a_class_takes_are_filled(truth):
    case = read_case(sample_of(truth, "CT,RTSTRUCT"), {"lungs": ["lung.*"]})
    lungs = {name for name in truth.organs if name.startswith("lung")}
    assert set(case.mask.names) == lungs
    (step,) = case.provenance
    assert set(step["left_out"]) == set(truth.organs) - lungs


def test_rois_of_one_name_are_all_taken(tmp_path):
    odd = write_patients(tmp_path, 1, size=SIZE, spacing=SPACING, jobs=1, defects=["roi_name_repeated"])[0]
    case = read_case(sample_of(odd, "CT,RTSTRUCT"), {"tumour": ["gtv.*"]})
    assert len(case.mask.names) == 2
    first, last = odd.organs[0], odd.organs[-1]  # the first was given the name of the last
    union = odd.masks("CT", [first])[first] | odd.masks("CT", [last])[last]
    np.testing.assert_array_equal(case.mask.array.any(axis=0), union)


def test_images_and_dose_come_in_the_order_asked(truth):
    case = read_case(sample_of(truth, "CT,PT,RTSTRUCT,RTPLAN,RTDOSE"))
    assert list(case.images) == ["CT", "PT", "RTDOSE"]
    assert [volume.unit for volume in case.images.values()] == ["HU", "SUVbw g/ml", "Gy"]
    dose = case.images["RTDOSE"]
    np.testing.assert_allclose(dose.array, truth.dose.on(dose.grid), atol=truth.dose.on(dose.grid).max() / 60_000)
    np.testing.assert_allclose(case.images["PT"].array, truth.image("PT"), rtol=1e-3, atol=1e-3)


def test_segments_and_contours_join_in_one_mask(truth):
    case = read_case(sample_of(truth, "CT,RTSTRUCT,SEG"), {"liver": ["liver"]})
    assert case.mask.names == ("liver", "liver")
    np.testing.assert_array_equal(case.mask.array[0], case.mask.array[1])


def test_a_series_that_is_gone_is_a_dicom_error(truth, tmp_path):
    sample = sample_of(truth, "CT,RTSTRUCT")
    moved = {**sample.series["CT"], "uri": str(tmp_path)}
    with pytest.raises(DicomError):
        read_case(type(sample)(**{**{f: getattr(sample, f) for f in sample.__slots__}, "series": {"CT": moved}}))


@pytest.mark.parametrize(
    ("defect", "code"), [("gantry_tilt", "tilt_resampled"), ("missing_slices", "slices_interpolated")]
)
def test_a_series_that_is_repaired_says_so(tmp_path, defect, code):
    odd = write_patients(tmp_path, 1, size=SIZE, spacing=SPACING, jobs=1, noise=0.0, defects=[defect])[0]
    sample = sample_of(odd, "CT,RTSTRUCT")
    with pytest.raises(DicomError):
        read_case(sample)
    case = read_case(sample, fix=[defect])
    volume = case.images["CT"]
    assert code in [finding.code for finding in volume.findings]
    step = next(step for step in case.provenance if step["step"] == "Repair")
    assert (step["modality"], step["code"]) == ("CT", code)
    assert case.mask.array.shape[1:] == volume.array.shape


def test_slices_between_contours_are_as_the_recipe_says(tmp_path):
    (truth,) = write_patients(tmp_path, 1, modalities=("CT", "RTSTRUCT"), size=SIZE, spacing=SPACING, jobs=1)
    path = truth.paths["RTSTRUCT"][0]
    ds = pydicom.dcmread(path)
    for region in ds.ROIContourSequence:
        heights = sorted({float(contour.ContourData[2]) for contour in region.ContourSequence})
        region.ContourSequence = [c for c in region.ContourSequence if float(c.ContourData[2]) in heights[::2]]
    ds.save_as(path)
    sample, image = sample_of(truth, "CT,RTSTRUCT"), read_series(truth.paths["CT"])
    recipe = {"name": "a", "modalities": ["CT", "RTSTRUCT"], "rois": {"liver": "liver"}}
    sparse, whole = (
        read_by_recipe(sample, Recipe.from_dict(recipe | {"between": between})).mask.array
        for between in ("nearest", "interpolate")
    )
    np.testing.assert_array_equal(sparse, read_mask(path, image, {"liver": ["liver"]}).array)
    judged = read_mask(path, image, {"liver": ["liver"]}, between="interpolate").array
    np.testing.assert_array_equal(whole, judged)
    assert whole.sum() > 1.4 * sparse.sum() > 0


def test_a_seg_on_other_voxels_is_as_the_recipe_says(tmp_path):
    (truth,) = write_patients(tmp_path, 1, modalities=("CT", "SEG"), size=SIZE, spacing=SPACING, jobs=1)
    path = truth.paths["SEG"][0]
    ds = pydicom.dcmread(path)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        place[0] = float(place[0]) + 0.4 * SPACING[0]
    ds.save_as(path)
    sample = sample_of(truth, "CT,SEG")
    recipe = {"name": "a", "modalities": ["CT", "SEG"], "rois": {"liver": "liver"}}
    with pytest.raises(DicomError, match="grid"):
        read_by_recipe(sample, Recipe.from_dict(recipe))
    case = read_by_recipe(sample, Recipe.from_dict(recipe | {"off_grid": "nearest"}))
    judged = read_mask(path, read_series(truth.paths["CT"]), {"liver": ["liver"]}, off_grid="nearest")
    np.testing.assert_array_equal(case.mask.array, judged.array)
    assert case.mask.array.any()
