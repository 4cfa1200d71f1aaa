"""Intensities and labels, the second part of `benchmarks.kernels`."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
import torch
from monai.transforms import NormalizeIntensity, ScaleIntensityRange, ScaleIntensityRangePercentiles
from numpy.typing import NDArray
from scipy import ndimage

from medimagenet.kernels.intensity import normalize_into, percentiles
from medimagenet.kernels.intensity import statistics as intensity_statistics
from medimagenet.kernels.regions import bounding_box, label_statistics

from . import rows

COPY = "copy"
KEPT = ", into memory that is there"
ROUNDS = 9
PAGE_FLOATS = 1024

Image = NDArray[Any]
Contenders = dict[str, Callable[[], Any]]


def intensities(voxels: Image) -> dict[str, Contenders]:
    """From float32 to float32, as the peers need it."""
    exact = voxels.astype(np.float32)
    meta = torch.from_numpy(exact)[None]
    copy = {COPY: lambda: exact.copy()}
    window = ScaleIntensityRange(-160, 240, 0, 1, clip=True)
    percentile = ScaleIntensityRangePercentiles(0.5, 99.5, 0, 1, clip=True)
    return {
        "window": {
            rows.OURS: lambda: _normalized(exact, low=-160, high=240, subtract=-160, divide=400),
            "NumPy": lambda: (np.clip(exact, -160, 240) + np.float32(160)) / np.float32(400),
            "MONAI": lambda: window(meta)[0].numpy(),
            **copy,
        },
        "z-score": {
            rows.OURS: lambda: _our_zscore(exact),
            "NumPy": lambda: _numpy_zscore(exact),
            "MONAI": lambda: NormalizeIntensity()(meta)[0].numpy(),
            **copy,
        },
        "window of int16": {
            rows.OURS: lambda: _normalized(voxels, low=-160, high=240, subtract=-160, divide=400),
            "NumPy": lambda: (np.clip(voxels.astype(np.float32), -160, 240) + np.float32(160)) / np.float32(400),
            "MONAI": lambda: window(torch.from_numpy(voxels)[None])[0].numpy(),
            **copy,
        },
        "z-score of int16": {
            rows.OURS: lambda: _our_zscore(voxels),
            "NumPy": lambda: _numpy_zscore(voxels.astype(np.float32)),
            "MONAI": lambda: NormalizeIntensity()(torch.from_numpy(voxels)[None])[0].numpy(),
            **copy,
        },
        "z-score with a mask": {
            rows.OURS: lambda: _our_zscore(exact, nonzero=True),
            "MONAI": lambda: NormalizeIntensity(nonzero=True)(meta)[0].numpy(),
        },
        "percentiles 0.5, 99.5": {
            rows.OURS: lambda: percentiles(voxels, [0.5, 99.5], parallel=True),
            "NumPy": lambda: np.percentile(voxels, [0.5, 99.5]),
            "MONAI": lambda: percentile(meta),
            **copy,
        },
        "percentiles 0.5, 99.5 of float32": {
            rows.OURS: lambda: percentiles(exact, [0.5, 99.5], parallel=True),
            "NumPy": lambda: np.percentile(exact, [0.5, 99.5]),
            **copy,
        },
        **_kept(exact),
    }


def _normalized(voxels: Image, out: Image | None = None, **constants: float) -> Image:
    out = np.empty(voxels.shape, np.float32) if out is None else out
    normalize_into(out, voxels, parallel=True, **constants)
    return out


def _our_zscore(voxels: Image, out: Image | None = None, *, nonzero: bool = False) -> Image:
    found = intensity_statistics(voxels, nonzero=nonzero, parallel=True)
    return _normalized(voxels, out, subtract=found.mean, divide=found.std)


def _numpy_zscore(exact: Image) -> Image:
    return (exact - exact.mean()) / exact.std()


def _kept(exact: Image) -> dict[str, Contenders]:
    """The same results, written over those of the call before: what a loader does with its batches."""
    out, theirs, copied = (np.zeros(exact.shape, np.float32) for _ in range(3))
    low, high, width = np.float32(-160), np.float32(240), np.float32(400)

    def window() -> Image:
        clipped = np.clip(exact, low, high, out=theirs)
        return np.divide(np.subtract(clipped, low, out=theirs), width, out=theirs)

    def zscore() -> Image:
        return np.divide(np.subtract(exact, exact.mean(), out=theirs), exact.std(), out=theirs)

    copy = {COPY: lambda: np.copyto(copied, exact)}
    return {
        f"window{KEPT}": {
            rows.OURS: lambda: _normalized(exact, out, low=-160, high=240, subtract=-160, divide=400),
            "NumPy": window,
            **copy,
        },
        f"z-score{KEPT}": {rows.OURS: lambda: _our_zscore(exact, out), "NumPy": zscore, **copy},
    }


def check_intensities(voxels: Image) -> list[str]:
    works = intensities(voxels[: len(voxels) // 8])
    checked = {"window": 1e-6, "window of int16": 1e-6, "z-score": 1e-4, "z-score of int16": 1e-4}
    checked |= {f"window{KEPT}": 1e-6, f"z-score{KEPT}": 1e-4}
    for work, tolerance in checked.items():
        for who in set(works[work]) - {COPY}:
            assert_close(work, who, works[work][who](), works[work][rows.OURS](), tolerance)
    masked = works["z-score with a mask"]
    counted = voxels[: len(voxels) // 8] != 0  # MONAI leaves the others as they are
    assert_close("z-score with a mask", "MONAI", masked["MONAI"]()[counted], masked[rows.OURS]()[counted], 1e-4)
    for work in ("percentiles 0.5, 99.5", "percentiles 0.5, 99.5 of float32"):
        ours, numpy = (works[work][who]() for who in (rows.OURS, "NumPy"))
        assert_close("percentiles", "NumPy", np.array(numpy), np.array(ours), 1e-3)
    return ["Window, z-score and percentiles agree; MONAI's percentiles include its scaling, ours and NumPy's do not."]


def assert_close(work: str, who: str, theirs: Image | SimpleITK.Image, ours: Image, tolerance: float) -> float:
    theirs = SimpleITK.GetArrayFromImage(theirs) if isinstance(theirs, SimpleITK.Image) else theirs
    if theirs.shape != ours.shape:
        raise SystemExit(f"{work}: {who} gives shape {theirs.shape}, {rows.OURS} {ours.shape}")
    furthest = float(np.abs(theirs.astype(np.float64) - ours).max())
    if furthest > tolerance:
        raise SystemExit(f"{work}: {who} differs from {rows.OURS} by up to {furthest:.3g}, allowed is {tolerance}")
    return furthest


def regions(shape: tuple[int, ...]) -> Image:
    """A label map like a segmentation: five classes with smooth borders."""
    coarse = np.random.default_rng(3).normal(size=(5, 9, 16, 16))
    smooth = ndimage.gaussian_filter(coarse, (0, 1, 1, 1))
    zoom = [n / m for n, m in zip(shape, coarse.shape[1:], strict=True)]
    best, labels = np.full(shape, -np.inf), np.zeros(shape, np.uint8)
    for label, field in enumerate(smooth):
        fine = ndimage.zoom(field, zoom, order=1, grid_mode=True, mode="nearest")
        labels[fine > best] = label
        np.maximum(best, fine, out=best)
    return labels


def label_works(voxels: Image) -> dict[str, Contenders]:
    """Voxels, box, centroid, lowest, highest, mean and deviation of each label; and the box of one."""
    labels = regions(voxels.shape)
    names = list(range(1, int(labels.max()) + 1))
    one = labels == 1
    contenders: Contenders = {
        rows.OURS: lambda: _labels_by_us(labels, voxels),
        "SimpleITK": _labels_by_simpleitk(labels, voxels, names),
        "scipy": lambda: _labels_by_scipy(labels, voxels, names),
    }
    ours = contenders[rows.OURS]()
    for who in ("SimpleITK", "scipy"):
        theirs = contenders[who]()
        for label in names:
            if not np.allclose(ours[label], theirs[label], rtol=1e-9):
                raise SystemExit(f"label {label}: {who} gives {theirs[label]}, {rows.OURS} {ours[label]}")
    return {
        "statistics of labels": contenders,
        "box of a mask": {rows.OURS: lambda: bounding_box(one), "NumPy": lambda: _box_by_numpy(one)},
    }


def _labels_by_us(labels: Image, voxels: Image) -> dict[int, tuple[float, ...]]:
    found = label_statistics(labels, voxels, parallel=True)
    return {label: (one.voxels, one.mean, *one.centroid) for label, one in found.items()}


def _labels_by_simpleitk(labels: Image, voxels: Image, names: list[int]) -> Callable[[], dict[int, tuple[float, ...]]]:
    image, label_image = SimpleITK.GetImageFromArray(voxels), SimpleITK.GetImageFromArray(labels)

    def run() -> dict[int, tuple[float, ...]]:
        intensity, shape = SimpleITK.LabelStatisticsImageFilter(), SimpleITK.LabelShapeStatisticsImageFilter()
        intensity.Execute(image, label_image)
        shape.ComputePerimeterOff()
        shape.Execute(label_image)
        return {
            label: (intensity.GetCount(label), intensity.GetMean(label), *shape.GetCentroid(label)[::-1])
            for label in names
        }

    return run


def _labels_by_scipy(labels: Image, voxels: Image, names: list[int]) -> dict[int, tuple[float, ...]]:
    ndimage.extrema(voxels, labels, names)
    ndimage.standard_deviation(voxels, labels, names)
    ndimage.find_objects(labels)
    means = ndimage.mean(voxels, labels, names)
    centres = ndimage.center_of_mass(np.ones(labels.shape, np.uint8), labels, names)
    sizes = np.bincount(labels.reshape(-1))[1:]
    found = zip(names, sizes, means, centres, strict=True)
    return {label: (float(size), float(mean), *map(float, centre)) for label, size, mean, centre in found}


def _box_by_numpy(mask: Image) -> list[Any]:
    return [np.flatnonzero(mask.any(axis=axes))[[0, -1]] for axes in ((1, 2), (0, 2), (0, 1))]


def floors(shape: tuple[int, ...], results: list[dict[str, Any]]) -> list[str]:
    """What no pass over the voxels can be faster than, from the figures of the same run."""
    pages = _median_ms(lambda: _touch_new(shape))
    value = {(row["work"], row["who"]): row["value"] for row in results}
    there = value[f"window{KEPT}", COPY]
    one, two = (pages + there) / 2, (pages + 1.5 * there) / 2
    return [
        f"Of the {value['window', COPY]:.3g} ms of a copy into new memory about {pages:.3g} are the system's, which "
        f"clears each page before it hands it out, whoever writes there; into memory that is there a copy takes "
        f"{there:.3g}. So two threads that each move what the copy's one does take ({pages:.3g} + {there:.3g}) / 2 = "
        f"{one:.3g} ms for a pass that reads and writes once into new memory, and ({pages:.3g} + 1.5 x {there:.3g}) / "
        f"2 = {two:.3g} for one that reads twice, a z-score. NumPy's times over these are "
        f"{value['window', 'NumPy'] / one:.2g} (window) and {value['z-score', 'NumPy'] / two:.2g} (z-score); into "
        f"memory that is there {value[f'window{KEPT}', 'NumPy'] / (0.5 * there):.2g} and "
        f"{value[f'z-score{KEPT}', 'NumPy'] / (0.75 * there):.2g}: where they are below 6, the goal is out of reach."
    ]


def _touch_new(shape: tuple[int, ...]) -> None:
    """New memory as large as the volume in float32, one number per page written."""
    np.empty(int(np.prod(shape)), np.float32)[::PAGE_FLOATS] = 0


def _median_ms(run: Callable[[], Any]) -> float:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)
