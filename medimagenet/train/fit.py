"""Train a segmentation model from a store, and say honestly what came of it.

The judges of a trained net are the same net untrained, and the best constant predictor: one that marks every voxel or
none. A net that does not beat both has learned nothing.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch

from ..errors import StoreError
from ..loading import VolumeDataset
from ..store import Store
from ..viz import write_curves
from ..volume import Mask
from .datamodule import DataModule
from .monai_adapter import to_stored_order
from .segmentation import SegmentationModule

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What a training did."""

    classes: tuple[str, ...]
    dice_before: dict[str, float]
    """Per class, mean over the validation volumes that have it, of the untrained net."""
    dice_constant: dict[str, float]
    """The same of the best constant predictor: all voxels (2V / (N + V)) or none (0)."""
    dice_after: dict[str, float]
    losses: tuple[float, ...]
    """Training loss of every step."""
    steps: int
    seconds: float
    validated: int
    """Number of validation volumes."""

    @property
    def mean_before(self) -> float:
        """Mean over the classes."""
        return float(np.nanmean(list(self.dice_before.values())))

    @property
    def mean_constant(self) -> float:
        """Mean over the classes."""
        return float(np.nanmean(list(self.dice_constant.values())))

    @property
    def mean_after(self) -> float:
        """Mean over the classes."""
        return float(np.nanmean(list(self.dice_after.values())))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        means = {"before": self.mean_before, "constant": self.mean_constant, "after": self.mean_after}
        return {**asdict(self), "mean_dice": means}


def train_segmentation(
    store: Store,
    out: Path,
    *,
    patch_size: Sequence[int],
    batch_size: int = 2,
    steps: int | None = None,
    seconds: float | None = None,
    inputs: Sequence[str] = ("image",),
    channels: Sequence[int] = (16, 32, 64, 128),
    learning_rate: float = 2e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[SegmentationModule, TrainingReport]:
    """Train on the split "train", judge on the split "val".

    Parameters
    ----------
    out : folder for `model.pt` (weights), `training.json` (the report); made when absent
    patch_size : x, y, z, voxels
    steps, seconds : when to stop; at least one of them
    inputs : names of the arrays that are the input
    progress : called with (steps done, steps in all), or (seconds passed, seconds in all)

    Raises
    ------
    ValueError
        Neither `steps` nor `seconds` is given.
    StoreError
        A split has no samples.
    """
    if steps is None and seconds is None:
        raise ValueError(f"give steps or seconds, got steps={steps}, seconds={seconds}")
    for split in ("train", "val"):
        if not store.ids(split):
            raise StoreError(f"{store.path} has no samples in split {split!r}: change `split` in the recipe")
    lightning.seed_everything(seed, verbose=False)
    module = SegmentationModule(
        store.classes,
        inputs=inputs,
        patch_size=patch_size,
        channels=channels,
        learning_rate=learning_rate,
        label_kind=store.label_kind,
    )
    data = DataModule(store.path, patch_size=tuple(patch_size), batch_size=batch_size, seed=seed)
    started = time.monotonic()
    before = _validate(module, data)
    trainer = _trainer(steps, seconds, progress)
    trainer.fit(module, data)
    report = TrainingReport(
        classes=module.classes,
        dice_before=before,
        dice_constant=constant_dice(store, "val"),
        dice_after=_validate(module, data),
        losses=tuple(module.losses),
        steps=len(module.losses),
        seconds=time.monotonic() - started,
        validated=len(store.ids("val")),
    )
    out.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), out / "model.pt")
    (out / "training.json").write_text(json.dumps(report.to_dict(), indent=2))
    return module, report


def predict_masks(module: SegmentationModule, store: Store, split: str = "val") -> Iterator[tuple[str, Mask]]:
    """Predict whole volumes of a split.

    Yields
    ------
    sample_id, mask : one channel per class, on the grid of the sample's stored image
    """
    module.eval()
    volumes = VolumeDataset(store, split=split)
    for sample_id, item in zip(store.ids(split), volumes, strict=True):
        batch = {name: item[name][None] for name in module.hparams["inputs"]}
        predicted = module.predict_mask(batch)[0]
        grid = store.array(sample_id).grid
        yield sample_id, Mask(to_stored_order(predicted, grid), grid, module.classes)


def draw_training(report: TrainingReport, path: Path) -> None:
    """Write a PNG: the loss of each step, and the validation Dice before and after."""
    scores = {name: [(0, report.dice_before[name]), (report.steps, report.dice_after[name])] for name in report.classes}
    write_curves(path, loss=list(enumerate(report.losses, start=1)), scores=scores, title="training")


def constant_dice(store: Store, split: str) -> dict[str, float]:
    """Per class the mean Dice of the better constant predictor, over the volumes that have the class."""
    scores: dict[str, list[float]] = {name: [] for name in store.classes}
    for sample_id in store.ids(split):
        label = store.array(sample_id, "label").read()
        for value, name in enumerate(store.classes):
            channel = label[0] == value + 1 if store.label_kind == "map" else label[value] > 0
            voxels = int(np.count_nonzero(channel))
            if voxels:
                scores[name].append(2 * voxels / (channel.size + voxels))
    return {name: float(np.mean(found)) if found else float("nan") for name, found in scores.items()}


def _trainer(steps: int | None, seconds: float | None, progress: Progress | None) -> lightning.Trainer:
    return lightning.Trainer(
        max_steps=steps if steps is not None else -1,
        max_time=None if seconds is None else {"seconds": round(seconds)},
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        callbacks=[_Report(steps, seconds, progress)],
        limit_val_batches=0,  # validated before and after: on a CPU whole volumes in between would be most of the time
        **QUIET,
    )


def _validate(module: SegmentationModule, data: DataModule) -> dict[str, float]:
    trainer = lightning.Trainer(accelerator="auto", devices=1, **QUIET)
    metrics = trainer.validate(module, data, verbose=False)[0]
    return {name: float(metrics[f"val_dice_{name}"]) for name in module.classes}


QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class _Report(lightning.Callback):
    """Passes progress on."""

    def __init__(self, steps: int | None, seconds: float | None, progress: Progress | None) -> None:
        self._steps, self._seconds, self._progress = steps, seconds, progress
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """After each step."""
        if self._progress is None:
            return
        if self._seconds is not None:
            passed = time.monotonic() - self._started
            self._progress(min(round(passed), round(self._seconds)), round(self._seconds))
        elif self._steps is not None:
            self._progress(trainer.global_step, self._steps)
