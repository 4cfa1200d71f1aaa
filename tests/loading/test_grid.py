"""Windows and blending against MONAI's sliding_window_inference with the same network."""

import numpy as np
import pytest
import torch
from monai.inferers import AvgMerger, PatchInferer, sliding_window_inference
from monai.networks.nets import UNet
from torch.utils.data import DataLoader

from medimagenet.errors import StoreError
from medimagenet.loading import GridAggregator, GridPatchDataset, VolumeDataset, predict_store
from medimagenet.store import open_store
from medimagenet.train import to_stored_order

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,), norm="BATCH")
    return net.eval()


def by_monai(store, network, size, orientation="RAS", **options):
    """Per sample MONAI's result for the whole volume, in the stored order."""
    found = {}
    for item in VolumeDataset(store, split=None, orientation=orientation, keys=["image"]):
        with torch.inference_mode():
            output = sliding_window_inference(item["image"].as_tensor()[None], size, 3, network, **options)
        grid = open_store(store).array(item["sample_id"]).grid
        found[item["sample_id"]] = to_stored_order(output[0], grid, orientation)
    return found


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
@pytest.mark.parametrize(
    ("size", "orientation", "overlap"),
    [((16, 12, 8), "RAS", 0.25), ((16, 24, 32), "SAR", 0.6), ((16, 16, 16), None, 0.0)],
)
def test_a_network_gives_what_monai_gives(small_store, network, blend, size, orientation, overlap):
    dataset = GridPatchDataset(
        small_store, patch_size=size, overlap=overlap, split=None, orientation=orientation, keys=["image"]
    )
    window = size if orientation is not None else size[::-1]
    expected = by_monai(small_store, network, window, orientation, overlap=overlap, mode=blend)
    aggregator = GridAggregator(dataset, blend=blend)
    found = dict(predict_store(network, dataset, batch_size=5, aggregator=aggregator))
    assert list(found) == list(open_store(small_store).ids())
    assert aggregator.unfinished == ()
    for name, volume in found.items():
        assert volume.grid == open_store(small_store).array(name).grid
        np.testing.assert_allclose(volume.array, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 12, 8), (40, 50, 30)])  # the second is larger than every volume
def test_an_identity_gives_the_image_back(small_store, tmp_path, size):
    dataset = GridPatchDataset(small_store, patch_size=size, keys=["pt", "image"], pad=9.0)
    assert dataset.ids == ("s07", "s08")
    options = {
        "memory": ({}, 1e-6),
        "half": ({"dtype": "float16"}, 2e-3),
        "file": ({"folder": tmp_path, "dtype": "float16"}, 2e-3),
    }
    for settings, tolerance in options.values():
        aggregator = GridAggregator(dataset, **settings)
        for name, volume in predict_store(lambda x: x, dataset, key=["pt", "image"], aggregator=aggregator):
            image = VolumeDataset(small_store, split="test", keys=["pt", "image"], orientation=None)[int(name[1:]) - 7]
            expected = np.concatenate([image["pt"].numpy(), image["image"].numpy()])
            np.testing.assert_allclose(volume.array, expected, rtol=tolerance, atol=tolerance)
            assert str(volume.array.dtype) == settings.get("dtype", "float32")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s07.npy", "s08.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "s08.npy", mmap_mode="r"), volume.array)


def test_a_batch_holds_windows_of_several_volumes_and_any_worker_gives_them(small_store):
    dataset = GridPatchDataset(small_store, patch_size=(16, 12, 8), split=None, keys=["image"])
    batches = [(b["sample_id"], b["window"].tolist()) for b in DataLoader(dataset, batch_size=7)]
    assert any(len(set(names)) > 1 for names, _ in batches)
    assert sum(len(names) for names, _ in batches) == len(dataset) == sum(map(dataset.count, dataset.ids))
    again = [(b["sample_id"], b["window"].tolist()) for b in DataLoader(dataset, batch_size=7, num_workers=2)]
    assert again == batches


def test_monai_infers_straight_from_the_store(small_store, network):
    """``PatchInferer`` without a splitter takes windows as they come; no volume is in memory."""
    for size in ((16, 12, 8), (16, 48, 16)):  # the second is larger than the volumes along y
        dataset = GridPatchDataset(small_store, patch_size=size, split="test", keys=["image"])
        expected = by_monai(small_store, network, size, overlap=0.25, mode="constant")
        for name in dataset.ids:
            shape = (1, 2, *dataset.padded_shape(name))
            inferer = PatchInferer(merger_cls=AvgMerger, batch_size=4, merged_shape=shape)
            with torch.inference_mode():
                output = inferer(dataset.windows(name), network)[0]
            inside = tuple(
                slice(a, a + n) for a, n in zip(dataset.margins(name), dataset.samples.open(name).whole, strict=True)
            )
            grid = open_store(small_store).array(name).grid
            np.testing.assert_allclose(to_stored_order(output[:, *inside], grid), expected[name], rtol=1e-4, atol=1e-5)


def test_a_prediction_goes_to_the_patient(small_store, small_sample, tmp_path):
    from medimagenet.store import SampleData, StoredArray, create_store

    arrays, _ = small_sample(0)
    stored = {name: StoredArray(**fields, source_grid=fields["grid"]) for name, fields in arrays.items()}
    facts = {"recipe": {}, "recipe_hash": "0", "classes": ("organ", "tumor"), "label_kind": "channels"}
    writer = create_store(tmp_path / "one.zarr", **facts, index_version="1")
    writer.commit([writer.write_sample(SampleData(sample_id="s00", arrays=stored, row={"split": "test"}))])
    dataset = GridPatchDataset(tmp_path / "one.zarr", patch_size=(16, 12, 8), keys=["label"])
    [(name, volume)] = predict_store(lambda x: x * 4 - 2, dataset, key="label")  # logits
    mask = open_store(tmp_path / "one.zarr").to_patient(name, volume.array > 0)
    np.testing.assert_array_equal(mask.array, arrays["label"]["array"] > 0)


def test_ranks_take_whole_volumes_and_may_be_idle(small_store):
    parts = [GridPatchDataset(small_store, patch_size=(16, 16, 16), split=None, rank=rank, ranks=2) for rank in (0, 1)]
    assert sorted(parts[0].ids + parts[1].ids) == list(open_store(small_store).ids())
    assert len(parts[0]) + len(parts[1]) == len(GridPatchDataset(small_store, patch_size=(16, 16, 16), split=None))
    idle = GridPatchDataset(small_store, patch_size=(16, 16, 16), rank=2, ranks=3)
    assert (len(idle), idle.ids, list(predict_store(lambda x: x, idle))) == (0, (), [])


def test_what_does_not_fit_is_named(small_store):
    dataset = GridPatchDataset(small_store, patch_size=(16, 12, 8), keys=["image"])
    aggregator = GridAggregator(dataset)
    batch = next(iter(DataLoader(dataset, batch_size=2)))
    with pytest.raises(ValueError, match=r"\(2, K, 16, 12, 8\), got \(2, 1, 8, 6, 4\)"):
        aggregator.add(batch, torch.zeros(2, 1, 8, 6, 4))
    assert aggregator.add(batch, batch["image"]) == []
    assert aggregator.unfinished == ("s07",)
    with pytest.raises(ValueError, match=r"window \(-2, 0, 0\) of sample s07 came twice"):
        aggregator.add(batch, batch["image"])
    for wrong in ({"overlap": 1.0}, {"patch_size": (0, 1, 1)}, {"label_dtype": "int8"}, {"rank": 1, "ranks": 1}):
        with pytest.raises(ValueError, match="got"):
            GridPatchDataset(small_store, **{"patch_size": (8, 8, 8), **wrong})
    with pytest.raises(ValueError, match="got 'mean' and 'float32'"):
        GridAggregator(dataset, blend="mean")
    with pytest.raises(IndexError, match=f"0 to {len(dataset) - 1}, got {len(dataset)}"):
        dataset[len(dataset)]
    with pytest.raises(StoreError, match="no samples in split 'other'"):
        GridPatchDataset(small_store, patch_size=(8, 8, 8), split="other")
