"""train_segmentation: it learns what can be learned, and reports what was."""

import json

import numpy as np
import pytest

from medimagenet.errors import StoreError
from medimagenet.geometry import Grid
from medimagenet.store import SampleData, StoredArray, create_store, open_store
from medimagenet.train import TrainingSettings, predict_masks, train_segmentation
from medimagenet.train.fit import constant_dice
from medimagenet.volume import Normalization

GRID = Grid((24, 20, 16), (2.0, 2.0, 3.0))


def write_store(path, splits, label_kind="channels"):
    """Bright balls in noise: what a net of a few features learns in seconds."""
    writer = create_store(path, recipe={}, recipe_hash="0", classes=["ball"], label_kind=label_kind, index_version="1")
    rows = []
    for number, split in enumerate(splits):
        random = np.random.default_rng(number)
        z, y, x = np.indices(GRID.shape)
        cz, cy, cx = random.uniform((5, 6, 7), (11, 14, 17))
        ball = ((z - cz) * 1.5) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 5**2
        image = (random.normal(0, 20, GRID.shape) + 100 * ball).astype(np.int16)
        constants = Normalization(low=-100, high=200, subtract=0, divide=100)
        arrays = {
            "image": StoredArray(array=image[None], grid=GRID, normalization=constants),
            "label": StoredArray(array=ball[None], grid=GRID),
        }
        points = np.argwhere(ball).astype(np.int32)
        row = {"patient_id": f"P{number}", "split": split}
        rows.append(
            writer.write_sample(SampleData(sample_id=f"s{number}", arrays=arrays, foreground={"ball": points}, row=row))
        )
    writer.commit(rows)
    writer.finish("", {})
    return open_store(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    store = write_store(folder / "a.zarr", ["train"] * 4 + ["val"] * 2)
    settings = TrainingSettings(patch_size=(16, 16, 16), steps=40, channels=(8, 16), learning_rate=1e-2)
    seen = []
    module, report = train_segmentation(store, folder / "out", settings, progress=lambda *at: seen.append(at))
    return store, module, report, folder / "out", seen


def test_learns_what_can_be_learned(trained):
    report = trained[2]
    assert np.mean(report.losses[-10:]) < 0.7 * np.mean(report.losses[:10])
    assert report.mean_after > 0.8
    assert report.mean_after > max(report.mean_before, report.mean_constant)


def test_reports_what_was_done(trained):
    _, _, report, out, seen = trained
    assert (report.steps, report.validated, report.classes) == (40, 2, ("ball",))
    assert seen[-1] == (40, 40)
    written = json.loads((out / "training.json").read_text())
    assert written["dice_after"] == report.dice_after
    assert (out / "model.pt").stat().st_size > 1000


def test_constant_dice_is_that_of_marking_everything(trained):
    store = trained[0]
    scores = []
    for name in store.ids("val"):
        truth = store.array(name, "label").read() > 0
        scores.append(2 * truth.sum() / (truth.sum() + truth.size))
    assert constant_dice(store, "val")["ball"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_predicted_masks_lie_on_the_stored_image(trained):
    store, module, report, *_ = trained
    scores = []
    for sample_id, mask in predict_masks(module, store):
        truth = store.array(sample_id, "label").read() > 0
        assert mask.grid == store.array(sample_id).grid
        scores.append(2 * (mask.array & truth).sum() / (mask.array.sum() + truth.sum()))
    assert np.mean(scores) == pytest.approx(report.mean_after, abs=1e-6)  # turned or flipped masks would not


def test_a_split_without_samples_is_an_error(tmp_path):
    store = write_store(tmp_path / "a.zarr", ["train"])
    with pytest.raises(StoreError, match="no samples in split 'val'"):
        train_segmentation(store, tmp_path / "out", TrainingSettings(patch_size=(8, 8, 8), steps=1))
    assert not (tmp_path / "out").exists()


def test_settings_need_an_end():
    with pytest.raises(ValueError, match="give steps or seconds"):
        TrainingSettings(patch_size=(8, 8, 8))
