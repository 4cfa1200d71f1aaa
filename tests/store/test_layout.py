"""The format's names and values, against the OME-Zarr specification and arithmetic."""

import hashlib
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.errors import StoreFormatError
from medimagenet.geometry import Grid
from medimagenet.store import SampleData, StoreConfig, StoredArray
from medimagenet.store.layout import FORMAT, check_format, content_hash, is_safe_name, ome_multiscales

shapes = st.tuples(st.integers(1, 6), *[st.integers(1, 200)] * 3)


@given(shapes, st.integers(1, 64), st.integers(1, 1 << 22), st.sampled_from([1, 2, 4]))
def test_a_shard_holds_whole_chunks_and_stays_below_the_limit(shape, edge, limit, itemsize):
    config = StoreConfig(chunk=edge, shard_limit_bytes=limit)
    chunk, shard = config.chunk_shape(shape), config.shard_shape(shape, itemsize)
    assert chunk == (1, *(min(edge, n) for n in shape[1:]))
    assert all(s % c == 0 for s, c in zip(shard, chunk, strict=True))
    assert prod(shard) * itemsize <= limit or shard == chunk


@given(shapes, st.integers(1, 64))
def test_below_the_limit_there_is_one_shard(shape, edge):
    shard = StoreConfig(chunk=edge).shard_shape(shape, 2)
    assert all(n <= s for n, s in zip(shape, shard, strict=True))


@pytest.mark.parametrize(
    "wrong", [{"chunk": 0}, {"chunk": -3}, {"codec": "gzip"}, {"shard_limit_bytes": 0}], ids=lambda d: next(iter(d))
)
def test_a_wrong_setting_is_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=name) as error:
        StoreConfig(**wrong)
    assert str(value) in str(error.value)


def test_the_hash_is_sha256_of_dtype_shape_and_bytes():
    array = np.arange(6, dtype="<i2").reshape(1, 2, 3)
    expected = hashlib.sha256(b"int16 1x2x3\n" + bytes([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])).hexdigest()
    assert content_hash(array) == expected
    assert content_hash(array.astype(">i2")) == expected
    assert content_hash(np.asfortranarray(array)) == expected


def test_the_hash_tells_shape_dtype_and_values_apart():
    array = np.zeros((2, 3), dtype=np.int16)
    others = [array.T, array.astype(np.uint16), array.view(np.int8), array + 1]
    assert len({content_hash(one) for one in [array, *others]}) == 5


def test_multiscales_follow_ome_zarr_0_5():
    """Section 2.4 of https://ngff.openmicroscopy.org/0.5: every "must" about multiscales, spelled out."""
    ome = ome_multiscales("image", Grid((4, 5, 6), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0)))
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    axes = image["axes"]
    assert 2 <= len(axes) <= 5
    assert len({axis["name"] for axis in axes}) == len(axes)
    types = [axis["type"] for axis in axes]
    assert types.count("space") in (2, 3)
    assert types == ["channel", "space", "space", "space"]  # time, then channel, then space; space as z, y, x
    assert [axis["name"] for axis in axes] == ["c", "z", "y", "x"]
    assert all(axis["unit"] == "millimeter" for axis in axes[1:])  # a name of UDUNITS-2
    (level,) = image["datasets"]
    scale, translation = level["coordinateTransformations"]  # one scale, then at most one translation
    assert (scale["type"], translation["type"]) == ("scale", "translation")
    assert scale["scale"] == [1.0, 3.0, 2.0, 1.0]
    assert translation["translation"] == [0.0, 30.0, 20.0, 10.0]
    assert all(isinstance(value, float) for value in (*scale["scale"], *translation["translation"]))


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "ü", "a\n", "..", "x" * 201, "a\\b", "c:"])
def test_names_that_are_no_file_names(name):
    assert not is_safe_name(name)
    with pytest.raises(ValueError, match="not safe as a file name"):
        SampleData(sample_id=name, arrays={"image": _stored()})


def _stored() -> StoredArray:
    return StoredArray(array=np.zeros((1, 2, 3, 4), dtype=np.int16), grid=Grid((4, 3, 2)))


def test_a_mask_becomes_uint8():
    stored = StoredArray(array=np.ones((1, 2, 3, 4), dtype=bool), grid=Grid((4, 3, 2)))
    assert stored.array.dtype == np.uint8
    assert stored.array.all()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 3, 4), dtype=np.int16), "(2, 3, 4)"),
        (np.zeros((1, 4, 3, 2), dtype=np.int16), "(1, 4, 3, 2)"),
        (np.zeros((0, 2, 3, 4), dtype=np.int16), "(0, 2, 3, 4)"),
        (np.zeros((1, 2, 3, 4), dtype=np.complex64), "complex64"),
    ],
)
def test_arrays_that_cannot_be_stored(array, words):
    with pytest.raises(ValueError, match="array must be") as error:
        StoredArray(array=array, grid=Grid((4, 3, 2)))
    assert words in str(error.value)


def test_samples_that_cannot_be_stored():
    with pytest.raises(ValueError, match="foreground"):
        SampleData(sample_id="a", arrays={"foreground": _stored()})
    with pytest.raises(ValueError, match="needs arrays"):
        SampleData(sample_id="a", arrays={})
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        SampleData(sample_id="a", arrays={"image": _stored()}, foreground={"GTV": np.zeros((3,), dtype=np.int32)})


@pytest.mark.parametrize("attributes", [{}, {"medimagenet": 1}, {"medimagenet": {"format": "1"}}])
def test_a_group_of_someone_else_is_no_store(attributes):
    with pytest.raises(StoreFormatError, match="no Med-ImageNet store"):
        check_format(attributes, "x.zarr")


def test_a_newer_format_is_refused_with_both_versions():
    with pytest.raises(StoreFormatError, match=f"format {FORMAT + 1}.*format {FORMAT}"):
        check_format({"medimagenet": {"format": FORMAT + 1}}, "x.zarr")
