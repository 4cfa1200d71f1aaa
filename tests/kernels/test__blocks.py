"""Sums of whole blocks against those with a choice and against exact integers; what passes the caches against NumPy."""

import numpy as np
import pytest

from medimagenet.kernels._blocks import finite_squares, finite_sums, integer_sums, normalize_past_caches
from medimagenet.kernels._jit import fence, kernel
from medimagenet.kernels._vectors import LANES, block_squares, block_sums

COUNT = 4 * LANES
NOBODY = np.zeros(0, dtype=bool)
_sums, _squares = block_sums(is_masked=False), block_squares(is_masked=False)


@kernel
def with_choice(voxels, mean):
    count, _, total, low, high = _sums(voxels, NOBODY, LANES, COUNT, False)
    return count, total, low, high, _squares(voxels, NOBODY, LANES, COUNT, False, mean)


@kernel
def without(voxels, mean):
    total, low, high = finite_sums(voxels, LANES, COUNT)
    return COUNT, total, low, high, finite_squares(voxels, LANES, COUNT, mean)


@kernel
def whole(voxels):
    return integer_sums(voxels, 0, len(voxels))


@kernel
def written(voxels, address, low, high, subtract, divide):
    normalize_past_caches(voxels, LANES, len(voxels) - LANES, address, low, high, subtract, divide)
    fence()


def voxels_of(dtype, count=COUNT + 2 * LANES):
    if np.dtype(dtype).kind == "f":
        return np.random.default_rng(4).normal(1000, 300, count).astype(dtype)
    limits = np.iinfo(dtype)
    return np.random.default_rng(4).integers(limits.min, limits.max, count, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint32])
def test_sums_are_those_with_a_choice_to_the_last_bit(dtype):
    voxels = voxels_of(dtype)
    assert without(voxels, 500.5) == with_choice(voxels, 500.5)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_not_finite_shows_in_the_sum(broken):
    voxels = voxels_of(np.float32)
    voxels[LANES + 5] = broken
    assert not np.isfinite(without(voxels, 0.0)[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_whole_numbers_are_summed_exactly(dtype):
    limits = np.iinfo(dtype)
    for voxels in (voxels_of(dtype, 4096), np.full(4096, limits.min, dtype), np.full(4096, limits.max, dtype)):
        exact = [int(voxel) for voxel in voxels]
        assert whole(voxels) == (sum(exact), sum(value * value for value in exact), min(exact), max(exact))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64])
def test_what_passes_the_caches_is_what_numpy_computes(dtype):
    voxels = voxels_of(dtype)
    if np.dtype(dtype).kind == "f":
        voxels[LANES + 1 : LANES + 4] = np.nan, np.inf, -np.inf
    low, high, subtract, divide = (np.float32(value) for value in (-160, 1100, 3.7, 0.3))
    memory = np.zeros(len(voxels) + LANES, dtype=np.float32)
    first = -(memory.ctypes.data // 4) % LANES
    written(voxels, memory.ctypes.data + 4 * first, low, high, subtract, divide)
    expected = (np.clip(voxels[LANES:].astype(np.float32), low, high) - subtract) / divide
    np.testing.assert_array_equal(memory[first : first + len(expected)], expected)
    assert not memory[:first].any() and not memory[first + len(expected) :].any()
