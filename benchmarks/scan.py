"""Index a folder of DICOM: headers to a table of series. Peers: med-imagetools' crawler, loops with pydicom, GDCM's
scanner, dcm2niix' listing. As whole programs, start-up included, and as a running program sees it.

python -m benchmarks.scan [--data DIR] [--json FILE]
"""

import argparse
import csv
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from medimagenet import open_index

from . import measure, rows
from .datasets import Dataset, datasets
from .measure import Contender

AREA = "scan"
PEERS = Path(__file__).parent / "peers"
PYDICOM = str(PEERS / "pydicom_index.py")
GOALS = {"med-imagetools": 40.0, "pydicom": 25.0, "GDCM": 6.0, "dcm2niix": 6.0}
"""Of about 10,000 files."""
GOAL = 1.0  # slower than no peer
UID_ROOT, PATIENT = b"5.2.1.5168.1900.", b"STS_0"  # what the UIDs and patients of sts/ share
COPIES = 6
PIXELS = b"\xe0\x7f\x10\x00"  # tag of PixelData
Series = set[tuple[str, str, int]]
"""UID, modality, number of instances."""


def main() -> None:
    options = rows.options(__doc__)
    imgtools = measure.imgtools(options.peers)
    results, notes = [], []
    with tempfile.TemporaryDirectory() as name, datasets(options.data, Path(name)) as found:
        for dataset in [*found, *(_many(dataset, Path(name)) for dataset in found if dataset.name == "sts")]:
            results += _rows(dataset, Path(name), imgtools, options)
            notes.append(f"{dataset.name}: {dataset.about}; {dataset.files:,} files.")
    notes.append("In process: imports and the loading of compiled code are not counted, the walk and the table are.")
    notes.append("All found the same series: UID, modality, number of instances.")
    extra = {} if imgtools is None else {"med-imagetools": measure.imgtools_version(imgtools)}
    rows.finish(AREA, results, notes, extra, options.json)


def _many(sts: Dataset, work: Path) -> Dataset:
    """10,000 files: the set with other UIDs and patients, again and again. Pixel data are holes: nobody reads them."""
    folder = work / "many"
    for path in sorted(path for path in sts.folder.rglob("*") if path.is_file()):
        raw = path.read_bytes()
        header = raw[: raw.index(PIXELS) + 12] if PIXELS in raw else raw
        for copy in range(COPIES):
            target = folder / f"{copy}" / path.relative_to(sts.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            changed = header.replace(UID_ROOT, UID_ROOT[:-2] + b"%d." % copy).replace(PATIENT, b"STS_%d" % copy)
            with target.open("wb") as file:
                file.write(changed)
                file.truncate(len(raw))
    about = f"the sts set {COPIES} times over with other UIDs and patients, pixel data left out"
    return Dataset(name="many", about=about, folder=folder, rois=sts.rois)


def _rows(dataset: Dataset, work: Path, imgtools: str | None, options: argparse.Namespace) -> list[dict]:
    place = work / f"scan-{dataset.name}"
    place.mkdir()
    contenders, readers = _contenders(dataset, place, imgtools)
    first = measure.run(contenders[0])
    for contender in contenders[1:]:
        measure.run(contender)
    _check_equal({contender.who: readers[contender.who]() for contender in contenders})
    lister = shutil.which("dcm2niix")
    if lister and dataset.name == "many":  # it lists and writes no table: nothing to compare, but to time
        command = [lister, "-n", "-1", "-o", str(place), str(dataset.folder)]
        contenders.append(Contender(who="dcm2niix", command=command))
    measured = measure.measure(contenders, options.rounds)
    seconds = {who: value.seconds for who, value in measured.items()}
    memory = {who: value.peak_bytes / 2**20 for who, value in measured.items()}
    timed = rows.compare(AREA, f"index {dataset.name}: time", seconds, "s", GOAL)
    if dataset.name == "many":
        timed = _with_goals(timed)
        timed += _in_process(dataset, place, options)
    return [
        *timed,
        *rows.compare(AREA, f"index {dataset.name}: peak memory", memory, "MiB", GOAL),
        rows.alone(AREA, f"index {dataset.name}: time of the first run", first, "s"),
    ]


def _with_goals(timed: list[dict]) -> list[dict]:
    for row in timed:
        goal = GOALS.get(row["who"])
        row["goal"], row["met"] = goal, None if goal is None else row["ratio"] >= goal
    return timed


def _in_process(dataset: Dataset, place: Path, options: argparse.Namespace) -> list[dict]:
    """Seconds of the work alone, as each script tells them, in turn."""
    warm, folder = place / "warm", str(dataset.folder)
    warm.mkdir()
    for path in sorted(path for path in dataset.folder.rglob("*") if path.is_file())[:: dataset.files // 20]:
        shutil.copy(path, warm / f"{len(list(warm.iterdir()))}")
    commands = {
        rows.OURS: [sys.executable, str(PEERS / "our_index.py"), folder, str(place / "in.parquet"), str(warm)],
        "pydicom": [sys.executable, PYDICOM, folder, str(place / "in.csv"), "1"],
    }
    python = options.peers / "bin" / "python"
    if python.is_file():
        commands["GDCM"] = [str(python), str(PEERS / "gdcm_scan.py"), folder, str(place / "gdcm.csv")]
    times: dict[str, list[float]] = {who: [] for who in commands}
    for _ in range(options.rounds):
        for who, command in commands.items():
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[who].append(float(done.stdout.split()[-1]))
    found = {rows.OURS: _our_series(place / "in.parquet"), "pydicom": _csv_series([place / "in.csv"], "n_instances")}
    if "GDCM" in commands:
        found["GDCM"] = _csv_series([place / "gdcm.csv"], "n_instances")
    _check_equal(found)
    medians = {who: statistics.median(each) for who, each in times.items()}
    rates = {who: dataset.files / seconds for who, seconds in medians.items()}
    print(", ".join(f"{who} {rate:,.0f} files/s" for who, rate in rates.items()), file=sys.stderr)
    return _with_goals(rows.compare(AREA, f"index {dataset.name}, in process: time", medians, "s", None))


def _contenders(
    dataset: Dataset, place: Path, imgtools: str | None
) -> tuple[list[Contender], dict[str, Callable[[], Series]]]:
    ours, loop, crawl = place / "ours.parquet", place / "pydicom.csv", place / "imgtools"
    folder = str(dataset.folder)
    own_cache = {"MEDIMAGENET_CACHE_DIR": str(place / "cache")}  # empty in the first run
    contenders = [
        Contender(
            who=rows.OURS,
            command=[measure.our_program(), "index", folder, "-o", str(ours)],
            prepare=partial(ours.unlink, missing_ok=True),
            environment=own_cache,
        ),
        Contender(who="pydicom", command=[sys.executable, PYDICOM, folder, str(loop)]),
    ]
    if imgtools is not None:
        command = [imgtools, "index", "--dicom-dir", folder, "--output-dir", str(crawl), "--n-jobs"]
        forget = partial(shutil.rmtree, crawl, ignore_errors=True)
        cores = str(measure.machine()["cores"])
        contenders.append(Contender(who="med-imagetools", command=[*command, cores], prepare=forget))
    return contenders, {
        rows.OURS: partial(_our_series, ours),
        "pydicom": partial(_csv_series, [loop], "n_instances"),
        "med-imagetools": lambda: _csv_series(crawl.rglob("index.csv"), "instances"),
    }


def _our_series(path: Path) -> Series:
    return {(row["SeriesInstanceUID"], row["Modality"], row["n_instances"]) for row in open_index(path).rows()}


def _csv_series(paths: Iterable[Path], count: str) -> Series:
    found = set()
    for path in paths:
        with path.open(newline="") as file:
            found |= {(row["SeriesInstanceUID"], row["Modality"], int(row[count])) for row in csv.DictReader(file)}
    return found


def _check_equal(series: dict[str, Series]) -> None:
    for who, found in series.items():
        difference = found ^ series[rows.OURS]
        if difference:
            raise SystemExit(f"{who} found other series than {rows.OURS}: {sorted(difference)[:4]} ...")


if __name__ == "__main__":
    main()
