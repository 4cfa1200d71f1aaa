"""Patches into the memory of a GPU, and how long a small network there waits for them.

Synthetic volumes of 200 x 256 x 256 in a store with its defaults, batches of two patches of 96³ in pinned memory:
copied as float32, and as int16 that becomes float32 on the device. Waiting is measured with a 3-D U-Net of MONAI
(channels 16, 32, 64, 128) that trains. Without a CUDA GPU it says so, and makes no figures. What training needs is all
that it needs: ``pip install ".[train]"``.

    python -m benchmarks.gpu [--volumes 6] [--rounds 5] [--json FILE]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from medimagenet.loading import PatchLoader

from . import loading_data as data
from . import rows
from .loading_data import SHAPE

AREA = "gpu"
PATCH, BATCHES, STEPS = 96, 60, 60
WAITING = 2.0
"""Percent of its time that the network may wait."""
SETTINGS: dict[str, dict[str, Any]] = {
    rows.OURS: {"normalize_on_device": True},
    "medimagenet, normalised by the CPU": {},
    "medimagenet, copied by the loop": {"device": None},
}


def main() -> None:
    options = rows.options(__doc__, volumes=6)
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        print(f"benchmarks.gpu: nothing measured, torch {torch.__version__} ({built}) finds no GPU", file=sys.stderr)
        return
    from monai.networks.nets import UNet

    with tempfile.TemporaryDirectory() as name:
        store = data.write_store(Path(name) / "ours.zarr", [data.volume(k, SHAPE) for k in range(options.volumes)])
        _check(store)
        load: dict[str, list[float]] = {who: [] for who in SETTINGS}
        wait: dict[str, list[float]] = {who: [] for who in SETTINGS}
        for _ in range(options.rounds):
            for who, settings in SETTINGS.items():
                load[who].append(_milliseconds(store, settings))
                network = UNet(3, 1, 2, channels=(16, 32, 64, 128), strides=(2, 2, 2)).cuda()
                wait[who].append(100 * _waiting(store, settings, network))
    found = rows.compare(
        AREA, f"patches of {PATCH}³ into GPU memory", {who: statistics.median(t) for who, t in load.items()}, "ms", None
    )
    made = rows.compare(
        AREA, "waiting of a small U-Net that trains", {who: statistics.median(t) for who, t in wait.items()}, "%", None
    )
    made[0]["goal"], made[0]["met"] = WAITING, made[0]["value"] < WAITING
    notes = [f"GPU: {torch.cuda.get_device_name()}.", f"{options.volumes} synthetic volumes, batches of {data.BATCH}."]
    packages = {package: version(package) for package in ("torch", "monai")}
    rows.finish(AREA, [*found, *made], notes, packages, options.json)


def _batches(store: Path, settings: dict[str, Any]) -> Iterator[dict[str, torch.Tensor]]:
    options = {"device": "cuda", **settings}
    loader = PatchLoader(
        store, patch_size=(PATCH,) * 3, batch_size=data.BATCH, patches_per_epoch=10**9, foreground=0.5, **options
    )
    with loader:
        for batch in loader:
            yield {name: batch[name].cuda(non_blocking=True) for name in ("image", "label")}


def _check(store: Path) -> None:
    """All settings give the same voxels."""
    given = zip(*(islice(_batches(store, settings), 3) for settings in SETTINGS.values()), strict=True)
    for first, *others in given:
        if not all(torch.equal(first[name], other[name]) for other in others for name in first):
            raise SystemExit("batches normalised on the device and by the CPU differ")


def _milliseconds(store: Path, settings: dict[str, Any]) -> float:
    """Per patch in GPU memory."""
    batches = _batches(store, settings)
    for _ in islice(batches, 6):
        pass
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in islice(batches, BATCHES):
        pass
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start) / (BATCHES * data.BATCH)


def _waiting(store: Path, settings: dict[str, Any], network: torch.nn.Module) -> float:
    """Share of its time that the GPU has nothing to do: 1 less that of steps on one batch that is there already."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    batches = _batches(store, settings)
    kept = next(batches)
    ready = _seconds(network, optimizer, iter([kept] * (STEPS + 6)))
    return max(0.0, 1 - ready / _seconds(network, optimizer, batches))


def _seconds(network: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[Any]) -> float:
    start = 0.0
    for number, batch in enumerate(islice(batches, STEPS + 6)):
        if number == 6:
            torch.cuda.synchronize()
            start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(batch["image"]), batch["label"][:, 0].long())
        loss.backward()
        optimizer.step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
