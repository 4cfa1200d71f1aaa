"""Peers of `benchmarks.loading` that live in an environment of their own: nnU-Net's loader and TorchIO's queue.

A server on stdin: a line ``WHO PATCH KIND SECONDS`` is answered by one line: of "load" the milliseconds per patch over
so many seconds, of "step" the share of its time that a step of so many seconds per patch waits. "end" closes what has
begun. Started by `loading_peers.Guests` with the folder of the volumes: ``K.image.npy``, float32 and normalised, and
``K.label.npy``. What measures is here, since both environments use it.
"""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

BATCH = 2
AHEAD = 6
"""Batches before the clock starts: as many as any loader makes ahead."""
STEPS_S = 2.0
VOLUMES = 8
"""nnU-Net writes slowly, and its rate does not depend on how many volumes there are."""


Batches = Iterator[int]
"""The number of patches of each batch."""


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the packages print is no answer
    begun: dict[tuple[str, int], Generator[int, None, None]] = {}
    for line in sys.stdin:
        name, patch, kind, seconds = line.split("\t")
        if kind == "end":
            for batches in begun.values():
                batches.close()
            begun.clear()
            answers.write("0\n")
            continue
        key = name, int(patch)
        if key not in begun:
            begun[key] = CONTENDERS[name](folder, int(patch))
        measure = milliseconds if kind == "load" else waiting
        answers.write(f"{measure(begun[key], float(seconds))}\n")


def milliseconds(batches: Batches, seconds: float) -> float:
    """Per patch; what was made ahead is taken first."""
    for _ in range(AHEAD):
        next(batches)
    patches, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        patches += next(batches)
    return 1000 * (time.perf_counter() - start) / patches


def waiting(batches: Batches, seconds: float) -> float:
    """Share of its time that a step waits which keeps a core busy for `seconds` per patch."""
    matrix = torch.randn(256, 256)
    for _ in range(AHEAD):
        next(batches)
    waited = computed = 0.0
    while computed < STEPS_S:
        start = time.perf_counter()
        patches = next(batches)
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds * patches:
            matrix @ matrix  # without the GIL, as a network
        waited += begin - start
        computed += time.perf_counter() - begin
    return waited / (waited + computed)


def _volumes(folder: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in folder.glob("*.image.npy"))


def _nnunet(folder: Path, patch: int, workers: int) -> Generator[int, None, None]:
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    place = folder / f"nnunet-{patch}"
    if not place.exists():
        place.mkdir()
        for name in _volumes(folder)[:VOLUMES]:
            _save_nnunet(nnUNetDatasetBlosc2.save_case, comp_blosc2_params, folder, name, place, patch)
    labels = SimpleNamespace(all_labels=[0, 1], has_ignore_label=False)
    size = (patch,) * 3
    loader = nnUNetDataLoader(nnUNetDatasetBlosc2(str(place)), BATCH, size, size, labels, 0.5)
    if workers == 0:
        while True:
            yield len(next(loader)["data"])
    many = NonDetMultiThreadedAugmenter(loader, None, workers, num_cached=max(6, workers // 2), pin_memory=False)
    try:
        while True:
            yield len(next(many)["data"])
    finally:
        many._finish()


def _save_nnunet(save: Any, shapes: Any, folder: Path, name: str, place: Path, patch: int) -> None:
    """As nnU-Net's preprocessing leaves a case, with its own chunks and blocks for the patch."""
    image = np.load(folder / f"{name}.image.npy")[None]
    label = np.load(folder / f"{name}.label.npy")[None].astype(np.int8)
    blocks, chunks = shapes(image.shape, (patch,) * 3, image.itemsize)
    seg_blocks, seg_chunks = shapes(label.shape, (patch,) * 3, label.itemsize)
    points = np.argwhere(label == 1)
    chosen = np.random.default_rng(0).choice(len(points), min(10_000, len(points)), replace=False)
    properties = {"class_locations": {1: points[chosen]}}
    save(
        image,
        label,
        properties,
        str(place / name),
        chunks=chunks,
        blocks=blocks,
        chunks_seg=seg_chunks,
        blocks_seg=seg_blocks,
    )


def _read_npy(path: Any) -> tuple[torch.Tensor, Any]:
    return torch.from_numpy(np.load(path)[None]), np.eye(4)


def _torchio(folder: Path, patch: int, workers: int) -> Generator[int, None, None]:
    import torchio

    subjects = [
        torchio.Subject(
            image=torchio.ScalarImage(folder / f"{name}.image.npy", reader=_read_npy),
            label=torchio.LabelMap(folder / f"{name}.label.npy", reader=_read_npy),
        )
        for name in _volumes(folder)
    ]
    sampler = torchio.LabelSampler(patch, "label", {0: 1, 1: 1})
    queue = torchio.Queue(torchio.SubjectsDataset(subjects), 32, 8, sampler, num_workers=workers)
    loader = torchio.SubjectsLoader(queue, batch_size=BATCH, num_workers=0)
    while True:
        for batch in loader:
            yield len(batch["image"][torchio.DATA])


CONTENDERS: dict[str, Callable[[Path, int], Generator[int, None, None]]] = {
    "nnU-Net blosc2": partial(_nnunet, workers=0),
    "nnU-Net blosc2, 2 workers": partial(_nnunet, workers=2),
    "TorchIO Queue": partial(_torchio, workers=0),
    "TorchIO Queue, 2 workers": partial(_torchio, workers=2),
}

if __name__ == "__main__":
    main()
