"""A store under Lightning: a MONAI UNet learns from it, validates on whole volumes, and resumes inside an epoch."""

import multiprocessing
import os

import lightning
import pytest
import torch
import torch.distributed
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, RandFlipd

from medimagenet.errors import StoreError
from medimagenet.loading import EpochSampler, PatchLoader
from medimagenet.store import create_store, open_store
from medimagenet.train import DataModule, EpochLoader

torch.set_num_threads(1)
PATCH = (16, 16, 8)


class Net(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = UNet(
            spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,), num_res_units=0
        )
        self.loss = DiceCELoss(sigmoid=True)
        self.losses, self.validated, self.seen = [], [], []

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch["sample_id"], batch["patch_start"].tolist()))
        loss = self.loss(self.network(batch["image"]), batch["label"].float())
        self.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch, _):
        logits = sliding_window_inference(batch["image"], PATCH, 2, self.network)
        assert logits.shape == batch["label"].shape
        self.validated += batch["sample_id"]

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class SaveAt(lightning.Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def trainer_of(**options):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "accelerator": "cpu",
        "devices": 1,
    }
    return lightning.Trainer(**{**quiet, **options})


def test_a_unet_trains_and_validates_on_whole_volumes(small_store):
    lightning.seed_everything(0, verbose=False)
    net = Net()
    data = DataModule(small_store, PATCH, patches_per_epoch=40, foreground=1.0, workers=1)
    trainer_of(max_epochs=2).fit(net, data)
    assert len(net.losses) == 40
    assert sum(net.losses[-8:]) < sum(net.losses[:8])
    assert net.validated == ["s05", "s06"] * 2
    assert {epoch for epoch, *_ in net.seen} == {0, 1}
    assert net.seen[0][1:] != net.seen[20][1:]  # the second epoch has other patches


@pytest.mark.parametrize("transform", [None, Compose([RandFlipd(keys=["image", "label"], prob=0.5, spatial_axis=0)])])
@pytest.mark.parametrize("step", [3, 5, 7])
def test_a_checkpoint_inside_an_epoch_resumes_with_the_batches_that_would_have_come(
    small_store, tmp_path, transform, step
):
    def data():
        return DataModule(small_store, PATCH, patches_per_epoch=9, workers=0, train_transform=transform, seed=2)

    path = tmp_path / "inside.ckpt"
    straight = Net()
    trainer_of(max_epochs=2, callbacks=[SaveAt(step, path)], limit_val_batches=0).fit(straight, data())
    assert len(straight.seen) == 10
    resumed = Net()
    trainer_of(max_epochs=2, limit_val_batches=0).fit(resumed, data(), ckpt_path=path)
    assert resumed.seen == straight.seen[step:]


def test_loaders_by_split(small_store):
    data = DataModule(open_store(small_store), PATCH, keys=["image"], workers=1)
    assert isinstance(data.train_dataloader(), PatchLoader)
    assert [batch["sample_id"] for batch in data.test_dataloader()] == [["s07"], ["s08"]]
    assert [batch["sample_id"] for batch in data.predict_dataloader()] == [["s07"], ["s08"]]
    assert isinstance(data.val_dataloader().sampler, EpochSampler)
    transformed = DataModule(small_store, PATCH, train_transform=Compose([]), volume_transform=lambda item: item["pt"])
    assert isinstance(transformed.train_dataloader(), EpochLoader)
    assert next(iter(transformed.val_dataloader())).shape[:2] == (1, 1)


def test_splits_without_samples(tmp_path):
    facts = {"recipe": {}, "recipe_hash": "0", "classes": (), "label_kind": "channels", "index_version": "1"}
    create_store(tmp_path / "empty.zarr", **facts)
    data = DataModule(tmp_path / "empty.zarr", PATCH)
    assert data.val_dataloader() == []
    with pytest.raises(StoreError, match="no samples in split 'train'; it has no samples"):
        data.train_dataloader()
    with pytest.raises(StoreError, match="no samples in split 'test'"):
        data.test_dataloader()


def test_prediction_visits_the_test_volumes(small_store):
    class Names(Net):
        def predict_step(self, batch):
            return batch["sample_id"][0], batch["image"].affine.shape

    found = trainer_of().predict(Names(), DataModule(small_store, PATCH))
    assert found == [("s07", (1, 4, 4)), ("s08", (1, 4, 4))]


def test_batches_are_transformed_on_their_device_in_training_only(small_store):
    calls = []

    def transform(batch):
        calls.append(batch["image"].shape)
        return batch

    net = Net()
    data = DataModule(small_store, PATCH, patches_per_epoch=4, workers=0, batch_transform=transform)
    trainer_of(max_epochs=1).fit(net, data)
    assert len(net.validated) == 2
    assert calls == [(2, 1, *PATCH)] * 2


def test_hyperparameters_are_plain_values(small_store):
    data = DataModule(open_store(small_store), [16, 16, 8], seed=5)
    assert data.hparams["store"] == str(small_store)
    assert data.hparams["patch_size"] == [16, 16, 8]
    assert all(isinstance(value, (str, int, float, list, type(None))) for value in data.hparams.values())
    again = DataModule(**data.hparams)
    assert again.hparams == data.hparams


def _draw_as_rank(rank, store, meeting, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    data = DataModule(store, PATCH, patches_per_epoch=10, workers=1)
    with data.train_dataloader() as loader:
        drawn = [(batch["sample_id"], batch["patch_start"].tolist()) for batch in loader]
    validated = [batch["sample_id"][0] for batch in data._volumes("train")]
    results.put((rank, drawn, validated))
    torch.distributed.destroy_process_group()


def test_two_processes_draw_together_what_one_draws(small_store, tmp_path):
    with DataModule(small_store, PATCH, patches_per_epoch=10, workers=1).train_dataloader() as loader:
        alone = [(batch["sample_id"], batch["patch_start"].tolist()) for batch in loader]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (small_store, os.fspath(tmp_path / "meeting"), results)
    processes = [context.Process(target=_draw_as_rank, args=(rank, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    parts = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(60)
    dealt = [batch for step in zip(parts[0][1], parts[1][1], strict=True) for batch in step]
    assert dealt[:5] == alone
    assert dealt[5] == alone[0]  # the remainder wraps around
    assert [part[2] for part in parts] == [["s00", "s02", "s04"], ["s01", "s03"]]  # volumes never come twice
