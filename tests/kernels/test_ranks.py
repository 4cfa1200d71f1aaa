"""Percentiles of 32-bit numbers against numpy.percentile, which sorts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medimagenet.kernels.ranks import ranked_values

ALL = np.zeros(0, dtype=bool)
Q = [0, 0.5, 12.5, 50, 66.6, 99.5, 100]


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.lists(st.floats(0, 100), min_size=1, max_size=5),
)
def test_floats_as_numpy_to_the_last_bit(values, q):
    assert ranked_values(values, ALL, q) == np.percentile(values.astype(np.float64), q).tolist()


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.float32])
def test_what_counts(dtype, parts):
    random = np.random.default_rng(0)
    values = random.integers(-(2**31) if dtype == np.int32 else 0, 2**31, 5001).astype(dtype)
    values[::7] = 0
    chosen = random.random(len(values)) < 0.3
    taken = values[chosen & (values != 0)].astype(np.float64)
    found = ranked_values(values, chosen, Q, nonzero=True, parts=parts)
    assert found == np.percentile(taken, Q).tolist()


def test_nan_and_infinity_do_not_count():
    values = np.array([np.nan, 1, -np.inf, 3, np.inf, -2, -np.nan], dtype=np.float32)
    assert ranked_values(values, ALL, [0, 50, 100]) == [-2, 1, 3]


def test_more_bins_than_are_looked_into_at_once():
    values = (np.float32(2) ** np.arange(-60, 60, dtype=np.float32)) * np.float32(1.0001)
    q = np.linspace(0, 100, 101).tolist()
    assert ranked_values(values, ALL, q) == np.percentile(values.astype(np.float64), q).tolist()


def test_nothing_has_no_percentiles():
    assert np.isnan(ranked_values(np.full(3, np.nan, np.float32), ALL, [50])).all()
