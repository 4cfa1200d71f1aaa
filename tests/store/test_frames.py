"""Blosc chunks as we write them: decoded by numcodecs (c-blosc 1), by HDF5's plugin and by Blosc 2."""

import ctypes

import h5py
import hdf5plugin
import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.store.blosc import blosc_library
from medimagenet.store.frames import can_encode, encode


def block(voxels, dtype, seed, *, noisy):
    """Noise on all bits, which does not compress, or a few values."""
    generator = np.random.default_rng(seed)
    if noisy:
        return generator.integers(0, 256, voxels * np.dtype(dtype).itemsize, dtype=np.uint8).view(dtype)
    return generator.integers(0, 3, voxels).astype(dtype)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 400),
    st.integers(1, 100),
    st.sampled_from(["u1", "i2", "f4", "f8"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_others_decode_it(eighths, block_eighths, dtype, noisy, bitshuffle, seed):
    voxels = block(8 * eighths, dtype, seed, noisy=noisy)
    blocksize = 8 * min(eighths, block_eighths) * voxels.itemsize
    frame = encode(voxels, blocksize, bitshuffle=bitshuffle)
    assert len(frame) <= voxels.nbytes + 16
    assert numcodecs.blosc.decompress(frame) == voxels.tobytes()
    goal = ctypes.create_string_buffer(voxels.nbytes)
    assert blosc_library().handle.blosc1_decompress(frame, goal, voxels.nbytes) == voxels.nbytes
    assert goal.raw == voxels.tobytes()


def test_it_is_smaller_where_voxels_are_alike():
    voxels = np.random.default_rng(0).normal(0, 30, 32**3).astype(np.int16)
    frame = encode(voxels, 8192, bitshuffle=True)
    judge = numcodecs.blosc.compress(voxels, b"lz4", 5, 2, 0)
    assert len(frame) < 1.03 * len(judge)
    assert len(encode(np.zeros(32**3, dtype=np.int16), 8192, bitshuffle=True)) < 1000


def test_the_header_says_what_is_inside():
    frame = encode(np.zeros(4096, dtype=np.int16), 2048, bitshuffle=True)
    sizes = [ctypes.c_int32() for _ in range(3)]
    blosc_library().handle.blosc2_cbuffer_sizes(frame, *map(ctypes.byref, sizes))
    assert [size.value for size in sizes] == [8192, len(frame), 2048]


def test_equal_input_gives_equal_bytes():
    voxels = block(4096, "i2", 5, noisy=False)
    assert encode(voxels, 1024, bitshuffle=True) == encode(voxels.copy(), 1024, bitshuffle=True)


@pytest.mark.parametrize(
    ("size", "blocksize", "typesize", "fits"), [(64, 32, 2, True), (64, 24, 2, False), (60, 32, 2, False)]
)
def test_only_eights_of_voxels(size, blocksize, typesize, fits):
    assert can_encode(size, blocksize, typesize) is fits


def test_hdf5_reads_it_through_its_plugin(tmp_path):
    """As a chunk that was written by somebody else's filter."""
    voxels = block(32**3, "i2", 1, noisy=False).reshape(32, 32, 32)
    with h5py.File(tmp_path / "one.h5", "w") as file:
        made = file.create_dataset("0", (32,) * 3, "i2", chunks=(32,) * 3, **hdf5plugin.Blosc("lz4", shuffle=2))
        made.id.write_direct_chunk((0, 0, 0), encode(voxels, 8192, bitshuffle=True))
    with h5py.File(tmp_path / "one.h5") as file:
        np.testing.assert_array_equal(file["0"][...], voxels)
