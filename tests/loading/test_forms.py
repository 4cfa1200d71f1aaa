"""Training does not see which form a store has, nor whether it is behind an address: the same, bit for bit."""

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from medimagenet.loading import (
    GridAggregator,
    GridPatchDataset,
    PatchDataset,
    PatchLoader,
    SliceDataset,
    VolumeDataset,
    predict_store,
)
from medimagenet.store import open_store

torch.set_num_threads(1)
OPTIONS = {"patch_size": (20, 16, 24), "patches_per_epoch": 12, "seed": 3, "foreground": 0.5}


@pytest.fixture(scope="module")
def address(small_store, tmp_path_factory):
    """The store behind HTTP on loopback, with a cache that is empty at first."""
    place = Path(__file__).parents[1] / "store" / "range_server.py"
    spec = importlib.util.spec_from_file_location("range_server", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = (path for path in small_store.rglob("*") if path.is_file())
    objects = {f"/s.zarr/{path.relative_to(small_store).as_posix()}": path.read_bytes() for path in files}
    with module.RangeServer(objects) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield f"{server.url}/s.zarr"


@pytest.fixture(params=["hdf5", "http"])
def other(request, small_store_hdf5):
    """The store in another form than the Zarr form on disk."""
    return small_store_hdf5 if request.param == "hdf5" else request.getfixturevalue("address")


def hashes(store, workers):
    """Of each batch of two epochs."""
    found = []
    with PatchLoader(store, **OPTIONS, batch_size=2, workers=workers) as loader:
        for _ in range(2):
            for batch in loader:
                stamp = hashlib.sha256(repr(batch["sample_id"]).encode())
                for name in ("image", "pt", "label", "affine"):
                    stamp.update(np.ascontiguousarray(batch[name].numpy()).tobytes())
                found.append(stamp.hexdigest())
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_have_equal_hashes(small_store, other, workers):
    expected = hashes(small_store, 0)
    assert len(set(expected)) == 12
    assert hashes(open_store(other), workers) == expected


def assert_equal_items(found, expected):
    assert len(found) == len(expected)
    for one, truth in zip(found, expected, strict=True):
        assert (one["sample_id"], one["patch_start"].tolist()) == (truth["sample_id"], truth["patch_start"].tolist())
        for name in ("image", "label"):
            assert one[name].shape == truth[name].shape
            assert one[name].numpy().tobytes() == truth[name].numpy().tobytes()
            assert torch.equal(one[name].affine, truth[name].affine)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SliceDataset, {"axis": "y", "neighbours": 2, "slices_per_epoch": 6, "foreground": 0.5}),
        (SliceDataset, {"axis": "z", "every": True, "split": "val", "patch_size": (16, 40)}),
        (VolumeDataset, {"split": "val"}),
        (GridPatchDataset, {"patch_size": (20, 30, 12), "split": "test"}),
    ],
)
def test_items_of_every_dataset_are_equal(small_store, other, kind, options):
    expected, found = kind(small_store, **options), kind(other, **options)
    assert_equal_items([*found], [*expected])


def test_predictions_of_whole_volumes_are_equal(small_store, other, tmp_path):
    def predicted(store, **options):
        windows = GridPatchDataset(store, patch_size=(16, 12, 8), keys=["image"], split=None)
        return dict(predict_store(torch.sin, windows, batch_size=8, aggregator=GridAggregator(windows, **options)))

    expected, found = predicted(small_store), predicted(other, folder=tmp_path)
    assert list(found) == list(expected) == list(open_store(small_store).ids())
    for name, volume in expected.items():
        assert found[name].grid == volume.grid
        assert found[name].array.tobytes() == volume.array.tobytes()


def by_workers(dataset, context):
    dataset[0]  # the parent has an array open, or a client of HTTP that has run
    return [*DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=context)]


PATCHES = {"patches_per_epoch": 4, "patch_size": (20, 16, 24)}


@pytest.mark.parametrize(
    ("kind", "options"), [(PatchDataset, PATCHES), (SliceDataset, {"slices_per_epoch": 4, "neighbours": 1})]
)
def test_forked_workers_read_it(small_store, other, kind, options):
    assert_equal_items(by_workers(kind(other, **options), "fork"), [*kind(small_store, **options)])


def test_spawned_workers_read_the_hdf5_form(small_store, small_store_hdf5):
    found = by_workers(PatchDataset(small_store_hdf5, **PATCHES), "spawn")
    assert_equal_items(found, [*PatchDataset(small_store, **PATCHES)])


def test_batches_of_tensorflow_are_equal(small_store, other):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip("tensorflow")
    found = open_store(other).to_tf_dataset(**OPTIONS, batch_size=2)
    with PatchLoader(small_store, **OPTIONS, batch_size=2, workers=1) as loader:
        for one, truth in zip(found, loader, strict=True):
            assert [name.decode() for name in one["sample_id"].numpy()] == truth["sample_id"]
            for name in ("image", "pt", "label", "affine"):
                assert one[name].numpy().tobytes() == truth[name].numpy().tobytes()
