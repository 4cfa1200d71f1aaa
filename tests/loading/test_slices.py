"""Slices against MONAI's own: its loader on NIfTI files of the same voxels, then a crop of one slice."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import DataLoader as MonaiDataLoader
from monai.transforms import Compose, LoadImaged, Orientationd, RandFlipd, RandRotate90d

from medimagenet.loading import Draw, EpochSampler, SliceDataset
from medimagenet.train import EpochLoader
from medimagenet.volume import Volume

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def loaded(small_sample, tmp_path_factory):
    """Function of a number and a code that gives what MONAI loads: images (C, n0, n1, n2) and their affine."""
    folder, known = tmp_path_factory.mktemp("nifti"), {}

    def load(number, code):
        if (number, code) not in known:
            item = {}
            for name, fields in small_sample(number)[0].items():
                path = folder / f"{number}_{name}.nii"
                Volume(fields["array"][0], fields["grid"]).to_nibabel().to_filename(path)
                item[name] = str(path)
            chain = [
                LoadImaged(keys=list(item), ensure_channel_first=True),
                Orientationd(list(item), code, labels=None),
            ]
            known[number, code] = Compose(chain)(item)
        return known[number, code]

    return load


def corner_in(whole, item, name="pt"):
    """Where the first voxel of an item is in what MONAI loaded."""
    first = np.linalg.inv(whole.affine.numpy()) @ item[name].affine.numpy()[:, 3]
    np.testing.assert_allclose(first[:3], np.round(first[:3]), atol=1e-3)
    return np.round(first[:3]).astype(int)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("code", ["RAS", "SAR"])
def test_a_slice_is_that_of_what_monai_loads(small_store, loaded, axis, code):
    dataset = SliceDataset(small_store, axis=axis, orientation=code, patch_size=(9, 8), slices_per_epoch=10)
    place = "xyz".index(axis)
    for item in (dataset[k] for k in range(10)):
        number = int(item["sample_id"][1:])
        whole = loaded(number, code)
        corner = corner_in(whole["pt"], item)
        size = [9, 8]
        size.insert(place, 1)
        box = tuple(slice(a, a + n) for a, n in zip(corner, size, strict=True))
        np.testing.assert_array_equal(item["pt"].numpy(), whole["pt"].numpy()[:, *box].squeeze(1 + place))
        np.testing.assert_array_equal(item["label"].numpy()[:1], whole["label"].numpy()[:, *box].squeeze(1 + place))
        others = [k for k in range(3) if k != place]
        expected = whole["pt"].affine.numpy()[:, [*others, place]]
        np.testing.assert_allclose(item["pt"].affine.numpy()[:, :3], expected, atol=1e-5)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_neighbours_are_channels_in_the_order_of_the_axis(small_store, loaded, axis):
    dataset = SliceDataset(small_store, axis=axis, neighbours=2, every=True, pad=-7, keys=["pt", "label"])
    place, number, seen = "xyz".index(axis), 0, 0
    for k in range(len(dataset)):
        item = dataset[k]
        if int(item["sample_id"][1:]) != number:
            number, seen = number + 1, 0
        whole = np.moveaxis(loaded(number, "RAS")["pt"].numpy()[0], place, 0)
        padded = np.pad(whole, ((2, 2), (0, 0), (0, 0)), constant_values=-7)
        np.testing.assert_array_equal(item["pt"].numpy(), padded[seen : seen + 5])
        assert corner_in(loaded(number, "RAS")["pt"], item)[place] == seen
        assert item["label"].shape == (2, *whole.shape[1:])
        seen += 1
    assert number == 4
    assert seen == whole.shape[0]


def test_all_slices_make_up_the_stored_order(small_store, small_sample):
    dataset = SliceDataset(small_store, axis="z", every=True, orientation=None, split="val", keys=["pt"])
    expected = [small_sample(number)[0]["pt"]["array"][0] for number in (5, 6)]
    found = torch.cat([item["pt"] for item in dataset if item["sample_id"] == "s05"]).numpy()
    np.testing.assert_array_equal(found, expected[0])
    assert len(dataset) == sum(len(array) for array in expected)
    assert [int(item["patch_start"][2]) for item in dataset][: len(expected[0])] == list(range(len(expected[0])))


def test_every_slice_in_a_box_is_in_the_middle_and_padded(small_store, small_sample):
    dataset = SliceDataset(small_store, axis="z", every=True, orientation=None, patch_size=(20, 60), pad=3, keys=["pt"])
    truth = small_sample(0)[0]["pt"]["array"]
    _, _, rows, columns = truth.shape
    item = dataset[7]
    assert item["pt"].shape == (1, 60, 20)
    x, y, z = item["patch_start"].tolist()
    assert (x, y, z) == ((columns - 20) // 2, -((60 - rows) // 2), 7)
    np.testing.assert_array_equal(item["pt"].numpy()[0, -y : rows - y], truth[0, 7, :, x : x + 20])
    assert (item["pt"].numpy()[0, :-y] == 3).all()


def test_foreground_slices_hold_a_class(small_store):
    dataset = SliceDataset(
        small_store, axis="y", foreground=1.0, slices_per_epoch=40, classes=["tumor"], balance="classes"
    )
    assert all(dataset[k]["label"][1].any() for k in range(40))
    anywhere = SliceDataset(small_store, axis="y", foreground=0.0, slices_per_epoch=400)
    hits = sum(bool(anywhere[k]["label"].any()) for k in range(0, 400, 10))
    assert hits < 40


def test_epochs_draw_other_slices_and_any_worker_the_same(small_store):
    dataset = SliceDataset(small_store, axis="z", neighbours=1, patch_size=(12, 12), slices_per_epoch=9, seed=4)

    def batches(**options):
        loader = EpochLoader(dataset, batch_size=2, **options)
        return [[(b["sample_id"], b["patch_start"].tolist(), float(b["image"].sum())) for b in loader] for _ in "ab"]

    first, second = batches()
    assert first != second
    assert batches(num_workers=2) == [first, second]
    dealt = [batches(rank=rank, ranks=3)[0] for rank in range(3)]
    assert [batch for step in zip(*dealt, strict=True) for batch in step][:4] == first[:4]
    loader = EpochLoader(dataset, batch_size=2)
    next(iter(loader))
    again = EpochLoader(dataset, batch_size=2)
    again.load_state_dict(loader.state_dict())
    assert [(b["sample_id"], b["patch_start"].tolist()) for b in again] == [batch[:2] for batch in first[1:]]


def test_monai_transforms_of_two_dimensions_keep_the_place(small_store):
    chain = Compose(
        [
            RandFlipd(["image", "label"], prob=1.0, spatial_axis=1),
            RandRotate90d(["image", "label"], prob=1.0, max_k=1, spatial_axes=(0, 1)),
        ]
    )
    plain = SliceDataset(small_store, axis="z", neighbours=1, slices_per_epoch=3)
    turned = SliceDataset(small_store, axis="z", neighbours=1, slices_per_epoch=3, transform=chain)
    for k in range(3):
        before, after = plain[k]["image"], turned[k]["image"]
        corner = after.affine.numpy() @ [0, 0, 0, 1]
        x, y, z, _ = np.round(np.linalg.inv(before.affine.numpy()) @ corner).astype(int)
        assert z == 0
        assert float(after[1, 0, 0]) == float(before[1, x, y])
    batch = next(iter(MonaiDataLoader(turned, batch_size=1, sampler=EpochSampler(turned))))
    assert batch["image"].shape[:2] == (1, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"axis": "w"}, "x, y or z, got 'w'"),
        ({"neighbours": -1}, "at least 0, got -1"),
        ({"patch_size": (4, 4, 4)}, r"two numbers, along the axes other than z, got \(4, 4, 4\)"),
        ({"every": True, "slices_per_epoch": 3}, "leave out slices_per_epoch"),
        ({"patch_size": (0, 4)}, r"got \(0, 4, 1\)"),
    ],
)
def test_wrong_settings_are_named(small_store, wrong, message):
    with pytest.raises(ValueError, match=message):
        SliceDataset(small_store, **wrong)
    with pytest.raises(IndexError, match="0 to 2, got 3"):
        SliceDataset(small_store, slices_per_epoch=3)[Draw(0, 3)]


def test_pickled_datasets_give_the_same_slices(small_store):
    options = {"axis": "x", "patch_size": (8, 8), "keys": ["image"]}
    for dataset in (SliceDataset(small_store, **options), SliceDataset(small_store, **options, every=True)):
        again = pickle.loads(pickle.dumps(dataset))
        assert len(again) == len(dataset)
        assert all(torch.equal(again[k]["image"], dataset[k]["image"]) for k in (0, 5, len(dataset) - 1))
