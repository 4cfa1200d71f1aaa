"""Kernels on one CT: resampling and intensities. Peers: SimpleITK, torch, scipy.ndimage, MONAI, NumPy, and a copy.

All run in this process, on two threads where they can use threads, on arrays that are in memory already; each gives
new memory for its result. torch gets float32, as it interpolates no int16. nnU-Net and TorchIO run in the environment
of the peers, on the same arrays, right after us. What takes over five seconds runs once.

    python -m benchmarks.kernels [--data DIR] [--json FILE]
"""

import json
import math
import statistics
import subprocess
import sys
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
from medimagenet.kernels.labels import resample_labels
from medimagenet.kernels.resample import resample

from . import rows
from .datasets import datasets

AREA = "kernels"
THREADS = 2
COPY, OUTPUT = "copy", "the output alone"
GOAL_MEMORY = 1 / 1.2
BORDER_VOXELS = 8
SPACING = (0.9765625, 0.9765625, 3.0)
"""Of the CT, x, y, z, mm; it is resampled to 1 mm."""
GOALS = {
    "resample linear": {"SimpleITK": 15, "torch": 6, "MONAI": 80, COPY: 1 / 4},
    "resample nearest": {"SimpleITK": 12},
    "resample cubic": {"SimpleITK": 30, "nnU-Net": 80},
    "resample labels": {"nnU-Net": 50},
    "window": {"NumPy": 6, "MONAI": 25, COPY: 1 / 1.2},
    "window of int16": {"NumPy": 6, "MONAI": 25, COPY: 1 / 1.2},
    "z-score": {"NumPy": 6, "MONAI": 8, COPY: 1 / 1.2},
    "z-score of int16": {"NumPy": 6, "MONAI": 8, COPY: 1 / 1.2},
    "z-score with a mask": {"MONAI": 50},
    "percentiles 0.5, 99.5": {"NumPy": 10, "MONAI": 25, COPY: 1 / 1.6},
}
"""Per piece of work and peer: how many times our time its time should at least be."""

SLOW_S = 5.0
"""What takes longer runs once, without a warm-up."""
PEER_SCRIPT = Path(__file__).parent / "peers" / "resample_volumes.py"
PEAK_SCRIPT = """
import sys; import numpy as np
from pathlib import Path
from medimagenet.kernels.resample import resample
def status(key): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
folder, interpolation = sys.argv[1:]
voxels = np.load(folder + "/voxels.npy")
steps, shape = np.load(folder + "/steps.npy"), tuple(np.load(folder + "/shape.npy").tolist())
resample(voxels[:8, :64, :64], np.diag(steps), np.zeros(3), (8, 8, 8), interpolation=interpolation, parallel=True)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
resample(voxels, np.diag(steps), np.zeros(3), shape, interpolation=interpolation, parallel=True)
print((status("VmHWM") - before) * 1024 / (np.prod(shape) * voxels.itemsize))
"""

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
    works = {**_resampling(voxels), **_intensities(voxels)}
    results = [row for work, contenders in works.items() for row in _rows(work, contenders, options.rounds)]
    results += _beside_other_environment(voxels, options.peers, notes)
    results += [row for interpolation in ("linear", "nearest", "cubic") for row in _peak(voxels, interpolation)]
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
    first = {who: _seconds(run) for who, run in contenders.items()}
    times: dict[str, list[float]] = {who: [taken] if taken >= SLOW_S else [] for who, taken in first.items()}
    for _ in range(rounds):
        for who, run in contenders.items():
            if first[who] < SLOW_S:
                times[who].append(_seconds(run))
    return _compared(work, times)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _compared(work: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    medians = {who: 1000 * statistics.median(taken) for who, taken in times.items()}
    results = rows.compare(AREA, work, medians, "ms", None)
    for row in results:
        row["goal"] = GOALS.get(work, {}).get(row["who"])
        row["met"] = None if row["goal"] is None else row["ratio"] >= row["goal"]
    return results


def _grid(voxels: Image) -> tuple[list[float], Shape]:
    """Steps, z first, and shape of the output at 1 mm."""
    steps = [1 / each for each in SPACING[::-1]]
    return steps, tuple(round(n / step) for n, step in zip(voxels.shape, steps, strict=True))


def _beside_other_environment(voxels: Image, peers: Path, notes: list[str]) -> list[dict[str, Any]]:
    """nnU-Net and TorchIO, with our times of the same work taken right before."""
    program = peers / "bin" / "python"
    if not program.is_file():
        print(f"no {program}: nnU-Net and TorchIO are left out; `make bench` installs them", file=sys.stderr)
        return []
    labels, (steps, shape) = _regions(voxels.shape), _grid(voxels)
    centred = [n / count for n, count in zip(voxels.shape, shape, strict=True)]  # nnU-Net's grid: equal outer faces
    start = (np.array(centred) - 1) / 2
    ours: dict[str, Callable[[], Image]] = {
        "cubic": lambda: resample(voxels, np.diag(centred), start, shape, interpolation="cubic", parallel=True),
        "labels": lambda: resample_labels(labels, np.diag(centred), start, shape, parallel=True),
        "linear": lambda: resample(voxels, np.diag(steps), np.zeros(3), shape, parallel=True),
    }
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "voxels.npy", voxels)
        np.save(folder / "labels.npy", labels)
        (folder / "work.json").write_text(json.dumps({"shape": shape, "steps": steps}))
        our_times = {work: [_seconds(run) for _ in range(5)][1:] for work, run in ours.items()}
        done = subprocess.run(
            [str(program), str(PEER_SCRIPT), name, "1"], stdout=subprocess.PIPE, text=True, check=True
        )
        for each, times in json.loads(done.stdout.splitlines()[-1]).items():
            who, work = each.split()
            result = ours[work]()
            if who == "nnU-Net" and work == "cubic":  # it cuts overshoot off at the range of the image; we do not
                result = np.clip(result, voxels.min(), voxels.max())
            notes.append(_agreement(work, who, np.load(folder / f"{each}.npy"), result, steps))
            label = f"resample {work}" + ("" if work == "labels" else f", beside {who}")
            found += _compared_as(f"resample {work}", label, {rows.OURS: our_times[work], who: times})
    return found


def _compared_as(goal_of: str, label: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    return [{**row, "work": label} for row in _compared(goal_of, times)]


def _regions(shape: tuple[int, ...]) -> Image:
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


def _agreement(work: str, who: str, theirs: Image, ours: Image, steps: list[float]) -> str:
    """How far a peer's result is from ours, away from the border, where each continues the volume in its own way.

    What a spline does at the border is felt in each voxel of the source by a quarter of what it is in the one before.
    """
    margins = [math.ceil(BORDER_VOXELS / step) for step in steps]
    inner = tuple(slice(margin, -margin) for margin in margins)
    theirs, ours = theirs[inner], ours[inner]
    if work == "labels":
        share = float((theirs != ours).mean())
        if share > 1e-3:
            raise SystemExit(f"labels: {who} differs from {rows.OURS} in {share:.2%} of the voxels")
        return f"{who}'s labels differ from ours in {share:.2g} of the voxels: it takes a class from one half on."
    furthest = float(np.abs(theirs.astype(np.float64) - ours).max())
    if furthest > (1.01 if work == "linear" else 8):  # whole numbers, rounded or cut off; splines end differently
        raise SystemExit(f"{work}: {who} differs from {rows.OURS} by up to {furthest:.3g} HU")
    return f"{who}'s {work} result differs from ours by at most {furthest:.2g} HU, away from the border."


def _peak(voxels: Image, interpolation: str) -> list[dict[str, Any]]:
    """Memory that a call takes beyond its input, its output included, in a fresh process; beside the output alone."""
    steps, shape = _grid(voxels)
    with tempfile.TemporaryDirectory() as name:
        for key, value in (("voxels", voxels), ("steps", steps), ("shape", shape)):
            np.save(Path(name) / f"{key}.npy", value)
        done = subprocess.run(
            [sys.executable, "-c", PEAK_SCRIPT, name, interpolation], stdout=subprocess.PIPE, text=True, check=True
        )
    work, values = (
        f"resample {interpolation}: peak memory beyond the input",
        {rows.OURS: float(done.stdout), OUTPUT: 1.0},
    )
    return rows.compare(AREA, work, values, "x output", GOAL_MEMORY)


def _resampling(voxels: Image) -> dict[str, Contenders]:
    steps, shape = _grid(voxels)
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
    }


def _cubic_by_scipy(voxels: Image, steps: list[float], shape: Shape) -> Image:
    return ndimage.affine_transform(voxels, steps, output_shape=shape, order=3, mode="mirror")


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
        theirs = {"SimpleITK": cubic["SimpleITK"](), "scipy": _cubic_by_scipy(exact, steps, shape)}
        for who, result in theirs.items():
            furthest_cubic = max(furthest_cubic, _assert_close("cubic", who, result, cubic[rows.OURS](), 0.05))
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
    }


def _normalized(voxels: Image, **constants: float) -> Image:
    out = np.empty(voxels.shape, np.float32)
    normalize_into(out, voxels, parallel=True, **constants)
    return out


def _our_zscore(voxels: Image, *, nonzero: bool = False) -> Image:
    found = intensity_statistics(voxels, nonzero=nonzero, parallel=True)
    return _normalized(voxels, subtract=found.mean, divide=found.std)


def _numpy_zscore(exact: Image) -> Image:
    return (exact - exact.mean()) / exact.std()


def _check_intensities(voxels: Image) -> list[str]:
    works = _intensities(voxels[: len(voxels) // 8])
    checked = {"window": 1e-6, "window of int16": 1e-6, "z-score": 1e-4, "z-score of int16": 1e-4}
    for work, tolerance in checked.items():
        for who in set(works[work]) - {COPY}:
            _assert_close(work, who, works[work][who](), works[work][rows.OURS](), tolerance)
    masked = works["z-score with a mask"]
    counted = voxels[: len(voxels) // 8] != 0  # MONAI leaves the others as they are
    _assert_close("z-score with a mask", "MONAI", masked["MONAI"]()[counted], masked[rows.OURS]()[counted], 1e-4)
    for work in ("percentiles 0.5, 99.5", "percentiles 0.5, 99.5 of float32"):
        ours, numpy = (works[work][who]() for who in (rows.OURS, "NumPy"))
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
