"""A store under Lightning: a MONAI UNet learns from it, validates on whole volumes, and resumes inside an epoch."""

import ast
import contextlib
import gc
import json
import subprocess
import sys
import threading

import lightning
import pytest
import torch
import torch.distributed
import yaml
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, RandFlipd

from medimagenet.errors import StoreError
from medimagenet.loading import EpochSampler, PatchLoader, VolumeDataset
from medimagenet.store import Targets, create_store, open_store
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


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("medimagenet-loader")]


@pytest.mark.parametrize("end", ["fit", "error", "steps"])
def test_a_trainer_that_has_ended_leaves_no_thread(small_store, end):
    class Failing(Net):
        def training_step(self, batch, index):
            assert loader_threads()
            if end == "error" and index == 1:
                raise ZeroDivisionError
            return super().training_step(batch, index)

    gc.collect()  # loaders of other tests
    options = {"max_steps": 1} if end == "steps" else {"max_epochs": 1}
    trainer = trainer_of(**options, limit_val_batches=0)
    data = DataModule(small_store, PATCH, patches_per_epoch=8, workers=2)
    with pytest.raises(ZeroDivisionError) if end == "error" else contextlib.nullcontext():
        trainer.fit(Failing(), data)
    assert trainer.train_dataloader is not None  # it keeps the loader
    assert loader_threads() == []
    with data.train_dataloader() as loader:
        assert len(next(iter(loader))["sample_id"]) == 2


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


RANK = """\
import json, sys
import torch.distributed
from medimagenet import DataModule

rank, store, meeting = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
data = DataModule(store, (16, 16, 8), patches_per_epoch=10, workers=1)
with data.train_dataloader() as loader:
    drawn = [(batch["sample_id"], batch["patch_start"].tolist()) for batch in loader]
print(json.dumps([drawn, [batch["sample_id"][0] for batch in data._volumes("train")]]))
torch.distributed.destroy_process_group()
"""


def test_two_processes_draw_together_what_one_draws(small_store, tmp_path):
    with DataModule(small_store, PATCH, patches_per_epoch=10, workers=1).train_dataloader() as loader:
        alone = [[batch["sample_id"], batch["patch_start"].tolist()] for batch in loader]
    words = [sys.executable, "-c", RANK]  # processes of their own: one forked from here takes locked locks along
    ranks = [
        subprocess.Popen([*words, str(rank), small_store, tmp_path / "meeting"], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    parts = [json.loads(rank.communicate(timeout=240)[0].splitlines()[-1]) for rank in ranks]
    dealt = [batch for step in zip(parts[0][0], parts[1][0], strict=True) for batch in step]
    assert dealt[:5] == alone
    assert dealt[5] == alone[0]  # the remainder wraps around
    assert [part[1] for part in parts] == [["s00", "s02", "s04"], ["s01", "s03"]]  # volumes never come twice


TARGETS = "sample_id,age,dose\n" + "".join(f"s{k:02d},{50 + k},{k / 4}\n" for k in range(9))


def test_samplers_and_targets_reach_the_loaders_and_the_hyperparameters(small_store, tmp_path):
    (tmp_path / "targets.csv").write_text(TARGETS)
    options = {
        "balance": "classes",
        "classes": ["organ"],
        "weights": {f"s{k:02d}": 1 + k for k in range(5)},
        "targets": Targets(columns=["age", "dose"], table=tmp_path / "targets.csv"),
        "foreground": 1.0,
        "patches_per_epoch": 8,
    }
    data = DataModule(small_store, PATCH, **options, workers=1)
    with PatchLoader(small_store, patch_size=PATCH, **options, workers=1) as loader:
        expected = [(b["sample_id"], b["target"].tolist()) for b in loader]
    assert [(b["sample_id"], b["target"].tolist()) for b in data.train_dataloader()] == expected
    assert all(
        target[0] == 50 + int(name[1:])
        for names, targets in expected
        for name, target in zip(names, targets, strict=True)
    )
    assert [b["target"].tolist() for b in data.val_dataloader()] == [[[55.0, 1.25]], [[56.0, 1.5]]]
    again = DataModule(**data.hparams)
    assert again.hparams == data.hparams
    assert [(b["sample_id"], b["target"].tolist()) for b in again.train_dataloader()] == expected
    transformed = DataModule(small_store, PATCH, **options, train_transform=Compose([]))
    assert [(b["sample_id"], b["target"].tolist()) for b in transformed.train_dataloader()] == expected


def test_slices_for_a_2d_network(small_store):
    data = DataModule(small_store, (16, 12), 3, 10, slice_axis="z", neighbours=1, keys=["image", "label"])
    shapes = [(batch["image"].shape, batch["label"].shape) for batch in data.train_dataloader()]
    assert shapes == [((3, 3, 16, 12), (3, 2, 16, 12))] * 4
    seen = [name for batch in data.val_dataloader() for name in batch["sample_id"]]
    assert len(seen) == sum(VolumeDataset(small_store, split="val")[k]["image"].shape[3] for k in (0, 1))
    assert set(seen) == {"s05", "s06"}
    assert DataModule(**data.hparams).hparams == data.hparams


CLI = """\
import lightning, torch
from lightning.pytorch.cli import LightningCLI
from medimagenet import DataModule

class Age(lightning.LightningModule):
    def __init__(self, width: int = 1):
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)
        self.seen = []
    def training_step(self, batch, _):
        self.seen.append((batch["sample_id"], batch["patch_start"].tolist(), batch["target"].tolist()))
        return (self.layer(batch["image"].mean((1, 2, 3, 4))[:, None])[:, 0] - batch["target"]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-6)

cli = LightningCLI(Age, DataModule)
print(repr(cli.model.seen))
"""


def test_lightning_cli_takes_everything_from_a_file(small_store, tmp_path):
    pytest.importorskip("jsonargparse")
    (tmp_path / "targets.csv").write_text(TARGETS)
    (tmp_path / "train.py").write_text(CLI)
    table = {"columns": "dose", "table": str(tmp_path / "targets.csv")}
    settings = {"store": str(small_store), "patch_size": list(PATCH), "patches_per_epoch": 6, "seed": 5, "workers": 1}
    chosen = {"balance": "classes", "foreground": 0.5, "weights": [1.0, 2.0, 1.0, 1.0, 1.0], "targets": table}
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = {**quiet, "devices": 1, "max_epochs": 1, "limit_val_batches": 0, "enable_model_summary": False}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"data": {**settings, **chosen}, "trainer": trainer}))
    words = [sys.executable, "train.py", "fit", "--config", "settings.yaml", "--data.batch_size", "3"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    same = {**chosen, "targets": Targets(**table)}
    with PatchLoader(small_store, patch_size=PATCH, batch_size=3, patches_per_epoch=6, seed=5, **same) as loader:
        expected = [(b["sample_id"], b["patch_start"].tolist(), b["target"].tolist()) for b in loader]
    assert ast.literal_eval(done.stdout.strip().splitlines()[-1]) == expected


class Recorded(Net):
    """Writes what each process has seen."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_train_end(self):
        found = [(names, starts) for _, names, starts in self.seen]
        (self.folder / f"{self.global_rank}.txt").write_text(repr(found))


def test_two_processes_of_a_trainer_see_together_what_one_sees(small_store, tmp_path):
    with PatchLoader(small_store, patch_size=PATCH, patches_per_epoch=8, workers=1) as loader:
        alone = [(batch["sample_id"], batch["patch_start"].tolist()) for _ in range(2) for batch in loader]
    net = Recorded(tmp_path)
    data = DataModule(small_store, PATCH, patches_per_epoch=8, workers=1)
    trainer = trainer_of(max_epochs=2, devices=2, strategy="ddp_fork", limit_val_batches=0)
    trainer.fit(net, data)
    parts = [ast.literal_eval((tmp_path / f"{rank}.txt").read_text()) for rank in (0, 1)]
    assert [len(part) for part in parts] == [4, 4]
    assert [batch for step in zip(*parts, strict=True) for batch in step] == alone
