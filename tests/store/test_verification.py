"""verify: nothing wrong is overlooked, and it is named. Every file of a sample is damaged in turn."""

import json
import shutil

import numpy as np
import pytest

from medimagenet.errors import StoreError
from medimagenet.store import Problem, verify


def test_a_store_as_it_was_written(store_path):
    seen = []
    assert verify(store_path, progress=lambda done, total: seen.append((done, total))) == []
    assert seen == [(1, 2), (2, 2)]


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_flipped_bit_anywhere_is_found_and_named(store_path):
    """Also in padding, in metadata, in bytes that no voxel comes from."""
    sample = store_path / "samples/p2"
    generator = np.random.default_rng(0)
    for path in files(sample):
        whole = path.read_bytes()
        for at in generator.integers(0, len(whole), 6):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << generator.integers(0, 8)
            path.write_bytes(flipped)
            problems = verify(store_path)
            assert problems, f"byte {at} of {path}"
            assert {problem.sample_id for problem in problems} == {"p2"}
            part = path.relative_to(sample).parts[0]
            assert {problem.array for problem in problems} <= {part, None}
        path.write_bytes(whole)
    assert verify(store_path) == []


def test_a_missing_file_is_found_and_named(store_path):
    for path in files(store_path / "samples/p1"):
        path.rename(store_path.parent / "away")
        problems = verify(store_path)
        assert {problem.sample_id for problem in problems} == {"p1"}, path
        (store_path.parent / "away").rename(path)


def test_a_cut_file_is_found_and_named(store_path):
    shard = store_path / "samples/p1/label/0/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:-7])
    (problem,) = verify(store_path)
    assert (problem.sample_id, problem.array) == ("p1", "label")
    assert "sample p1, array label" in problem.what


def test_voxels_that_were_exchanged(store_path):
    """Well-formed, but not what was written: only the content hash can tell."""
    shutil.copy(store_path / "samples/p1/image/0/c/0/0/0/0", store_path / "samples/p2/image/0/c/0/0/0/0")
    (problem,) = verify(store_path)
    assert (problem.sample_id, problem.array) == ("p2", "image")
    assert "its voxels hash to" in problem.what


def test_an_added_file_is_found(store_path):
    (store_path / "samples/p1/image/.DS_Store").write_text("x")
    (problem,) = verify(store_path)
    assert (problem.sample_id, problem.array) == ("p1", "image")
    (store_path / "samples/p1/image/.DS_Store").rename(store_path / "samples/p1/notes.txt")
    assert verify(store_path)[0].array is None


def test_a_missing_sample_and_an_orphan(store_path):
    (store_path / "samples/p1").rename(store_path / "samples/p0")
    orphan, missing = verify(store_path)
    assert (orphan.sample_id, missing.sample_id) == ("p0", "p1")
    assert "no row" in orphan.what
    assert "missing" in missing.what


def test_a_run_that_did_not_finish(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    writer.commit([writer.write_sample(tools.sample())])
    words = [problem.what for problem in verify(tmp_path / "s.zarr")]
    assert len(words) == 2
    assert "did not come to its end" in words[0]
    assert ".partial is there" in words[1]


def test_the_attribution_is_part_of_a_store(store_path):
    (store_path / "ATTRIBUTION.md").unlink()
    assert verify(store_path) == [Problem(sample_id=None, array=None, what="ATTRIBUTION.md is missing")]


def test_a_sample_of_another_recipe(store_path):
    document = json.loads((store_path / "zarr.json").read_text())
    document["attributes"]["medimagenet"]["recipe_hash"] = "b" * 64
    (store_path / "zarr.json").write_text(json.dumps(document))
    assert {problem.sample_id for problem in verify(store_path)} == {"p1", "p2"}


def test_no_store_at_all(tmp_path):
    with pytest.raises(StoreError):
        verify(tmp_path)
