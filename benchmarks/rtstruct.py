"""Masks from RTSTRUCT and SEG. Peers: dcmrtstruct2nii, med-imagetools, rt-utils, skimage; highdicom.

Files are read before the clock starts; timed is what turns contours into one mask per region. Every peer runs in an
environment of its own, in turn with us. What its masks are is said: how many voxels differ from ours, which equal
rational arithmetic in our tests. Of SEG the whole way from the file is timed.

    python -m benchmarks.rtstruct [--data DIR] [--json FILE]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from numpy.typing import NDArray

from medimagenet import Index, index_directory, read_mask, read_series
from medimagenet.dicom import read_structures
from medimagenet.dicom.regions import FillPolicy
from medimagenet.geometry import Grid
from medimagenet.kernels._jit import set_threads
from medimagenet.synthetic import write_patients

from . import rows
from .datasets import datasets

AREA = "rtstruct"
THREADS = 2
GOALS = {"dcmrtstruct2nii": 100.0, "med-imagetools": 100.0, "skimage": 100.0}
PEERS = ("dcmrtstruct2nii", "med-imagetools", "rt-utils", "skimage")
TWO_THREADS = "medimagenet, 2 threads"

Masks = Mapping[str, NDArray[np.bool_]]


def main() -> None:
    options = rows.options(__doc__)
    set_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        results, notes = _rtstruct(options.data, work, options.peers, options.rounds)
        seg_results, seg_notes = _seg(work, options.rounds)
    peers = {"highdicom": version("highdicom"), **_versions(options.peers)}
    rows.finish(AREA, [*results, *seg_results], [*notes, *seg_notes], peers, options.json)


def _rtstruct(data: Path | None, work: Path, peers: Path, rounds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The last data set's first CT with its RTSTRUCT."""
    with datasets(data, work) as found:
        chosen = found[-1]
        sample = index_directory(chosen.folder).samples("CT,RTSTRUCT").samples[0]
        images, (path,) = Index.paths(sample.series["CT"]), Index.paths(sample.series["RTSTRUCT"])
        grid = read_series(images).grid
        structures = read_structures(path)
        contours = sum(len(roi.contours) for roi in structures.rois)
        numbers = range(len(structures.rois))

        def fill(parallel: bool) -> NDArray[np.bool_]:
            channels = np.zeros((len(numbers), *grid.shape), dtype=np.bool_)
            structures.fill_all(numbers, grid, channels, FillPolicy(parallel=parallel))
            return channels

        ours = dict(zip(structures.names, fill(False), strict=True))
        fill(True)
        times: dict[str, list[float]] = {rows.OURS: [], TWO_THREADS: []}
        notes = [f"{chosen.name}: {chosen.about}; {len(ours)} regions, {contours} contours."]
        for who in PEERS:
            for _ in range(rounds):
                times[rows.OURS].append(_seconds(lambda: fill(False)))
                times[TWO_THREADS].append(_seconds(lambda: fill(True)))
            masks, times[who] = _run_peer(who, peers, images[0].parent, path, work, rounds)
            notes.append(_difference(who, ours, masks))
        values = {who: 1000 * statistics.median(taken) / contours for who, taken in times.items()}
    work_name = f"RTSTRUCT, {contours} contours, per contour"
    results = rows.compare(AREA, work_name, values, "ms", None)
    for row in results:
        row["goal"] = GOALS.get(row["who"])
        row["met"] = None if row["goal"] is None else row["ratio"] >= row["goal"]
    return results, notes


def _run_peer(who: str, peers: Path, images: Path, path: Path, work: Path, rounds: int) -> tuple[Masks, list[float]]:
    out = work / who
    out.mkdir()
    script = Path(__file__).with_name("peers") / "rasterize_rtstruct.py"
    command = [str(peers / "bin" / "python"), str(script), who, str(images), str(path), str(out), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{who} failed ({done.returncode}): {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    masks = {name: np.load(out / f"{number}.npy") for number, name in enumerate(answer["names"])}
    return masks, answer["seconds"]


def _difference(who: str, ours: Masks, theirs: Masks) -> str:
    """How many voxels a peer has otherwise; rt-utils counts its slices as the files happen to be sorted."""
    shared = [name for name in ours if name in theirs]
    if len(shared) != len(ours):
        raise SystemExit(f"{who} gives {sorted(theirs)}, {rows.OURS} {sorted(ours)}")
    counts = [sum(int(np.count_nonzero(ours[name] != theirs[name][::turn])) for name in shared) for turn in (1, -1)]
    total = sum(int(np.count_nonzero(ours[name])) for name in shared)
    if who in ("dcmrtstruct2nii", "skimage") and min(counts):
        raise SystemExit(f"{who} should give the same masks, {min(counts)} voxels differ")
    return f"{who}: {min(counts)} voxels differ from ours, of {total}."


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _seg(work: Path, rounds: int, segments: int = 100) -> tuple[list[dict[str, Any]], list[str]]:
    """A SEG of many segments, read from its file into one mask per segment, by us and by highdicom."""
    folder = work / "seg"
    write_patients(folder, 1, size=(128, 128, 60), spacing=(2.5, 2.5, 5.0), jobs=1)
    images = sorted(Index.paths(next(row for row in index_directory(folder).rows() if row["Modality"] == "CT")))
    grid = read_series(images).grid
    truth = _balls(grid, segments)
    path = work / "seg.dcm"
    _write_seg(path, images, truth)
    contenders = {
        rows.OURS: lambda: read_mask(path, grid).array,
        "highdicom": lambda: _by_highdicom(path, segments),
    }
    for who, run in contenders.items():
        if not np.array_equal(run(), truth):
            raise SystemExit(f"{who} does not give the segments that were written")
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, run in contenders.items():
            times[who].append(_seconds(run))
    values = {who: 1000 * statistics.median(taken) for who, taken in times.items()}
    work_name = f"SEG, {segments} segments, file to masks"
    note = f"SEG: {segments} segments of 128 x 128 x 60, BINARY, empty frames left out; both give what was written."
    return rows.compare(AREA, work_name, values, "ms", None), [note]


def _balls(grid: Grid, number: int) -> NDArray[np.bool_]:
    """(number, Z, Y, X): balls of random place and size, which overlap."""
    random = np.random.default_rng(0)
    z, y, x = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    masks = np.empty((number, *grid.shape), dtype=np.bool_)
    for mask in masks:
        at, size = random.uniform(0.2, 0.8, 3) * grid.shape, random.uniform(4, 14)
        np.less((z - at[0]) ** 2 * 4 + (y - at[1]) ** 2 + (x - at[2]) ** 2, size**2, out=mask)
    masks[0, :, :8, :8] = True  # in every slice: highdicom's volume ends with the segments
    return masks


def _write_seg(path: Path, images: list[Path], masks: NDArray[np.bool_]) -> None:
    sources = sorted(map(highdicom.imread, images), key=lambda image: float(image.ImagePositionPatient[2]))
    code = highdicom.sr.CodedConcept("123037004", "SCT", "Anatomical Structure")
    described = [
        highdicom.seg.SegmentDescription(number, f"ball {number}", code, code, "MANUAL")
        for number in range(1, len(masks) + 1)
    ]
    highdicom.seg.Segmentation(
        sources,
        np.moveaxis(masks, 0, -1).astype(np.uint8),
        "BINARY",
        described,
        highdicom.UID(),
        9,
        highdicom.UID(),
        1,
        "m",
        "m",
        "1",
        "1",
    ).save_as(path)


def _by_highdicom(path: Path, segments: int) -> NDArray[np.bool_]:
    """(segments, Z, Y, X); its volume begins at the other end."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=False, rescale_fractional=False)
    array = np.moveaxis(volume.array, -1, 0)
    return array[:, ::-1] if volume.affine[2, 0] < 0 else array


def _versions(peers: Path) -> dict[str, str]:
    names = ("dcmrtstruct2nii", "med-imagetools", "rt-utils", "scikit-image")
    program = f"import importlib.metadata as m; print(*[m.version(n) for n in {names!r}])"
    done = subprocess.run([str(peers / "bin" / "python"), "-c", program], capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split(), strict=True))


if __name__ == "__main__":
    sys.exit(main())
