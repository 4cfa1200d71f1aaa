"""A Zarr directory as the reader sees it. Reading and damage: test_reader, test_verification."""

import os
from pathlib import Path

import numpy as np
import pytest

from medimagenet.errors import StoreDamagedError
from medimagenet.store.files import hash_files
from medimagenet.store.zarr_form import ZarrForm

BOX = (0, 0, 0, 0), (1, 1, 1, 1)


def test_what_it_says_of_a_store(store_path, tools):
    form = ZarrForm(store_path)
    assert form.path == store_path
    assert form.root()["medimagenet"]["classes"] == list(tools.classes)
    assert form.table().column("sample_id").to_pylist() == ["p1", "p2"]
    assert form.sample_ids() == {"p1", "p2"}
    assert form.attributes("p1", "label")["medimagenet"]["crop"]["start"] == [1, 2, 3]
    assert form.attributes("p1", "image")["ome"]["version"] == "0.5"
    assert form.stored("p1") == hash_files(store_path / "samples/p1")
    assert form.stored("p1", "dose") == hash_files(store_path / "samples/p1/dose")
    assert form.attribution() == "# Attribution\n"
    assert form.defects() == []
    (store_path / "ATTRIBUTION.md").unlink()
    (store_path / ".partial").mkdir()
    assert form.attribution() is None
    assert len(form.defects()) == 1


def test_chunks_stand_where_the_index_says(store_path):
    chunks = ZarrForm(store_path).chunks("p1", "image")
    descriptor, index = chunks.open((0, 0, 0, 0), *BOX)
    try:
        size = os.fstat(descriptor).st_size
        present = index[index[:, 0] >= 0]
        assert len(index) == np.prod(chunks.metadata.chunks_per_shard)
        assert 0 < len(present) <= len(index)
        assert present[:, 1].sum() + chunks.metadata.index_bytes == size
        frame = os.pread(descriptor, int(present[0, 1]), int(present[0, 0]))
        assert int.from_bytes(frame[12:16], "little") == present[0, 1]  # a Blosc frame knows its length
    finally:
        os.close(descriptor)
    assert chunks.file((0, 0, 0, 0)) == str(store_path / "samples/p1/image/0/c/0/0/0/0")


def test_no_descriptor_is_left_when_an_index_is_wrong(store_path):
    shard = store_path / "samples/p1/image/0/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-1])
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StoreDamagedError, match="sample p1, array image"):
        ZarrForm(store_path).chunks("p1", "image").open((0, 0, 0, 0), *BOX)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
