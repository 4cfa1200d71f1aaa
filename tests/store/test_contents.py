"""Chunks as they are, and the hashes of them: the same whatever the form."""

import numcodecs.blosc
import numpy as np
import pytest

from medimagenet.errors import StoreDamagedError
from medimagenet.store.contents import describe, frames, hash_array, hash_sample
from medimagenet.store.hdf5_form import Hdf5Form
from medimagenet.store.zarr_form import ZarrForm


@pytest.fixture
def forms(tmp_path, tools):
    """The same samples as a folder of several shards, and as a file."""
    folder = tools.write(tmp_path / "s.zarr", ("p1",), shard_limit_bytes=9000)
    return ZarrForm(folder), Hdf5Form(tools.write(tmp_path / "s.h5", ("p1",)))


def test_frames_are_the_voxels_in_the_order_of_the_array(forms, tools):
    voxels = tools.sample("p1").arrays["image"].array
    for form in forms:
        chunks = form.chunks("p1", "image")
        found = np.full(voxels.shape, chunks.metadata.fill)
        corners = []
        for corner, content in frames(chunks, "image"):
            block = np.frombuffer(numcodecs.blosc.decompress(content), dtype=np.int16).reshape(chunks.metadata.chunk)
            place = found[tuple(slice(a, a + n) for a, n in zip(corner, block.shape, strict=True))]
            place[...] = block[tuple(map(slice, place.shape))]
            corners.append(corner)
        assert corners == sorted(corners)
        np.testing.assert_array_equal(found, voxels)


def test_both_forms_hold_the_same(forms):
    zarr, hdf5 = forms
    for name in ("image", "label", "dose", "foreground"):
        assert list(frames(zarr.chunks("p1", name), name)) == list(frames(hdf5.chunks("p1", name), name))
        assert describe(zarr.chunks("p1", name).metadata) == describe(hdf5.chunks("p1", name).metadata)
        assert hash_array(zarr, "p1", name) == hash_array(hdf5, "p1", name)


def test_the_hash_of_a_sample_knows_its_arrays():
    one, other = {"a": ("1" * 64, 5), "b": ("2" * 64, 7)}, {"a": ("2" * 64, 7), "b": ("1" * 64, 5)}
    assert hash_sample(one)[0] != hash_sample(other)[0]
    assert hash_sample(one) == hash_sample(dict(reversed(one.items())))
    assert hash_sample(one)[1] == 12


def test_a_file_that_ends_early_is_an_error(forms):
    _, hdf5 = forms
    chunks = hdf5.chunks("p1", "image")
    content = hdf5.path.read_bytes()
    hdf5.path.write_bytes(content[: len(content) // 3])
    with pytest.raises(StoreDamagedError, match="sample p1: a chunk is cut off"):
        list(frames(chunks, "sample p1"))
