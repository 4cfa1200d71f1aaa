"""MONAI's loaders for `benchmarks.loading`, which crop cached volumes at random."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import Compose, EnsureTyped, RandCropByPosNegLabeld

BATCH = 2
Batches = Callable[[], Generator[int, None, None]]


class _Load:
    """Read one volume as MONAI items hold it."""

    def __call__(self, item: dict[str, str]) -> dict[str, Any]:
        return {name: np.load(item[name])[None] for name in ("image", "label")}


def _cases(place: Path) -> list[dict[str, str]]:
    count = len(list(place.glob("*.image.npy")))
    return [{name: str(place / f"{k}.{name}.npy") for name in ("image", "label")} for k in range(count)]


def _load() -> Compose:
    return Compose([_Load(), EnsureTyped(keys=("image", "label"))])


def cached_in_memory(place: Path) -> CacheDataset:
    """All before the random crop in RAM: the image as normalised float32."""
    return CacheDataset(_cases(place), _load(), progress=False, num_workers=1)


_CACHES: dict[str, Callable[[Path], Any]] = {
    "MONAI CacheDataset": cached_in_memory,
    "MONAI PersistentDataset": lambda place: PersistentDataset(_cases(place), _load(), place / "monai"),
}


def monai(place: Path, patch: int, settings: Sequence[tuple[str, int, int]]) -> dict[str, Batches]:
    """MONAI's loaders in `settings`: name, crops of a volume, workers."""
    made: dict[str, Any] = {}
    runs: dict[str, Batches] = {}
    for kind, crops, workers in settings:
        if kind not in made:
            made[kind] = _CACHES[kind](place)
        name = kind + (f", {crops} crops" if crops > 1 else "") + (f", {workers} workers" if workers else "")
        runs[name] = partial(monai_batches, made[kind], patch, crops, workers)
    return runs


def monai_batches(cached: Any, patch: int, crops: int, workers: int) -> Generator[int, None, None]:
    """Random crops of cached volumes, half of them on foreground; gives the number of patches of each batch."""
    crop = RandCropByPosNegLabeld(("image", "label"), "label", (patch,) * 3, pos=1, neg=1, num_samples=crops)
    loader = DataLoader(
        Dataset(cached, crop), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        for batch in loader:
            yield len(batch["image"])
