"""What training meets in real tables and stores: an error that says what to do, or what the page on loading says."""

import math

import numpy as np
import pytest
from torch.utils.data import DataLoader

from medimagenet.errors import StoreError
from medimagenet.loading import GridPatchDataset, PatchDataset, PatchLoader, SliceDataset, VolumeDataset
from medimagenet.store import Targets, open_store

SIZE = (8, 8, 8)
EVERY = [
    (PatchDataset, {"patch_size": SIZE}),
    (SliceDataset, {}),
    (VolumeDataset, {}),
    (GridPatchDataset, {"patch_size": SIZE}),
    (PatchLoader, {"patch_size": SIZE}),
]


def by_patch(batches, key):
    """Sample and value of each patch."""
    return [pair for batch in batches for pair in zip(batch["sample_id"], batch[key], strict=True)]


@pytest.fixture(params=["nan", ""])
def targets(request, tmp_path):
    """A table whose first row has no number."""
    (tmp_path / "t.csv").write_text(f"sample_id,age\ns00,{request.param}\n" + "s01,51\ns02,52\ns03,53\ns04,54.5\n")
    return {"columns": "age", "table": tmp_path / "t.csv"}


def test_a_target_that_is_nan_is_an_error_before_anything_is_read(small_store, targets):
    for kind, options in EVERY[:3]:
        with pytest.raises(StoreError, match=r"1 targets have no value, first age of s00 .*missing=\"nan\""):
            kind(small_store, **{**options, "split": "train"}, targets=Targets(**targets))
    with pytest.raises(StoreError, match="age of s00"):
        PatchLoader(small_store, patch_size=SIZE, targets=Targets(**targets))


def test_a_nan_is_handed_out_where_that_was_asked_for(small_store, targets):
    wanted = Targets(**targets, missing="nan")
    expected = {"s00": math.nan, "s01": 51, "s02": 52, "s03": 53, "s04": 54.5}
    with PatchLoader(small_store, patch_size=SIZE, targets=wanted, workers=1) as loader:
        fast = [
            (name, float(one))
            for batch in loader
            for name, one in zip(batch["sample_id"], batch["target"], strict=True)
        ]
    plain = DataLoader(PatchDataset(small_store, patch_size=SIZE, targets=wanted), batch_size=2)
    slow = [
        (name, float(one)) for batch in plain for name, one in zip(batch["sample_id"], batch["target"], strict=True)
    ]
    assert {name for name, _ in fast} == set(expected)
    for found in (fast, slow):
        np.testing.assert_array_equal([float(one) for _, one in found], [expected[name] for name, _ in found])


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1])
def test_a_weight_that_is_no_share_is_named(small_store, weight):
    with pytest.raises(ValueError, match="the weight of sample s01 must be finite and not negative, got"):
        PatchLoader(small_store, patch_size=SIZE, weights=[1, weight, 1, 1, 1])


def test_a_split_without_samples_is_named_by_all(small_store):
    for kind, options in EVERY:
        with pytest.raises(StoreError, match=r"no samples in split 'none'; it has test, train, val"):
            kind(small_store, **options, split="none")


def test_volumes_without_foreground_are_drawn_uniformly(small_store):
    """s02 has no class, s01 not the second: no patch is lost, and none is wrong."""
    options = {"patch_size": SIZE, "patches_per_epoch": 50, "foreground": 1.0, "workers": 1}
    with PatchLoader(small_store, **options) as loader:
        found = [(name, bool(label.any())) for name, label in by_patch(loader, "label")]
    assert {name for name, _ in found} == set(open_store(small_store).ids("train"))
    assert all(has == (name != "s02") for name, has in found)
    with PatchLoader(small_store, **options, classes=["tumor"]) as loader:
        tumor = [(name, bool(label[1].any())) for name, label in by_patch(loader, "label")]
        places = {tuple(start.tolist()) for name, start in by_patch(loader, "patch_start") if name == "s01"}
    assert all(has for name, has in tumor if name not in ("s01", "s02"))
    assert sum(name == "s01" for name, _ in tumor) == 10
    assert len(places) > 5


def test_a_patch_larger_than_its_volume_is_centred_in_what_is_padded(small_store, small_sample):
    with PatchLoader(small_store, patch_size=(50, 60, 40), pad=-7.0, orientation=None, workers=1) as loader:
        for batch in loader:
            for name, image, start in zip(batch["sample_id"], batch["pt"], batch["patch_start"], strict=True):
                truth = small_sample(int(name[1:]))[0]["pt"]["array"]
                corner = [-int(a) for a in start.tolist()[::-1]]
                assert corner == [(p - n) // 2 for p, n in zip((40, 60, 50), truth.shape[1:], strict=True)]
                box = tuple(slice(a, a + n) for a, n in zip(corner, truth.shape[1:], strict=True))
                np.testing.assert_array_equal(image[:, *box].numpy(), truth)
                assert np.count_nonzero(image.numpy() == -7) == image.numel() - truth.size
