"""What the loader gives on this machine: patches and bytes a second, and where its time goes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..store import Store
from .arrays import aligned
from .loader import PatchLoader, usable_cores
from .patches import PatchSettings, PatchSource, as_size
from .samplers import Draw

_WARM_UP = 4
"""Batches before the clock starts: they compile kernels, open files and touch the pages of the buffers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderSpeed:
    """What a `PatchLoader` gave while the loop did nothing else."""

    workers: int
    """Threads; 0: the loop itself."""
    patches_per_s: float
    mb_per_s: float
    """Megabytes of finished tensors a second."""
    first_batch_s: float
    """From opening the store to the first batch; compiles kernels where they are not cached yet."""
    parts: dict[str, float]
    """Milliseconds of one thread per patch: "place" finds out which patch it is, the others read, decode and crop."""

    def waiting(self, batch_size: int, step_ms: float) -> float:
        """Share of its time, from 0 to 1, that a training step of so many milliseconds per batch would wait."""
        load_ms = 1000 * batch_size / self.patches_per_s
        return max(0.0, load_ms - step_ms) / max(load_ms, step_ms)


def measure_loader(
    store: Store | Path | str,
    *,
    patch_size: Sequence[int],
    batch_size: int = 2,
    split: str | None = None,
    foreground: float = 0.5,
    workers: int | None = None,
    seconds: float = 3.0,
) -> LoaderSpeed:
    """Load patches for some seconds, files in the page cache as far as they fit.

    Parameters
    ----------
    patch_size : x, y, z, voxels
    split : None takes all samples
    workers : threads; None: as many as `PatchLoader` takes
    seconds : of loading through threads; half as long is spent on the parts

    Raises
    ------
    ValueError
        A setting is out of range.
    StoreError
        The store cannot be read, or the split has no samples.
    """
    if seconds <= 0:
        raise ValueError(f"seconds must be positive, got {seconds}")
    threads = usable_cores() if workers is None else workers
    start = time.perf_counter()
    with PatchLoader(
        store,
        patch_size=patch_size,
        batch_size=batch_size,
        split=split,
        patches_per_epoch=10**9,
        foreground=foreground,
        workers=threads,
    ) as loader:
        batches = iter(loader)
        batch = next(batches)
        first = time.perf_counter() - start
        size = sum(value.nbytes for name, value in batch.items() if name in loader.names)
        for _ in islice(batches, _WARM_UP):
            pass
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            next(batches)
            count += 1
        rate = count / (time.perf_counter() - start)
    settings = PatchSettings(
        patch_size=as_size(patch_size), split=split, foreground=foreground, patches_per_epoch=10**9
    )
    return LoaderSpeed(
        workers=threads,
        patches_per_s=rate * batch_size,
        mb_per_s=rate * size / 1e6,
        first_batch_s=first,
        parts=_parts(PatchSource(store, settings), seconds / 2),
    )


def _parts(source: PatchSource, seconds: float) -> dict[str, float]:
    """Milliseconds per patch of each part of the work, in this thread."""
    targets: dict[str, Any] = {
        name: aligned(shape, np.dtype(dtype)) for name, (shape, dtype) in source.shapes().items()
    }
    spent = dict.fromkeys(("place", *targets), 0.0)
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        patch = source.locate(Draw(0, count))
        spent["place"] += time.perf_counter() - begin
        for name, target in targets.items():
            begin = time.perf_counter()
            source.read(patch, name, target)
            spent[name] += time.perf_counter() - begin
        count += 1
    return {name: 1000 * total / count for name, total in spent.items()}
