"""Our reader against zarr-python: equal bit for bit, on its arrays and on ours; and damage, which must be an error."""

import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec

from medimagenet.errors import StoreDamagedError
from medimagenet.kernels.crop import in_source_order
from medimagenet.store import open_store
from medimagenet.store.reader import ShardedArray
from medimagenet.store.zarr_form import ZarrChunks

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8", "?"]
CODECS = ("blosc-lz4", "blosc-zstd", "none")
WIDE = "wide"
CNAMES = ["lz4", "lz4hc", "zstd", "zlib", "blosclz"]


@st.composite
def layouts(draw):
    """An array of up to four axes, some values constant, and a way to store it."""
    ndim = draw(st.integers(1, 4))
    chunk = tuple(draw(st.integers(1, 7)) for _ in range(ndim))
    shape = tuple(draw(st.integers(1, 20)) for _ in range(ndim))
    shard = tuple(c * draw(st.integers(1, 4)) for c in chunk) if draw(st.booleans()) else None
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = generator.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8)  # any bits, nan and -0.0 among them
    array = (values[..., 0] > 127) if dtype.kind == "b" else values.view(dtype)[..., 0]
    fill = draw(st.sampled_from([0, 1] if dtype.kind in "b" else [0, 1, 100]))
    array[tuple(slice(0, draw(st.integers(0, n))) for n in shape)] = fill
    codec = None
    if draw(st.booleans()):
        shuffle = draw(st.sampled_from(["bitshuffle", "shuffle", "noshuffle"]))
        codec = BloscCodec(cname=draw(st.sampled_from(CNAMES)), shuffle=shuffle, typesize=dtype.itemsize)
    box = [sorted((draw(st.integers(0, n - 1)), draw(st.integers(1, n)))) for n in shape]
    box = [(a, b) if a < b else (a, a + 1) for a, b in box]
    return array, {"chunks": chunk, "shards": shard, "compressors": codec, "fill_value": fill}, box


ODD_BLOCK = {
    "chunks": (3, 5, 5),  # 75 voxels, which are not whole eights: versions of bitshuffle differ in what remains
    "shards": None,
    "compressors": BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=2),
    "fill_value": 0,
}


@SLOW
@given(layouts())
@example((np.array([[[33375]]], dtype=np.uint16), ODD_BLOCK, [(0, 1)] * 3))
def test_equals_zarr_python_on_its_own_arrays(tmp_path, layout):
    array, how, box = layout
    stored = zarr.create_array(
        tmp_path, shape=array.shape, dtype=array.dtype, filters=None, overwrite=True, config=EMPTY, **how
    )
    stored[...] = array
    expected = stored[tuple(slice(a, b) for a, b in box)]
    found = np.empty(expected.shape, dtype=array.dtype)
    ShardedArray(ZarrChunks(tmp_path, "array"), "array").read_box([a for a, _ in box], [b for _, b in box], found)
    assert found.tobytes() == expected.tobytes()


EMPTY = {"write_empty_chunks": True}  # else zarr leaves out a whole file, which a store of ours never lacks


@pytest.fixture(scope="module")
def volume(tmp_path_factory, tools):
    """A store of one sample in each codec, its chunks 8³, several shards; and what zarr-python reads from it."""
    made = {}
    for codec in (*CODECS, WIDE):
        config = {"codec": codec, "shard_limit_bytes": 9000}
        if codec == WIDE:  # chunks of 16³ in blocks of two planes, which are put together without the library
            config = {"chunk": 16, "block_bytes": 1024}
        path = tools.write(tmp_path_factory.mktemp("volume") / "s.zarr", ("p1",), **config)
        group = zarr.open_group(path / "samples/p1", mode="r")
        made[codec] = open_store(path), {name: group[f"{name}/0"] for name in ("image", "label", "dose")}
    return made


@SLOW
@given(st.data(), st.sampled_from([*CODECS, WIDE]), st.sampled_from(["image", "label", "dose"]))
def test_equals_zarr_python_on_our_arrays(volume, data, codec, name):
    store, judge = volume[codec]
    reader = store.array("p1", name)
    start = [data.draw(st.integers(0, n - 1)) for n in reader.shape[1:]]
    shape = [data.draw(st.integers(1, n - a)) for n, a in zip(reader.shape[1:], start, strict=True)]
    expected = judge[name][(slice(None), *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))]
    found = reader.read(start, shape)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


def test_several_shards_are_several_files(volume):
    store, judge = volume["blosc-lz4"]
    assert judge["image"].nchunks > 1
    np.testing.assert_array_equal(store.array("p1").read(), judge["image"][...])


def test_reads_into_a_part_of_a_larger_array(volume):
    """The caller's array may have any strides but along its last axis, and nothing beside the box is touched."""
    store, judge = volume["blosc-lz4"]
    batch = np.full((3, 9, 2, 11, 40), -7, dtype=np.int16)
    target = batch.transpose(1, 2, 0, 3, 4)[4, :1, :, 2:10:2, 5:25]
    store.array("p1").read((1, 2, 3), target.shape[1:], out=target)
    expected = np.full_like(batch, -7)
    expected.transpose(1, 2, 0, 3, 4)[4, :1, :, 2:10:2, 5:25] = judge["image"][:, 1:4, 2:6, 3:23]
    np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize(
    "out",
    [
        np.empty((1, 2, 2, 2), dtype=np.float32),
        np.empty((1, 2, 2, 3), dtype=np.int16),
        np.empty((2, 2, 2), dtype=np.int16),
        np.empty((1, 2, 2, 4), dtype=np.int16)[..., ::2],
        np.broadcast_to(np.int16(0), (1, 2, 2, 2)),
    ],
    ids=["dtype", "shape", "axes", "strides", "read-only"],
)
def test_an_array_that_does_not_fit_is_refused(volume, out):
    with pytest.raises(ValueError, match="out must be") as error:
        volume["none"][0].array("p1").read((0, 0, 0), (2, 2, 2), out=out)
    assert str(out.shape) in str(error.value)


@pytest.mark.parametrize(
    ("start", "shape"),
    [((-1, 0, 0), (2, 2, 2)), ((0, 0, 0), (2, 0, 2)), ((19, 0, 0), (2, 1, 1)), ((0, 0, 30), (1, 1, 1))],
)
def test_a_box_outside_is_refused(volume, start, shape):
    with pytest.raises(ValueError, match="not inside") as error:
        volume["none"][0].array("p1").read(start, shape)
    assert str(shape) in str(error.value)
    assert str(start) in str(error.value)


def test_what_a_reader_knows(volume, tools):
    store, _ = volume["blosc-lz4"]
    image, label = store.array("p1"), store.array("p1", "label")
    assert image.shape == (1, *tools.grid.shape)
    assert image.dtype == np.int16
    assert image.grid == image.source_grid == tools.grid
    assert image.normalization is not None
    assert (image.normalization.low, image.normalization.divide) == (-160, 200)
    assert image.crop is None
    assert label.crop == ((1, 2, 3), tools.grid.size)
    assert label.normalization is None
    assert label.source_grid is None


def test_threads_read_what_one_thread_reads(volume):
    store, judge = volume["blosc-lz4"]
    expected = judge["image"][...]
    generator = np.random.default_rng(0)
    starts = [tuple(int(generator.integers(0, n - 8)) for n in expected.shape[1:]) for _ in range(400)]

    def read(start):
        z, y, x = start
        return np.array_equal(store.array("p1").read(start, (8, 8, 8)), expected[:, z : z + 8, y : y + 8, x : x + 8])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, starts))


def test_no_descriptor_and_no_context_is_left_behind(volume):
    store, _ = volume["blosc-lz4"]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        worker = threading.Thread(target=store.array("p1").read)
        worker.start()
        worker.join()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_forked_child_reads_and_a_pickled_store_opens(volume):
    store, judge = volume["blosc-lz4"]
    store.array("p1").read()  # the parent has its context by now
    child = os.fork()
    if child == 0:
        is_right = np.array_equal(store.array("p1").read(), judge["image"][...])
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.array("p1").read(), judge["image"][...])


# damage


@pytest.fixture(params=["blosc-lz4", "none", WIDE])
def damaged(request, tmp_path, volume):
    """A copy of the store, and the file of its image's first shard."""
    path = tmp_path / "s.zarr"
    shutil.copytree(volume[request.param][0].path, path)
    return path, path / "samples/p1/image/0/c/0/0/0/0"


def test_a_file_cut_anywhere_is_an_error_that_names_the_sample(damaged):
    path, shard = damaged
    whole = shard.read_bytes()
    for size in [0, 1, 3, len(whole) // 3, len(whole) - 20, len(whole) - 4, len(whole) - 1]:
        shard.write_bytes(whole[:size])
        with pytest.raises(StoreDamagedError, match="sample p1, array image"):
            open_store(path).array("p1").read()


def test_a_file_cut_while_it_is_open_is_an_error(damaged):
    path, shard = damaged
    reader = open_store(path).array("p1")
    reader.read()
    os.truncate(shard, 100)
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: chunk .* is cut off"):
        reader.read()


def test_a_missing_file_is_an_error(damaged):
    path, shard = damaged
    shard.unlink()
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: .* cannot be opened"):
        open_store(path).array("p1").read()


def test_a_flipped_bit_of_the_index_is_an_error(damaged):
    path, shard = damaged
    whole = bytearray(shard.read_bytes())
    for back in (1, 4, 5, 12, 100):
        flipped = bytearray(whole)
        flipped[-back] ^= 4
        shard.write_bytes(flipped)
        with pytest.raises(StoreDamagedError, match="differs from its checksum"):
            open_store(path).array("p1").read()


def test_an_index_that_points_outside_is_an_error(tmp_path):
    """With a right checksum: written by a program that is wrong."""
    sharding = zarr.codecs.ShardingCodec(chunk_shape=(4,), index_codecs=[zarr.codecs.BytesCodec(endian="little")])
    stored = zarr.create(shape=(8,), dtype="i2", chunks=(8,), codecs=[sharding], store=tmp_path, config=EMPTY)
    stored[...] = np.arange(8)
    shard = tmp_path / "c/0"
    whole = shard.read_bytes()
    for wrong in (10**6, -2, 2**62):
        shard.write_bytes(whole[:-32] + np.array([wrong, 8, 0, 8], dtype="<i8").tobytes())
        with pytest.raises(StoreDamagedError, match="points outside"):
            ShardedArray(ZarrChunks(tmp_path, "array"), "array").read_box([0], [8], np.empty(8, dtype="i2"))


def test_random_damage_of_the_chunks_never_kills_the_process(damaged):
    """A decoder must survive any bytes. What it returns may be wrong: that is what `verify` is for."""
    path, shard = damaged
    whole = shard.read_bytes()
    generator = np.random.default_rng(1)
    reader = open_store(path).array("p1")
    reader.read()  # the index is known and right from here on
    outcomes = set()
    for _ in range(300):
        damage = np.frombuffer(whole, dtype=np.uint8).copy()
        at = generator.integers(0, len(whole), int(generator.integers(1, 20)))
        damage[at] = generator.integers(0, 256, at.size)
        if generator.random() < 0.5:
            damage[: 16 * 3] = generator.integers(0, 256, 48)  # the header of the first chunk
        shard.write_bytes(damage.tobytes())
        try:
            reader.read()
            outcomes.add("read")
        except StoreDamagedError as error:
            assert "sample p1, array image" in str(error)
            outcomes.add("refused")
    assert "read" in outcomes


def test_metadata_that_are_gone(damaged):
    path, _ = damaged
    for name in ("samples/p1/image/zarr.json", "samples/p1/image/0/zarr.json"):
        (path / name).rename(path / "away")
        with pytest.raises(StoreDamagedError, match=r"sample p1, array image: its zarr\.json cannot be read"):
            open_store(path).array("p1")
        (path / "away").rename(path / name)
    (path / "samples/p1/image/zarr.json").write_text("{")
    with pytest.raises(StoreDamagedError, match="no JSON"):
        open_store(path).array("p1")


def test_a_path_in_the_message_helps_to_find_the_file(damaged):
    path, shard = damaged
    shard.unlink()
    with pytest.raises(StoreDamagedError) as error:
        open_store(path).array("p1").read()
    assert str(Path(shard)) in str(error.value)


@pytest.fixture(scope="module")
def mostly_background(tmp_path_factory):
    """A label of two organs, its reader: chunks of 8³ of which most are missing."""
    label = np.full((1, 40, 40, 40), 7, dtype=np.uint8)
    label[:, 3:9, 14:30, 20:23] = 1
    label[:, 30:33, 17:20, 2:30] = 2
    folder = tmp_path_factory.mktemp("background")
    zarr.create_array(
        folder, data=label, chunks=(1, 8, 8, 8), shards=label.shape, compressors=None, fill_value=7, overwrite=True
    )
    return label, ShardedArray(ZarrChunks(folder, "label"), "label")


@SLOW
@given(st.data())
def test_a_label_of_which_most_is_background_in_any_order(mostly_background, data):
    """Background is filled past the chunks, sixteen bytes at a time, backwards too, and with what is no multiple."""
    label, array = mostly_background
    start = [data.draw(st.integers(0, 39)) for _ in range(3)]
    box = [data.draw(st.integers(1, 40 - a)) for a in start]
    axes = data.draw(st.permutations(range(3)))
    flips = data.draw(st.tuples(*[st.booleans()] * 3))
    target = np.empty((1, *(box[axis] for axis in axes)), dtype=data.draw(st.sampled_from([np.uint8, np.float32])))
    view = in_source_order(target, axes, flips)
    array.read_scaled((0, *start), (1, *(a + n for a, n in zip(start, box, strict=True))), view, None)
    expected = label[:, *(slice(a, a + n) for a, n in zip(start, box, strict=True))]
    np.testing.assert_array_equal(view, expected)
