"""MONAI's loaders for `benchmarks.loading`, which crop cached volumes at random; and the memory of one such process.

    python -m benchmarks.loading_monai FOLDER NAME

loads some batches with one of `CACHES`, says so, and waits for a line on stdin: in the environment of the peers where
there is one, since MONAI imports whatever it finds.
"""

import sys
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import Compose, EnsureTyped, FgBgToIndicesd, MapTransform, RandCropByPosNegLabeld

BATCH, BATCHES, PATCH = 2, 12, 96
NAMES = ("image", "label")
INDICES = {"fg_indices_key": "label_fg_indices", "bg_indices_key": "label_bg_indices"}
Batches = Callable[[], Generator[int, None, None]]


class _Load(MapTransform):
    """Read one volume. Only a transform of MONAI's own kind is cached: what comes after another is done each time."""

    def __init__(self, label: str) -> None:
        super().__init__(NAMES)
        self._dtypes = {"image": "float32", "label": label}

    def __call__(self, item: dict[str, str]) -> dict[str, Any]:
        return {
            name: np.load(item[name])[None].astype(self._dtypes[name], copy=False) for name in self.key_iterator(item)
        }


def _cases(place: Path) -> list[dict[str, str]]:
    count = len(list(place.glob("*.image.npy")))
    return [{name: str(place / f"{k}.{name}.npy") for name in NAMES} for k in range(count)]


def _cached(label: str = "uint8", *, indices: bool = False) -> Compose:
    """What comes before the random crop: the image as normalised float32, the label, and where its voxels are."""
    steps = [_Load(label), EnsureTyped(keys=NAMES)]
    return Compose([*steps, FgBgToIndicesd("label")] if indices else steps)


def _in_memory(place: Path, **options: Any) -> CacheDataset:
    cached = CacheDataset(_cases(place), _cached(**options), progress=False, num_workers=1)
    if not all(isinstance(item["image"], torch.Tensor) for item in cached._cache):
        raise SystemExit("MONAI's CacheDataset has cached no voxels")
    return cached


CACHES: dict[str, Callable[[Path], Any]] = {
    "MONAI CacheDataset": _in_memory,
    "MONAI CacheDataset, float32 label": partial(_in_memory, label="float32"),
    "MONAI CacheDataset, indices cached": partial(_in_memory, indices=True),
    "MONAI PersistentDataset": lambda place: PersistentDataset(_cases(place), _cached(), place / "monai"),
}
"""By name what is kept. A float32 label is what `LoadImaged` gives; the indices, int64 of each voxel, save looking for
foreground at each crop."""


def monai(place: Path, patch: int, settings: Sequence[tuple[str, int, int]]) -> dict[str, Batches]:
    """MONAI's loaders in `settings`: name, crops of a volume, workers."""
    made: dict[str, Any] = {}
    runs: dict[str, Batches] = {}
    for kind, crops, workers in settings:
        if kind not in made:
            made[kind] = CACHES[kind](place)
        name = kind + (f", {crops} crops" if crops > 1 else "") + (f", {workers} workers" if workers else "")
        runs[name] = partial(monai_batches, made[kind], patch, crops, workers, indices="indices" in kind)
    return runs


def monai_batches(
    cached: Any, patch: int, crops: int, workers: int, *, indices: bool = False
) -> Generator[int, None, None]:
    """Random crops of cached volumes, half of them on foreground; gives the number of patches of each batch.

    The crop copies what it cuts out; what is cached is not copied before, as with ``CacheDataset(copy_cache=False)``.
    """
    keys = INDICES if indices else {}
    crop = RandCropByPosNegLabeld(NAMES, "label", (patch,) * 3, pos=1, neg=1, num_samples=crops, **keys)
    loader = DataLoader(
        Dataset(cached, crop), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        for batch in loader:
            yield len(batch["image"])


def main() -> None:
    place, name = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    # one process, which needs least: workers have pages of their own beside it
    batches = monai_batches(CACHES[name](place), PATCH, 1, 0, indices="indices" in name)
    for _ in islice(batches, BATCHES):
        pass
    print("{}", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
