"""Kernels on one CT: resampling and intensities. Peers: SimpleITK, torch, scipy.ndimage, MONAI, NumPy, and a copy.

All run in this process, on two threads where they can use threads, on arrays that are in memory already; each gives
new memory for its result, except where the work says that it goes into memory that is there. torch gets float32, as it
interpolates no int16. nnU-Net and TorchIO run in the environment of the peers, on the same arrays, right after us. What
takes over five seconds runs once.

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
from monai.transforms import Spacing
from numpy.typing import NDArray
from scipy import ndimage

from medimagenet import index_directory, read_series
from medimagenet.kernels._jit import set_threads
from medimagenet.kernels.labels import resample_labels
from medimagenet.kernels.resample import resample

from . import measure, rows
from .datasets import datasets
from .kernels_intensity import COPY, KEPT, assert_close, check_intensities, floors, intensities, label_works, regions

AREA = "kernels"
THREADS = 2
OUTPUT = "the output alone"
GOAL_MEMORY = 1 / 1.2
BORDER_VOXELS = 8
SPACING = (0.9765625, 0.9765625, 3.0)
"""Of the CT, x, y, z, mm; it is resampled to 1 mm."""
NEW_MEMORY = (
    "Results in new memory are at the mercy of the machine: where a virtual machine gets memory from its host slowly, "
    "the same work takes up to five times as long in one run as in the next, ours and the peers' (NumPy's z-score "
    'most, it makes whole volumes in between). Rows "into memory that is there", percentiles, cubic and labels do not '
    "scatter so."
)

GOALS = {
    "resample linear": {"SimpleITK": 15, "torch": 6, "MONAI": 80, COPY: 1 / 4},
    "resample nearest": {"SimpleITK": 12},
    "resample cubic": {"SimpleITK": 30, "nnU-Net": 80},
    "resample labels": {"nnU-Net": 50},
    "window": {"NumPy": 6, "MONAI": 25, COPY: 1 / 1.2},
    "window of int16": {"NumPy": 6, "MONAI": 25, COPY: 1 / 1.2},
    "z-score": {"NumPy": 6, "MONAI": 8, COPY: 1 / 1.2},
    "z-score of int16": {"NumPy": 6, "MONAI": 8, COPY: 1 / 1.2},
    f"window{KEPT}": {"NumPy": 6, COPY: 1 / 1.2},
    f"z-score{KEPT}": {"NumPy": 6, COPY: 1 / 1.2},
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
    notes = [about, *_check_resampling(), *check_intensities(voxels)]
    works = {**_resampling(voxels), **intensities(voxels), **label_works(voxels)}
    results = [row for work, contenders in works.items() for row in _rows(work, contenders, options.rounds)]
    notes += [*floors(voxels.shape, results), NEW_MEMORY]
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
    measure.hold_memory()
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
    labels, (steps, shape) = regions(voxels.shape), _grid(voxels)
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
    written = np.ones(shape, voxels.dtype)  # memory that nobody wrote to is all one page
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
            furthest = max(furthest, assert_close("linear", who, run(), wanted, 0.02))
        assert_close("linear", "int16", _linear(voxels, steps, shape)[rows.OURS](), ours, 0.5001)
        cubic = _cubic(exact, steps, shape)
        theirs = {"SimpleITK": cubic["SimpleITK"](), "scipy": _cubic_by_scipy(exact, steps, shape)}
        for who, result in theirs.items():
            furthest_cubic = max(furthest_cubic, assert_close("cubic", who, result, cubic[rows.OURS](), 0.05))
        nearest = _nearest(voxels, steps, shape)
        for who in ("SimpleITK", "scipy", "MONAI"):
            assert_close("nearest", who, nearest[who](), nearest[rows.OURS](), 0)
    return [
        f"On {cases} random volumes and steps all linear results agree to {furthest:.2g} HU, cubic ones to "
        f"{furthest_cubic:.2g} HU, nearest ones exactly; torch has a grid of its own "
        "(corner to corner), on which ours is compared with it."
    ]


def _between_corners(voxels: Image, shape: Shape) -> Image:
    """On torch's grid: the first and the last voxel of each axis stay where they are."""
    steps = [(n - 1) / max(count - 1, 1) for n, count in zip(voxels.shape, shape, strict=True)]
    return resample(voxels, np.diag(steps), np.zeros(3), shape)


if __name__ == "__main__":
    main()
