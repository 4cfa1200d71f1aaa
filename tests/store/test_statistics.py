"""Statistics against NumPy in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medimagenet.store.statistics import PERCENTILES, statistics

shapes = st.tuples(st.integers(1, 2), *[st.integers(1, 5)] * 3)


def judge(array):
    values = array[np.isfinite(array)].astype(np.float64)
    return [values.min(), values.max(), values.mean(), values.std(), *np.percentile(values, PERCENTILES)]


def figures(found):
    return [found["min"], found["max"], found["mean"], found["std"], *found["percentiles"]]


@given(arrays(st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.uint32]), shapes))
def test_integers(array):
    np.testing.assert_allclose(figures(statistics(array)), judge(array), rtol=1e-9, atol=1e-9)
    assert statistics(array)["not_finite"] == 0


@given(arrays(np.float32, shapes, elements=st.floats(-1e6, 1e6, width=32)))
def test_floats(array):
    np.testing.assert_allclose(figures(statistics(array)), judge(array), rtol=1e-9, atol=1e-9)


def test_voxels_that_are_not_finite_are_counted_and_left_out():
    array = np.array([1, 2, np.nan, np.inf, -np.inf, 3], dtype=np.float32).reshape(1, 1, 2, 3)
    found = statistics(array)
    assert found["not_finite"] == 3
    assert (found["min"], found["max"], found["mean"]) == (1, 3, 2)


def test_nothing_finite():
    found = statistics(np.full((1, 1, 1, 2), np.nan, dtype=np.float32))
    assert found == {**dict.fromkeys(("min", "max", "mean", "std", "percentiles")), "not_finite": 2}


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_constant_image_has_no_deviation(dtype):
    found = statistics(np.full((1, 3, 3, 3), 7, dtype=dtype))
    assert figures(found) == [7, 7, 7, 0, *[7] * len(PERCENTILES)]
