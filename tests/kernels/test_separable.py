"""The separable loops against the same arithmetic in NumPy, bit for bit: stores made before stay what they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config

from medimagenet.kernels import separable
from medimagenet.kernels.resample import resample

steps = st.floats(0.05, 2.6) | st.floats(-2.6, -0.05) | st.just(1.0)
lengths = st.integers(1, 40 if not config.DISABLE_JIT else 20)  # more than two strips
axes = st.tuples(st.integers(1, 9), steps, st.floats(-5.0, 12.0), lengths)


def neighbours(n, step, offset, count):
    """Lower and upper neighbour, weight of the upper, nearest and whether it lies inside: one axis."""
    index = offset + step * np.arange(count)
    clamped = np.clip(index, 0, n - 1)
    below = np.minimum(np.floor(clamped), max(n - 2, 0)).astype(int)
    nearest = np.clip(np.floor(index + 0.5), 0, n - 1).astype(int)
    return below, np.minimum(below + 1, n - 1), clamped - below, nearest, (index >= -0.5) & (index < n - 0.5)


def along(values, axis, below, above, weight):
    """Blend along one axis in the type of `values`."""
    near, far = values.take(below, axis), values.take(above, axis)
    shape = [1, 1, 1]
    shape[axis] = -1
    return near + weight.astype(values.dtype).reshape(shape) * (far - near)


def expected(source, tables, interpolation, fill):
    inside = np.ix_(*(table[4] for table in tables))
    out = np.full([len(table[0]) for table in tables], fill, source.dtype)
    if interpolation == "nearest":
        values = source[np.ix_(*(table[3] for table in tables))]
    else:
        values = source.astype(np.float64 if source.dtype in (np.int32, np.float64) else np.float32)
        for axis, (below, above, weight, _, _) in enumerate(tables):
            values = along(values, axis, below, above, weight)
        values = np.rint(values) if source.dtype.kind in "ui" else values
    out[inside] = values[inside].astype(source.dtype)
    return out


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
@settings(deadline=None, max_examples=40 if not config.DISABLE_JIT else 6)
@given(st.tuples(axes, axes, axes), st.integers(0, 9))
def test_every_bit_is_that_of_the_formula(interpolation, dtype, case, seed):
    shape = [n for n, *_ in case]
    source = np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)
    source = source / dtype(3) if dtype == np.float32 else source
    matrix, offset = np.diag([step for _, step, _, _ in case]), [start for _, _, start, _ in case]
    counts = tuple(count for *_, count in case)
    ours = resample(source, matrix, offset, counts, interpolation=interpolation, border="constant", fill=7)
    np.testing.assert_array_equal(ours, expected(source, [neighbours(*axis) for axis in case], interpolation, 7))


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
def test_twins_of_one_body_keep_their_code_apart_on_disk():
    serial, parallel = separable.linear._cache._cache_file, separable.linear_parallel._cache._cache_file
    assert serial._index_path != parallel._index_path
