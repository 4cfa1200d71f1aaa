"""Values against NumPy, and against the published arithmetic."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import ClipPercentile, HistogramMatch, Suv, fit_landmarks
from medimagenet.volume import Case, Volume

GRID = Grid((10, 9, 8))


def image(seed, scale=1.0, shift=0.0, dtype=np.float32):
    values = np.random.default_rng(seed).gamma(3, 20, GRID.shape) * scale + shift
    return Volume(values.astype(dtype), GRID)


def case(volume, name="MR"):
    return Case(sample_id="s", patient_id="p", images={name: volume})


@given(st.integers(0, 100), st.sampled_from([np.float32, np.int16]))
def test_nothing_stays_beyond_the_percentiles(seed, dtype):
    volume = image(seed, dtype=dtype)
    low, high = np.percentile(volume.array.astype(np.float64), [5, 95])
    result = ClipPercentile(image="MR", lower=5, upper=95)(case(volume))
    found = result.images["MR"].array
    assert found.dtype == dtype
    assert found.min() >= low - 1e-3
    assert found.max() <= high + 1e-3
    inside = (volume.array >= np.ceil(low)) & (volume.array <= np.floor(high))
    np.testing.assert_array_equal(found[inside], volume.array[inside])


def test_an_image_that_is_nothing_but_nan_stays():
    volume = Volume(np.full(GRID.shape, np.nan, np.float32), GRID)
    result = ClipPercentile(image="MR")(case(volume))
    assert [finding.code for finding in result.all_findings()] == ["step_not_applied"]


@given(st.floats(0.5, 4.0), st.floats(-50.0, 50.0))
def test_scanners_that_differ_by_scale_and_offset_are_brought_together(scale, shift):
    """Nyul's map takes out every linear difference: the law that it was made for."""
    landmarks = fit_landmarks([image(0), image(1), image(2)])
    step = HistogramMatch(image="MR", landmarks=landmarks)
    one = step(case(image(3))).images["MR"].array
    other = step(case(image(3, scale, shift))).images["MR"].array
    np.testing.assert_allclose(other, one, atol=2e-3)


def test_percentiles_of_the_result_are_the_landmarks():
    landmarks = fit_landmarks([image(0), image(1)], low=10, high=500)
    assert landmarks[0] == pytest.approx(10)
    assert landmarks[-1] == pytest.approx(500)
    result = HistogramMatch(image="MR", landmarks=landmarks)(case(image(5))).images["MR"].array
    ranks = HistogramMatch(image="MR", landmarks=landmarks).percentiles
    np.testing.assert_allclose(np.percentile(result.astype(np.float64), ranks), landmarks, rtol=0.02)


@pytest.mark.parametrize("points", [1, 4, 9])
def test_by_the_landmarks_of_an_image_it_matches_as_simpleitk_does(points):
    """Its filter takes even quantiles between the least and the greatest value; it reads them from a histogram."""
    source, reference = image(3, 2.0, 40.0), image(7)
    ranks = np.linspace(0, 100, points + 2)
    landmarks = np.percentile(reference.array.astype(np.float64), ranks)
    step = HistogramMatch(image="MR", landmarks=tuple(landmarks), percentiles=tuple(ranks))
    wanted = SimpleITK.HistogramMatching(
        source.to_sitk(), reference.to_sitk(), numberOfHistogramLevels=65536, numberOfMatchPoints=points,
        thresholdAtMeanIntensity=False,
    )  # fmt: skip
    found = step(case(source)).images["MR"].array
    np.testing.assert_allclose(found, SimpleITK.GetArrayFromImage(wanted), atol=0.005 * np.ptp(reference.array))


def test_a_constant_image_is_not_matched_and_said():
    flat = Volume(np.ones(GRID.shape, np.float32), GRID)
    result = HistogramMatch(image="MR", landmarks=(0.0, 1.0), percentiles=(1.0, 99.0))(case(flat))
    assert result.images["MR"].array is flat.array
    assert [finding.code for finding in result.all_findings()] == ["step_not_applied"]
    with pytest.raises(ValueError, match="must differ"):
        fit_landmarks([flat])


def test_suv_is_activity_per_injected_activity_and_gram():
    """One half-life after 100 MBq into 80 kg, 625 Bq/ml are 1 g/ml."""
    step = Suv(weight_kg=80, injected_bq=100e6, minutes=109.77)
    activity = Volume(np.full(GRID.shape, 625.0, np.float32), GRID, "Bq/ml")
    result = step(case(activity, "PT"))
    np.testing.assert_allclose(result.images["PT"].array, 1.0, rtol=1e-6)
    assert result.images["PT"].unit == "SUVbw g/ml"
    again = step(result)
    np.testing.assert_array_equal(again.images["PT"].array, result.images["PT"].array)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ClipPercentile(image="MR", lower=60, upper=40), "60"),
        (lambda: HistogramMatch(image="MR", landmarks=(1.0, 2.0)), "2 and 11"),
        (lambda: HistogramMatch(image="MR", landmarks=(2.0, 1.0), percentiles=(1.0, 99.0)), "must rise"),
        (lambda: fit_landmarks([]), "at least one image"),
        (lambda: Suv(weight_kg=0, injected_bq=1, minutes=0), "weight_kg=0"),
        (lambda: Suv(weight_kg=1, injected_bq=1, minutes=0)(case(Volume(image(0).array, GRID, "HU"), "PT")), "in HU"),
    ],
)
def test_wrong_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
