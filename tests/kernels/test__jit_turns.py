"""What kernels turn in registers: bits against NumPy's packbits, bytes against a transpose."""

import numpy as np
import pytest

from medimagenet.kernels._jit import address_of, bit_transpose, byte_transpose, copy_16, kernel

_join_bits = bit_transpose()
_turn_bytes = byte_transpose()


@kernel
def join(planes, stride, target, offsets):
    _join_bits(address_of(planes), stride, address_of(target), offsets)


@kernel
def turn(source, source_stride, target, target_stride):
    _turn_bytes(address_of(source), source_stride, address_of(target), target_stride)


@kernel
def copy(source, target):
    copy_16(address_of(target) + 3, address_of(source) + 1)


@pytest.mark.parametrize("stride", [32, 50])
def test_bits_are_put_together(stride):
    voxels = np.random.default_rng(stride).integers(0, 2**16, 256, dtype=np.uint16)
    planes = np.zeros((16, stride), dtype=np.uint8)
    for bit in range(16):
        planes[bit, :32] = np.packbits(voxels >> bit & 1, bitorder="little")
    order = np.random.default_rng(1).permutation(16)
    target = np.zeros((16, 16), dtype=np.uint16)
    join(planes.reshape(-1), stride, target, 32 * order.astype(np.int64))
    np.testing.assert_array_equal(target[order].reshape(-1), voxels)


def test_bytes_are_transposed_between_strides():
    source = np.random.default_rng(0).integers(0, 256, (16, 21), dtype=np.uint8)
    target = np.full((16, 19), 7, dtype=np.uint8)
    turn(source, 21, target, 19)
    np.testing.assert_array_equal(target[:, :16], source[:, :16].T)
    assert (target[:, 16:] == 7).all()


def test_sixteen_bytes_are_copied_and_no_more():
    target = np.zeros(24, dtype=np.uint8)
    copy(np.arange(20, dtype=np.uint8), target)
    np.testing.assert_array_equal(target, [0, 0, 0, *range(1, 17), 0, 0, 0, 0, 0])
