"""From an index to samples on disk: decode CT and RTSTRUCT, rasterize, write. Peer: imgtools autopipeline (to NIfTI).

Voxels are kept on their own grid, so that what both wrote can be compared. The index of each is made before, and is
not timed.

    python -m benchmarks.compile [--data DIR] [--json FILE]
"""

import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK

from medimagenet import open_store

from . import measure, rows
from .datasets import Dataset, datasets
from .measure import Contender

AREA = "compile"
GOAL = 1.0  # slower than no peer
PEER = "med-imagetools"
PEER_SECONDS = 30.0
"""Who takes longer on one data set runs fewer rounds, at least one."""


def main() -> None:
    options = rows.options(__doc__)
    imgtools = measure.imgtools(options.peers)
    results, notes = [], []
    with tempfile.TemporaryDirectory() as name, datasets(options.data, Path(name)) as found:
        for dataset in found:
            place = Path(name) / f"compile-{dataset.name}"
            place.mkdir()
            results += _rows(dataset, place, imgtools, options.rounds, notes)
    extra = {} if imgtools is None else {PEER: measure.imgtools_version(imgtools)}
    rows.finish(AREA, results, notes, extra, options.json)


def _rows(dataset: Dataset, place: Path, imgtools: str | None, rounds: int, notes: list[str]) -> list[dict]:
    contenders = [_ours(dataset, place)]
    if imgtools is not None:
        contenders.append(_peer(dataset, place, imgtools))
    first = measure.run(contenders[0])
    measured = measure.measure(
        contenders,
        rounds,
        seconds=PEER_SECONDS,
        check=lambda: notes.append(_check_equal(dataset, place, with_peer=imgtools is not None)),
    )
    seconds = {who: value.seconds for who, value in measured.items()}
    memory = {who: value.peak_bytes / 2**20 for who, value in measured.items()}
    sizes = {rows.OURS: _size(place / "ours.zarr")}
    if imgtools is not None:
        sizes[PEER] = _size(place / "peer")
    return [
        *rows.compare(AREA, f"compile {dataset.name}: time", seconds, "s", GOAL),
        *rows.compare(AREA, f"compile {dataset.name}: peak memory", memory, "MiB", GOAL),
        *rows.compare(AREA, f"compile {dataset.name}: size on disk", sizes, "MiB", None),
        rows.alone(AREA, f"compile {dataset.name}: time of the first run", first, "s"),
    ]


def _ours(dataset: Dataset, place: Path, cache: Path | None = None) -> Contender:
    environment = {
        "MEDIMAGENET_CACHE_DIR": str(cache or place / "cache"),  # empty in the first run
        "MEDIMAGENET_CONFIG_DIR": str(place / "config"),
    }
    index, recipe, store = place / "ours.parquet", place / "recipe.yaml", place / "ours.zarr"
    lines = [f"name: {dataset.name}", "modalities: [CT, RTSTRUCT]", "rois:"]
    lines += [f'  {name}: ["{pattern}"]' for name, pattern in dataset.rois.items()]
    recipe.write_text("\n".join(lines) + "\n")
    program = measure.our_program()
    indexed = Contender(
        who="index", command=[program, "index", str(dataset.folder), "-o", str(index)], environment=environment
    )
    measure.run(indexed)
    return Contender(
        who=rows.OURS,
        command=[program, "compile", str(index), "--recipe", str(recipe), "-o", str(store)],
        prepare=partial(_remove_ours, place),
        environment=environment,
    )


def _remove_ours(place: Path) -> None:
    """The store and what lies beside it, but not the index."""
    shutil.rmtree(place / "ours.zarr", ignore_errors=True)
    for path in place.glob("ours.zarr*"):
        path.unlink()


def _peer(dataset: Dataset, place: Path, imgtools: str) -> Contender:
    crawl = place / "crawl"
    cores = str(measure.machine()["cores"])
    folder = str(dataset.folder)
    crawled = [imgtools, "index", "--dicom-dir", folder, "--output-dir", str(crawl), "--n-jobs", cores]
    measure.run(Contender(who="crawl", command=crawled))
    patterns = [word for name, pattern in dataset.rois.items() for word in ("-rmap", f"{name}:{pattern}")]
    command = [imgtools, "autopipeline", "--crawl-directory", str(crawl), "-m", "CT,RTSTRUCT", "-j", cores]
    return Contender(
        who=PEER,
        command=[*command, "--roi-strategy", "MERGE", *patterns, folder, str(place / "peer")],
        prepare=partial(shutil.rmtree, place / "peer", ignore_errors=True),
    )


def _check_equal(dataset: Dataset, place: Path, *, with_peer: bool) -> str:
    """Both wrote the same CT, to 1 HU; how far apart their voxels and masks are is said."""
    store = open_store(place / "ours.zarr")
    images = [store.array(sample_id).read()[0] for sample_id in store.ids()]
    voxels = sum(int(np.count_nonzero(store.array(sample_id, "label").read())) for sample_id in store.ids())
    said = f"{dataset.name}: {dataset.about}; {len(images)} samples."
    if not with_peer:
        return said
    files = sorted((place / "peer").rglob("*.nii.gz"))
    written = [_read(path) for path in files if path.name.startswith("CT")]
    if len(written) != len(images):
        raise SystemExit(f"{dataset.name}: {PEER} wrote {len(written)} CTs, {rows.OURS} {len(images)}")
    differing = sum(_voxels_off_by_one(image, images, dataset.name) for image in written)
    others = sum(int(np.count_nonzero(_read(path))) for path in files if not path.name.startswith("CT"))
    off, more = differing / sum(image.size for image in images), others / voxels - 1
    return (
        f"{said} {off:.1%} of the CT voxels of {PEER} are 1 HU off ours, the others equal; its masks have {more:+.1%} "
        "voxels, as it rounds contour vertices to voxels. On sts a test holds that ours equal the reference images and "
        "masks."
    )


def _voxels_off_by_one(image: np.ndarray, candidates: list[np.ndarray], name: str) -> int:
    """Number of voxels that are 1 HU off the one of our images that this is."""
    for ours in candidates:
        if ours.shape == image.shape:
            distance = np.abs(ours.astype(np.int32) - image)
            if distance.max() <= 1:
                return int(np.count_nonzero(distance))
    raise SystemExit(f"{name}: {PEER} wrote a CT of shape {image.shape} that is none of ours")


def _read(path: Path) -> np.ndarray:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
