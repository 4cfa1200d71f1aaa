"""Patches of a store: which one a draw names, and filling arrays with it. What datasets and loaders share."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..geometry import Size
from ..store import Store, Targets
from ..store.targets import as_targets
from .arrays import LABEL, LABEL_DTYPES, Sample, Samples, item_dtype
from .orientation import check_orientation, item_shape
from .samplers import Draw, Purpose, below, start_around, uniform_start
from .volumes import BALANCES, Choice, VolumeChoice, Weights

DEFAULT_FOREGROUND = 0.33
"""Share of patches that must hold foreground: nnU-Net's (Isensee et al., Nature Methods 2021)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings:
    """What patches are drawn from a store, and how they are handed out.

    Raises
    ------
    ValueError
        A value is out of range.
    """

    patch_size: Size
    """Voxels along x, y, z: along the axes of the item in their order, for the store's own order x, y, z."""
    split: str | None = "train"
    """Which samples; None takes all."""
    patches_per_epoch: int | None = None
    """Over all ranks; None: one per volume. Volumes take turns, in a new random order on each pass."""
    foreground: float = DEFAULT_FOREGROUND
    """Share of patches that hold a voxel of a class: a class that the volume has, then a voxel, each equally likely.
    The voxel is at the centre, or as near as the volume's border lets it. 0 draws all patches uniformly; so are
    those of volumes without foreground."""
    orientation: str | None = "RAS"
    """Where the axes of an item point; None hands out the store's own (C, Z, Y, X)."""
    keys: tuple[str, ...] | None = None
    """Which arrays; None takes those of the first sample."""
    label_dtype: str = "uint8"
    """"uint8" or "float32"."""
    pad: float = 0.0
    """What voxels of an image become that lie outside the volume, after normalisation; in labels it is 0."""
    seed: int = 0
    """With the epoch and the index it names a patch."""
    balance: str = "volumes"
    """What foreground patches are shared out among. "volumes" take turns, and a patch holds a class that its volume
    has. With "classes" the classes take turns, each as often as the others however rare it is, and a patch comes from
    a volume that has its class."""
    classes: tuple[str, ...] | None = None
    """Those that count as foreground; None takes all."""
    weights: Weights | None = None
    """How often each volume comes, instead of in turn: numbers in the order of the ids, a mapping from ids, or the
    name of a numeric column of samples.parquet or of a stored target."""
    targets: Targets | str | tuple[str, ...] | None = None
    """Numbers that come with each patch as `target`: names of stored ones, or a `Targets` with a table."""

    def __post_init__(self) -> None:
        if min(self.patch_size) < 1:
            raise ValueError(f"patch_size must be three numbers of at least 1 (x, y, z), got {self.patch_size}")
        if self.patches_per_epoch is not None and self.patches_per_epoch < 1:
            raise ValueError(f"patches_per_epoch must be at least 1, got {self.patches_per_epoch}")
        if not 0 <= self.foreground <= 1:
            raise ValueError(f"foreground must be a share from 0 to 1, got {self.foreground}")
        if self.label_dtype not in LABEL_DTYPES:
            raise ValueError(f"label_dtype must be one of {', '.join(LABEL_DTYPES)}, got {self.label_dtype!r}")
        if self.balance not in BALANCES:
            raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {self.balance!r}")
        if not isfinite(self.pad):
            raise ValueError(f"pad must be finite, got {self.pad}")
        check_orientation(self.orientation)

    @classmethod
    def of(
        cls,
        *,
        patch_size: Sequence[int],
        keys: Sequence[str] | None,
        classes: Sequence[str] | None,
        targets: Targets | str | Sequence[str] | None,
        **others: Any,
    ) -> "PatchSettings":
        """From what users give, in lists or tuples."""
        return cls(
            patch_size=as_size(patch_size),
            keys=None if keys is None else tuple(keys),
            classes=None if classes is None else tuple(classes),
            targets=targets if targets is None or isinstance(targets, Targets | str) else tuple(targets),
            **others,
        )

    @property
    def shape(self) -> Size:
        """Voxels along the axes of an item."""
        return item_shape(self.patch_size, self.orientation)


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """One patch: a box in a sample."""

    sample: Sample
    start: Size
    """First voxel (x, y, z) in the stored grid; negative where the patch begins outside."""
    shape: Size
    """Voxels along the axes of an item."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), from the indices of the item to RAS mm."""
        return self.sample.turn.affine(self.sample.grid, self.start, self.shape)


def as_size(numbers: Sequence[int]) -> Size:
    """Three whole numbers, as the user gave them.

    Raises
    ------
    ValueError
        They are not three.
    """
    if len(numbers) != 3:
        raise ValueError(f"a size must be three numbers (x, y, z), got {tuple(numbers)}")
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


class PatchSource:
    """The patches of a store. Safe to use from many threads, picklable; holds no open file."""

    def __init__(self, store: Store | Path | str, settings: PatchSettings) -> None:
        self.settings = settings
        self.samples = Samples(
            store,
            split=settings.split,
            keys=settings.keys,
            orientation=settings.orientation,
            targets=as_targets(settings.targets),
        )
        self.length = settings.patches_per_epoch or self.pass_length()
        """Patches in an epoch, over all ranks."""
        self.volumes = VolumeChoice(
            self.samples.store,
            self.samples.ids,
            seed=settings.seed,
            length=self.length,
            foreground=settings.foreground,
            balance=settings.balance,
            classes=settings.classes,
            weights=settings.weights,
        )

    def pass_length(self) -> int:
        """Patches in an epoch where no number is given: one per volume."""
        return len(self.samples.ids)

    def shape_in(self, sample: Sample) -> Size:
        """Voxels along the axes of an item from a sample."""
        return self.settings.shape

    def locate(self, draw: Draw) -> Patch:
        """The patch that a draw names."""
        choice = self.volumes.choose(draw)
        sample = self.samples.open(self.samples.ids[choice.volume])
        shape = self.shape_in(sample)
        box = sample.turn.to_grid_order(shape)
        voxel = self._foreground_voxel(sample.sample_id, choice, draw)
        if voxel is None:
            return Patch(sample, uniform_start(self.settings.seed, draw, sample.grid.size, box), shape)
        return Patch(sample, start_around(voxel, sample.grid.size, box), shape)

    def _foreground_voxel(self, sample_id: str, choice: Choice, draw: Draw) -> Sequence[int] | None:
        """A voxel (x, y, z) that the patch must hold; None where it may lie anywhere."""
        if not choice.is_on_foreground:
            return None
        wanted = self.volumes.classes if choice.class_name is None else (choice.class_name,)
        found = self.samples.foreground(sample_id)
        classes = [found[name] for name in wanted if name in found]
        if not classes and choice.class_name is not None:
            raise StoreError(
                f"sample {sample_id} has class {choice.class_name!r}, but no coordinates of it are stored, so that it "
                "cannot be balanced: compile with store: {max_foreground: 10000}"
            )
        if not classes:
            return None
        seed = self.settings.seed
        points = classes[below(len(classes), Purpose.CLASS, seed, *draw)]
        voxel: list[int] = points[below(len(points), Purpose.VOXEL, seed, *draw)].tolist()
        return voxel[::-1]

    def shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Per array the shape (C, n0, n1, n2) and dtype of a patch, as the first sample has it."""
        sample = self.samples.open(self.samples.ids[0])
        shape = self.settings.shape
        return {
            name: ((reader.shape[0], *shape), item_dtype(name, self.settings.label_dtype))
            for name, reader in sample.readers.items()
        }

    def images(self) -> dict[str, np.dtype[Any]]:
        """The images that are stored as whole numbers, and their stored dtype, as the first sample has it."""
        readers = self.samples.open(self.samples.ids[0]).readers
        return {name: reader.dtype for name, reader in readers.items() if name != LABEL and reader.dtype.kind in "iu"}

    def read(self, patch: Patch, name: str, target: NDArray[Any]) -> None:
        """Fill `target` (C, n0, n1, n2) with one array of a patch."""
        patch.sample.read(name, patch.start, target, self.settings.pad)
