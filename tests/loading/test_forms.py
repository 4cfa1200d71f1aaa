"""Training does not see which form a store has: the same batches, bit for bit."""

import hashlib

import numpy as np
import pytest
from torch.utils.data import DataLoader

from medimagenet.loading import PatchDataset, PatchLoader
from medimagenet.store import open_store

OPTIONS = {"patch_size": (20, 16, 24), "patches_per_epoch": 12, "seed": 3, "foreground": 0.5}


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
def test_batches_of_both_forms_have_equal_hashes(small_store, small_store_hdf5, workers):
    expected = hashes(small_store, 0)
    assert len(set(expected)) == 12
    assert hashes(open_store(small_store_hdf5), workers) == expected


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_read_the_hdf5_form(small_store, small_store_hdf5, context):
    options = {**OPTIONS, "patches_per_epoch": 4}
    expected = PatchDataset(small_store, **options)
    dataset = PatchDataset(small_store_hdf5, **options)
    dataset[0]  # the parent has an array open
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context=context)
    for number, item in enumerate(loader):
        assert item["image"].numpy().tobytes() == expected[number]["image"].numpy().tobytes()
