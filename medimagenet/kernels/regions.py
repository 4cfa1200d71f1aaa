"""Bounding boxes, and what the labels of a map are like: size, place and intensities of all of them in one pass.

Rows are taken in runs of one label, so what is added per voxel is its intensity alone. Means and squares are those of
a run, around its own mean, joined to those before (Chan, Golub and LeVeque, The American Statistician 37, 1983): large
values and values far from zero lose no digits. Slices are shared among a number of tables that depends on the array
alone, so the result does not depend on the number of threads.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import kernel, parallel_kernel, prange

Voxels = NDArray[Any]
Table = NDArray[np.float64]
Corner = tuple[int, int, int]

_VOXELS, _LOW, _HIGH, _PLACES, _FINITE, _MEAN, _SQUARES, _LEAST, _MOST, _FIELDS = 0, 1, 4, 7, 10, 11, 12, 13, 14, 15
_TABLES = 64
_ENTRIES = 1 << 14
"""Labels of all tables together, from which on there are fewer tables: 2 MB."""


class RegionStatistics(NamedTuple):
    """One label. Times the volume of a voxel, `voxels` is the volume of the region."""

    voxels: int
    start: Corner
    """z, y, x: first voxel of the bounding box."""
    stop: Corner
    """z, y, x: one behind the last."""
    centroid: tuple[float, float, float]
    """z, y, x, in voxels: the mean index."""
    not_finite: int
    """Voxels whose intensity is nan or infinite; they are left out of what follows."""
    minimum: float
    maximum: float
    mean: float
    std: float
    """Of the population. All four are nan without an image, and where no intensity is finite."""


def label_statistics(
    labels: Voxels, image: Voxels | None = None, *, parallel: bool = False
) -> dict[int, RegionStatistics]:
    """Size, bounding box, centroid and intensities of each label, by label; 0 is the background and left out.

    Parameters
    ----------
    labels : (Z, Y, X), bool (label 1), uint8 or uint16
    image : (Z, Y, X), any real type, on the same grid
    parallel : use all threads of numba; the result is the same

    Raises
    ------
    ValueError
        `labels` is not as above, or the image has another shape or no order.
    """
    if labels.ndim != 3 or labels.dtype not in (np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.uint16)):
        raise ValueError(f"labels must be (Z, Y, X) of bool, uint8 or uint16, got {labels.dtype} {labels.shape}")
    if image is not None and (image.shape != labels.shape or not _is_real(image)):
        raise ValueError(f"image must be {labels.shape} of real numbers, got {image.dtype} {image.shape}")
    if labels.size == 0:
        return {}
    regions = _plain(labels)
    count = int(regions.max()) + 1
    tables = np.zeros((max(min(len(labels), _TABLES, _ENTRIES // count), 1), count, _FIELDS))
    tables[:, :, _LOW : _LOW + 3] = tables[:, :, _LEAST] = np.inf
    tables[:, :, _HIGH : _HIGH + 3] = tables[:, :, _MOST] = -np.inf
    gather = _gather_parallel if parallel else _gather
    gather(regions, regions if image is None else _plain(image), image is not None, tables)
    joined = tables[0]
    for table in tables[1:]:
        _join(joined, table)
    return {label: _region(joined[label], image is not None) for label in np.flatnonzero(joined[:, _VOXELS]).tolist()}


def bounding_box(voxels: Voxels) -> tuple[Corner, Corner] | None:
    """Start and stop, z, y, x, of the smallest box around what is not 0 (nan is not); None where everything is.

    Parameters
    ----------
    voxels : (Z, Y, X) or (C, Z, Y, X), any real type; of many channels the box of all together

    Raises
    ------
    ValueError
        `voxels` has another number of axes.
    """
    if voxels.ndim not in (3, 4):
        raise ValueError(f"voxels must be (Z, Y, X) or (C, Z, Y, X), got shape {voxels.shape}")
    taken = _plain(voxels if _is_real(voxels) else voxels != 0)
    box = np.empty((2, 3), dtype=np.int64)
    box[0], box[1] = np.iinfo(np.int64).max, 0
    _find_box(taken.reshape(-1, *taken.shape[-3:]), box)
    (z0, y0, x0), (z1, y1, x1) = box.tolist()
    return ((z0, y0, x0), (z1, y1, x1)) if z1 else None


def _is_real(voxels: Voxels) -> bool:
    """Whether compiled code can read it."""
    return voxels.dtype.kind in "buif" and voxels.dtype != np.float16 and voxels.dtype.itemsize <= 8


def _plain(voxels: Voxels) -> Voxels:
    """Contiguous, bool as uint8."""
    voxels = np.ascontiguousarray(voxels)
    return voxels.view(np.uint8) if voxels.dtype == np.bool_ else voxels


def _join(table: Table, other: Table) -> None:
    """Add a table of other voxels, all labels at once."""
    mine, theirs = table[:, _FINITE], other[:, _FINITE]
    both = np.maximum(mine + theirs, 1)
    apart = other[:, _MEAN] - table[:, _MEAN]
    table[:, _SQUARES] += other[:, _SQUARES] + apart * apart * (mine * theirs / both)
    table[:, _MEAN] += apart * (theirs / both)
    for place in (_VOXELS, _FINITE, *range(_PLACES, _PLACES + 3)):
        table[:, place] += other[:, place]
    for place in (_LEAST, *range(_LOW, _LOW + 3)):
        np.minimum(table[:, place], other[:, place], out=table[:, place])
    for place in (_MOST, *range(_HIGH, _HIGH + 3)):
        np.maximum(table[:, place], other[:, place], out=table[:, place])


def _region(entry: Table, has_image: bool) -> RegionStatistics:
    voxels, finite = int(entry[_VOXELS]), int(entry[_FINITE])
    (z0, y0, x0), (z1, y1, x1) = (entry[place : place + 3].astype(int).tolist() for place in (_LOW, _HIGH))
    z, y, x = (entry[_PLACES : _PLACES + 3] / voxels).tolist()
    least, most, mean, std = (float("nan"),) * 4
    if finite:
        least, most, mean = float(entry[_LEAST]), float(entry[_MOST]), float(entry[_MEAN])
        std = sqrt(entry[_SQUARES] / finite)
    not_finite = voxels - finite if has_image else 0
    return RegionStatistics(voxels, (z0, y0, x0), (z1, y1, x1), (z, y, x), not_finite, least, most, mean, std)


@kernel
def _is_empty(row: Voxels) -> bool:
    """Whether all are 0: to the end, which the compiler turns into vectors."""
    found = False
    for x in range(len(row)):
        found |= row[x] != 0
    return not found


@kernel
def _find_box(voxels: Voxels, box: NDArray[np.int64]) -> None:
    """(C, Z, Y, X); `box` holds start and stop, as far as they are known."""
    columns = voxels.shape[3]
    for c in range(voxels.shape[0]):
        for z in range(voxels.shape[1]):
            for y in range(voxels.shape[2]):
                row = voxels[c, z, y]
                if _is_empty(row):
                    continue
                first, last = 0, columns - 1
                while first < box[0, 2] and row[first] == 0:
                    first += 1
                while last >= box[1, 2] and row[last] == 0:
                    last -= 1
                box[0, 0], box[0, 1], box[0, 2] = min(box[0, 0], z), min(box[0, 1], y), min(box[0, 2], first)
                box[1, 0], box[1, 1] = max(box[1, 0], z + 1), max(box[1, 1], y + 1)
                box[1, 2] = max(box[1, 2], last + 1)


def _gather_body(labels: Voxels, image: Voxels, has_image: bool, tables: Table) -> None:
    """Table t gets slices t, t + tables, t + 2 tables, ...: regions are rarely spread evenly."""
    count = len(tables)
    for t in prange(count):
        for z in range(t, labels.shape[0], count):
            for y in range(labels.shape[1]):
                if not _is_empty(labels[z, y]):
                    _gather_row(labels[z, y], image[z, y], has_image, z, y, tables[t])


@kernel
def _gather_row(labels: Voxels, image: Voxels, has_image: bool, z: int, y: int, table: Table) -> None:
    """Run by run."""
    stop = 0
    while stop < len(labels):
        start, label = stop, labels[stop]
        while stop < len(labels) and labels[stop] == label:
            stop += 1
        if label:
            entry = table[label]
            _add_place(z, y, start, stop, entry)
            if has_image:
                _add_intensities(image[start:stop], entry)


@kernel
def _add_place(z: int, y: int, start: int, stop: int, entry: Table) -> None:
    """A run of voxels of one row."""
    voxels = stop - start
    entry[_VOXELS] += voxels
    entry[_LOW], entry[_HIGH] = min(entry[_LOW], z), max(entry[_HIGH], z + 1)
    entry[_LOW + 1], entry[_HIGH + 1] = min(entry[_LOW + 1], y), max(entry[_HIGH + 1], y + 1)
    entry[_LOW + 2], entry[_HIGH + 2] = min(entry[_LOW + 2], start), max(entry[_HIGH + 2], stop)
    entry[_PLACES] += z * voxels
    entry[_PLACES + 1] += y * voxels
    entry[_PLACES + 2] += (start + stop - 1) * voxels / 2


@kernel
def _add_intensities(run: Voxels, entry: Table) -> None:
    """Mean, squares around it and range of a run, joined to those before; what is not finite is left out."""
    total, finite, least, most = 0.0, 0, np.inf, -np.inf
    for x in range(len(run)):
        value = float(run[x])
        if np.isfinite(value):
            finite += 1
            total += value
            least, most = min(least, value), max(most, value)
    if finite == 0:
        return
    mean, squares = total / finite, 0.0
    for x in range(len(run)):
        value = float(run[x])
        if np.isfinite(value):
            squares += (value - mean) * (value - mean)
    apart, both = mean - entry[_MEAN], entry[_FINITE] + finite
    entry[_SQUARES] += squares + apart * apart * (entry[_FINITE] * finite / both)
    entry[_MEAN] += apart * (finite / both)
    entry[_FINITE] = both
    entry[_LEAST], entry[_MOST] = min(entry[_LEAST], least), max(entry[_MOST], most)


Loop = Callable[..., None]
_gather: Loop = kernel(_gather_body)
_gather_parallel: Loop = parallel_kernel(_gather_body)
