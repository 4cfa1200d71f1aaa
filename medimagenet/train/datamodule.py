"""DataModule: a store for Lightning's Trainer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import monai.data

from ..loading import EpochSampler, PatchDataset, PatchLoader, VolumeDataset
from ..loading.patches import DEFAULT_FOREGROUND
from ..store import Store, open_store
from .monai_adapter import EpochLoader

Transform = Callable[[Any], Any]


class DataModule(lightning.LightningDataModule):
    """Random patches for training, whole volumes (batches of one) for validation, test and prediction.

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
    workers : threads that fill training batches; with `train_transform`, processes. None: one per core, at most 8
    prefetch : batches that are filled ahead
    train_transform : MONAI transform of single training items on the CPU; training then runs through MONAI's
        DataLoader with worker processes instead of `PatchLoader`
    volume_transform : transform of whole volumes
    batch_transform : called with each training batch on its device: where augmentation is cheapest
    """

    allow_zero_length_dataloader_with_multiple_devices = True  # more ranks than validation volumes

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
        workers: int | None = None,
        prefetch: int = 3,
        train_transform: Transform | None = None,
        volume_transform: Transform | None = None,
        batch_transform: Transform | None = None,
    ) -> None:
        super().__init__()
        self._path = Path(store.path if isinstance(store, Store) else store)
        self._batch_size, self._workers, self._prefetch = batch_size, workers, prefetch
        self._train_transform = train_transform
        self._volume_transform = volume_transform
        self._batch_transform = batch_transform
        self._common: dict[str, Any] = {
            "orientation": orientation,
            "keys": None if keys is None else list(keys),
            "label_dtype": label_dtype,
            "seed": seed,
        }
        self._patches: dict[str, Any] = {
            "patch_size": [int(n) for n in patch_size],
            "patches_per_epoch": patches_per_epoch,
            "foreground": foreground,
            "pad": pad,
        }
        own = {"store": str(self._path), "batch_size": batch_size, "workers": workers, "prefetch": prefetch}
        self.save_hyperparameters({**own, **self._patches, **self._common})

    def train_dataloader(self) -> PatchLoader | EpochLoader:
        """Random patches of the split "train"."""
        if self._train_transform is None:
            return PatchLoader(
                self._path,
                batch_size=self._batch_size,
                workers=self._workers,
                prefetch=self._prefetch,
                **self._patches,
                **self._common,
            )
        dataset = PatchDataset(self._path, transform=self._train_transform, **self._patches, **self._common)
        return EpochLoader(dataset, batch_size=self._batch_size, num_workers=self._workers or 0)

    def val_dataloader(self) -> monai.data.DataLoader | list[Any]:
        """Whole volumes of the split "val"; none where it has no samples, so that Lightning trains without it."""
        return self._volumes("val") if open_store(self._path).ids("val") else []

    def test_dataloader(self) -> monai.data.DataLoader:
        """Whole volumes of the split "test"."""
        return self._volumes("test")

    def predict_dataloader(self) -> monai.data.DataLoader:
        """Whole volumes of the split "test", or of all samples where no sample is in it."""
        return self._volumes("test" if open_store(self._path).ids("test") else None)

    def _volumes(self, split: str | None) -> monai.data.DataLoader:
        dataset = VolumeDataset(self._path, split=split, transform=self._volume_transform, **self._common)
        return monai.data.DataLoader(dataset, batch_size=1, sampler=EpochSampler(dataset, wrap=False), num_workers=0)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Augment training batches where they are."""
        is_training = self.trainer is not None and self.trainer.training
        return self._batch_transform(batch) if is_training and self._batch_transform is not None else batch
