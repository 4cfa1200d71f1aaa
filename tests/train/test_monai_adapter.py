"""MONAI's side: its DataLoader resumed, its sliding window on whole volumes, and the way back to the store's order."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd, RandGaussianNoised

from medimagenet.loading import PatchDataset, PatchLoader, VolumeDataset
from medimagenet.store import open_store
from medimagenet.train import EpochLoader, predict_volume, to_stored_order

torch.set_num_threads(1)
OPTIONS = {"patch_size": (8, 7, 6), "patches_per_epoch": 9}


def chain():
    return Compose(
        [RandFlipd(keys=["image", "label"], prob=0.5, spatial_axis=1), RandGaussianNoised(keys="image", prob=0.8)]
    )


def content(batch):
    return torch.as_tensor(batch["image"]).clone(), batch["sample_id"]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for (image, names), (other, others) in zip(found, expected, strict=True):
        assert names == others
        assert torch.equal(image, other)


def test_without_transforms_it_draws_what_the_patch_loader_draws(small_store):
    loader = EpochLoader(PatchDataset(small_store, **OPTIONS), batch_size=2)
    with PatchLoader(small_store, **OPTIONS, workers=1) as fast:
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            assert_same([content(batch) for batch in loader], [content(batch) for batch in fast])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 2, 5, 8])
def test_resumes_between_any_two_batches(small_store, workers, done):
    def make(workers=0):
        return EpochLoader(PatchDataset(small_store, **OPTIONS, transform=chain()), batch_size=2, num_workers=workers)

    def two_epochs(loader):
        return (content(batch) for _ in range(2) for batch in loader)

    expected = list(two_epochs(make()))
    first = make(workers)
    drawn = two_epochs(first)
    assert_same([next(drawn) for _ in range(done)], expected[:done])
    again = make()
    again.load_state_dict(first.state_dict())
    assert_same(list(two_epochs(again))[: 10 - done], expected[done:])
    assert len(again) == 5


def test_another_epoch_begins_at_its_start(small_store):
    loader = EpochLoader(PatchDataset(small_store, **OPTIONS), batch_size=2)
    expected = [content(batch) for _ in range(2) for batch in loader][5:]
    loader.sampler.set_epoch(0)
    next(iter(loader))
    loader.sampler.set_epoch(1)
    assert_same([content(batch) for batch in loader], expected)


def test_a_sliding_window_of_the_identity_is_the_volume(small_store):
    item = VolumeDataset(small_store)[0]
    sizes = set()

    def network(patches):
        sizes.add(patches.shape[2:])
        return torch.cat([patches, 2 * patches], dim=1)

    found = predict_volume(network, item["image"], (16, 12, 8))
    assert sizes == {(16, 12, 8)}
    plain = item["image"].as_tensor()
    torch.testing.assert_close(found.as_tensor(), torch.cat([plain, 2 * plain]), rtol=1e-5, atol=1e-5)
    assert torch.equal(found.affine, item["image"].affine)
    assert torch.equal(predict_volume(network, plain[None], (16, 12, 8))[0], found.as_tensor())


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR", None])
def test_a_prediction_goes_back_to_the_stored_order(small_store, small_sample, orientation):
    dataset = VolumeDataset(small_store, split=None, orientation=orientation)
    for number in range(3):
        stored = open_store(small_store).array(f"s{number:02d}", "label")
        back = to_stored_order(dataset[number]["label"], stored.grid, orientation)
        np.testing.assert_array_equal(back, small_sample(number)[0]["label"]["array"])
        assert back.flags.c_contiguous


def test_a_prediction_of_another_volume_is_refused(small_store):
    grid = open_store(small_store).array("s00").grid
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4, 4\) is not of a volume of size \(31, 28, 19\)"):
        to_stored_order(np.zeros((1, 4, 4, 4)), grid)
