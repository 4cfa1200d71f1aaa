"""tf.data from a store: the batches of a `PatchLoader` with the same settings, in its order, without torch.

Threads of tf.data read whole batches into aligned arrays, which TensorFlow takes over as they are: nothing is copied.
A batch's memory is used again when the last tensor on it is gone.
"""

import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._optional import require
from ..loading.arrays import aligned
from ..loading.patches import DEFAULT_FOREGROUND, Patch, PatchSettings, PatchSource
from ..loading.samplers import Draw, Share
from ..loading.volumes import Weights
from ..store import Store, Targets

_KEPT = 8
"""Batches whose memory is kept for later ones."""


def to_tf_dataset(
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
    epoch: int = 0,
    epochs: int | None = 1,
    first_batch: int = 0,
    rank: int = 0,
    ranks: int = 1,
    workers: int | None = None,
    prefetch: int = 3,
    channels_last: bool = False,
) -> Any:
    """A ``tf.data.Dataset`` of random patches. Iterating again gives the same batches again.

    An element is a dict of tensors: per array (N, C, ...), `affine` (N, 4, 4) float64, `patch_start` (N, 3), `target`
    (N,) or (N, K) where asked for, and the strings `sample_id` and `series` (N,).

    Parameters
    ----------
    store, patch_size, batch_size, split, patches_per_epoch, foreground, orientation, keys, label_dtype, pad, seed
        As for `PatchLoader`, and so are balance, classes, weights and targets.
    epoch, first_batch : where the dataset begins: a run that was stopped goes on there
    epochs : how many follow one another; None never ends, for Keras with ``steps_per_epoch``
    rank, ranks : which part of each epoch, as for `PatchLoader`
    workers : batches that are read at once; None lets tf.data choose
    prefetch : batches that are ready ahead
    channels_last : arrays are (N, ..., C), as Keras wants them on a CPU

    Raises
    ------
    MissingPackageError
        TensorFlow is not installed.
    ValueError
        A setting is out of range.
    StoreError
        The store cannot be read, or the split has no samples.
    """
    tf = require("tensorflow", extra="tensorflow")
    if (epochs is not None and epochs < 1) or epoch < 0 or prefetch < 1:
        raise ValueError(f"epochs and prefetch must be at least 1, epoch at least 0, got {epochs}, {prefetch}, {epoch}")
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
    source = PatchSource(store, settings)
    share = Share(length=source.length, batch=batch_size, rank=rank, ranks=ranks)
    if not 0 <= first_batch < share.batches:
        raise ValueError(f"first_batch must be in 0 to {share.batches - 1}, got {first_batch}")
    batches = _Batches(source, share, channels_last=channels_last)
    first = epoch * share.batches + first_batch
    last = np.iinfo(np.int64).max if epochs is None else (epoch + epochs) * share.batches
    numbers = tf.data.Dataset.range(first, last)
    parallel = tf.data.AUTOTUNE if workers is None else max(1, workers)
    read = _as_graph(tf, batches)
    return numbers.map(read, num_parallel_calls=parallel, deterministic=True).prefetch(prefetch)


class _Batches:
    """Reads batch after batch; safe in many threads."""

    def __init__(self, source: PatchSource, share: Share, *, channels_last: bool) -> None:
        self._source, self._share, self._channels_last = source, share, channels_last
        self._free: list[tuple[dict[str, NDArray[Any]], list[weakref.ref[NDArray[Any]]]]] = []
        self._lock = threading.Lock()
        self._shapes = {
            name: ((*shape[1:], shape[0]) if channels_last else shape, dtype)
            for name, (shape, dtype) in source.shapes().items()
        }
        target = next(iter(source.samples.targets.values())) if source.samples.targets else None
        size = share.batch
        self.shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            **{name: ((size, *shape), dtype) for name, (shape, dtype) in self._shapes.items()},
            "affine": ((size, 4, 4), np.dtype(np.float64)),
            "patch_start": ((size, 3), np.dtype(np.int64)),
            **({} if target is None else {"target": ((size, *np.shape(target)), target.dtype)}),
            "sample_id": ((size,), str),
            "series": ((size,), str),
        }
        """Per entry of a batch its shape and dtype."""

    def read(self, number: int) -> list[NDArray[Any]]:
        """Batch `number`, counted over all epochs, in the order of `shapes`."""
        epoch, batch = divmod(int(number), self._share.batches)
        draws = [Draw(epoch, index) for index in self._share.indices(batch)]
        arrays = self._take()
        patches = [self._fill(arrays, place, draw) for place, draw in enumerate(draws)]
        views = {name: array[:] for name, array in arrays.items()}
        with self._lock:
            self._free.append((arrays, [weakref.ref(view) for view in views.values()]))
        facts: dict[str, NDArray[Any]] = {
            "affine": np.stack([patch.affine for patch in patches]),
            "patch_start": np.array([patch.start for patch in patches], dtype=np.int64),
            "sample_id": np.array([patch.sample.sample_id.encode() for patch in patches], dtype=object),
            "series": np.array([patch.sample.series.encode() for patch in patches], dtype=object),
        }
        targets = [patch.sample.target for patch in patches if patch.sample.target is not None]
        if targets:
            facts["target"] = np.stack(targets)
        return [views[name] if name in views else facts[name] for name in self.shapes]

    def _take(self) -> dict[str, NDArray[Any]]:
        """Arrays that no tensor is on; those of few batches are kept."""
        with self._lock:
            for place, (arrays, views) in enumerate(self._free):
                if all(view() is None for view in views):
                    del self._free[place]
                    return arrays
            del self._free[: max(0, len(self._free) - _KEPT)]  # whoever holds their tensors keeps their memory
        return {name: aligned((self._share.batch, *shape), dtype) for name, (shape, dtype) in self._shapes.items()}

    def _fill(self, arrays: Mapping[str, NDArray[Any]], place: int, draw: Draw) -> Patch:
        """Read one patch into its place; what goes wrong tells which patch it was."""
        where = f"patch {draw.number} of epoch {draw.epoch}"
        try:
            patch = self._source.locate(draw)
            where += f", sample {patch.sample.sample_id}"
            for name, array in arrays.items():
                target = np.moveaxis(array[place], -1, 0) if self._channels_last else array[place]
                self._source.read(patch, name, target)
        except Exception as error:
            error.add_note(f"while loading {where}")
            raise
        return patch


def _as_graph(tf: Any, batches: _Batches) -> Any:
    """A function of a batch's number that tf.data can call."""
    shapes = batches.shapes
    dtypes = [tf.string if dtype is str else tf.as_dtype(dtype) for _, dtype in shapes.values()]

    def read(number: Any) -> Any:
        values = tf.numpy_function(batches.read, [number], dtypes)
        for value, (shape, _) in zip(values, shapes.values(), strict=True):
            value.set_shape(shape)
        return dict(zip(shapes, values, strict=True))

    return read
