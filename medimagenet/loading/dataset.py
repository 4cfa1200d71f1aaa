"""Map-style datasets of a store: items are dictionaries as MONAI uses them, for any DataLoader.

An item is ``{"image": MetaTensor, "label": MetaTensor, ..., "sample_id": str, "patch_start": Tensor, "series": str}``,
with `target` (a tensor) before `sample_id` where targets were asked for.
Images are float32, normalised; axes and affine are those that MONAI's ``LoadImaged(ensure_channel_first=True)`` and
``Orientationd`` give for the same voxels. `patch_start` is x, y, z in the stored grid; `series` is the
SeriesInstanceUID of the leading series.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import collate_meta_tensor_fn
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from ..store import Store, Targets
from ..store.targets import as_targets
from .arrays import LABEL_DTYPES, Sample, Samples, aligned, item_dtype
from .orientation import check_orientation
from .patches import DEFAULT_FOREGROUND, Patch, PatchSettings, PatchSource
from .samplers import Draw, Purpose, hash64
from .volumes import Weights

# A batch's affine must be that of every item. MONAI's own DataLoader enters this when it first collates; without it
# torch's DataLoader would give a batch the affine of its first item.
default_collate_fn_map.setdefault(MetaTensor, collate_meta_tensor_fn)

Transform = Callable[[Any], Any]
"""A MONAI ``Compose``, or anything that takes an item and gives what training wants."""


class PatchDataset(Dataset[Any]):
    """Random patches of a store. Item i of an epoch is a pure function of (seed, epoch, i), transforms included.

    Indices are the order: item 0, 1, 2, ... come from volumes in a random order, so that no shuffling is needed. The
    epoch is set with `set_epoch`, or comes with the index as a `Draw`, as `EpochSampler` yields it (worker processes
    that outlive an epoch then know it too).

    Parameters
    ----------
    store : of compiled samples, or its path
    patch_size : x, y, z, voxels: along the axes of the item
    split : "train", "val", "test"; None takes all samples
    patches_per_epoch : length of the dataset; None: one patch per volume
    foreground : share of patches that hold a voxel of some class, the classes equally often
    orientation : where the axes point: "RAS" gives (C, X, Y, Z); None hands out the store's own (C, Z, Y, X)
    keys : which arrays; None takes those of the first sample
    label_dtype : "uint8" or "float32"
    pad : what image voxels outside the volume become, after normalisation; in labels it is 0
    seed : with epoch and index it names a patch
    balance : "volumes" take turns, or "classes": foreground patches hold each class equally often
    classes : those that count as foreground; None takes all
    weights : how often each volume comes: a number per sample, or the name of a column or a stored target
    targets : numbers for `target`: names of stored ones, or a `Targets` with a table
    transform : called with each item; its MONAI random transforms are seeded from (seed, epoch, index)

    Raises
    ------
    ValueError
        A setting is out of range.
    StoreError
        The store cannot be read, or the split has no samples.
    """

    def __init__(
        self,
        store: Store | Path | str,
        *,
        patch_size: Sequence[int],
        split: str | None = "train",
        patches_per_epoch: int | None = None,
        foreground: float = DEFAULT_FOREGROUND,
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        pad: float = 0.0,
        seed: int = 0,
        balance: str = "volumes",
        classes: Sequence[str] | None = None,
        weights: Weights | None = None,
        targets: Targets | str | Sequence[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        settings = PatchSettings.of(
            patch_size=patch_size,
            split=split,
            patches_per_epoch=patches_per_epoch,
            foreground=foreground,
            orientation=orientation,
            keys=keys,
            label_dtype=label_dtype,
            pad=pad,
            seed=seed,
            balance=balance,
            classes=classes,
            weights=weights,
            targets=targets,
        )
        self.source = PatchSource(store, settings)
        self.transform = transform
        self.epoch = 0

    def __len__(self) -> int:
        """Patches in an epoch."""
        return self.source.length

    def set_epoch(self, epoch: int) -> None:
        """Which epoch plain indices mean from now on (in this process)."""
        self.epoch = int(epoch)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> "PatchDataset":
        """Change nothing: the seed is the dataset's own. MONAI's DataLoader calls this in every worker."""
        return self

    def __getitem__(self, index: int | Draw) -> Any:
        """The item of an index of the present epoch, or of a draw.

        Raises
        ------
        IndexError
            The index is not in the epoch.
        """
        draw = index if isinstance(index, Draw) else Draw(self.epoch, int(index))
        if not 0 <= draw.number < len(self):
            raise IndexError(f"index must be in 0 to {len(self) - 1}, got {draw.number}")
        return transformed(self._item(draw), self.transform, (self.source.settings.seed, *draw))

    def _item(self, draw: Draw) -> dict[str, Any]:
        settings = self.source.settings
        return make_item(self.source.locate(draw), settings.label_dtype, settings.pad)


class VolumeDataset(Dataset[Any]):
    """Whole volumes of a store, in the order of their ids: for validation and inference by sliding window.

    Parameters and errors are those of `PatchDataset`; volumes differ in size, so batches are of one.
    """

    def __init__(
        self,
        store: Store | Path | str,
        *,
        split: str | None = "val",
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        seed: int = 0,
        targets: Targets | str | Sequence[str] | None = None,
        transform: Transform | None = None,
    ) -> None:
        check_orientation(orientation)
        if label_dtype not in LABEL_DTYPES:
            raise ValueError(f"label_dtype must be one of {', '.join(LABEL_DTYPES)}, got {label_dtype!r}")
        wanted = as_targets(targets)
        self.samples = Samples(store, split=split, keys=keys, orientation=orientation, targets=wanted)
        self.label_dtype = label_dtype
        self.seed = seed
        self.transform = transform

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.samples.ids)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> "VolumeDataset":
        """Change nothing: the seed is the dataset's own. MONAI's DataLoader calls this in every worker."""
        return self

    def __getitem__(self, index: int | Draw) -> Any:
        """The item of a volume; `patch_start` is 0, 0, 0.

        Raises
        ------
        IndexError
            There is no such volume.
        """
        draw = index if isinstance(index, Draw) else Draw(0, int(index))
        if not 0 <= draw.number < len(self):
            raise IndexError(f"index must be in 0 to {len(self) - 1}, got {draw.number}")
        sample = self.samples.open(self.samples.ids[draw.number])
        item = make_item(Patch(sample, (0, 0, 0), sample.whole), self.label_dtype, 0.0)
        return transformed(item, self.transform, (self.seed, *draw))


def make_item(patch: Patch, label_dtype: str, pad: float) -> dict[str, Any]:
    """The dictionary of a patch; see the module."""
    sample, affine = patch.sample, patch.affine
    item: dict[str, Any] = {}
    for name, reader in sample.readers.items():
        array = aligned((reader.shape[0], *patch.shape), item_dtype(name, label_dtype))
        sample.read(name, patch.start, array, pad)
        item[name] = meta_tensor(array, affine, sample)
    return item | facts_of(patch)


def facts_of(patch: Patch) -> dict[str, Any]:
    """What an item says beside its arrays."""
    sample = patch.sample
    target = {} if sample.target is None else {"target": torch.as_tensor(sample.target)}
    return {
        **target,
        "sample_id": sample.sample_id,
        "patch_start": torch.tensor(patch.start, dtype=torch.int64),
        "series": sample.series,
    }


def meta_tensor(array: NDArray[Any], affine: NDArray[np.float64], sample: Sample) -> MetaTensor:
    """With the entries of `meta` that MONAI's own readers write and its writers need."""
    meta = {
        "filename_or_obj": sample.sample_id,
        "original_affine": affine.copy(),
        "original_channel_dim": 0,
        "space": "RAS",
        "spatial_shape": np.asarray(array.shape[1:]),
    }
    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(affine), meta=meta)


def transformed(item: dict[str, Any], transform: Transform | None, names: tuple[int, int, int]) -> Any:
    """The item after its transform, whose random state comes from (seed, epoch, index)."""
    if transform is None:
        return item
    reseed = getattr(transform, "set_random_state", None)
    if reseed is not None:
        reseed(seed=hash64(Purpose.TRANSFORM, *names) >> 32)
    return transform(item)
