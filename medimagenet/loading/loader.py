"""PatchLoader: the fast path. Threads fill batches in place; no worker processes, no collating, no pickling::

    draws of batch k, k+1, ...  ->  threads: read, decode, crop into the batch's buffer  ->  batch k
                                    (`prefetch` batches ahead of the loop, GIL released)

The loop gets the batches in order; which thread filled which patch changes nothing.
"""

import os
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..store import Store, Targets
from .buffers import BatchBuffer, BatchRing
from .device import Copy, DeviceCopier
from .epochs import process_place
from .patches import DEFAULT_FOREGROUND, Patch, PatchSettings, PatchSource
from .samplers import Draw, Share
from .volumes import Weights

MAX_WORKERS = 8
"""Threads by default at most; two already outrun a training step on most machines."""

Batch = dict[str, Any]
_Filled = tuple[Patch, NDArray[np.float64]]
"""A patch and its affine: made in the thread, while the loop computes."""
_Pending = tuple[BatchBuffer, list[Future[_Filled]]]
_Taken = tuple[BatchBuffer, list[_Filled], Copy | None]


class PatchLoader:
    """Batches of random patches: the patches of a `PatchDataset` with the same settings, in its order.

    A batch is a dict: per array a tensor (N, C, ...), `affine` (N, 4, 4) float64 to RAS mm, `patch_start` (N, 3) in
    the stored grid (x, y, z), lists `sample_id` and `series`, and `target` (N,) or (N, K) where targets were asked
    for. **Its tensors are valid as long as they are kept**: their memory is used again only when nothing refers to it.

    A loader is a place in an endless row of epochs. Iterating goes on from that place to the end of its epoch; the
    next iteration is the next epoch. `set_epoch` moves to the start of another epoch, `state_dict` and
    `load_state_dict` save and restore the place between any two batches.

    Parameters
    ----------
    store, patch_size, split, patches_per_epoch, foreground, orientation, keys, label_dtype, pad, seed, balance, classes
        As for `PatchDataset`, and so are weights and targets.
    batch_size : patches in a batch of this rank
    workers : threads; None: one per core that the process may use, at most 8; 0 fills batches in the loop itself
    prefetch : batches that are filled ahead
    device : where the tensors go; a GPU copies the next batch, by a stream of its own, while the loop uses this one.
        None leaves them in memory
    normalize_on_device : images are copied as they are stored, which for CT is half of float32, and become float32
        there; the values are the same. Needs a device, and every sample stored in one dtype
    pin_memory : None pins the buffers where CUDA is available
    rank, ranks : None asks ``torch.distributed``; ranks draw disjoint even shares, a remainder wraps around

    Raises
    ------
    ValueError
        A setting is out of range.
    StoreError
        The store cannot be read, or the split has no samples.
    """

    def __init__(
        self,
        store: Store | Path | str,
        *,
        patch_size: Sequence[int],
        batch_size: int = 2,
        split: str | None = "train",
        patches_per_epoch: int | None = None,
        foreground: float = DEFAULT_FOREGROUND,
        orientation: str | None = "RAS",
        keys: Sequence[str] | None = None,
        label_dtype: str = "uint8",
        pad: float = 0.0,
        seed: int = 0,
        balance: str = "volumes",
        classes: Sequence[str] | None = None,
        weights: Weights | None = None,
        targets: Targets | str | Sequence[str] | None = None,
        workers: int | None = None,
        prefetch: int = 3,
        device: torch.device | str | None = None,
        normalize_on_device: bool = False,
        pin_memory: bool | None = None,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        settings = PatchSettings.of(
            patch_size=patch_size,
            split=split,
            patches_per_epoch=patches_per_epoch,
            foreground=foreground,
            orientation=orientation,
            keys=keys,
            label_dtype=label_dtype,
            pad=pad,
            seed=seed,
            balance=balance,
            classes=classes,
            weights=weights,
            targets=targets,
        )
        self._workers = usable_cores() if workers is None else workers
        if self._workers < 0 or prefetch < 1:
            raise ValueError(f"workers must be at least 0 and prefetch at least 1, got {self._workers} and {prefetch}")
        self._source = PatchSource(store, settings)
        place = process_place(rank, ranks)
        self.share = Share(length=self._source.length, batch=batch_size, rank=place[0], ranks=place[1])
        self._prefetch = prefetch if self._workers else 1
        if normalize_on_device and device is None:
            raise ValueError("normalize_on_device needs a device, got device=None")
        self._is_pinned = torch.cuda.is_available() if pin_memory is None else pin_memory
        images = self._source.images() if normalize_on_device else {}
        self._copier = None if device is None else DeviceCopier(torch.device(device), images=images, pad=pad)
        shapes = {
            name: ((batch_size, *shape), images.get(name, dtype))
            for name, (shape, dtype) in self._source.shapes().items()
        }
        self._ring = BatchRing(shapes, size=self._prefetch + 3, is_pinned=self._is_pinned)
        self._threads: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._running: weakref.ref[Generator[Batch, None, None]] | None = None  # strong, it would be a cycle
        self._epoch, self._batch = 0, 0

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return self.share.batches

    @property
    def names(self) -> tuple[str, ...]:
        """Arrays of a batch, as the store calls them."""
        return self._source.samples.keys

    @property
    def epoch(self) -> int:
        """The epoch of the next batch."""
        return self._epoch

    @property
    def sampler(self) -> "PatchLoader":
        """Itself: Lightning looks here for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; a loader that is inside of it already (after a resume) stays where it is."""
        if epoch != self._epoch:
            self._epoch, self._batch = int(epoch), 0

    def state_dict(self) -> dict[str, Any]:
        """The place after the last batch that was handed out, and what must be equal for it to mean the same."""
        return {"epoch": self._epoch, "batch": self._batch, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place that `state_dict` saved: the next batch is the one that would have come.

        Raises
        ------
        ValueError
            It was saved with another seed, epoch length, batch size or number of ranks.
        """
        differing = {name: (state.get(name), own) for name, own in self._identity().items() if state.get(name) != own}
        if differing:
            told = ", ".join(f"{name} {saved} (now {own})" for name, (saved, own) in differing.items())
            raise ValueError(f"the loader's state was saved with {told}: the batches would not be the same")
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])

    def _identity(self) -> dict[str, Any]:
        """What names the batches, beside the place."""
        share, settings = self.share, self._source.settings
        return {
            "seed": settings.seed,
            "patch_size": list(settings.patch_size),
            "foreground": settings.foreground,
            "volumes": len(self._source.samples.ids),
            "sampling": self._source.volumes.identity,
            "patches_per_epoch": share.length,
            "batch_size": share.batch,
            "ranks": share.ranks,
        }

    def __iter__(self) -> Iterator[Batch]:
        """The batches from the present place to the end of its epoch. An earlier iteration ends."""
        self._stop()
        batches = self._batches()
        self._running = weakref.ref(batches)
        return batches

    def close(self) -> None:
        """Stop the threads, at once: what is not begun is dropped. The loader can be used again."""
        self._stop()
        self._forget_after_fork()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None

    def __enter__(self) -> "PatchLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _forget_after_fork(self) -> None:
        """A fork takes no threads along: those of the parent do nothing for its child."""
        if self._process != os.getpid():
            self._threads, self._process = None, os.getpid()

    def _stop(self) -> None:
        running = None if self._running is None else self._running()
        if running is not None:
            running.close()

    def _batches(self) -> Generator[Batch, None, None]:
        epoch = self._epoch
        ahead = self._batch
        pending: deque[_Pending] = deque()
        self._forget_after_fork()
        process = self._process
        copied: _Taken | None = None  # the batch after the present one, on its way to the device
        try:
            for batch in range(self._batch, len(self)):
                if process != os.getpid():
                    raise RuntimeError("this iteration began before a fork: begin another, iter(loader)")
                while ahead < len(self) and len(pending) < self._prefetch:
                    pending.append(self._begin(epoch, ahead))
                    ahead += 1
                present = copied or self._taken(pending)
                copied = self._taken(pending) if self._copier is not None and _is_filled(pending) else None
                is_last = batch + 1 == len(self)
                self._epoch, self._batch = (epoch + 1, 0) if is_last else (epoch, batch + 1)
                yield self._handed_out(present)
                if self._copier is None:
                    self._ring.give(present[0])
        finally:
            if process == os.getpid():
                self._abandon(pending)

    def _begin(self, epoch: int, batch: int) -> _Pending:
        """Take a buffer and let the threads fill it."""
        buffer = self._ring.take()
        draws = [Draw(epoch, index) for index in self.share.indices(batch)]
        if self._workers == 0:
            return buffer, [_done(self._fill(buffer, place, draw)) for place, draw in enumerate(draws)]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="medimagenet-loader")
        return buffer, [self._threads.submit(self._fill, buffer, place, draw) for place, draw in enumerate(draws)]

    def _fill(self, buffer: BatchBuffer, place: int, draw: Draw) -> _Filled:
        """Read one patch into its place; what goes wrong tells which patch it was."""
        patch = None
        try:
            patch = self._source.locate(draw)
            for name, array in buffer.arrays.items():
                self._source.read(patch, name, array[place])
            return patch, patch.affine
        except Exception as error:
            where = f"patch {draw.number} of epoch {draw.epoch}"
            if patch is not None:
                where += f", sample {patch.sample.sample_id}, from {patch.start} (x, y, z)"
            error.add_note(f"while loading {where}")
            raise

    def _taken(self, pending: deque[_Pending]) -> _Taken:
        """The next batch, filled; where there is a device its copy is begun, and the buffer is in the ring again."""
        buffer, futures = pending[0]
        filled = [future.result() for future in futures]
        pending.popleft()
        if self._copier is None:
            return buffer, filled, None
        copy = self._copier.begin(buffer.hand_out(len(filled)), [patch for patch, _ in filled])
        buffer.fence = copy.fence
        self._ring.give(buffer)
        return buffer, filled, copy

    def _handed_out(self, taken: _Taken) -> Batch:
        buffer, filled, copy = taken
        patches = [patch for patch, _ in filled]
        batch: Batch = dict(buffer.hand_out(len(patches)) if copy is None else copy.wait())
        batch["affine"] = torch.from_numpy(np.stack([affine for _, affine in filled]))
        batch["patch_start"] = torch.from_numpy(np.array([patch.start for patch in patches], dtype=np.int64))
        targets = [patch.sample.target for patch in patches if patch.sample.target is not None]
        if targets:
            batch["target"] = torch.from_numpy(np.stack(targets))
        batch["sample_id"] = [patch.sample.sample_id for patch in patches]
        batch["series"] = [patch.sample.series for patch in patches]
        return batch

    def _abandon(self, pending: deque[_Pending]) -> None:
        """Drop what is not begun and wait for what is (milliseconds): it writes into the buffers."""
        for _, futures in pending:
            for future in futures:
                future.cancel()
        for buffer, futures in pending:
            for future in futures:
                if not future.cancelled():
                    future.exception()
            self._ring.give(buffer)


def usable_cores() -> int:
    """Cores that this process may use, at most `MAX_WORKERS`."""
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def _is_filled(pending: deque[_Pending]) -> bool:
    """Whether the next batch is there, and nothing went wrong with it (which is told when it is its turn)."""
    return bool(pending) and all(future.done() and future.exception() is None for future in pending[0][1])


def _done(filled: _Filled) -> Future[_Filled]:
    future: Future[_Filled] = Future()
    future.set_result(filled)
    return future
