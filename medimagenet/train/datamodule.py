"""DataModule: a store for Lightning's Trainer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightning
import monai.data

from ..loading import EpochSampler, GridPatchDataset, PatchDataset, PatchLoader, SliceDataset, VolumeDataset
from ..loading.epochs import process_place
from ..loading.patches import DEFAULT_FOREGROUND
from ..loading.volumes import Weights
from ..store import Store, Targets, open_store
from .monai_adapter import EpochLoader

Transform = Callable[[Any], Any]


class DataModule(lightning.LightningDataModule):
    """Random patches for training, whole volumes (batches of one) for validation, test and prediction; or slices.

    Everything is derived from a path and plain values, which are the hyperparameters, so that LightningCLI and
    checkpoints can hold them. A checkpoint in the middle of an epoch resumes with exactly the batches that would have
    come: the training loader keeps its place (`state_dict`), and Lightning saves it.

    Parameters
    ----------
    store : its path, or the store
    patch_size : x, y, z, voxels
    batch_size : patches in a batch of one process
    patches_per_epoch : over all processes; None: one per training volume
    foreground : share of patches that hold a voxel of some class
    orientation : where the axes point: "RAS" gives (N, C, X, Y, Z); None the store's own order
    keys : which arrays; None takes those of the first sample
    label_dtype : "uint8" or "float32"
    pad : what image voxels outside the volume become, after normalisation
    seed : with epoch and index it names a patch
    balance, classes, weights : which volumes and classes patches are drawn from, as for `PatchDataset`
    targets : numbers for `target`, in all splits: names of stored ones, or a `Targets`, or its fields as a mapping
    slice_axis : "x", "y" or "z" for a 2-D network: training then draws slices of a `SliceDataset`, in worker processes,
        and the other splits give every slice once. The patch size is two numbers, the epoch's length slices
    neighbours : slices on each side that come along as channels
    predict_windows : prediction then gets windows of the patch size that cover the volumes, `batch_size` of several
        volumes at once, instead of whole volumes; `PredictedVolumes` puts what comes of them together
    overlap : of these windows, share of an edge that neighbours have in common
    workers : threads that fill training batches; with `train_transform`, processes. None: one per core, at most 8
    prefetch : batches that are filled ahead
    train_transform : MONAI transform of single training items on the CPU; training then runs through MONAI's
        DataLoader with worker processes instead of `PatchLoader`
    volume_transform : transform of whole volumes, and of the windows of prediction
    batch_transform : called with each training batch on its device: where augmentation is cheapest
    """

    def __init__(
        self,
        store: Store | Path | str,
        patch_size: Sequence[int],
        batch_size: int = 2,
        patches_per_epoch: int | None = None,
        *,
        foreground: float = DEFAULT_FOREGROUND,
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        pad: float = 0.0,
        seed: int = 0,
        balance: str = "volumes",
        classes: Sequence[str] | None = None,
        weights: Weights | None = None,
        targets: Targets | str | Sequence[str] | Mapping[str, Any] | None = None,
        slice_axis: str | None = None,
        neighbours: int = 0,
        predict_windows: bool = False,
        overlap: float = 0.25,
        workers: int | None = None,
        prefetch: int = 3,
        train_transform: Transform | None = None,
        volume_transform: Transform | None = None,
        batch_transform: Transform | None = None,
    ) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True  # more ranks than validation volumes
        if predict_windows and slice_axis is not None:
            raise ValueError(
                f"predict_windows is for volumes, got slice_axis={slice_axis!r}: slices are predicted whole"
            )
        self._store = store
        self._loader: PatchLoader | None = None
        self._batch_size, self._workers, self._prefetch = batch_size, workers, prefetch
        self._train_transform = train_transform
        self._volume_transform = volume_transform
        self._batch_transform = batch_transform
        self._common: dict[str, Any] = {
            "orientation": orientation,
            "keys": None if keys is None else list(keys),
            "label_dtype": label_dtype,
            "seed": seed,
            "targets": Targets(**targets) if isinstance(targets, Mapping) else targets,
        }
        self._patches: dict[str, Any] = {
            "patch_size": [int(n) for n in patch_size],
            "patches_per_epoch": patches_per_epoch,
            "foreground": foreground,
            "pad": pad,
            "balance": balance,
            "classes": None if classes is None else list(classes),
            "weights": _plain_weights(weights),
        }
        self._slices: dict[str, Any] = {"slice_axis": slice_axis, "neighbours": neighbours}
        self._windows: dict[str, Any] = {"predict_windows": predict_windows, "overlap": overlap}
        own = {
            "store": str(store.path if isinstance(store, Store) else store),
            "batch_size": batch_size,
            "workers": workers,
            "prefetch": prefetch,
        }
        plain = {"targets": _plain_targets(self._common["targets"])}
        self.save_hyperparameters({**own, **self._patches, **self._common, **self._slices, **self._windows, **plain})

    def train_dataloader(self) -> PatchLoader | EpochLoader:
        """Random patches, or slices, of the split "train"."""
        if self._slices["slice_axis"] is not None:
            options = {name: value for name, value in self._patches.items() if name != "patches_per_epoch"}
            options["slices_per_epoch"] = self._patches["patches_per_epoch"]
            slices = self._of_slices(transform=self._train_transform, **options)
            return EpochLoader(slices, batch_size=self._batch_size, num_workers=self._workers or 0)
        if self._train_transform is None:
            loader = PatchLoader(
                self._store,
                batch_size=self._batch_size,
                workers=self._workers,
                prefetch=self._prefetch,
                **self._patches,
                **self._common,
            )
            if self.trainer is not None:
                self.teardown("fit")
                self._loader = loader
            return loader
        dataset = PatchDataset(self._store, transform=self._train_transform, **self._patches, **self._common)
        return EpochLoader(dataset, batch_size=self._batch_size, num_workers=self._workers or 0)

    def val_dataloader(self) -> monai.data.DataLoader | list[Any]:
        """Whole volumes of the split "val"; none where it has no samples, so that Lightning trains without it."""
        return self._volumes("val") if self._opened().ids("val") else []

    def test_dataloader(self) -> monai.data.DataLoader:
        """Whole volumes of the split "test"."""
        return self._volumes("test")

    def predict_dataloader(self) -> monai.data.DataLoader | list[Any]:
        """Whole volumes, or windows, of the split "test", or of all samples where no sample is in it."""
        split = "test" if self._opened().ids("test") else None
        return self._grid(split) if self._windows["predict_windows"] else self._volumes(split)

    def teardown(self, stage: str) -> None:
        """Stop the threads of the Trainer's training loader, which it keeps; the loader can be used again."""
        if self._loader is not None:
            self._loader.close()
            self._loader = None

    def on_exception(self, exception: BaseException) -> None:
        """The same: a Trainer that failed or was interrupted calls no `teardown`."""
        self.teardown("fit")

    def _opened(self) -> Store:
        return self._store if isinstance(self._store, Store) else open_store(self._store)

    def _of_slices(self, **options: Any) -> SliceDataset:
        axis, neighbours = self._slices["slice_axis"], self._slices["neighbours"]
        return SliceDataset(self._store, axis=axis, neighbours=neighbours, **options, **self._common)

    def _volumes(self, split: str | None) -> monai.data.DataLoader:
        if self._slices["slice_axis"] is not None:
            size, pad = self._patches["patch_size"], self._patches["pad"]
            slices = self._of_slices(
                split=split, every=True, patch_size=size, pad=pad, transform=self._volume_transform
            )
            sampler = EpochSampler(slices, batch_size=self._batch_size, wrap=False)
            return monai.data.DataLoader(slices, batch_size=self._batch_size, sampler=sampler, num_workers=0)
        dataset = VolumeDataset(self._store, split=split, transform=self._volume_transform, **self._common)
        return monai.data.DataLoader(dataset, batch_size=1, sampler=EpochSampler(dataset, wrap=False), num_workers=0)

    def _grid(self, split: str | None) -> monai.data.DataLoader | list[Any]:
        """Windows of the volumes of this process, which has all of a volume; none where there are more processes."""
        rank, ranks = process_place(None, None)
        dataset = GridPatchDataset(
            self._store,
            split=split,
            patch_size=self._patches["patch_size"],
            pad=self._patches["pad"],
            overlap=self._windows["overlap"],
            transform=self._volume_transform,
            rank=rank,
            ranks=ranks,
            **{name: self._common[name] for name in ("orientation", "keys", "label_dtype")},
        )
        if not len(dataset):
            return []
        sampler = EpochSampler(dataset, batch_size=self._batch_size, rank=0, ranks=1, wrap=False)
        return monai.data.DataLoader(dataset, batch_size=self._batch_size, sampler=sampler, num_workers=0)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment training batches where they are."""
        is_training = self.trainer is not None and self.trainer.training
        return self._batch_transform(batch) if is_training and self._batch_transform is not None else batch


def _plain_weights(weights: Weights | None) -> str | list[float] | dict[str, float] | None:
    """As checkpoints and YAML hold them."""
    if weights is None or isinstance(weights, str):
        return weights
    if isinstance(weights, Mapping):
        return {name: float(value) for name, value in weights.items()}
    return [float(value) for value in weights]


def _plain_targets(targets: Targets | str | Sequence[str] | None) -> str | list[str] | dict[str, Any] | None:
    """As checkpoints and YAML hold them; of a data frame only its type, so that making it again is an error."""
    if targets is None or isinstance(targets, str):
        return targets
    if not isinstance(targets, Targets):
        return list(targets)
    table = targets.table
    values = {each.name: getattr(targets, each.name) for each in fields(targets)}
    values["table"] = table if table is None else str(table) if isinstance(table, str | Path) else type(table).__name__
    values["columns"] = targets.columns if isinstance(targets.columns, str) else list(targets.columns)
    values["classes"] = {name: list(texts) for name, texts in targets.classes.items()}
    return values
