"""Chunks, blocks, shards and codecs of a store: size on disk, time to write, and milliseconds per patch, warm and cold.

Synthetic volumes of 200 x 256 x 256, int16 image and uint8 label, batches of two patches of 96³, every second one on
foreground. The first row is the default; ratios are to it. Size is that of the voxels over that on disk.

    python -m benchmarks.store [--volumes 6] [--rounds 5] [--json FILE]
"""

import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from medimagenet.loading import PatchLoader

from . import loading_data as data
from . import rows
from .loading import drop

AREA = "store"
PATCH, BATCHES = 96, 24
HDF5 = "HDF5 form"
LAYOUTS: dict[str, dict[str, Any]] = {
    rows.OURS: {},
    HDF5: {},
    "blocks of 16 kB": {"block_bytes": 1 << 14},
    "blocks of 64 kB: whole chunks": {"block_bytes": 1 << 16},
    "chunks of 64³": {"chunk": 64},
    "chunks of 64 x 32 x 32": {"chunk": (64, 32, 32)},
    "chunks of 64 x 16 x 32": {"chunk": (64, 16, 32)},
    "chunks of 16³": {"chunk": 16},
    "shards of 4 MB": {"shard_limit_bytes": 4 << 20},
    "shards of 1 MB": {"shard_limit_bytes": 1 << 20},
    "zstd": {"codec": "blosc-zstd"},
    "no codec": {"codec": "none"},
    "no codec, chunks of 64 x 16 x 32": {"codec": "none", "chunk": (64, 16, 32)},
}


def main() -> None:
    options = rows.options(__doc__, volumes=6)
    torch.set_num_threads(1)
    volumes = [data.volume(number, data.SHAPE) for number in range(options.volumes)]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        written, sizes, loaders = {}, {}, {}
        data.write_store(place / "first.zarr", volumes[:1])  # compiles the kernels
        for number, (who, config) in enumerate(LAYOUTS.items()):
            begin = time.process_time()
            store = data.write_store(place / f"{number}{'.h5' if who == HDF5 else '.zarr'}", volumes, **config)
            written[who] = (time.process_time() - begin) / len(volumes)
            sizes[who] = data.share(store, volumes)
            loaders[who] = PatchLoader(
                store, patch_size=(PATCH,) * 3, batch_size=data.BATCH, patches_per_epoch=10**9, foreground=0.5
            )
            _load(loaders[who])
        warm: dict[str, list[float]] = {who: [] for who in LAYOUTS}
        cold: dict[str, list[float]] = {who: [] for who in LAYOUTS}
        for _ in range(options.rounds):
            for who, loader in loaders.items():
                drop(place)
                cold[who].append(_load(loader))
                warm[who].append(_load(loader))
    found = []
    for work, values, unit in (
        ("size on disk over that of the voxels", sizes, "x"),
        ("time to write, processor seconds per volume", written, "s"),
        ("patches of 96³, warm", {who: statistics.median(times) for who, times in warm.items()}, "ms"),
        ("patches of 96³, cold", {who: statistics.median(times) for who, times in cold.items()}, "ms"),
    ):
        found += rows.compare(AREA, work, values, unit, None)
    medians = {who: statistics.median(warm[layout]) for who, layout in ((rows.OURS, HDF5), ("Zarr form", rows.OURS))}
    found += rows.compare(AREA, "patches of 96³ from the HDF5 form, warm", medians, "ms", 1 / 1.5)
    notes = [f"{options.volumes} synthetic volumes; chunks are z x y x x. Of 16-bit voxels, LZ4 is after bitshuffle."]
    rows.finish(AREA, found, notes, {"torch": torch.__version__}, options.json)


def _load(loader: PatchLoader) -> float:
    """Milliseconds per patch of the first batches of an epoch, the same in each layout."""
    loader.set_epoch(1)
    loader.set_epoch(0)
    begin = time.perf_counter()
    for _ in islice(loader, BATCHES):
        pass
    return 1000 * (time.perf_counter() - begin) / (BATCHES * data.BATCH)


if __name__ == "__main__":
    main()
