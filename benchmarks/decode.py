"""Decoding of one CT, from its files to an array in memory (dcm2niix: to a NIfTI file), uncompressed and compressed.

Peers: SimpleITK, pydicom and dcm2niix in turn with us, on warm files; MONAI's readers and med-imagetools in their own
environment, right after our time of the same work. Each peer's voxels are compared with ours before anything is timed,
which also warms every contender: files are in the page cache, libraries loaded, code compiled. Uncompressed slices take
hundredths of a second, so a round has several runs of each contender; medians of all runs count.

    python -m benchmarks.decode [--data DIR] [--json FILE]
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK
from numpy.typing import NDArray

from medimagenet import index_directory, read_series

from . import measure, rows
from .datasets import datasets

AREA = "decode"
GOALS = {"SimpleITK": 10, "dcm2niix": 4}
"""Uncompressed: how many times our time a peer's should at least be."""
GOALS_COMPRESSED = {"SimpleITK": 1.5}
"""On two cores."""
LEAST_ROUNDS = 3  # a median of two is no median
RUNS = 5
"""Of each contender per round, uncompressed: the work is so short that whatever else the machine does shows."""
SYNTAXES = {
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
PEER_SCRIPT = Path(__file__).parent / "peers" / "decode_series.py"

Image = NDArray[Any]


def main() -> None:
    options = rows.options(__doc__)
    rounds = max(LEAST_ROUNDS, options.rounds)
    with tempfile.TemporaryDirectory() as name, datasets(options.data, Path(name)) as found:
        work = Path(name)
        files, about = _largest_ct(found[-1].folder)
        notes = [about]
        results = _rows("CT, uncompressed", files, work, RUNS * rounds, GOALS)
        for kind, syntax in SYNTAXES.items():
            packed = _compressed(files, syntax, work / kind.replace(" ", ""))
            notes.append(f"{kind}: {sum(path.stat().st_size for path in packed) / 2**20:.0f} MiB.")
            results += _rows(f"CT, {kind}", packed, work, rounds, GOALS_COMPRESSED)
        if shutil.which("dcmcjpeg"):  # of dcmtk: no Python package writes JPEG lossless
            packed = _by_dcmtk(files, work / "JPEGlossless")
            results += _rows("CT, JPEG lossless", packed, work, rounds, GOALS_COMPRESSED)
        results += _beside_other_environment(files, work, options.peers, rounds)
    notes.append("All gave the same voxels: HU of every slice, in the order of its position.")
    version = subprocess.run(["dcm2niix", "--version"], capture_output=True, text=True).stdout.split()
    rows.finish(AREA, results, notes, {"dcm2niix": version[-1] if version else "absent"}, options.json)


def _largest_ct(folder: Path) -> tuple[list[Path], str]:
    series = [row for row in index_directory(folder).rows() if row["Modality"] == "CT" and row["shape"]]
    row = max(series, key=lambda row: row["size_bytes"])
    z, y, x = row["shape"]
    about = f"One CT of {x} x {y} x {z} voxels, {row['n_instances']} files, {row['size_bytes'] / 2**20:.0f} MiB."
    return [Path(row["uri"]) / name for name in row["files"]], about


def _compressed(files: Sequence[Path], syntax: str, folder: Path) -> list[Path]:
    folder.mkdir()
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(folder / path.name)
    return [folder / path.name for path in files]


def _by_dcmtk(files: Sequence[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    for path in files:
        subprocess.run(["dcmcjpeg", "+e1", str(path), str(folder / path.name)], check=True)
    return [folder / path.name for path in files]


def _rows(label: str, files: Sequence[Path], work: Path, rounds: int, goals: dict[str, float]) -> list[dict[str, Any]]:
    contenders: dict[str, Callable[[], Any]] = {
        rows.OURS: lambda: read_series(files).array,
        "SimpleITK": lambda: _by_simpleitk(files),
        "pydicom": lambda: _by_pydicom(files),
    }
    if "dcm2niix" in goals and shutil.which("dcm2niix"):  # not every build of it reads JPEG-LS and JPEG 2000
        contenders["dcm2niix"] = lambda: _by_dcm2niix(files[0].parent, work)
    voxels = contenders[rows.OURS]()
    for who, run in contenders.items():  # the first run of each, and of us the first two, are not timed
        _check_equal(who, _voxels(run()), voxels)
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for who, run in contenders.items():
            measure.hold_memory()
            start = time.perf_counter()
            run()
            times[who].append(time.perf_counter() - start)
    return _compared(label, times, goals)


def _by_simpleitk(files: Sequence[Path]) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in files])
    return reader.Execute()


def _by_pydicom(files: Sequence[Path]) -> Image:
    """Slices in the order given, rescaled to int16."""
    first = pydicom.dcmread(files[0])
    volume = np.empty((len(files), first.Rows, first.Columns), dtype=np.int16)
    for plane, path in zip(volume, files, strict=True):
        dataset = pydicom.dcmread(path)
        plane[...] = dataset.pixel_array
        plane *= np.int16(dataset.RescaleSlope)
        plane += np.int16(dataset.RescaleIntercept)
    return volume


def _by_dcm2niix(folder: Path, work: Path) -> Path:
    """The NIfTI that it writes."""
    out = work / "nifti"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run(["dcm2niix", "-b", "n", "-o", str(out), str(folder)], capture_output=True, check=True)
    (image,) = out.glob("*.nii")
    return image


def _voxels(result: Image | SimpleITK.Image | Path) -> Image:
    """(Z, Y, X) of what a contender gave."""
    if isinstance(result, Path):
        voxels = np.asarray(nibabel.load(result).dataobj).transpose(2, 1, 0)
        return voxels[:, ::-1]  # NIfTI of dcm2niix has its rows upwards
    return SimpleITK.GetArrayFromImage(result) if isinstance(result, SimpleITK.Image) else result


def _beside_other_environment(files: Sequence[Path], work: Path, peers: Path, rounds: int) -> list[dict[str, Any]]:
    """MONAI and med-imagetools, with our times of the same work taken right before."""
    program = peers / "bin" / "python"
    if not program.is_file():
        print(f"no {program}: MONAI and med-imagetools are left out; `make bench` installs them", file=sys.stderr)
        return []
    voxels = read_series(files).array
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(RUNS * rounds):
        measure.hold_memory()
        start = time.perf_counter()
        read_series(files)
        times[rows.OURS].append(time.perf_counter() - start)
    command = [str(program), str(PEER_SCRIPT), str(files[0].parent), str(work), str(rounds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for who, taken in json.loads(done.stdout.splitlines()[-1]).items():
        _check_equal(who, np.load(work / f"{who}.npy"), voxels)
        times[who] = taken
    return _compared("CT, uncompressed, beside others", times, {})


def _check_equal(who: str, theirs: Image, ours: Image) -> None:
    """MONAI's PydicomReader leaves slices in the order of their instance numbers."""
    for candidate in (theirs, theirs[::-1]):
        if candidate.shape == ours.shape and np.array_equal(candidate, ours):
            return
    raise SystemExit(f"{who} gives other voxels than {rows.OURS}: {theirs.shape} and {ours.shape}")


def _compared(label: str, times: dict[str, list[float]], goals: dict[str, float]) -> list[dict[str, Any]]:
    medians = {who: 1000 * statistics.median(taken) for who, taken in times.items()}
    found = rows.compare(AREA, label, medians, "ms", None)
    for row in found:
        row["goal"] = goals.get(row["who"])
        row["met"] = None if row["goal"] is None else row["ratio"] >= row["goal"]
    return found


if __name__ == "__main__":
    main()
