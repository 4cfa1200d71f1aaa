"""Items against MONAI: its own readers on NIfTI files of the same voxels; and the same items from any worker."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from monai.data import DataLoader as MonaiDataLoader
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged, Orientationd, RandFlipd, RandGaussianNoised, SpatialPadd
from torch.utils.data import DataLoader

from medimagenet.loading import Draw, EpochSampler, PatchDataset, VolumeDataset
from medimagenet.volume import Volume

torch.set_num_threads(1)
CODES = ["RAS", "LPS", "SAR"]


def load_with_monai(folder, number, truth, code):
    """Volume to NIfTI by nibabel, then MONAI."""
    item = {}
    for name, fields in truth.items():
        path = folder / f"{number}_{name}.nii"
        Volume(fields["array"][0], fields["grid"]).to_nibabel().to_filename(path)
        item[name] = str(path)
    keys = list(item)
    chain = Compose(
        [LoadImaged(keys=keys, ensure_channel_first=True), Orientationd(keys=keys, axcodes=code, labels=None)]
    )
    return chain(item)


def digest(items):
    """One hash of everything in items or batches."""
    stamp = hashlib.sha256()
    for item in items:
        for name in sorted(item):
            value = item[name]
            stamp.update(name.encode())
            stamp.update(
                np.ascontiguousarray(value.numpy()).tobytes()
                if isinstance(value, torch.Tensor)
                else repr(value).encode()
            )
            if isinstance(value, MetaTensor):
                stamp.update(value.affine.numpy().tobytes())
    return stamp.hexdigest()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_volume_is_what_monai_loads(small_store, small_sample, tmp_path, number, code):
    truth, _ = small_sample(number)
    expected = load_with_monai(tmp_path, number, truth, code)
    item = VolumeDataset(small_store, split=None, orientation=code)[number]
    image = np.clip(expected["image"].numpy().astype(np.float32), np.float32(-900), np.float32(1500))
    np.testing.assert_array_equal(item["image"].numpy(), (image - np.float32(100)) / np.float32(400))
    np.testing.assert_array_equal(item["pt"].numpy(), expected["pt"].numpy())
    np.testing.assert_array_equal(item["label"].numpy()[:1], expected["label"].numpy())
    for name in ("image", "label", "pt"):
        # the header of NIfTI-1 holds float32
        np.testing.assert_allclose(item[name].affine.numpy(), expected[name].affine.numpy(), atol=2e-5)
    assert item["sample_id"] == f"s{number:02d}"


@pytest.mark.parametrize("code", CODES)
def test_a_patch_is_the_same_crop_of_what_monai_loads(small_store, small_sample, tmp_path, code):
    dataset = PatchDataset(small_store, patch_size=(10, 11, 9), orientation=code, patches_per_epoch=15, foreground=0.5)
    loaded = {n: load_with_monai(tmp_path, n, {"pt": small_sample(n)[0]["pt"]}, code)["pt"] for n in range(5)}
    for item in (dataset[k] for k in range(15)):
        whole = loaded[int(item["sample_id"][1:])]
        first = np.linalg.inv(whole.affine.numpy()) @ item["pt"].affine.numpy()[:, 3]  # where the patch's corner is
        x, y, z = np.round(first[:3]).astype(int)
        np.testing.assert_allclose(first[:3], [x, y, z], atol=1e-3)
        np.testing.assert_array_equal(item["pt"].numpy(), whole.numpy()[:, x : x + 10, y : y + 11, z : z + 9])
        np.testing.assert_allclose(item["pt"].affine.numpy()[:3, :3], whole.affine.numpy()[:3, :3], atol=1e-5)


def test_a_patch_larger_than_the_volume_keeps_positions(small_store, small_sample):
    dataset = PatchDataset(small_store, patch_size=(50, 48, 46), pad=-3, keys=["pt", "label"])
    for item in (dataset[k] for k in range(5)):
        volume = VolumeDataset(small_store, split="train")[int(item["sample_id"][1:])]
        first = np.linalg.inv(item["pt"].affine.numpy()) @ volume["pt"].affine.numpy()[:, 3]
        x, y, z = np.round(first[:3]).astype(int)
        a, b, c = volume["pt"].shape[1:]
        inside = np.zeros((50, 48, 46), dtype=bool)
        inside[x : x + a, y : y + b, z : z + c] = True
        np.testing.assert_array_equal(item["pt"][0].numpy()[inside].reshape(a, b, c), volume["pt"][0].numpy())
        assert (item["pt"][0].numpy()[~inside] == -3).all()
        assert (item["label"].numpy()[:, ~inside] == 0).all()


def test_none_hands_out_the_stored_order(small_store, small_sample):
    item = PatchDataset(small_store, patch_size=(6, 7, 8), orientation=None)[0]
    x, y, z = item["patch_start"].tolist()
    truth = small_sample(int(item["sample_id"][1:]))[0]
    np.testing.assert_array_equal(item["pt"].numpy(), truth["pt"]["array"][:, z : z + 8, y : y + 7, x : x + 6])
    np.testing.assert_array_equal(item["label"].numpy(), truth["label"]["array"][:, z : z + 8, y : y + 7, x : x + 6])
    np.testing.assert_allclose(item["pt"].affine[:3, 3].numpy(), (truth["pt"]["grid"].affine_ras @ [x, y, z, 1])[:3])


def test_types_and_names_of_an_item(small_store):
    item = PatchDataset(small_store, patch_size=(6, 7, 8), label_dtype="float32")[3]
    assert list(item) == ["image", "label", "pt", "sample_id", "patch_start", "series"]
    assert all(isinstance(item[name], MetaTensor) for name in ("image", "label", "pt"))
    assert item["image"].dtype == item["label"].dtype == torch.float32
    assert item["image"].shape == (1, 6, 7, 8)
    assert item["label"].shape == (2, 6, 7, 8)
    assert item["series"] == f"1.2.{int(item['sample_id'][1:])}"


def random_chain():
    return Compose(
        [
            RandFlipd(keys=["image", "label"], prob=0.5, spatial_axis=0),
            RandGaussianNoised(keys="image", prob=0.7),
            SpatialPadd(keys=["image", "label", "pt"], spatial_size=(12, 12, 12)),
        ]
    )


def test_random_transforms_depend_on_seed_epoch_and_index_only(small_store):
    def items(seed, epoch, order):
        dataset = PatchDataset(small_store, patch_size=(8, 8, 8), seed=seed, transform=random_chain())
        dataset.set_epoch(epoch)
        found = {k: dataset[k] for k in order}
        return digest(found[k] for k in range(5))

    first = items(0, 3, [0, 1, 2, 3, 4])
    assert items(0, 3, [4, 2, 0, 0, 1, 3]) == first
    assert items(0, 4, range(5)) != first
    assert items(1, 3, range(5)) != first


@pytest.mark.parametrize("loader", [DataLoader, MonaiDataLoader])
def test_workers_change_nothing(small_store, loader):
    dataset = PatchDataset(small_store, patch_size=(8, 8, 8), patches_per_epoch=6, transform=random_chain())
    batch = next(iter(loader(dataset, batch_size=2)))
    assert torch.equal(batch["pt"].affine, torch.stack([dataset[k]["pt"].affine for k in (0, 1)]))
    expected = digest(loader(dataset, batch_size=2))
    assert digest(loader(dataset, batch_size=2, num_workers=2)) == expected


def test_spawned_workers_that_outlive_an_epoch_follow_the_sampler(small_store):
    dataset = PatchDataset(small_store, patch_size=(8, 8, 8), patches_per_epoch=4)
    sampler = EpochSampler(dataset, batch_size=2)
    loader = DataLoader(
        dataset, 2, sampler=sampler, num_workers=1, multiprocessing_context="spawn", persistent_workers=True
    )
    seen = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        seen.append(digest(loader))
    assert seen == [digest(DataLoader(dataset, 2, sampler=[Draw(e, k) for k in range(4)])) for e in (0, 1)]
    assert seen[0] != seen[1]


def test_pickled_datasets_give_the_same_items(small_store):
    for dataset in (PatchDataset(small_store, patch_size=(8, 8, 8)), VolumeDataset(small_store)):
        again = pickle.loads(pickle.dumps(dataset))
        assert digest(again[k] for k in range(2)) == digest(dataset[k] for k in range(2))


def test_a_for_loop_ends_and_wrong_indices_are_named(small_store):
    dataset = PatchDataset(small_store, patch_size=(4, 4, 4))
    assert len(list(dataset)) == len(dataset) == 5
    with pytest.raises(IndexError, match="0 to 4, got 5"):
        dataset[5]
    with pytest.raises(IndexError, match="0 to 1, got -1"):
        VolumeDataset(small_store)[-1]
    with pytest.raises(ValueError, match="got 'int8'"):
        VolumeDataset(small_store, label_dtype="int8")
