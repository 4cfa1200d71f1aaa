"""Train a segmentation model from a store, and say honestly what came of it.

The judges of a trained net are the same net untrained, and the best constant predictor: one that marks every voxel or
none. A net that does not beat both has learned nothing.
"""

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import cos, pi
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How `train_segmentation` trains.

    Raises
    ------
    ValueError
        Neither `steps` nor `seconds` is given.
    """

    patch_size: tuple[int, int, int]
    """x, y, z, voxels. A multiple of 2 for each level of `channels` after the first."""
    batch_size: int = 2
    steps: int | None = None
    """Stop after so many."""
    seconds: float | None = None
    """Or after so long, whichever is first."""
    inputs: tuple[str, ...] = ("image",)
    """Names of the arrays that are the input."""
    foreground: float = 0.66
    """Share of patches around a voxel of some class. Twice nnU-Net's: these trainings are short."""
    channels: tuple[int, ...] = (16, 32, 64)
    """Features of each level of the UNet."""
    learning_rate: float = 5e-3
    """At the beginning; it falls to zero at the end."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise ValueError(f"give steps or seconds, got steps={self.steps}, seconds={self.seconds}")


def train_segmentation(
    store: Store, out: Path, settings: TrainingSettings, *, progress: Progress | None = None
) -> tuple[SegmentationModule, TrainingReport]:
    """Train on the split "train", judge on the split "val".

    Parameters
    ----------
    out : folder for `model.pt` (weights) and `training.json` (the report); made when absent
    progress : called with (seconds passed, seconds in all), or (steps done, steps in all) where no time is set

    Raises
    ------
    StoreError
        A split has no samples.
    """
    for split in ("train", "val"):
        if not store.ids(split):
            raise StoreError(f"{store.path} has no samples in split {split!r}: change `split` in the recipe")
    started = time.monotonic()
    with _quiet():
        torch.manual_seed(settings.seed)
        module = _module(store, settings)
        data = DataModule(
            store.path,
            patch_size=settings.patch_size,
            batch_size=settings.batch_size,
            foreground=settings.foreground,
            seed=settings.seed,
        )
        before = _validate(module, data)
        _trainer(settings, progress).fit(module, data)
        after = _validate(module, data)
    report = TrainingReport(
        classes=module.classes,
        dice_before=before,
        dice_constant=constant_dice(store, "val"),
        dice_after=after,
        losses=tuple(module.losses),
        steps=len(module.losses),
        seconds=time.monotonic() - started,
        validated=len(store.ids("val")),
    )
    out.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), out / "model.pt")
    (out / "training.json").write_text(json.dumps(report.to_dict(), indent=2))
    return module, report


def _module(store: Store, settings: TrainingSettings) -> SegmentationModule:
    return SegmentationModule(
        store.classes,
        inputs=settings.inputs,
        patch_size=settings.patch_size,
        channels=settings.channels,
        learning_rate=settings.learning_rate,
        label_kind=store.label_kind,
    )


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


def _trainer(settings: TrainingSettings, progress: Progress | None) -> lightning.Trainer:
    return lightning.Trainer(
        max_steps=settings.steps if settings.steps is not None else -1,
        max_time=None if settings.seconds is None else {"seconds": round(settings.seconds)},
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        callbacks=[_Budget(settings, progress)],
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning announces devices and tips through its logger; a small training has nothing to say but its report."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Budget(lightning.Callback):
    """Passes progress on, and lets the learning rate fall as a half cosine over what is left of steps or time."""

    def __init__(self, settings: TrainingSettings, progress: Progress | None) -> None:
        self._settings, self._progress = settings, progress
        self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """After each step."""
        seconds, steps = self._settings.seconds, self._settings.steps
        passed = time.monotonic() - self._started
        shares = [passed / seconds if seconds else 0.0, trainer.global_step / steps if steps else 0.0]
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self._settings.learning_rate * (1 + cos(pi * min(1.0, max(shares)))) / 2
        if self._progress is None:
            return
        if seconds is not None:
            self._progress(min(round(passed), round(seconds)), round(seconds))
        elif steps is not None:
            self._progress(trainer.global_step, steps)
