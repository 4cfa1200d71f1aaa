"""What the foreground of a data set is like, as nnU-Net defines it (its ``dataset_fingerprint.json``).

nnU-Net (Isensee et al., Nature Methods 18:203, 2021; `DatasetFingerprintExtractor` of version 2) crops each case to the
box of its non-zero voxels, draws equally many foreground voxels of every case, with replacement, and takes mean,
standard deviation, extremes, median and the percentiles 0.5 and 99.5 of all that were drawn. So each case counts the
same, however large its foreground. Here nothing is drawn: these are the figures that nnU-Net's draws come close to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..export.nnunet import write_json
from ..kernels.intensity import statistics
from ..kernels.regions import bounding_box
from ..store import Store

LABEL = "label"
QUANTILES = {"percentile_00_5": 0.005, "median": 0.5, "percentile_99_5": 0.995}
MOST_VALUES = 100_000_000
"""Values that are kept of all cases together, as nnU-Net draws; of a case with more its evenly spaced ranks."""


def nnunet_fingerprint(store: Store, *, split: str | None = None) -> dict[str, Any]:
    """The fingerprint of the samples of a store.

    Parameters
    ----------
    split : only samples of this split. None: all but those of "test", as nnU-Net sees the training cases alone

    Returns
    -------
    As nnU-Net writes it: ``spacings`` and ``shapes_after_crop`` per sample, z, y, x, mm;
    ``foreground_intensity_properties_per_channel`` by channel number; ``median_relative_size_after_cropping``.

    Raises
    ------
    StoreError
        There is no such sample, one has no label or an image on another grid, channels differ, or no sample has a
        voxel of foreground.
    """
    chosen = [one for one in store.ids(split) if split is not None or store.row(one)["split"] != "test"]
    if not chosen:
        raise StoreError(f"{store.path} has no sample of split {split or 'other than test'!r} to take a fingerprint of")
    channels = [name for name in store.names(chosen[0]) if name != LABEL]
    foregrounds = [_Foreground() for _ in channels]
    spacings, shapes, shares = [], [], []
    for sample_id in chosen:
        images, label = _arrays(store, sample_id, channels)
        box = _nonzero_box(images)
        spacings.append(list(store.array(sample_id, channels[0]).grid.spacing[::-1]))
        shapes.append([stop - start for start, stop in box])
        shares.append(float(np.prod(shapes[-1]) / label.size))
        for foreground, image in zip(foregrounds, images, strict=True):
            foreground.add(image[label], MOST_VALUES // len(chosen))
    if not foregrounds[0].cases:
        raise StoreError(f"no sample of {store.path} has a voxel of foreground")
    return {
        "spacings": spacings,
        "shapes_after_crop": shapes,
        "foreground_intensity_properties_per_channel": {str(k): one.figures() for k, one in enumerate(foregrounds)},
        "median_relative_size_after_cropping": float(np.median(shares)),
    }


def write_fingerprint(store: Store, path: Path) -> None:
    """Write the fingerprint as nnU-Net's file.

    Raises
    ------
    StoreError, ExportError
        As `nnunet_fingerprint` says, or the file cannot be written.
    """
    write_json(path, nnunet_fingerprint(store))


def _arrays(store: Store, sample_id: str, channels: Sequence[str]) -> tuple[list[NDArray[Any]], NDArray[np.bool_]]:
    """The channels, each (Z, Y, X), and where there is foreground."""
    names = store.names(sample_id)
    if LABEL not in names or [name for name in names if name != LABEL] != list(channels):
        raise StoreError(
            f"sample {sample_id} has {', '.join(names)}, a fingerprint needs {', '.join(channels)} and label"
        )
    label = np.logical_or.reduce(store.array(sample_id, LABEL).read() > 0, axis=0)
    images = [channel for name in channels for channel in store.array(sample_id, name).read()[:1]]
    for name, image in zip(channels, images, strict=True):
        if image.shape != label.shape:
            raise StoreError(f"sample {sample_id}: {name} is {image.shape}, its label {label.shape}: not on one grid")
    return images, label


def _nonzero_box(images: Sequence[NDArray[Any]]) -> list[tuple[int, int]]:
    """Per axis the first voxel that is not 0 in some channel, and one behind the last; all where every one is 0."""
    boxes = [box for box in map(bounding_box, images) if box is not None]
    if not boxes:
        return [(0, count) for count in images[0].shape]
    starts, stops = zip(*boxes, strict=True)
    return list(zip(np.min(starts, axis=0).tolist(), np.max(stops, axis=0).tolist(), strict=True))


@dataclass(slots=True)
class _Foreground:
    """The foreground of one channel, all cases of equal weight."""

    cases: list[Mapping[str, float]] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)
    weights: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, voxels: NDArray[Any], most: int) -> None:
        """One case's; one without foreground does not count."""
        found = statistics(voxels)
        if found.voxels == 0:
            return
        self.cases.append({"mean": found.mean, "std": found.std, "min": found.minimum, "max": found.maximum})
        values, counts = np.unique(voxels[np.isfinite(voxels)], return_counts=True)
        if len(values) > max(most, 1):
            ranks = (np.arange(most) + 0.5) / most * found.voxels
            values, counts = values[np.searchsorted(np.cumsum(counts), ranks)], np.ones(most, np.int64)
        self.values.append(values)
        self.weights.append(counts / counts.sum())

    def figures(self) -> dict[str, float]:
        """Of all cases."""
        mean = float(np.mean([case["mean"] for case in self.cases]))
        within = np.mean([case["std"] ** 2 + (case["mean"] - mean) ** 2 for case in self.cases])
        values, weights = np.concatenate(self.values), np.concatenate(self.weights)
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(weights[order]) / len(self.cases)
        ranks = {name: min(int(np.searchsorted(reached, q)), len(order) - 1) for name, q in QUANTILES.items()}
        return {
            "mean": mean,
            "std": sqrt(float(within)),
            "min": min(case["min"] for case in self.cases),
            "max": max(case["max"] for case in self.cases),
            **{name: float(values[order[rank]]) for name, rank in ranks.items()},
        }
