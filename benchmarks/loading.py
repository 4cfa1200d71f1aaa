"""Random patches with labels as batches for training: PatchLoader beside its peers, in milliseconds per patch.

Synthetic volumes of 200 x 256 x 256, int16 image and uint8 label; patches of 96³ in batches of 2, the image float32
and normalised, axes RAS, every second patch on foreground, files in the page cache. Peers that crop arrays get them
in RAS order from the start; we turn each patch. Peers run in this process; MONAI also with two worker processes.

    python -m benchmarks.loading [--volumes 24] [--patch 128] [--json FILE]
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import torch
import zarr
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import Compose, EnsureTyped, RandCropByPosNegLabeld, ScaleIntensityRanged
from numpy.typing import NDArray

from medimagenet.geometry import Grid
from medimagenet.kernels.foreground import foreground_points
from medimagenet.loading import PatchLoader
from medimagenet.store import SampleData, StoreConfig, StoredArray, create_store
from medimagenet.volume import Normalization

from . import rows

AREA = "loading"
SHAPE = (200, 256, 256)
BATCH = 2
WINDOW = Normalization(low=-160, high=240, subtract=40, divide=200)
SECONDS = 1.5
"""Of one contender in one round."""
RAM, RAW = "NumPy, arrays in RAM", "medimagenet, no codec"
GOALS = {
    RAM: 0.45,
    "zarr-python": 5,
    "MONAI PersistentDataset": 30,
    "MONAI PersistentDataset, 4 crops": 10,
    "MONAI CacheDataset": 40,
}
"""How many times our time, from the compressed store, that of a peer should at least be."""
GOAL_RAW = 0.8
"""The same of arrays in RAM beside our store without a codec."""

Array = NDArray[Any]
Batches = Callable[[], Generator[int, None, None]]
"""Begins anew; gives the number of patches of each batch."""
Pair = tuple[Any, Any]
"""Image and label of one volume, (X, Y, Z) in RAS order; anything that can be sliced."""


def main() -> None:
    options = rows.options(__doc__, volumes=6, patch=96)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        volumes = [_volume(number) for number in range(options.volumes)]
        stores = {rows.OURS: _store(place / "ours.zarr", volumes, "blosc-lz4")}
        stores[RAW] = _store(place / "raw.zarr", volumes, "none")
        turned = [(_turned(image), _turned(label)) for image, label in volumes]
        loaders = {who: _loader(path, options.patch) for who, path in stores.items()}
        sliced = _sliced(place, turned)
        for who, pairs in sliced.items():
            for loader in loaders.values():
                _check(who, pairs, loader, options.patch)
        runs: dict[str, Batches] = {who: partial(_counted, loader) for who, loader in loaders.items()}
        points = [np.argwhere(label) for _, label in turned]
        runs |= {who: partial(_crops, pairs, points, options.patch) for who, pairs in sliced.items()}
        runs |= _monai(place, turned, options.patch)
        wall, busy = _measure(runs, options.rounds)
        share = _share(stores[rows.OURS], options.volumes)
    notes = [f"{options.volumes} synthetic volumes, {share:.2f} of their size in the compressed store."]
    notes.append("Patches at equal places are equal bit for bit; MONAI draws its own.")
    packages = ("zarr", "h5py", "hdf5plugin", "monai", "torch")
    peers = {package: version(package) for package in packages}
    rows.finish(AREA, _rows(wall, busy, options.patch), notes, peers, options.json)


def _volume(seed: int) -> tuple[Array, Array]:
    """A body with lungs in air, all with noise, and one organ: image and label, (Z, Y, X)."""
    random = np.random.default_rng([2026, seed])
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE)
    body = (y[:, None] / 0.75) ** 2 + (x / 0.92) ** 2 < 1
    lungs = ((np.abs(x) - 0.42) / 0.3) ** 2 + (y[:, None] / 0.48) ** 2 < 1
    plane = np.where(body, np.where(lungs, -850, 40), -1000).astype(np.float32)
    noise = random.standard_normal(SHAPE, dtype=np.float32) * np.where(body, 30, 15).astype(np.float32)
    image = plane + noise + 25 * np.sin(7 * z)[:, None, None] * body
    centre, radius = random.uniform(-0.5, 0.5, 3), random.uniform(0.12, 0.3, 3)
    scaled = [((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radius, strict=True)]
    label = scaled[0][:, None, None] + scaled[1][:, None] + scaled[2] < 1
    return image.astype(np.int16), label.astype(np.uint8)


def _turned(array: Array) -> Array:
    """(X, Y, Z), axes to the patient's right, anterior and superior."""
    return np.ascontiguousarray(array.transpose(2, 1, 0)[::-1, ::-1])


def _store(path: Path, volumes: list[tuple[Array, Array]], codec: Any) -> Path:
    grid = Grid(SHAPE[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    writer = create_store(
        path,
        recipe={"name": AREA},
        recipe_hash="0" * 64,
        classes=("organ",),
        label_kind="map",
        index_version="0",
        config=StoreConfig(codec=codec),
    )
    for number, (image, label) in enumerate(volumes):
        arrays = {
            "image": StoredArray(array=image[None], grid=grid, normalization=WINDOW),
            "label": StoredArray(array=label[None], grid=grid),
        }
        points = {"organ": foreground_points(label > 0, 10_000)}
        data = SampleData(sample_id=f"v{number:04}", arrays=arrays, foreground=points, row={"split": "train"})
        writer.commit([writer.write_sample(data)])
    writer.finish("# Attribution\n", {"n_samples": len(volumes)})
    return path


def _share(store: Path, volumes: int) -> float:
    """Size on disk over that of the voxels."""
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) / (3 * volumes * np.prod(SHAPE))


def _loader(store: Path, patch: int) -> PatchLoader:
    return PatchLoader(store, patch_size=(patch,) * 3, batch_size=BATCH, patches_per_epoch=10**9, foreground=0.5)


def _counted(loader: PatchLoader) -> Generator[int, None, None]:
    """Patches of each batch."""
    for batch in loader:
        yield len(batch["image"])


def _sliced(place: Path, turned: list[tuple[Array, Array]]) -> dict[str, list[Pair]]:
    """The volumes in each form that is cropped by slicing it."""
    found: dict[str, list[Pair]] = {RAM: list(turned), "np.memmap": [], "zarr-python": [], "h5py, blosc": []}
    blosc = zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")
    for number, pair in enumerate(turned):
        made: dict[str, list[Any]] = {who: [] for who in found}
        for name, array in zip(("image", "label"), pair, strict=True):
            path = place / f"{number}.{name}"
            np.save(f"{path}.npy", array)
            made["np.memmap"].append(np.load(f"{path}.npy", mmap_mode="r"))
            made["zarr-python"].append(
                zarr.create_array(f"{path}.zarr", data=array, chunks=(64,) * 3, shards=(256,) * 3, compressors=blosc)
            )
            file = h5py.File(f"{path}.h5", "w")
            made["h5py, blosc"].append(
                file.create_dataset("0", data=array, chunks=(64,) * 3, **hdf5plugin.Blosc("lz4"))
            )
        for who in list(found)[1:]:
            found[who].append((made[who][0], made[who][1]))
    return found


def _crop(pair: Pair, start: Any, patch: int, image: Array, label: Array) -> None:
    """Fill one patch of a batch, (1, X, Y, Z) each."""
    box = tuple(slice(int(a), int(a) + patch) for a in start)
    voxels = image[0]
    voxels[...] = pair[0][box]
    np.clip(voxels, np.float32(WINDOW.low), np.float32(WINDOW.high), out=voxels)
    voxels -= np.float32(WINDOW.subtract)
    voxels /= np.float32(WINDOW.divide)
    label[0] = pair[1][box]


def _empty(patch: int) -> tuple[Array, Array]:
    shape = (BATCH, 1, patch, patch, patch)
    return np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint8)


def _crops(pairs: list[Pair], points: list[Array], patch: int) -> Generator[int, None, None]:
    """Patches of each batch that is cropped from arrays of one kind."""
    random, number = np.random.default_rng(0), 0
    while True:
        images, labels = _empty(patch)
        for image, label in zip(images, labels, strict=True):
            volume = int(random.integers(len(pairs)))
            limits = [n - patch for n in pairs[volume][0].shape]
            start = [int(random.integers(limit + 1)) for limit in limits]
            if number % 2:
                voxel = points[volume][random.integers(len(points[volume]))]
                start = [min(max(int(v) - patch // 2, 0), limit) for v, limit in zip(voxel, limits, strict=True)]
            _crop(pairs[volume], start, patch, image, label)
            number += 1
        torch.from_numpy(images), torch.from_numpy(labels)
        yield BATCH


def _check(who: str, pairs: list[Pair], loader: PatchLoader, patch: int) -> None:
    """What a peer cuts at the places of three of our batches is what we gave."""
    for batch in islice(loader, 3):
        images, labels = _empty(patch)
        for k, (sample, (x, y, z)) in enumerate(zip(batch["sample_id"], batch["patch_start"].tolist(), strict=True)):
            start = (SHAPE[2] - patch - x, SHAPE[1] - patch - y, z)
            _crop(pairs[int(sample[1:])], start, patch, images[k], labels[k])
        if not (np.array_equal(images, batch["image"]) and np.array_equal(labels, batch["label"])):
            raise SystemExit(f"patches of {who} and {rows.OURS} differ")


class _Load:
    """Read one volume as MONAI items hold it."""

    def __call__(self, item: dict[str, str]) -> dict[str, Any]:
        loaded: dict[str, Any] = {name: np.load(item[name])[None] for name in ("image", "label")}
        return loaded


def _monai(place: Path, turned: list[tuple[Array, Array]], patch: int) -> dict[str, Batches]:
    """All before the random crop is cached, on disk or in RAM: the image as normalised float32."""
    items = [{name: str(place / f"{k}.{name}.npy") for name in ("image", "label")} for k in range(len(turned))]
    low, high = WINDOW.low, WINDOW.high
    ends = [(value - WINDOW.subtract) / WINDOW.divide for value in (low, high)]
    load = [_Load(), EnsureTyped(keys=("image", "label")), ScaleIntensityRanged("image", low, high, *ends, clip=True)]
    cached = Compose(load)
    persistent = PersistentDataset(items, cached, cache_dir=place / "monai")
    memory = CacheDataset(items, cached, progress=False, num_workers=1)
    return {
        "MONAI PersistentDataset": partial(_monai_batches, persistent, patch, 1, 0),
        "MONAI PersistentDataset, 2 workers": partial(_monai_batches, persistent, patch, 1, 2),
        "MONAI PersistentDataset, 4 crops": partial(_monai_batches, persistent, patch, 4, 0),
        "MONAI CacheDataset": partial(_monai_batches, memory, patch, 1, 0),
    }


def _monai_batches(cached: Any, patch: int, crops: int, workers: int) -> Generator[int, None, None]:
    crop = RandCropByPosNegLabeld(("image", "label"), "label", (patch,) * 3, pos=1, neg=1, num_samples=crops)
    loader = DataLoader(Dataset(cached, crop), batch_size=BATCH, shuffle=True, num_workers=workers)
    while True:
        for batch in loader:
            yield len(batch["image"])


def _measure(runs: dict[str, Batches], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds per patch, wall and of all threads of this process: medians of rounds in which all take turns."""
    times: dict[str, list[tuple[float, float]]] = {who: [] for who in runs}
    for _ in range(rounds):
        for who, run in runs.items():
            times[who].append(_time(run()))
    medians = {who: [statistics.median(column) for column in zip(*found, strict=True)] for who, found in times.items()}
    return {who: wall for who, (wall, _) in medians.items()}, {who: busy for who, (_, busy) in medians.items()}


def _time(batches: Generator[int, None, None]) -> tuple[float, float]:
    """After some batches, with what runs ahead of the first; nothing goes on in the background afterwards."""
    for _ in range(4):
        next(batches)
    patches, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < SECONDS:
        patches += next(batches)
    elapsed, busy = time.perf_counter() - start, time.process_time() - busy
    batches.close()
    return 1000 * elapsed / patches, 1000 * busy / patches


def _rows(wall: dict[str, float], busy: dict[str, float], patch: int) -> list[dict[str, Any]]:
    work = f"patches of {patch}³"
    raw = {rows.OURS: wall.pop(RAW), RAM: wall[RAM]}
    made = rows.compare(AREA, work, wall, "ms", None)
    for row in made:
        row["goal"] = GOALS.get(row["who"])
        row["met"] = None if row["goal"] is None else row["ratio"] >= row["goal"]
    here = {who: value for who, value in busy.items() if not who.endswith("workers")}
    return [
        *made,
        *rows.compare(AREA, f"{work}, no codec", raw, "ms", GOAL_RAW),
        *rows.compare(AREA, f"{work}: CPU time of all threads", here, "ms", None),
    ]


if __name__ == "__main__":
    main()
