"""Intensities against NumPy, and sums against exact integers."""

from fractions import Fraction
from math import fsum, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medimagenet.kernels.intensity import (
    _STREAMED_BYTES,
    BLOCK,
    count_not_finite,
    normalize_into,
    percentiles,
    statistics,
)

SMALL = [np.uint8, np.int8, np.uint16, np.int16]
OTHER = [np.int32, np.float32, np.float64]


def volume(dtype=np.int16, shape=(5, 6, 7)):
    values = np.random.default_rng(3).integers(0, 255 if np.dtype(dtype).itemsize == 1 else 4000, shape)
    offset = 0 if np.dtype(dtype).kind == "u" else 100
    return (values - offset).clip(-128, 127 if dtype == np.int8 else None).astype(dtype)


def chosen(values, mask, nonzero):
    keep = np.isfinite(values)
    keep &= mask if mask is not None else True
    return values[keep & (values != 0) if nonzero else keep]


masks = pytest.mark.parametrize("mask", [None, volume() > 1000], ids=["all", "mask"])
zeros = pytest.mark.parametrize("nonzero", [False, True], ids=["any", "nonzero"])


@masks
@zeros
@pytest.mark.parametrize("dtype", [*SMALL, *OTHER])
def test_statistics_are_those_of_numpy(dtype, mask, nonzero):
    values = volume(dtype)
    values[0] = 0
    taken = chosen(values, mask, nonzero).astype(np.float64)
    found = statistics(values, mask=mask, nonzero=nonzero)
    assert (found.voxels, found.minimum, found.maximum) == (len(taken), taken.min(), taken.max())
    assert found.mean == pytest.approx(taken.mean(), rel=1e-12)
    assert found.std == pytest.approx(taken.std(), rel=1e-12)


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 60)))
def test_statistics_of_whole_numbers_are_exact(values):
    exact = [Fraction(int(value)) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    found = statistics(values)
    assert found.mean == float(mean)
    assert found.std == pytest.approx(float(variance) ** 0.5, rel=1e-14)


def test_the_spread_of_large_values_is_not_lost():
    values = np.array([1e9, 1e9 + 1, 1e9 + 2])
    assert statistics(values).std == pytest.approx((2 / 3) ** 0.5, rel=1e-12)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_large_images_are_summed_to_the_last_digits(dtype, parallel):
    values = np.random.default_rng(2).normal(100, 500, 9 * BLOCK + 77).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values[::97], values[5::101] = np.nan, np.inf
    finite = np.isfinite(values)
    kept = values[finite].astype(np.float64)
    mean = fsum(kept) / len(kept)
    found = statistics(values, parallel=parallel)
    assert found[:4] == (len(kept), (~finite).sum(), kept.min(), kept.max())
    assert found.mean == pytest.approx(mean, rel=1e-15)
    assert found.std == pytest.approx(sqrt(fsum((kept - mean) ** 2) / len(kept)), rel=1e-14)
    assert found == statistics(values, parallel=not parallel)


def test_one_voxel_far_away_does_not_hide_the_spread_of_the_others():
    values = np.full(3 * BLOCK, 1.0, dtype=np.float32)
    values[::2], values[0] = 2.0, 1e9
    others = values[1:].astype(np.float64)
    counted = np.ones(len(values), dtype=bool)
    counted[0] = False
    assert statistics(values, mask=counted).std == pytest.approx(others.std(), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_statistics_of_nothing(dtype):
    found = statistics(np.zeros((2, 2, 2), dtype), nonzero=True)
    assert found.voxels == 0
    assert np.isnan([found.minimum, found.maximum, found.mean, found.std]).all()
    assert np.isnan(percentiles(np.zeros((2, 2, 2), dtype), [0, 50], nonzero=True)).all()


def test_what_is_not_finite_is_counted_and_left_out():
    values = np.array([1.0, np.nan, 3.0, np.inf, -np.inf], np.float32)
    found = statistics(values)
    assert (found.voxels, found.not_finite, found.mean, found.std) == (2, 3, 2.0, 1.0)
    assert count_not_finite(values) == 3
    assert count_not_finite(np.array([1, 2], np.int16)) == 0
    assert percentiles(values, [50]) == [2.0]


@masks
@zeros
@pytest.mark.parametrize("dtype", [*SMALL, *OTHER])
def test_percentiles_are_those_of_numpy(dtype, mask, nonzero):
    values = volume(dtype)
    values[0] = 0
    asked = [0, 0.5, 33.3, 50, 99.5, 100]
    expected = np.percentile(chosen(values, mask, nonzero).astype(np.float64), asked)
    np.testing.assert_allclose(percentiles(values, asked, mask=mask, nonzero=nonzero), expected, rtol=1e-12)


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 40)), st.floats(0, 100))
def test_percentiles_of_few_numbers(values, asked):
    expected = np.percentile(values.astype(np.float64), asked)
    assert percentiles(values, [asked])[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("dtype", [*SMALL, *OTHER])
def test_normalizing_is_what_numpy_does(dtype, parallel):
    values = volume(dtype)
    out = np.empty(values.shape, np.float32)
    normalize_into(out, values, low=10, high=120, subtract=10, divide=110, parallel=parallel)
    expected = (np.clip(values.astype(np.float32), 10, 120) - np.float32(10)) / np.float32(110)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("first", [0, 1, 5])  # into memory that begins anywhere in a cache line
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_large_results_pass_the_caches_and_are_the_same(dtype, first, parallel):
    count = _STREAMED_BYTES // 4 + 37
    values = np.random.default_rng(6).normal(0, 300, count).astype(dtype)
    memory = np.zeros(count + 8, np.float32)
    out = memory[first : first + count]
    normalize_into(out, values, low=-160, high=240, subtract=-160, divide=400, parallel=parallel)
    expected = (np.clip(values.astype(np.float32), -160, 240) - np.float32(-160)) / np.float32(400)
    np.testing.assert_array_equal(out, expected)
    assert not memory[:first].any() and not memory[first + count :].any()


def test_without_constants_it_is_a_cast():
    out = np.empty((5, 6, 7), np.float32)
    normalize_into(out, volume())
    np.testing.assert_array_equal(out, volume())


def test_nan_stays_nan_and_infinity_is_clipped():
    out = np.array([np.nan, np.inf, -np.inf], np.float32)
    normalize_into(out, out, low=-1, high=1)
    np.testing.assert_array_equal(out, np.array([np.nan, 1, -1], np.float32))


@pytest.mark.parametrize(
    "out",
    [np.empty((5, 6, 7)), np.empty((5, 6, 8), np.float32), np.empty((7, 6, 5), np.float32).transpose()],
    ids=["dtype", "shape", "strides"],
)
def test_a_wrong_output_is_named(out):
    with pytest.raises(ValueError, match=r"out must be C-contiguous float32 of shape \(5, 6, 7\), got"):
        normalize_into(out, volume())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"mask \(2,\)"):
        statistics(volume(), mask=np.ones(2, bool))
    with pytest.raises(ValueError, match="101"):
        percentiles(volume(), [101])
