"""crop against NumPy: slicing a padded array, transposing, flipping, and its own arithmetic in float32."""

from itertools import permutations, product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.kernels.crop import crop

ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]
SHAPE = (2, 7, 19, 5)
DTYPES = [np.int16, np.uint16, np.uint8, np.int8, np.int32, np.float32, np.float64]


def volume(dtype=np.int16, shape=SHAPE, seed=0):
    random = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, endpoint=True, dtype=dtype)
    return random.normal(scale=100, size=shape).astype(dtype)


def crop_with_numpy(source, start, size, axes, flips, pad):
    """Pad far enough on all sides, slice, turn."""
    margin = max(max(map(abs, start)) + max(size), *source.shape) + 1
    padded = np.pad(source, [(0, 0)] + [(margin, margin)] * 3, constant_values=pad)
    box = padded[(slice(None), *(slice(s + margin, s + margin + n) for s, n in zip(start, size, strict=True)))]
    turned = box.transpose(0, *(1 + axis for axis in axes))
    return turned[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in flips))]


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_every_order_of_axes(axes, flips):
    source, start, size = volume(), (1, -3, 2), (6, 18, 5)
    target = np.empty((2, *(size[axis] for axis in axes)), dtype=np.float32)
    crop(source, start, target, axes=axes, flips=flips, pad=-7)
    np.testing.assert_array_equal(target, crop_with_numpy(source, start, size, axes, flips, -7))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_copied_exactly(dtype, axes):
    source = volume(dtype)
    size = tuple(SHAPE[1 + axis] for axis in axes)
    target = np.empty((2, *size), dtype=dtype)
    crop(source, (0, 0, 0), target, axes=axes)
    np.testing.assert_array_equal(target, source.transpose(0, *(1 + axis for axis in axes)))


@pytest.mark.parametrize("size", [(48, 32, 16), (35, 33, 37)], ids=["whole blocks", "blocks and rests"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_blocks_that_are_turned_in_registers(dtype, size):
    """In memory that begins at a cache line, where they are streamed, and in memory that does not."""
    source = volume(dtype, (2, 50, 51, 52), seed=1)
    memory = np.empty(2 * 37**3 * 10, dtype=np.uint8)
    for shift, (axes, flips) in product((0, 4), ORDERS):
        shape = (2, *(size[axis] for axis in axes))
        begin = -memory.ctypes.data % 64 + shift * np.dtype(dtype).itemsize
        target = memory[begin : begin + np.prod(shape) * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
        crop(source, (2, 18, 15), target, axes=axes, flips=flips)
        np.testing.assert_array_equal(target, crop_with_numpy(source, (2, 18, 15), size, axes, flips, 0))


boxes = st.tuples(*[st.tuples(st.integers(-25, 25), st.integers(1, 24)) for _ in range(3)])


@settings(deadline=None, max_examples=300)
@given(boxes, st.sampled_from(ORDERS), st.sampled_from([np.float32, np.int16]))
def test_any_box_is_what_numpy_cuts(box, order, dtype):
    source = volume()
    start, size = zip(*box, strict=True)
    axes, flips = order
    target = np.full((2, *(size[axis] for axis in axes)), 99, dtype=dtype)
    crop(source, start, target, axes=axes, flips=flips, pad=3)
    np.testing.assert_array_equal(target, crop_with_numpy(source, start, size, axes, flips, 3))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_normalised_as_numpy_does_in_float32(dtype, axes):
    source, start, size = volume(dtype), (-1, 2, 0), (9, 11, 5)
    f = np.float32
    expected = (np.clip(source.astype(f), f(-50.5), f(120)) - f(30.25)) / f(77.7)
    target = np.empty((2, *(size[axis] for axis in axes)), dtype=f)
    crop(source, start, target, axes=axes, clip=(-50.5, 120), subtract=30.25, divide=77.7, pad=0)
    np.testing.assert_array_equal(target, crop_with_numpy(expected, start, size, axes, (False,) * 3, 0))


def test_nan_stays_nan_and_infinity_is_clipped():
    source = np.array([np.nan, -np.inf, np.inf, 1.0], dtype=np.float32).reshape(1, 1, 1, 4)
    target = np.empty_like(source)
    crop(source, (0, 0, 0), target, clip=(-2, 2), subtract=1, divide=2)
    np.testing.assert_array_equal(target.ravel(), np.array([np.nan, -1.5, 0.5, 0], dtype=np.float32))


def test_one_side_of_the_clip_may_be_open():
    source = np.array([-5, 5], dtype=np.int16).reshape(1, 1, 1, 2)
    target = np.empty((1, 1, 1, 2), dtype=np.float32)
    crop(source, (0, 0, 0), target, clip=(-inf, 1))
    assert target.ravel().tolist() == [-5, 1]


def test_a_strided_source_and_target():
    source = volume(shape=(1, 12, 14, 16))[:, ::2, ::-1, 3:]
    store = np.full((1, 40, 40, 40), -1, dtype=np.float32)
    target = store[:, 1:7, 2:30:2, 5:18]
    crop(source, (0, 0, 0), target)
    np.testing.assert_array_equal(target, source)
    assert np.count_nonzero(store != -1) <= source.size  # nothing beside the target was written


def test_wrong_arguments_are_named():
    source = volume()
    with pytest.raises(ValueError, match=r"equal channels, got \(2, 7, 19, 5\) and \(1, 2, 2, 2\)"):
        crop(source, (0, 0, 0), np.empty((1, 2, 2, 2), dtype=np.float32))
    with pytest.raises(ValueError, match=r"axes must name each of 0, 1, 2 once, got \(0, 0, 2\)"):
        crop(source, (0, 0, 0), np.empty((2, 2, 2, 2), dtype=np.float32), axes=(0, 0, 2))
    with pytest.raises(ValueError, match="floating target, got uint8"):
        crop(source, (0, 0, 0), np.empty((2, 2, 2, 2), dtype=np.uint8), divide=2)
