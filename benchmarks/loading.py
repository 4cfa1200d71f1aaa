"""Random patches with labels as batches for training: PatchLoader beside its peers, in milliseconds per patch.

Synthetic volumes of 200 x 256 x 256, int16 image and uint8 label; patches in batches of 2, the image float32 and
normalised, axes RAS, every second patch on foreground, files in the page cache. Peers that crop arrays get them in
RAS order from the start; we turn each patch. Peers run in one process and, where they have workers, with two. Then the
same after the page cache was dropped, in a training step that keeps a core busy, and the memory of whole processes.

    python -m benchmarks.loading [--volumes 24] [--rounds 3] [--json FILE]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medimagenet.loading import PatchLoader
from medimagenet.store import open_store

from . import loading_data as data
from . import rows
from .loading_data import BATCH, Array, Pair
from .loading_peers import RAM, TENSORSTORE, Batches, Guests, monai, sliced, with_workers

AREA = "loading"
SHAPE = (200, 256, 256)
LARGE = (134, 512, 512)
SECONDS = 1.0
"""Of one contender in one round."""
RAW = "medimagenet, no codec"
GOALS = {
    "MONAI PersistentDataset": {96: 30, 128: 30},
    "MONAI PersistentDataset, 4 crops": {96: 10, 128: 10},
    "MONAI CacheDataset": {96: 40, 128: 40},
    "TorchIO Queue": {96: 25, 128: 25},
    "nnU-Net blosc2": {96: 4, 128: 3},
    "tensorstore": {96: 2.5, 128: 2.5},
    "zarr-python": {96: 5, 128: 5},
    RAM: {96: 0.45, 128: 0.45},
}
"""How many times our time, from the compressed store, that of the best of a peer's settings should at least be."""
GOAL_RAW, GOAL_COLD = 0.8, 0.5
ANONYMOUS_MB, FILE_RATIO, FIRST_S, WAITING = 600, 1.1, 1.0, 2.0
STEP_S = 1 / 60
"""Of a training step, per patch."""

Row = dict[str, Any]


def main() -> None:
    options = rows.options(__doc__, volumes=24)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        found, notes = _run(Path(name), options.volumes, options.rounds, options.peers)
    packages = ("zarr", "tensorstore", "h5py", "hdf5plugin", "monai", "torch")
    rows.finish(AREA, found, notes, {package: version(package) for package in packages}, options.json)


def _run(place: Path, count: int, rounds: int, environment: Path) -> tuple[list[Row], list[str]]:
    volumes = [data.volume(number, SHAPE) for number in range(count)]
    stores = {rows.OURS: data.write_store(place / "ours.zarr", volumes)}
    stores[RAW] = data.write_store(place / "raw.zarr", volumes, codec="none")
    turned = [(data.turned(image), data.turned(label)) for image, label in volumes]
    share = data.share(stores[rows.OURS], volumes)
    del volumes
    points = [np.argwhere(label) for _, label in turned]
    for number, (image, label) in enumerate(turned):
        np.save(place / f"{number}.image.npy", data.normalised(image))
        np.save(place / f"{number}.label.npy", label)
    pairs = sliced(place, turned)
    guests = Guests(environment, place)
    found: list[Row] = []
    try:
        for patch in (96, 128):
            found += _patches(stores, pairs, points, guests, place, patch, rounds)
        found += _busy(stores[rows.OURS], pairs, points, guests)
    finally:
        guests.close()
    found += _cold(stores[rows.OURS], pairs[TENSORSTORE], points, place)
    found += _memory(stores[rows.OURS], place, count)
    found += _large(place / "large", rounds)
    notes = [
        f"{count} synthetic volumes of {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]}, {share:.2f} of their size in the store.",
        "Patches at equal places are equal bit for bit; MONAI, TorchIO and nnU-Net draw their own.",
        "A goal is for the best of a peer's settings.",
    ]
    return found, notes


def _patches(
    stores: Mapping[str, Path],
    pairs: Mapping[str, list[Pair]],
    points: list[Array],
    guests: Guests,
    place: Path,
    patch: int,
    rounds: int,
) -> list[Row]:
    """Milliseconds per patch, files in the page cache."""
    loaders = {who: _loader(path, patch) for who, path in stores.items()}
    for who, one in pairs.items():
        for loader in loaders.values():
            _check(who, one, loader, patch)
    runs: dict[str, Batches] = {who: partial(_counted, loader) for who, loader in loaders.items()}
    runs |= {who: partial(data.crops, one, points, patch) for who, one in pairs.items()}
    runs |= {f"{who}, 2 workers": partial(with_workers, pairs[who], points, patch) for who in (RAM, "zarr-python")}
    runs |= monai(place, len(points), patch, in_memory=patch == 96)
    measures: dict[str, Callable[[], float]] = {who: partial(_time, run) for who, run in runs.items()}
    measures |= {who: partial(guests.milliseconds, who, patch, SECONDS) for who in guests.names}
    times: dict[str, list[float]] = {who: [] for who in measures}
    for _ in range(rounds):
        for who, measure in measures.items():
            times[who].append(measure())
    wall = {who: statistics.median(found) for who, found in times.items()}
    work = f"patches of {patch}³"
    raw = {rows.OURS: wall.pop(RAW), RAM: wall[RAM]}
    made = rows.compare(AREA, work, wall, "ms", None)
    for peer, goals in GOALS.items():
        mine = [row for row in made if row["who"].split(", 2 workers")[0].startswith(peer) and _is(row["who"], peer)]
        if mine:
            best = min(mine, key=lambda row: row["value"])
            best["goal"], best["met"] = goals[patch], best["ratio"] >= goals[patch]
    return [*made, *rows.compare(AREA, f"{work}, no codec", raw, "ms", GOAL_RAW)]


def _is(who: str, peer: str) -> bool:
    """Whether a row is about a peer of `GOALS`: "4 crops" has a goal of its own, tensorstore's is for its codec."""
    return ("4 crops" in who) == ("4 crops" in peer) and not (peer == "tensorstore" and "no codec" in who)


def _loader(store: Path, patch: int) -> PatchLoader:
    return PatchLoader(store, patch_size=(patch,) * 3, batch_size=BATCH, patches_per_epoch=10**9, foreground=0.5)


def _counted(loader: PatchLoader) -> Generator[int, None, None]:
    """Patches of each batch."""
    for batch in loader:
        yield len(batch["image"])


def _check(who: str, pairs: Sequence[Pair], loader: PatchLoader, patch: int) -> None:
    """What a peer cuts at the places of three of our batches is what we gave."""
    for batch in islice(loader, 3):
        images, labels = data.empty(patch)
        for k, (sample, (x, y, z)) in enumerate(zip(batch["sample_id"], batch["patch_start"].tolist(), strict=True)):
            pair = pairs[int(sample[1:])]
            start = (pair[0].shape[0] - patch - x, pair[0].shape[1] - patch - y, z)
            data.crop(pair, start, patch, images[k], labels[k])
        if not (np.array_equal(images, batch["image"]) and np.array_equal(labels, batch["label"])):
            raise SystemExit(f"patches of {who} and {rows.OURS} differ")


def _time(run: Batches) -> float:
    """Milliseconds per patch, after some batches, with what runs ahead of the first; all ends before it returns."""
    batches = run()
    for _ in range(4):
        next(batches)
    patches, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        patches += next(batches)
    elapsed = time.perf_counter() - start
    batches.close()
    return 1000 * elapsed / patches


def _busy(store: Path, pairs: Mapping[str, list[Pair]], points: list[Array], guests: Guests) -> list[Row]:
    """Percent of its time that a step which keeps one core busy, and takes 60 patches a second, waits for its batch."""
    runs: dict[str, Batches] = {rows.OURS: partial(_counted, _loader(store, 96))}
    runs |= {
        who: partial(data.crops, pairs[who], points, 96) for who in (RAM, TENSORSTORE, "zarr-python", "h5py, blosc")
    }
    runs["zarr-python, 2 workers"] = partial(with_workers, pairs["zarr-python"], points, 96)
    waits = {who: 100 * _waiting(run) for who, run in runs.items()}
    made = rows.compare(AREA, "waiting of a step that takes 60 patches of 96³ a second", waits, "%", None)
    made[0]["goal"], made[0]["met"] = WAITING, made[0]["value"] < WAITING
    return made


def _waiting(run: Batches) -> float:
    batches, matrix = run(), torch.randn(256, 256)
    for _ in range(6):
        next(batches)
    waited = computed = 0.0
    for _ in range(60):
        start = time.perf_counter()
        patches = next(batches)
        begin = time.perf_counter()
        while time.perf_counter() - begin < STEP_S * patches:
            matrix @ matrix  # without the GIL, as a network
        waited += begin - start
        computed += time.perf_counter() - begin
    batches.close()
    return waited / (waited + computed)


def _cold(store: Path, pairs: Sequence[Pair], points: Sequence[Array], place: Path) -> list[Row]:
    """The first 24 patches after the page cache was dropped, milliseconds per patch."""
    loader = _loader(store, 96)
    starts = [
        (sample, start)
        for batch in islice(loader, 12)
        for sample, start in zip(batch["sample_id"], batch["patch_start"].tolist(), strict=True)
    ]
    ranges = _ranges(store, starts)
    times: dict[str, list[float]] = {rows.OURS: [], "two threads, pread of the same bytes": [], TENSORSTORE: []}
    for _ in range(3):
        for who, run in (
            (rows.OURS, partial(_first_patches, loader)),
            ("two threads, pread of the same bytes", partial(_pread, ranges)),
            (TENSORSTORE, partial(_take, partial(data.crops, pairs, points, 96))),
        ):
            drop(place)
            loader.set_epoch(1)
            loader.set_epoch(0)
            begin = time.perf_counter()
            run()
            times[who].append(1000 * (time.perf_counter() - begin) / 24)
    made = rows.compare(
        AREA, "first 24 patches, cold", {who: statistics.median(t) for who, t in times.items()}, "ms", 1
    )
    made[1]["goal"], made[1]["met"] = GOAL_COLD, made[1]["ratio"] >= GOAL_COLD
    return made


def _first_patches(loader: PatchLoader) -> None:
    for _ in islice(loader, 12):
        pass


def _take(run: Batches) -> None:
    for _ in islice(run(), 12):
        pass


def drop(place: Path) -> None:
    """Tell the kernel that no page of any file below a folder is wanted any more."""
    for path in place.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _ranges(store: Path, starts: Sequence[tuple[str, Sequence[int]]]) -> list[tuple[Path, int, int]]:
    """File, offset and length of every chunk that patches of 96³ touch, from the indexes of the shards."""
    opened, found = open_store(store), []
    for sample, (x, y, z) in starts:
        for name in ("image", "label"):
            path = store / "samples" / sample / name / "0" / "c" / "0" / "0" / "0" / "0"
            size = opened.array(sample, name).shape[1:]
            counts = [-(-n // 32) for n in size]
            content = path.read_bytes()
            index = np.frombuffer(content[-16 * int(np.prod(counts)) - 4 : -4], dtype="<i8").reshape(*counts, 2)
            box = tuple(slice(a // 32, (a + 95) // 32 + 1) for a in (z, y, x))
            found += [(path, offset, length) for offset, length in index[box].reshape(-1, 2).tolist() if offset >= 0]
    return found


def _pread(ranges: Sequence[tuple[Path, int, int]]) -> None:
    def read(part: Sequence[tuple[Path, int, int]]) -> None:
        descriptors: dict[Path, int] = {}
        for path, offset, length in part:
            if path not in descriptors:
                descriptors[path] = os.open(path, os.O_RDONLY)
            os.pread(descriptors[path], length, offset)
        for descriptor in descriptors.values():
            os.close(descriptor)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, (ranges[: len(ranges) // 2], ranges[len(ranges) // 2 :])))


def _memory(store: Path, place: Path, count: int) -> list[Row]:
    """Memory of whole processes, and the first batch after the imports, kernels cached."""
    many = data.link_samples(store, place / "many.zarr", 2400 // count)
    (single,), (single_file,) = _processes(store, 1)
    (large,), _ = _processes(many, 1)
    _, files = _processes(store, 2)
    found = []
    for work, value, unit, limit in (
        (f"anonymous memory, {count} volumes", single["anonymous_bytes"] / 1e6, "MB", ANONYMOUS_MB),
        ("anonymous memory, 2,400 volumes", large["anonymous_bytes"] / 1e6, "MB", ANONYMOUS_MB),
        ("file-backed memory, two ranks over one", sum(files) / single_file, "x", FILE_RATIO),
        ("first batch after the imports", single["first_s"], "s", FIRST_S),
        ("first batch after the imports, 2,400 volumes", large["first_s"], "s", FIRST_S),
    ):
        row = rows.alone(AREA, work, value, unit)
        row["goal"], row["met"] = limit, value <= limit
        found.append(row)
    with tempfile.TemporaryDirectory() as cache:
        (fresh,), _ = _processes(store, 1, XDG_CACHE_HOME=cache)
    found.append(rows.alone(AREA, "first batch after the imports, kernels not yet compiled", fresh["first_s"], "s"))
    return found


def _processes(store: Path, ranks: int, **environment: str) -> tuple[list[dict[str, float]], list[int]]:
    """A training process per rank, 300 batches each: what they say, and their file-backed memory meanwhile."""
    command = [sys.executable, "-m", "benchmarks.loading_process", str(store), "96", "300"]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(ranks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        for rank in range(ranks)
    ]
    said = [json.loads(process.stdout.readline()) for process in started if process.stdout]
    files = []
    for _ in range(2):
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        if not files:
            files = [json.loads(process.stdout.readline())["file_bytes"] for process in started if process.stdout]
    for process in started:
        process.communicate()
    return said, files


def _large(place: Path, rounds: int) -> list[Row]:
    """Volumes of 134 x 512 x 512, without goals."""
    place.mkdir()
    volumes = [data.volume(number, LARGE) for number in range(4)]
    store = data.write_store(place / "ours.zarr", volumes)
    turned = [(data.turned(image), data.turned(label)) for image, label in volumes]
    del volumes
    points = [np.argwhere(label) for _, label in turned]
    pairs = sliced(place, turned)
    found: list[Row] = []
    for patch in (96, 128):
        runs: dict[str, Batches] = {rows.OURS: partial(_counted, _loader(store, patch))}
        runs |= {who: partial(data.crops, one, points, patch) for who, one in pairs.items()}
        times: dict[str, list[float]] = {who: [] for who in runs}
        for _ in range(min(rounds, 2)):
            for who, run in runs.items():
                times[who].append(_time(run))
        medians = {who: statistics.median(one) for who, one in times.items()}
        found += rows.compare(AREA, f"patches of {patch}³ of 512 x 512 x 134", medians, "ms", None)
    return found


if __name__ == "__main__":
    main()
