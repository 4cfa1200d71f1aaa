"""Normalization constants, judged by NumPy on the values they give."""

from dataclasses import replace

import numpy as np
import pytest

from medimagenet.geometry import Grid
from medimagenet.preprocess.recipe import DatasetScale, Percentile, Scale, Unchanged, Window, ZScore
from medimagenet.preprocess.steps import Normalize
from medimagenet.volume import Case, Mask, Normalization, Volume


def case_of(array):
    return Case(sample_id="s", patient_id="p", images={"MR": Volume(array, Grid(array.shape[::-1]))})


def values():
    array = np.random.default_rng(5).integers(-300, 1500, (4, 5, 6)).astype(np.int16)
    array[:2, :2] = 0
    return array


def seen(array, rule):
    """What a network would see."""
    image = Normalize(image="MR", rule=rule)(case_of(array)).images["MR"]
    assert image.array is array
    constants = image.normalization
    return (np.clip(array.astype(np.float64), constants.low, constants.high) - constants.subtract) / constants.divide


def test_window_maps_to_0_1():
    found = seen(values(), Window(kind="window", low=-160, high=240))
    np.testing.assert_allclose(found, np.interp(values(), [-160, 240], [0, 1]), atol=1e-12)


@pytest.mark.parametrize("region", ["all", "nonzero"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_zscore_has_mean_0_and_deviation_1(region, dtype):
    array = values().astype(dtype)
    found = seen(array, ZScore(kind="zscore", region=region))
    taken = found[array != 0] if region == "nonzero" else found
    assert (taken.mean(), taken.std()) == pytest.approx((0, 1), abs=1e-9)


@pytest.mark.parametrize("region", ["all", "nonzero"])
def test_percentiles_map_to_0_1(region):
    array = values()
    taken = array[array != 0] if region == "nonzero" else array
    low, high = np.percentile(taken, [2, 95])
    found = seen(array, Percentile(kind="percentile", lower=2, upper=95, region=region))
    np.testing.assert_allclose(found, np.interp(array, [low, high], [0, 1]), atol=1e-12)


def test_scale_is_shift_and_division():
    found = seen(values(), Scale(kind="scale", subtract=10, divide=4))
    np.testing.assert_allclose(found, (values() - 10.0) / 4)


def test_a_data_sets_constants_are_those_of_nnunet():
    """Its CTNormalization: clip to percentiles 0.5 and 99.5, subtract the mean, divide by the standard deviation."""
    found = seen(values(), DatasetScale(kind="dataset", low=-90, high=700, mean=120.5, std=210))
    image = values().astype(np.float32)
    np.clip(image, -90, 700, out=image)
    image -= 120.5
    image /= 210
    np.testing.assert_allclose(found, image, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("channels", [(), (2,)])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_statistics_of_the_classes_are_over_their_voxels(dtype, channels):
    array = np.random.default_rng(1).integers(-300, 1500, (*channels, 4, 5, 6)).astype(dtype)
    grid = Grid((6, 5, 4))
    regions = np.random.default_rng(2).random((2, 4, 5, 6)) > 0.8
    case = Case(
        sample_id="s",
        patient_id="p",
        images={"MR": Volume(array, grid)},
        mask=Mask(regions, grid, ("a", "b")),
    )
    taken = array[..., regions.any(axis=0)].astype(np.float64)
    found = Normalize(image="MR", rule=ZScore(kind="zscore", region="mask"))(case).images["MR"].normalization
    assert (found.subtract, found.divide) == pytest.approx((taken.mean(), taken.std()))
    rule = Percentile(kind="percentile", lower=5, upper=90, region="mask")
    found = Normalize(image="MR", rule=rule)(case).images["MR"].normalization
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(taken, [5, 90])))


def test_statistics_of_classes_without_a_voxel_are_found_and_without_a_mask_refused():
    case, grid = case_of(values()), Grid((6, 5, 4))
    rule = ZScore(kind="zscore", region="mask")
    empty = replace(case, mask=Mask(np.zeros((1, 4, 5, 6), bool), grid, ("a",)))
    assert [f.code for f in Normalize(image="MR", rule=rule)(empty).all_findings()] == ["constant_image"]
    with pytest.raises(ValueError, match="needs one on the grid of the image"):
        Normalize(image="MR", rule=rule)(case)


def test_none_takes_away_what_was_there():
    case = Normalize(image="MR", rule=Scale(kind="scale", divide=2))(case_of(values()))
    assert Normalize(image="MR", rule=Unchanged())(case).images["MR"].normalization is None


@pytest.mark.parametrize(
    "rule", [ZScore(kind="zscore"), Percentile(kind="percentile"), ZScore(kind="zscore", region="nonzero")]
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_is_shifted_and_found(rule, dtype, value):
    case = Normalize(image="MR", rule=rule)(case_of(np.full((2, 3, 4), value, dtype)))
    image = case.images["MR"]
    assert image.normalization == Normalization(subtract=value, divide=1)
    assert [finding.code for finding in image.findings] == ["constant_image"]


def test_the_constants_are_in_the_provenance():
    case = Normalize(image="MR", rule=Window(kind="window", low=0, high=10))(case_of(values()))
    assert case.provenance == (
        {
            "step": "Normalize",
            "image": "MR",
            "rule": {"kind": "window", "low": 0.0, "high": 10.0},
            "constants": {"low": 0.0, "high": 10.0, "subtract": 0.0, "divide": 10.0},
        },
    )


def test_an_absent_image_is_named():
    with pytest.raises(ValueError, match="no image 'CT'; there are MR"):
        Normalize(image="CT", rule=Unchanged())(case_of(values()))
