"""Prediction of a Trainer, window by window, against MONAI's sliding window over the whole volume."""

import subprocess
import sys

import lightning
import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from medimagenet.loading import VolumeDataset
from medimagenet.store import open_store
from medimagenet.train import DataModule, PredictedVolumes, SegmentationModule, to_stored_order

torch.set_num_threads(1)
PATCH = (16, 16, 8)
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return SegmentationModule(("organ", "tumor"), patch_size=PATCH, channels=(4, 8)).eval()


def by_monai(store, module):
    found = {}
    for item in VolumeDataset(store, split="test", keys=["image"]):
        with torch.inference_mode():
            output = sliding_window_inference(
                item["image"].as_tensor()[None], PATCH, 4, module.network, overlap=0.5, mode="gaussian"
            )
        name = item["sample_id"]
        found[name] = to_stored_order(output[0], open_store(store).array(name).grid)
    return found


def test_windows_become_the_volumes_that_monai_gives(small_store, module, tmp_path):
    expected, found = by_monai(small_store, module), {}
    data = DataModule(small_store, PATCH, batch_size=3, predict_windows=True, overlap=0.5)
    collect = PredictedVolumes(found.__setitem__, folder=tmp_path)
    done = lightning.Trainer(**QUIET, devices=1, callbacks=[collect]).predict(module, data, return_predictions=False)
    assert done is None
    assert list(found) == ["s07", "s08"] == list(expected)
    for name, volume in found.items():
        assert volume.grid == open_store(small_store).array(name).grid
        np.testing.assert_allclose(volume.array, expected[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), volume.array)
    assert DataModule(**data.hparams).hparams == data.hparams


def test_whole_volumes_are_predicted_by_sliding_window(small_store, module):
    data = DataModule(small_store, PATCH, keys=["image"])
    found = lightning.Trainer(**QUIET, devices=1).predict(module, data)
    sizes = [item["image"].shape[1:] for item in VolumeDataset(small_store, split="test")]
    assert [logits.shape for logits in found] == [(1, 2, *size) for size in sizes]


RANKS = """\
import sys
import lightning, torch
from medimagenet import DataModule
from medimagenet.train import PredictedVolumes, SegmentationModule

torch.set_num_threads(1)
torch.manual_seed(0)
module = SegmentationModule(("organ", "tumor"), patch_size=(16, 16, 8), channels=(4, 8))
data = DataModule(sys.argv[1], (16, 16, 8), batch_size=3, predict_windows=True, overlap=0.5)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = lightning.Trainer(
    accelerator="cpu", devices=3, strategy="ddp_fork", callbacks=[PredictedVolumes(folder=sys.argv[2])], **quiet
)
trainer.predict(module, data, return_predictions=False)
trainer = lightning.Trainer(accelerator="cpu", devices=3, strategy="ddp_fork", **quiet)
print(trainer.validate(module, data, verbose=False)[0].keys() >= {"val_dice"})
"""


def test_three_processes_predict_and_validate_two_volumes(small_store, module, tmp_path):
    words = [sys.executable, "-c", RANKS, str(small_store), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "True"
    expected = by_monai(small_store, module)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s07.npy", "s08.npy"]
    for name, array in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), array, rtol=1e-4, atol=1e-5)


def test_what_does_not_go_together_is_named(small_store, module):
    with pytest.raises(ValueError, match="give on_volume or folder, got on_volume=None, folder=None"):
        PredictedVolumes()
    with pytest.raises(ValueError, match="got slice_axis='z'"):
        DataModule(small_store, (16, 16), slice_axis="z", predict_windows=True)
    trainer = lightning.Trainer(**QUIET, devices=1, callbacks=[PredictedVolumes(print)])
    with pytest.raises(ValueError, match=r"got a VolumeDataset: DataModule\(\.\.\., predict_windows=True\)"):
        trainer.predict(module, DataModule(small_store, PATCH))
