"""Shards as we write them, read by zarr-python, and compared with those that it writes."""

import hashlib

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medimagenet.store import StoreConfig
from medimagenet.store.shards import write_array

arrays = st.tuples(st.integers(1, 3), *[st.integers(1, 20)] * 3)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays,
    st.integers(3, 9),
    st.sampled_from(["blosc-lz4", "blosc-zstd", "none"]),
    st.sampled_from(["u1", "i2", "f4", "f8", "u4"]),
    st.sampled_from([1 << 30, 4000]),
    st.integers(0, 2**32),
)
def test_zarr_python_reads_what_was_written(tmp_path_factory, shape, chunk, codec, dtype, limit, seed):
    generator = np.random.default_rng(seed)
    array = generator.integers(0, 255, shape).astype(dtype)
    array[:, : shape[1] // 2] = 7  # chunks of the fill value and others
    folder = tmp_path_factory.mktemp("array") / "0"
    write_array(folder, array, StoreConfig(chunk=chunk, codec=codec, shard_limit_bytes=limit), fill=7)
    found = zarr.open_array(folder, mode="r")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found[...], array)


@pytest.mark.parametrize("codec", ["blosc-lz4", "blosc-zstd", "none"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_tensorstore_reads_what_was_written(tmp_path, codec, dtype):
    """Another implementation of Zarr and of Blosc; whole blocks, and chunks of an odd number of voxels."""
    for number, shape in enumerate([(2, 40, 33, 70), (1, 5, 3, 7)]):
        array = np.random.default_rng(number).normal(100, 20, shape).astype(dtype)
        array[:, : shape[1] // 2] = 3
        folder = tmp_path / str(number)
        write_array(folder, array, StoreConfig(codec=codec), fill=3)
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}
        np.testing.assert_array_equal(tensorstore.open(spec, read=True).result().read().result(), array)


def test_chunks_of_the_fill_value_take_no_bytes(tmp_path):
    write_array(tmp_path / "0", np.full((1, 8, 8, 8), -3, dtype=np.int16), StoreConfig(chunk=4), fill=-3)
    assert (tmp_path / "0/c/0/0/0/0").stat().st_size == 8 * 16 + 4  # the index alone, but there
    assert (zarr.open_array(tmp_path / "0", mode="r")[...] == -3).all()


def test_minus_zero_is_not_taken_for_the_fill_value(tmp_path):
    array = np.full((1, 4, 4, 4), -0.0, dtype=np.float32)
    write_array(tmp_path / "0", array, StoreConfig(chunk=4), fill=0.0)
    assert np.signbit(zarr.open_array(tmp_path / "0", mode="r")[...]).all()


def test_nan_survives_bit_by_bit(tmp_path):
    bits = np.array([0x7FC00000, 0x7FC12345, 0xFFC00000, 0x7F800000], dtype=np.uint32)
    array = np.tile(bits, 16).view(np.float32).reshape(1, 4, 4, 4)
    write_array(tmp_path / "0", array, StoreConfig(chunk=4))
    assert zarr.open_array(tmp_path / "0", mode="r")[...].tobytes() == array.tobytes()


def test_points_are_one_chunk_even_when_there_are_none(tmp_path):
    for n in (0, 1, 100):
        points = np.arange(3 * n, dtype=np.int32).reshape(n, 3)
        write_array(tmp_path / str(n), points, StoreConfig(), dimension_names=("point", "axis"))
        np.testing.assert_array_equal(zarr.open_array(tmp_path / str(n), mode="r")[...], points)


def test_other_byte_orders_and_strides_make_the_same_files(tmp_path):
    array = np.random.default_rng(0).integers(-9, 9, (2, 5, 6, 7)).astype("<i2")
    hashes = set()
    for name, one in {"a": array, "b": array.astype(">i2"), "c": np.asfortranarray(array)}.items():
        write_array(tmp_path / name, one, StoreConfig(chunk=4))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        hashes.add(tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files))
    assert len(hashes) == 1


def test_a_folder_that_exists_is_not_overwritten(tmp_path):
    (tmp_path / "0").mkdir()
    with pytest.raises(FileExistsError):
        write_array(tmp_path / "0", np.zeros((1, 2, 2, 2), dtype=np.uint8), StoreConfig())
