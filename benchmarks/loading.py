"""Random patches with labels as batches for training: PatchLoader beside its peers, in milliseconds per patch.

Synthetic volumes of 200 x 256 x 256, int16 image and uint8 label; patches in batches of 2, the image float32 and
normalised, axes RAS, every second patch on foreground, files in the page cache. Peers that crop arrays get them in
RAS order from the start; we turn each patch. At 96³ peers run in each of their settings (in one process and with two
workers, one crop of a volume and four), at 128³ in the one that was best. Then the first patches after the page cache
was dropped, the waiting of a training step that keeps a core busy, and the memory of whole processes.

    python -m benchmarks.loading [--volumes 24] [--rounds 5] [--large 0] [--json FILE]

``--large 1`` measures volumes of 134 x 512 x 512 too, without goals. A quiet machine of two cores takes eight minutes.
"""

import os
import statistics
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
from . import loading_guest as guest
from . import rows
from .loading_data import BATCH, SHAPE, Array, Pair
from .loading_memory import memory
from .loading_monai import monai
from .loading_peers import RAM, TENSORSTORE, VOLUMES, Batches, Guests, sliced, with_workers

AREA = "loading"
LARGE = (134, 512, 512)
SECONDS = 5.0
"""Of one contender, over all rounds."""
RAW, HDF5 = "medimagenet, no codec", "medimagenet, HDF5 form"
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
GOAL_RAW, GOAL_COLD, WAITING, LIMIT_HDF5 = 0.8, 0.5, 2.0, 1.5
STEP_S = 1 / 60
"""Of a training step, per patch."""
MONAI = [
    (kind, crops, workers)
    for kind, crops in (
        ("MONAI PersistentDataset", 1),
        ("MONAI PersistentDataset", 4),
        ("MONAI CacheDataset", 1),
        ("MONAI CacheDataset, indices cached", 1),
    )
    for workers in (0, 2)
]

Row = dict[str, Any]
_BEGAN = time.perf_counter()


def main() -> None:
    options = rows.options(__doc__, volumes=24, large=0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        found, notes = _run(Path(name), options)
    packages = ("zarr", "tensorstore", "h5py", "hdf5plugin", "monai", "torch")
    rows.finish(AREA, found, notes, {package: version(package) for package in packages}, options.json)
    _tell("done")


def _tell(what: str) -> None:
    print(f"{time.perf_counter() - _BEGAN:4.0f} s: {what}", file=sys.stderr, flush=True)


def _run(place: Path, options: Any) -> tuple[list[Row], list[str]]:
    count, rounds = options.volumes, options.rounds
    _tell("volumes and stores")
    volumes = [data.volume(number, SHAPE) for number in range(count)]
    stores = {rows.OURS: data.write_store(place / "ours.zarr", volumes)}
    stores[RAW] = data.write_store(place / "raw.zarr", volumes, codec="none")
    stores[HDF5] = data.write_store(place / "ours.h5", volumes)
    turned = [(data.turned(image), data.turned(label)) for image, label in volumes]
    share = data.share(stores[rows.OURS], volumes)
    del volumes
    _tell("files of the peers")
    points = [np.argwhere(label) for _, label in turned]
    for number, (image, label) in enumerate(turned):
        np.save(place / f"{number}.image.npy", data.normalised(image))
        np.save(place / f"{number}.label.npy", label)
    pairs = sliced(place, turned)
    guests = Guests(options.peers, place)
    found: list[Row] = []
    try:
        made = _patches(_contenders(stores, pairs, points, guests, place, 96), 96, rounds)
        best = _best(made)
        runs = _contenders(stores, pairs, points, guests, place, 128, best)
        made += _patches(runs, 128, rounds)
        found += made
        _tell("steps of training")
        guests.end()
        found += _busy(stores[rows.OURS], pairs, points, guests)
    finally:
        guests.close()
    _tell("cold")
    found += _cold(stores[rows.OURS], pairs[TENSORSTORE], points, place)
    _tell("memory")
    found += memory(stores[rows.OURS], place, count, options.peers)
    if options.large:
        _tell("large volumes")
        found += _large(place / "large", rounds)
    notes = [
        f"{count} synthetic volumes of {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]}, {share:.2f} of their size in the store.",
        f"Peers that write files of their own, but MONAI and TorchIO, have the first {VOLUMES} of them.",
        "Patches at equal places are equal bit for bit; MONAI, TorchIO and nnU-Net draw their own.",
        "A goal is for the best of a peer's settings; MONAI CacheDataset with its indices cached has none.",
        "MONAI caches, of each volume, the normalised image as float32 and the label as uint8, where it says so as "
        "float32 (as LoadImaged gives it) or with the int64 indices of its voxels (FgBgToIndicesd); cached items are "
        "not copied before the crop.",
        "Anonymous memory: the largest that was seen from the start of the process on, imports included; MONAI in one "
        "process, which needs least.",
    ]
    return found, notes


class _Run:
    """A contender that is begun once, so that worker processes start once; between measures it stands still."""

    def __init__(self, begin: Batches) -> None:
        self._begin = begin
        self._batches: Generator[int, None, None] | None = None

    def __call__(self, seconds: float) -> float:
        """Milliseconds per patch."""
        if self._batches is None:
            self._batches = self._begin()
        return guest.milliseconds(self._batches, seconds)

    def close(self) -> None:
        if self._batches is not None:
            self._batches.close()


Measure = Callable[[float], float]


def _contenders(
    stores: Mapping[str, Path],
    pairs: Mapping[str, list[Pair]],
    points: list[Array],
    guests: Guests,
    place: Path,
    patch: int,
    chosen: Sequence[str] = (),
) -> dict[str, Measure]:
    """Who is measured, those that crop at given places checked before; `chosen` of the peers, or all."""

    def is_chosen(who: str) -> bool:
        return not chosen or who in chosen

    loaders = {who: _loader(path, patch) for who, path in stores.items()}
    for who, one in pairs.items():
        for loader in loaders.values():
            _check(who, one, loader, patch)
    runs: dict[str, Batches] = {who: partial(_counted, loader) for who, loader in loaders.items()}
    peers: dict[str, Batches] = {who: partial(data.crops, one, points, patch) for who, one in pairs.items()}
    peers |= {f"{who}, 2 workers": partial(with_workers, pairs[who], points, patch) for who in (RAM, "zarr-python")}
    peers |= monai(place, patch, [setting for setting in MONAI if not chosen or setting[0] in " ".join(chosen)])
    runs |= {who: run for who, run in peers.items() if is_chosen(who)}
    measures: dict[str, Measure] = {who: _Run(run) for who, run in runs.items()}
    return measures | {who: partial(guests.milliseconds, who, patch) for who in guests.names if is_chosen(who)}


def _best(made: Sequence[Row]) -> list[str]:
    """Of each peer with a goal the setting that was best; of the others the only one."""
    made = [row for row in made if row["who"] not in (rows.OURS, HDF5)]
    best = [min(mine, key=lambda row: row["value"])["who"] for peer in GOALS if (mine := _rows_of(made, peer))]
    return [*best, *(row["who"] for row in made if not any(_rows_of([row], peer) for peer in GOALS))]


def _rows_of(made: Sequence[Row], peer: str) -> list[Row]:
    """Those about a peer of `GOALS`: "4 crops" has a goal of its own, tensorstore's is for its codec, MONAI's for crops
    that look for foreground."""

    def is_it(who: str) -> bool:
        is_same = who.startswith(peer) and ("4 crops" in who) == ("4 crops" in peer)
        return is_same and "indices cached" not in who and not (peer == "tensorstore" and "no codec" in who)

    return [row for row in made if is_it(row["who"])]


def _patches(measures: Mapping[str, Measure], patch: int, rounds: int) -> list[Row]:
    """Milliseconds per patch, files in the page cache."""
    times: dict[str, list[float]] = {who: [] for who in measures}
    try:
        for number in range(rounds):
            _tell(f"patches of {patch}³, round {number + 1} of {rounds}")
            for who, measure in measures.items():
                times[who].append(measure(SECONDS / rounds))
    finally:
        for measure in measures.values():
            if isinstance(measure, _Run):
                measure.close()
    wall = {who: statistics.median(found) for who, found in times.items()}
    work = f"patches of {patch}³"
    raw = {rows.OURS: wall.pop(RAW), RAM: wall.get(RAM, 0.0)}
    forms = rows.compare(AREA, f"{work}, HDF5 form", {rows.OURS: wall[rows.OURS], HDF5: wall.pop(HDF5)}, "ms", None)
    forms[1]["goal"], forms[1]["met"] = LIMIT_HDF5, forms[1]["ratio"] <= LIMIT_HDF5
    made = rows.compare(AREA, work, wall, "ms", None)
    for peer, goals in GOALS.items():
        mine = _rows_of(made, peer)
        if mine:
            best = min(mine, key=lambda row: row["value"])
            best["goal"], best["met"] = goals[patch], best["ratio"] >= goals[patch]
    if not raw[RAM]:
        return [*made, *forms]
    return [*made, *forms, *rows.compare(AREA, f"{work}, no codec", raw, "ms", GOAL_RAW)]


def _loader(store: Path, patch: int) -> PatchLoader:
    return PatchLoader(store, patch_size=(patch,) * 3, batch_size=BATCH, patches_per_epoch=10**9, foreground=0.5)


def _counted(loader: PatchLoader) -> Generator[int, None, None]:
    """Patches of each batch."""
    for batch in loader:
        yield len(batch["image"])


def _check(who: str, pairs: Sequence[Pair], loader: PatchLoader, patch: int) -> None:
    """What a peer cuts at the places of our first batches, in the volumes that it has, is what we gave."""
    compared = 0
    for batch in islice(loader, 2 * VOLUMES):
        images, labels = data.empty(patch)
        for k, (sample, (x, y, z)) in enumerate(zip(batch["sample_id"], batch["patch_start"].tolist(), strict=True)):
            number = int(sample[1:])
            if number >= len(pairs) or compared == 6:
                continue
            pair = pairs[number]
            start = (pair[0].shape[0] - patch - x, pair[0].shape[1] - patch - y, z)
            data.crop(pair, start, patch, images[k], labels[k])
            compared += 1
            if not (np.array_equal(images[k], batch["image"][k]) and np.array_equal(labels[k], batch["label"][k])):
                raise SystemExit(f"patches of {who} and {rows.OURS} differ")
    if not compared:
        raise SystemExit(f"no patch of {who} was compared")


def _busy(store: Path, pairs: Mapping[str, list[Pair]], points: list[Array], guests: Guests) -> list[Row]:
    """Percent of its time that a step which keeps one core busy, and takes 60 patches a second, waits for its batch."""
    runs: dict[str, Batches] = {rows.OURS: partial(_counted, _loader(store, 96))}
    runs |= {
        who: partial(data.crops, pairs[who], points, 96) for who in (RAM, TENSORSTORE, "zarr-python", "h5py, blosc")
    }
    runs["zarr-python, 2 workers"] = partial(with_workers, pairs["zarr-python"], points, 96)
    waits = {}
    for who, run in runs.items():
        batches = run()
        waits[who] = 100 * guest.waiting(batches, STEP_S)
        batches.close()
    waits |= {who: 100 * guests.waiting(who, 96, STEP_S) for who in guests.names if "2 workers" in who}
    made = rows.compare(AREA, "waiting of a step that takes 60 patches of 96³ a second", waits, "%", None)
    made[0]["goal"], made[0]["met"] = WAITING, made[0]["value"] < WAITING
    return made


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
            for folder in (store, place / TENSORSTORE.replace(" ", "-")):
                drop(folder)
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
        measures = {who: _Run(run) for who, run in runs.items()}
        times = {who: [measures[who](SECONDS / rounds) for _ in range(rounds)] for who in runs}
        for measure in measures.values():
            measure.close()
        medians = {who: statistics.median(one) for who, one in times.items()}
        found += rows.compare(AREA, f"patches of {patch}³ of 512 x 512 x 134", medians, "ms", None)
    return found


if __name__ == "__main__":
    main()
