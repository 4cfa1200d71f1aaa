"""The compiled reader: which chunks it touches, what it decodes of each, and what it calls damage."""

import ctypes
import os

import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.store.blosc import BloscContext
from medimagenet.store.decode import BLOSC, CUT, DAMAGED, OK, RAW, read_box

LIBC = ctypes.CDLL(None)
CHUNK, COUNTS = (1, 4, 5, 6), (1, 2, 1, 1)
SIZE = 4 * 5 * 6 * 2
VOXELS = np.random.default_rng(0).integers(-500, 500, (1, 8, 5, 6)).astype(np.int16)


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def read(path, index, start, stop, *, is_blosc, fill=0):
    """Box of a shard of two chunks, as `reader` reads it."""
    context = BloscContext()
    library = context.library
    functions = (
        address(LIBC.pread), address(LIBC.memcpy), library.decompress, library.getitem, context.address,
        library.lz4_decompress, library.bitunshuffle,
    )  # fmt: skip
    out = np.full([b - a for a, b in zip(start, stop, strict=True)], 12345, dtype=np.int16)
    descriptor = os.open(path, os.O_RDONLY)
    layer = np.empty(2 * SIZE, dtype=np.int16)
    try:
        result = read_box(
            descriptor, np.array(index), BLOSC if is_blosc else RAW, COUNTS, CHUNK, start, stop, out, False,
            np.array([0, 0, 0, 1], dtype=np.float32), np.array([fill], dtype=np.int16), layer,
            np.empty(SIZE + 64, dtype=np.uint8), np.empty(2 * SIZE, dtype=np.uint8), functions,
        )  # fmt: skip
    finally:
        os.close(descriptor)
    return result, out


def encode(block, *, cname=b"lz4", shuffle=2, blocksize=0):
    numcodecs.blosc.use_threads = False
    return numcodecs.blosc.compress(np.ascontiguousarray(block), cname, 5, shuffle, blocksize)


boxes = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in VOXELS.shape)).map(
    lambda pairs: (tuple(min(a, b - 1) for a, b in pairs), tuple(b for _, b in pairs))
)


@settings(deadline=None, max_examples=200)
@given(boxes, st.sampled_from([b"lz4", b"zstd", b"zlib"]), st.integers(0, 2), st.sampled_from([0, 32, 64]))
def test_parts_of_chunks_of_any_filter_and_block_size(tmp_path_factory, box, cname, shuffle, blocksize):
    parts = [encode(VOXELS[:, k : k + 4], cname=cname, shuffle=shuffle, blocksize=blocksize) for k in (0, 4)]
    path = tmp_path_factory.getbasetemp() / "shard"
    path.write_bytes(b"".join(parts))
    index = [[0, len(parts[0])], [len(parts[0]), len(parts[1])]]
    result, out = read(path, index, *box, is_blosc=True)
    assert result == (OK, 0)
    np.testing.assert_array_equal(out, VOXELS[tuple(map(slice, *box))])


@settings(deadline=None)
@given(boxes)
def test_a_typesize_that_is_not_the_voxels_is_decoded_whole(tmp_path_factory, box):
    """Typesize 8 for int16: a part that is not a multiple of 8 bytes cannot be asked for by items."""
    parts = [encode(VOXELS[:, k : k + 4].reshape(-1).view(np.int64)) for k in (0, 4)]
    path = tmp_path_factory.getbasetemp() / "shard"
    path.write_bytes(b"".join(parts))
    index = [[0, len(parts[0])], [len(parts[0]), len(parts[1])]]
    result, out = read(path, index, *box, is_blosc=True)
    assert result == (OK, 0)
    np.testing.assert_array_equal(out, VOXELS[tuple(map(slice, *box))])


def test_a_missing_chunk_is_the_fill_value(tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(VOXELS[:, 4:].tobytes())
    result, out = read(path, [[-1, -1], [0, SIZE]], (0, 3, 0, 1), (1, 6, 5, 6), is_blosc=False, fill=-1024)
    assert result == (OK, 0)
    assert (out[:, 0] == -1024).all()
    np.testing.assert_array_equal(out[:, 1:], VOXELS[:, 4:6, :, 1:])


def test_only_the_bytes_of_touched_chunks_are_read(tmp_path):
    """The other chunk is beyond the end of the file, which nobody notices."""
    path = tmp_path / "shard"
    path.write_bytes(VOXELS[:, :4].tobytes())
    index = [[0, SIZE], [10**6, SIZE]]
    assert read(path, index, (0, 0, 0, 0), (1, 4, 5, 6), is_blosc=False)[0] == (OK, 0)
    assert read(path, index, (0, 4, 0, 0), (1, 5, 5, 6), is_blosc=False)[0] == (CUT, 1)


@pytest.mark.parametrize("at", [4, 5, 12, 13, 7, 15])
def test_a_header_of_another_size_is_damage(tmp_path, at):
    whole = bytearray(encode(VOXELS[:, :4]))
    whole[at] ^= 1
    path = tmp_path / "shard"
    path.write_bytes(whole)
    result, _ = read(path, [[0, len(whole)], [-1, -1]], (0, 0, 0, 0), (1, 4, 5, 6), is_blosc=True)
    assert result == (DAMAGED, 0)


@pytest.mark.parametrize("is_blosc", [True, False])
def test_a_chunk_of_a_wrong_length_is_damage(tmp_path, is_blosc):
    path = tmp_path / "shard"
    path.write_bytes(bytes(SIZE))
    assert read(path, [[0, 10], [-1, -1]], (0, 0, 0, 0), (1, 1, 1, 1), is_blosc=is_blosc)[0] == (DAMAGED, 0)
