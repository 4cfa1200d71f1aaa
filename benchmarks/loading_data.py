"""Volumes, stores and crops that `benchmarks.loading` runs on."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from medimagenet.geometry import Grid
from medimagenet.kernels.foreground import foreground_points
from medimagenet.store import SampleData, StoreConfig, StoredArray, create_hdf5_store, create_store
from medimagenet.store.table import read_table, write_table
from medimagenet.volume import Normalization

BATCH = 2
SHAPE = (200, 256, 256)
WINDOW = Normalization(low=-160, high=240, subtract=40, divide=200)

Array = NDArray[Any]
Shape = tuple[int, int, int]
Pair = tuple[Any, Any]
"""Image and label of one volume, (X, Y, Z) in RAS order; anything that can be sliced."""


def volume(seed: int, shape: Shape) -> tuple[Array, Array]:
    """A body with lungs in air, all with noise, and one organ: image and label, (Z, Y, X)."""
    random = np.random.default_rng([2026, seed])
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    body = (y[:, None] / 0.75) ** 2 + (x / 0.92) ** 2 < 1
    lungs = ((np.abs(x) - 0.42) / 0.3) ** 2 + (y[:, None] / 0.48) ** 2 < 1
    plane = np.where(body, np.where(lungs, -850, 40), -1000).astype(np.float32)
    noise = random.standard_normal(shape, dtype=np.float32) * np.where(body, 30, 15).astype(np.float32)
    image = plane + noise + 25 * np.sin(7 * z)[:, None, None] * body
    centre, radius = random.uniform(-0.5, 0.5, 3), random.uniform(0.12, 0.3, 3)
    scaled = [((axis - c) / r) ** 2 for axis, c, r in zip((z, y, x), centre, radius, strict=True)]
    label = scaled[0][:, None, None] + scaled[1][:, None] + scaled[2] < 1
    return image.astype(np.int16), label.astype(np.uint8)


def turned(array: Array) -> Array:
    """(X, Y, Z), axes to the patient's right, anterior and superior."""
    return np.ascontiguousarray(array.transpose(2, 1, 0)[::-1, ::-1])


def normalised(image: Any) -> Array:
    """Float32, as training wants it."""
    clipped = np.clip(np.asarray(image, dtype=np.float32), np.float32(WINDOW.low), np.float32(WINDOW.high))
    clipped -= np.float32(WINDOW.subtract)
    clipped /= np.float32(WINDOW.divide)
    return clipped


def write_store(path: Path, volumes: Sequence[tuple[Array, Array]], **config: Any) -> Path:
    """A store of ours, in the HDF5 form where its name ends with .h5; `config` as for `StoreConfig`."""
    create = create_hdf5_store if path.suffix == ".h5" else create_store
    writer = create(
        path,
        recipe={"name": "loading"},
        recipe_hash="0" * 64,
        classes=("organ",),
        label_kind="map",
        index_version="0",
        config=StoreConfig(**config),
    )
    for number, (image, label) in enumerate(volumes):
        grid = Grid(image.shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        arrays = {
            "image": StoredArray(array=image[None], grid=grid, normalization=WINDOW),
            "label": StoredArray(array=label[None], grid=grid),
        }
        points = {"organ": foreground_points(label > 0, 10_000)}
        data = SampleData(sample_id=f"v{number:04}", arrays=arrays, foreground=points, row={"split": "train"})
        writer.commit([writer.write_sample(data)])
    writer.finish("# Attribution\n", {"n_samples": len(volumes)})
    return path


def share(store: Path, volumes: Sequence[tuple[Array, Array]]) -> float:
    """Size on disk over that of the voxels."""
    voxels = sum(image.nbytes + label.nbytes for image, label in volumes)
    return sum(path.stat().st_size for path in (store, *store.rglob("*")) if path.is_file()) / voxels


def empty(patch: int) -> tuple[Array, Array]:
    """Image and label of one batch."""
    shape = (BATCH, 1, patch, patch, patch)
    return np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.uint8)


def crop(pair: Pair, start: Sequence[int], patch: int, image: Array, label: Array) -> None:
    """Fill one patch of a batch, (1, X, Y, Z) each."""
    box = tuple(slice(int(a), int(a) + patch) for a in start)
    voxels = image[0]
    voxels[...] = pair[0][box]
    np.clip(voxels, np.float32(WINDOW.low), np.float32(WINDOW.high), out=voxels)
    voxels -= np.float32(WINDOW.subtract)
    voxels /= np.float32(WINDOW.divide)
    label[0] = pair[1][box]


def places(pairs: Sequence[Pair], points: Sequence[Array], patch: int) -> Generator[tuple[int, list[int]], None, None]:
    """Volume and first voxel of random patches, every second one on foreground."""
    random, number = np.random.default_rng(0), 0
    while True:
        chosen = int(random.integers(len(pairs)))
        limits = [n - patch for n in pairs[chosen][0].shape]
        start = [int(random.integers(limit + 1)) for limit in limits]
        if number % 2:
            voxel = points[chosen][random.integers(len(points[chosen]))]
            start = [min(max(int(v) - patch // 2, 0), limit) for v, limit in zip(voxel, limits, strict=True)]
        yield chosen, start
        number += 1


def crops(pairs: Sequence[Pair], points: Sequence[Array], patch: int) -> Generator[int, None, None]:
    """Batches that are cropped from arrays of one kind; gives the number of patches of each."""
    chosen = places(pairs, points, patch)
    while True:
        images, labels = empty(patch)
        for image, label in zip(images, labels, strict=True):
            number, start = next(chosen)
            crop(pairs[number], start, patch, image, label)
        torch.from_numpy(images), torch.from_numpy(labels)
        yield BATCH


def link_samples(store: Path, target: Path, times: int) -> Path:
    """A store that has each sample of `store` many times, as links: many volumes that take no room."""
    table = read_table(store)
    target.mkdir()
    (target / "samples").mkdir()
    for name in ("zarr.json", "ATTRIBUTION.md", "samples/zarr.json"):
        (target / name).write_bytes((store / name).read_bytes())
    ids = table.column("sample_id").to_pylist()
    parts = []
    for turn in range(times):
        names = [f"{name}-{turn}" for name in ids]
        for old, new in zip(ids, names, strict=True):
            (target / "samples" / new).symlink_to((store / "samples" / old).resolve(), target_is_directory=True)
        parts.append(table.set_column(table.schema.get_field_index("sample_id"), "sample_id", [names]))
    write_table(target, pa.concat_tables([part.cast(table.schema) for part in parts]))
    return target
