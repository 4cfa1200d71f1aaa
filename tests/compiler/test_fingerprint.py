"""nnunet_fingerprint against nnU-Net's own formulas over draws of equal number, written down again here."""

import json

import numpy as np
import pytest

from medimagenet.compiler.fingerprint import nnunet_fingerprint, write_fingerprint
from medimagenet.errors import StoreError
from medimagenet.geometry import Grid
from medimagenet.store import SampleData, StoredArray, create_store, open_store

SIZES = ((20, 16, 10), (12, 22, 9), (15, 15, 14))


def case(k, dtype):
    random = np.random.default_rng(k)
    shape = SIZES[k][::-1]
    image = random.normal(100 * (k + 1), 40, shape).astype(dtype)
    image[:2], image[:, :, -k - 1 :] = 0, 0
    label = np.zeros(shape, np.uint8)
    label[3 : 5 + k, 4:9, 2 : 6 + k] = 1
    label[6, 6:8, 3:5] = 2
    return image, label


def build(folder, dtype, *, empty=(), splits=("train", "val", "train")):
    writer = create_store(
        folder / "a.zarr",
        recipe={"name": "test"},
        recipe_hash="0123456789abcdef",
        classes=("one", "two"),
        label_kind="map",
        index_version="1",
    )
    samples = []
    for k in range(3):
        image, label = case(k, dtype)
        grid = Grid(SIZES[k], (0.5 + k, 1.0, 3.0))
        arrays = {
            "image": StoredArray(array=image[None], grid=grid),
            "label": StoredArray(array=label[None] * (k not in empty), grid=grid),
        }
        row = {"patient_id": f"P{k}", "split": splits[k], "license": None, "doi": None, "series": [], "findings": []}
        samples.append(SampleData(sample_id=f"s{k}", arrays=arrays, row=row))
    writer.commit([writer.write_sample(data) for data in samples])
    writer.finish("", {})
    return open_store(folder / "a.zarr")


def drawn(dtype, cases):
    """What nnU-Net pools: of each case equally many voxels; here each voxel equally often instead of by chance."""
    foregrounds = [case(k, dtype)[0][case(k, dtype)[1] > 0].astype(np.float64) for k in cases]
    number = int(np.lcm.reduce([len(one) for one in foregrounds]))
    return np.concatenate([np.repeat(one, number // len(one)) for one in foregrounds])


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_figures_are_those_of_equal_draws_of_every_case(tmp_path, dtype):
    found = nnunet_fingerprint(build(tmp_path, dtype))
    pool = drawn(dtype, range(3))
    figures = found["foreground_intensity_properties_per_channel"]["0"]
    wanted = {"mean": pool.mean(), "std": pool.std(), "min": pool.min(), "max": pool.max()}
    low, median, high = np.percentile(pool, (0.5, 50.0, 99.5), method="inverted_cdf")
    wanted |= {"percentile_00_5": low, "median": median, "percentile_99_5": high}
    assert figures == pytest.approx(wanted, rel=1e-6)
    assert found["spacings"] == [[3.0, 1.0, 0.5 + k] for k in range(3)]
    assert found["shapes_after_crop"] == [[z - 2, y, x - k - 1] for k, (x, y, z) in enumerate(SIZES)]
    shares = [(z - 2) * (x - k - 1) / (z * x) for k, (x, y, z) in enumerate(SIZES)]
    assert found["median_relative_size_after_cropping"] == pytest.approx(np.median(shares))


def test_a_case_with_more_voxels_than_are_kept_is_seen_by_its_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr("medimagenet.compiler.fingerprint.MOST_VALUES", 150)
    figures = nnunet_fingerprint(build(tmp_path, np.float32))["foreground_intensity_properties_per_channel"]["0"]
    pool = drawn(np.float32, range(3))
    assert figures["mean"] == pytest.approx(pool.mean(), rel=1e-6)
    assert np.percentile(pool, 45) < figures["median"] < np.percentile(pool, 55)


def test_cases_without_foreground_and_those_of_the_test_split_do_not_count(tmp_path):
    store = build(tmp_path, np.int16, empty=(0,), splits=("train", "train", "test"))
    found = nnunet_fingerprint(store)
    assert found["foreground_intensity_properties_per_channel"]["0"]["mean"] == drawn(np.int16, [1]).mean()
    assert len(found["spacings"]) == 2
    assert len(nnunet_fingerprint(store, split="test")["spacings"]) == 1


def test_the_file_is_what_the_function_gives(tmp_path):
    store = build(tmp_path, np.int16)
    write_fingerprint(store, tmp_path / "dataset_fingerprint.json")
    assert json.loads((tmp_path / "dataset_fingerprint.json").read_bytes()) == nnunet_fingerprint(store)


def test_what_has_no_fingerprint_is_said(tmp_path):
    store = build(tmp_path, np.int16, empty=(0, 1, 2))
    with pytest.raises(StoreError, match="has a voxel of foreground"):
        nnunet_fingerprint(store)
    with pytest.raises(StoreError, match="no sample of split 'test'"):
        nnunet_fingerprint(store, split="test")
