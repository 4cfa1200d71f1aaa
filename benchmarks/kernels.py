"""Kernels on one CT: resampling and intensities. Peers: SimpleITK, torch, scipy.ndimage, MONAI, NumPy, and a copy.

All run in this process, on two threads where they can use threads, on arrays that are in memory already; each gives
new memory for its result. torch gets float32, as it interpolates no int16.

    python -m benchmarks.kernels [--data DIR] [--json FILE]
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
import torch
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity, ScaleIntensityRange, ScaleIntensityRangePercentiles, Spacing
from numpy.typing import NDArray
from scipy import ndimage

from medimagenet import index_directory, read_series
from medimagenet.kernels._jit import set_threads
from medimagenet.kernels.intensity import normalize_into, percentiles
from medimagenet.kernels.intensity import statistics as intensity_statistics
from medimagenet.kernels.resample import resample

from . import rows
from .datasets import datasets

AREA = "kernels"
THREADS = 2
COPY = "copy"
SPACING = (0.9765625, 0.9765625, 3.0)
"""Of the CT, x, y, z, mm; it is resampled to 1 mm."""
GOALS = {
    "resample linear": {"SimpleITK": 15, "torch": 6, "MONAI": 80, COPY: 1 / 4},
    "resample nearest": {"SimpleITK": 12},
    "resample cubic": {"SimpleITK": 30},
    "window": {"NumPy": 6, "MONAI": 25, COPY: 1 / 1.2},
    "z-score": {"NumPy": 6, "MONAI": 8, COPY: 1 / 1.2},
    "percentiles 0.5, 99.5": {"NumPy": 10, "MONAI": 25, COPY: 1 / 1.6},
}
"""Per piece of work and peer: how many times our time its time should at least be."""

Image = NDArray[Any]
Contenders = dict[str, Callable[[], Any]]
Shape = tuple[int, int, int]


def main() -> None:
    options = rows.options(__doc__)
    set_threads(THREADS)
    torch.set_num_threads(THREADS)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    voxels, about = _volume(options.data)
    notes = [about, *_check_resampling(), *_check_intensities(voxels)]
    works = {**_resampling(voxels, SPACING), **_intensities(voxels)}
    results = [row for work, contenders in works.items() for row in _rows(work, contenders, options.rounds)]
    peers = {name: version(name) for name in ("torch", "monai", "scipy")}
    rows.finish(AREA, results, notes, peers, options.json)


def _volume(data: Path | None) -> tuple[Image, str]:
    """The CT, int16, (Z, Y, X)."""
    if data is None:
        values = np.random.default_rng(0).normal(0, 500, (134, 512, 512))
        return values.astype(np.int16), "Noise, 512 x 512 x 134 int16, 0.977 x 0.977 x 3 mm."
    with tempfile.TemporaryDirectory() as name, datasets(data, Path(name)) as found:
        index = index_directory(found[-1].folder)
        row = next(row for row in index.rows() if row["Modality"] == "CT")
        return read_series(index.paths(row)).array, f"{found[-1].name}: {found[-1].about}."


def _rows(work: str, contenders: Contenders, rounds: int) -> list[dict[str, Any]]:
    """Each once to warm up, then in turn; the goals are those of each peer."""
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for turn in range(rounds + 1):
        for who, run in contenders.items():
            start = time.perf_counter()
            run()
            times[who] += [time.perf_counter() - start] if turn else []
    medians = {who: 1000 * statistics.median(taken) for who, taken in times.items()}
    results = rows.compare(AREA, work, medians, "ms", None)
    for row in results:
        row["goal"] = GOALS.get(work, {}).get(row["who"])
        row["met"] = None if row["goal"] is None else row["ratio"] >= row["goal"]
    return results


def _resampling(voxels: Image, spacing: tuple[float, float, float]) -> dict[str, Contenders]:
    steps = [1 / each for each in spacing[::-1]]
    shape: Shape = tuple(round(n / step) for n, step in zip(voxels.shape, steps, strict=True))
    written = np.empty(shape, voxels.dtype)
    copy = {COPY: lambda: written.copy()}
    return {
        "resample linear": {**_linear(voxels, steps, shape), **copy},
        "resample nearest": {**_nearest(voxels, steps, shape), **copy},
        "resample cubic": {**_cubic(voxels, steps, shape), **copy},
    }


def _linear(voxels: Image, steps: list[float], shape: Shape) -> Contenders:
    image, tensor, meta = _as_image(voxels), torch.from_numpy(voxels.astype(np.float32))[None, None], _as_meta(voxels)
    interpolate = torch.nn.functional.interpolate
    return {
        rows.OURS: lambda: resample(voxels, np.diag(steps), np.zeros(3), shape, parallel=True),
        "SimpleITK": lambda: _by_simpleitk(image, steps, shape, SimpleITK.sitkLinear),
        "torch": lambda: interpolate(tensor, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy(),
        "scipy": lambda: ndimage.affine_transform(voxels, steps, output_shape=shape, order=1, mode="nearest"),
        "MONAI": lambda: _by_monai(meta, steps, shape, "bilinear"),
    }


def _nearest(voxels: Image, steps: list[float], shape: Shape) -> Contenders:
    image, tensor, meta = _as_image(voxels), torch.from_numpy(voxels.astype(np.float32))[None, None], _as_meta(voxels)
    interpolate = torch.nn.functional.interpolate
    choice = {"interpolation": "nearest", "parallel": True}
    return {
        rows.OURS: lambda: resample(voxels, np.diag(steps), np.zeros(3), shape, **choice),
        "SimpleITK": lambda: _by_simpleitk(image, steps, shape, SimpleITK.sitkNearestNeighbor),
        "torch": lambda: interpolate(tensor, size=shape, mode="nearest-exact")[0, 0].numpy(),
        "scipy": lambda: ndimage.affine_transform(voxels, steps, output_shape=shape, order=0, mode="nearest"),
        "MONAI": lambda: _by_monai(meta, steps, shape, "nearest"),
    }


def _cubic(voxels: Image, steps: list[float], shape: Shape) -> Contenders:
    image = _as_image(voxels)
    choice = {"interpolation": "cubic", "parallel": True}
    return {
        rows.OURS: lambda: resample(voxels, np.diag(steps), np.zeros(3), shape, **choice),
        "SimpleITK": lambda: _by_simpleitk(image, steps, shape, SimpleITK.sitkBSpline),
        "scipy": lambda: ndimage.affine_transform(voxels, steps, output_shape=shape, order=3, mode="mirror"),
    }


def _as_image(voxels: Image) -> SimpleITK.Image:
    """Spacing 1, so that steps are in voxels."""
    return SimpleITK.GetImageFromArray(voxels)


def _as_meta(voxels: Image) -> MetaTensor:
    """(1, X, Y, Z), spacing 1."""
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(voxels.transpose(2, 1, 0)))[None], affine=torch.eye(4))


def _by_simpleitk(image: SimpleITK.Image, steps: list[float], shape: Shape, interpolator: int) -> SimpleITK.Image:
    """Beyond the last voxel's centre SimpleITK continues the edge for half a voxel, then writes 0."""
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetSize([int(n) for n in shape[::-1]])
    resampler.SetOutputSpacing(steps[::-1])
    resampler.SetInterpolator(interpolator)
    return resampler.Execute(image)


def _by_monai(meta: MetaTensor, steps: list[float], shape: Shape, mode: str) -> Image:
    spacing = Spacing(pixdim=steps[::-1], mode=mode, padding_mode="border", align_corners=True, dtype=torch.float32)
    return spacing(meta, output_spatial_shape=shape[::-1])[0].numpy().transpose(2, 1, 0)


def _check_resampling(cases: int = 8) -> list[str]:
    """All give the same on random volumes and steps, where they mean the same grid."""
    random, furthest, furthest_cubic = np.random.default_rng(1), 0.0, 0.0
    for _ in range(cases):
        voxels = random.integers(-1000, 2000, random.integers(8, 40, 3)).astype(np.int16)
        steps = random.uniform(0.35, 1.6, 3).tolist()
        shape: Shape = tuple(int((n - 1) / step) + 1 for n, step in zip(voxels.shape, steps, strict=True))
        exact = voxels.astype(np.float32)
        ours = resample(exact, np.diag(steps), np.zeros(3), shape, parallel=True)
        for who, run in _linear(exact, steps, shape).items():
            wanted = ours if who != "torch" else _between_corners(exact, shape)
            furthest = max(furthest, _assert_close("linear", who, run(), wanted, 0.02))
        _assert_close("linear", "int16", _linear(voxels, steps, shape)[rows.OURS](), ours, 0.5001)
        cubic = _cubic(exact, steps, shape)
        for who in ("SimpleITK", "scipy"):
            furthest_cubic = max(furthest_cubic, _assert_close("cubic", who, cubic[who](), cubic[rows.OURS](), 0.05))
        nearest = _nearest(voxels, steps, shape)
        for who in ("SimpleITK", "scipy", "MONAI"):
            _assert_close("nearest", who, nearest[who](), nearest[rows.OURS](), 0)
    return [
        f"On {cases} random volumes and steps all linear results agree to {furthest:.2g} HU, cubic ones to "
        f"{furthest_cubic:.2g} HU, nearest ones exactly; torch has a grid of its own "
        "(corner to corner), on which ours is compared with it."
    ]


def _between_corners(voxels: Image, shape: Shape) -> Image:
    """On torch's grid: the first and the last voxel of each axis stay where they are."""
    steps = [(n - 1) / max(count - 1, 1) for n, count in zip(voxels.shape, shape, strict=True)]
    return resample(voxels, np.diag(steps), np.zeros(3), shape)


def _intensities(voxels: Image) -> dict[str, Contenders]:
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
            "NumPy": lambda: (exact - exact.mean()) / exact.std(),
            "MONAI": lambda: NormalizeIntensity()(meta)[0].numpy(),
            **copy,
        },
        "z-score of int16": {
            rows.OURS: lambda: _our_zscore(voxels),
            "NumPy": lambda: (exact - exact.mean()) / exact.std(),
            **copy,
        },
        "percentiles 0.5, 99.5": {
            rows.OURS: lambda: percentiles(voxels, [0.5, 99.5]),
            "NumPy": lambda: np.percentile(exact, [0.5, 99.5]),
            "MONAI": lambda: percentile(meta),
            **copy,
        },
    }


def _normalized(voxels: Image, **constants: float) -> Image:
    out = np.empty(voxels.shape, np.float32)
    normalize_into(out, voxels, parallel=True, **constants)
    return out


def _our_zscore(voxels: Image) -> Image:
    found = intensity_statistics(voxels)
    return _normalized(voxels, subtract=found.mean, divide=found.std)


def _check_intensities(voxels: Image) -> list[str]:
    works = _intensities(voxels[: len(voxels) // 8])
    for work, tolerance in (("window", 1e-6), ("z-score", 1e-4), ("z-score of int16", 1e-4)):
        for who in set(works[work]) - {COPY}:
            _assert_close(work, who, works[work][who](), works[work][rows.OURS](), tolerance)
    ours, numpy = (works["percentiles 0.5, 99.5"][who]() for who in (rows.OURS, "NumPy"))
    _assert_close("percentiles", "NumPy", np.array(numpy), np.array(ours), 1e-3)
    return ["Window, z-score and percentiles agree; MONAI's percentiles include its scaling, ours and NumPy's do not."]


def _assert_close(work: str, who: str, theirs: Image | SimpleITK.Image, ours: Image, tolerance: float) -> float:
    theirs = SimpleITK.GetArrayFromImage(theirs) if isinstance(theirs, SimpleITK.Image) else theirs
    if theirs.shape != ours.shape:
        raise SystemExit(f"{work}: {who} gives shape {theirs.shape}, {rows.OURS} {ours.shape}")
    furthest = float(np.abs(theirs.astype(np.float64) - ours).max())
    if furthest > tolerance:
        raise SystemExit(f"{work}: {who} differs from {rows.OURS} by up to {furthest:.3g}, allowed is {tolerance}")
    return furthest


if __name__ == "__main__":
    main()
