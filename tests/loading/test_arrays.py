"""Boxes of stored arrays against the arrays that were stored, sliced, padded and turned by NumPy."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.errors import StoreError
from medimagenet.geometry import Grid
from medimagenet.loading.arrays import Samples, aligned, item_dtype
from medimagenet.store import SampleData, StoredArray, create_store, open_store
from medimagenet.volume import Normalization

FAR = 80  # past any box, which may lie outside on all sides
starts = st.tuples(*[st.integers(-25, 45)] * 3)
sizes = st.tuples(*[st.integers(1, 30)] * 3)


def judge(array, start, turn, shape, pad):
    """The same box of the whole array by NumPy: pad far on all sides, slice (x, y, z), turn."""
    padded = np.pad(array, [(0, 0)] + [(FAR, FAR)] * 3, constant_values=pad)
    x, y, z = (slice(s + FAR, s + FAR + n) for s, n in zip(start, turn.to_grid_order(shape), strict=True))
    box = padded[:, z, y, x].transpose(0, *(1 + axis for axis in turn.array_axes))
    return box[(slice(None), *(slice(None, None, -1 if flip else 1) for flip in turn.flips))]


def normalised(image):
    f = np.float32
    return (np.clip(image.astype(f), f(-900), f(1500)) - f(100)) / f(400)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 8), starts, sizes, st.sampled_from(["RAS", "LPS", "SLP", None]))
def test_any_box_of_any_sample(small_store, small_sample, number, start, shape, orientation):
    sample = Samples(small_store, split=None, keys=None, orientation=orientation).open(f"s{number:02d}")
    truth, _ = small_sample(number)
    image = np.full((1, *shape), np.nan, dtype=np.float32)
    sample.read("image", start, image, -2.5)
    np.testing.assert_array_equal(image, judge(normalised(truth["image"]["array"]), start, sample.turn, shape, -2.5))
    label = np.full((2, *shape), 9, dtype=np.uint8)
    sample.read("label", start, label, -2.5)
    np.testing.assert_array_equal(label, judge(truth["label"]["array"], start, sample.turn, shape, 0))


def test_stored_bytes_go_straight_into_the_target(small_store, small_sample):
    sample = Samples(small_store, split=None, keys=["label"], orientation=None).open("s00")
    label = np.full((2, 5, 6, 7), 9, dtype=np.uint8)
    sample.read("label", (1, 2, 3), label, 0)
    np.testing.assert_array_equal(label, small_sample(0)[0]["label"]["array"][:, 3:8, 2:8, 1:8])


def test_the_label_becomes_float_as_asked(small_store):
    sample = Samples(small_store, split=None, keys=["label"], orientation="RAS").open("s00")
    whole = np.empty((2, *sample.whole), dtype=item_dtype("label", "float32"))
    sample.read("label", (0, 0, 0), whole, 0)
    assert set(np.unique(whole)) == {0.0, 1.0}
    assert item_dtype("pt", "uint8") == np.float32


def test_ids_keys_and_series(small_store):
    samples = Samples(str(small_store), split="val", keys=None, orientation="RAS")
    assert samples.ids == ("s05", "s06")
    assert samples.keys == ("image", "label", "pt")
    assert samples.open("s05").series == "1.2.5"
    assert samples.open("s05") is samples.open("s05")


def test_foreground_leaves_absent_classes_out(small_store, small_sample):
    samples = Samples(open_store(small_store), split=None, keys=None, orientation="RAS")
    assert [len(samples.foreground(f"s{n:02d}")) for n in range(4)] == [2, 1, 0, 2]
    np.testing.assert_array_equal(samples.foreground("s01")["organ"], small_sample(1)[1]["organ"])


def test_survives_pickling(small_store):
    samples = pickle.loads(pickle.dumps(Samples(small_store, split="train", keys=["pt"], orientation="LPS")))
    assert samples.ids[0] == "s00"
    assert list(samples.open("s00").readers) == ["pt"]


def test_an_empty_split_is_told_with_those_that_are_not(small_store):
    with pytest.raises(StoreError, match="no samples in split 'fold7'; it has test, train, val"):
        Samples(small_store, split="fold7", keys=None, orientation="RAS")


def test_a_missing_array_is_told_with_those_that_are_there(small_store):
    samples = Samples(small_store, split=None, keys=["image", "dose"], orientation="RAS")
    with pytest.raises(StoreError, match=r"s00 has no array 'dose' \(it has image, label, pt\)"):
        samples.open("s00")
    with pytest.raises(ValueError, match="at least one array"):
        Samples(small_store, split=None, keys=[], orientation="RAS")


def test_arrays_on_different_grids_or_channels_are_refused(tmp_path):
    facts = {"recipe": {}, "recipe_hash": "0", "classes": (), "label_kind": "channels", "index_version": "1"}
    writer = create_store(tmp_path / "odd.zarr", **facts)
    zeros = np.zeros((1, 4, 4, 4), dtype=np.int16)
    here, there = Grid((4, 4, 4)), Grid((4, 4, 4), origin=(1, 0, 0))
    arrays = {"image": StoredArray(array=zeros, grid=here), "pt": StoredArray(array=zeros, grid=there)}
    writer.commit([writer.write_sample(SampleData(sample_id="a", arrays=arrays, row={"split": "train"}))])
    with pytest.raises(StoreError, match="sample a: arrays image and pt are on different grids"):
        Samples(tmp_path / "odd.zarr", split=None, keys=None, orientation="RAS").open("a")
    sample = Samples(tmp_path / "odd.zarr", split=None, keys=["image"], orientation="RAS").open("a")
    with pytest.raises(StoreError, match="sample a, array image has 1 channels where other samples have 3"):
        sample.read("image", (0, 0, 0), np.empty((3, 2, 2, 2), dtype=np.float32), 0)


def test_aligned_memory_begins_at_a_cache_line():
    for shape in [(3, 5), (1,), (0,), (2, 7, 129)]:
        array = aligned(shape, np.float32)
        assert array.shape == shape
        assert array.ctypes.data % 64 == 0 or array.size == 0


def test_float_images_are_normalised_and_cubes_turned(tmp_path):
    """Where shape and dtype are those of the target already, which is when bytes may be taken as they are."""
    facts = {"recipe": {}, "recipe_hash": "0", "classes": ("a",), "label_kind": "channels", "index_version": "1"}
    writer = create_store(tmp_path / "cube.zarr", **facts)
    random = np.random.default_rng(0)
    image = random.normal(size=(1, 6, 6, 6)).astype(np.float32)
    label = random.integers(0, 2, (1, 6, 6, 6)).astype(np.uint8)
    scaled = StoredArray(array=image, grid=Grid((6, 6, 6)), normalization=Normalization(subtract=3, divide=2))
    arrays = {"image": scaled, "label": StoredArray(array=label, grid=Grid((6, 6, 6)))}
    writer.commit([writer.write_sample(SampleData(sample_id="a", arrays=arrays))])
    for orientation in ("RAS", "LPS", None):
        sample = Samples(tmp_path / "cube.zarr", split=None, keys=None, orientation=orientation).open("a")
        target = np.empty((1, 6, 6, 6), dtype=np.float32)
        sample.read("image", (0, 0, 0), target, 0)
        expected = judge((image - np.float32(3)) / np.float32(2), (0, 0, 0), sample.turn, (6, 6, 6), 0)
        np.testing.assert_array_equal(target, expected)
        target = np.empty((1, 6, 6, 6), dtype=np.uint8)
        sample.read("label", (0, 0, 0), target, 0)
        np.testing.assert_array_equal(target, judge(label, (0, 0, 0), sample.turn, (6, 6, 6), 0))
