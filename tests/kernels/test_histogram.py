"""Histograms against NumPy, percentiles of them against numpy.percentile."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medimagenet.kernels.histogram import percentiles_of_counts, value_counts

ALL = np.zeros(0, dtype=bool)


def by_numpy(values):
    limits = np.iinfo(values.dtype)
    return np.bincount(values.astype(np.int64) - limits.min, minlength=limits.max - limits.min + 1)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("first", [0, 1])  # the second begins between two words
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_each_value_is_counted(dtype, first, parts):
    limits = np.iinfo(dtype)
    values = np.random.default_rng(5).integers(limits.min, limits.max, 3001, dtype=dtype, endpoint=True)[first:]
    values[100:900] = limits.min  # runs, as of air
    values[1000:1010] = limits.max
    np.testing.assert_array_equal(value_counts(values, ALL, parts=parts), by_numpy(values))


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 40), elements=st.integers(-2, 2)), st.integers(1, 4))
def test_few_values_and_runs_of_them(values, parts):
    np.testing.assert_array_equal(value_counts(values, ALL, parts=parts), by_numpy(values))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_what_is_not_asked_for_is_not_counted(dtype):
    values = np.random.default_rng(6).integers(0, 9, 500).astype(dtype)
    chosen = np.random.default_rng(7).random(500) < 0.5
    for parts in (1, 2):
        np.testing.assert_array_equal(value_counts(values, chosen, parts=parts), by_numpy(values[chosen]))
        found = value_counts(values, chosen, nonzero=True, parts=parts)
        np.testing.assert_array_equal(found, by_numpy(values[chosen & (values != 0)]))
    np.testing.assert_array_equal(value_counts(values, ALL, nonzero=True), by_numpy(values[values != 0]))


def test_percentiles_of_counts():
    values = np.random.default_rng(8).integers(-50, 90, 1000)
    counts = np.bincount(values + 50)
    asked = [0, 0.5, 33.3, 50, 99.5, 100]
    np.testing.assert_allclose(percentiles_of_counts(counts, -50, asked), np.percentile(values, asked), rtol=1e-12)
    assert np.isnan(percentiles_of_counts(np.zeros(4, dtype=np.int64), 0, [50])).all()
