"""From an index to NIfTI files: decode CT and RTSTRUCT, rasterize, compress, write. Peer: imgtools autopipeline.

Voxels are kept on their own grid, so that what both wrote can be compared: per sample one CT and one mask per class, of
RTSTRUCT alone. Both start once from the index that each has made before, and once from the folder of DICOM, of which
they then make their index too (that of one large CT is left out: the peer takes minutes either way). Ours also writes
the metadata of every file, and its samples are whole or not there. All times are of the whole program, its start
included; small patients are converted once more as a cohort of several copies. Who needs more than 30 s for all its
rounds runs fewer.

    python -m benchmarks.convert [--data DIR] [--json FILE]
"""

import json
import shutil
import tempfile
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from medimagenet.compiler.convert_plan import plan_of_index
from medimagenet.compiler.decode import read_case
from medimagenet.index import open_index
from medimagenet.preprocess import Recipe

from . import compile as compiling
from . import measure, rows
from .datasets import Dataset, datasets, repeated
from .measure import Contender

AREA = "convert"
GOAL_COMPRESSED, GOAL_UNCOMPRESSED, GOAL_MEMORY = 10.0, 20.0, 2.0
REPEATS = 3
"""Of a small set, so that the rate of a cohort is seen beside that of a few patients, where start-up is most."""
PEER = compiling.PEER
FROM_FOLDER, WHOLE = "from DICOM", "whole"
ONE_LARGE = "nsclc_radiomics"


def main() -> None:
    options = rows.options(__doc__)
    imgtools = measure.imgtools(options.peers)
    results, notes = [], []
    with tempfile.TemporaryDirectory() as name, datasets(options.data, Path(name)) as found:
        more = [repeated(dataset, REPEATS, Path(name)) for dataset in found]
        for dataset in [*found, *filter(None, more)]:
            place = Path(name) / f"convert-{dataset.name}"
            place.mkdir()
            results += _rows(dataset, place, imgtools, options.rounds, notes)
    extra = {} if imgtools is None else {PEER: measure.imgtools_version(imgtools)}
    rows.finish(AREA, results, notes, extra, options.json)


def _rows(dataset: Dataset, place: Path, imgtools: str | None, rounds: int, notes: list[str]) -> list[dict]:
    compiled = compiling._ours(dataset, place, place.parent / "cache")
    ours = {way: _ours(place, way) for way in ("compressed", "uncompressed")}
    peer = [] if imgtools is None else [compiling._peer(dataset, place, imgtools)]
    contenders = [*ours.values(), Contender(**{**_fields(compiled), "who": "compile"}), *peer]
    measure.run(contenders[0])  # compiles and keeps our kernels
    whole = _from_folder(dataset, place, peer) if dataset.name != ONE_LARGE else []
    checked: list[tuple[int, str]] = []
    measured = measure.measure(
        [*contenders, *whole],
        rounds,
        seconds=compiling.PEER_SECONDS,
        check=lambda: checked.append(_check_equal(dataset, place, with_peer=bool(peer), with_whole=bool(whole))),
    )
    n, said = checked[0]
    notes.append(said)
    results = []
    for way, goal in (("compressed", GOAL_COMPRESSED), ("uncompressed", GOAL_UNCOMPRESSED)):
        own = measured[f"{rows.OURS} {way}"]
        seconds = {rows.OURS: own.seconds}
        memory = {rows.OURS: own.peak_bytes / 2**20}
        if peer:
            seconds[PEER], memory[PEER] = measured[PEER].seconds, measured[PEER].peak_bytes / 2**20
        results += rows.compare(AREA, f"{dataset.name}, {way}: time of {n} samples", seconds, "s", goal)
        results += rows.compare(AREA, f"{dataset.name}, {way}: peak memory", memory, "MiB", GOAL_MEMORY)
    if whole:
        both = {name: measured[f"{name} {FROM_FOLDER}"] for name in ([rows.OURS, PEER] if peer else [rows.OURS])}
        work = f"{dataset.name}, {FROM_FOLDER}, compressed"
        seconds = {name: value.seconds for name, value in both.items()}
        results += rows.compare(AREA, f"{work}: time of {n} samples", seconds, "s", GOAL_COMPRESSED)
        memory = {name: value.peak_bytes / 2**20 for name, value in both.items()}
        results += rows.compare(AREA, f"{work}: peak memory", memory, "MiB", GOAL_MEMORY)
    against = {rows.OURS: measured["compile"].seconds, "convert": measured[f"{rows.OURS} compressed"].seconds}
    return [*results, *rows.compare(AREA, f"{dataset.name}: compile to a store beside convert", against, "s", 1.0)]


def _fields(contender: Contender) -> dict:
    return {name: getattr(contender, name) for name in ("command", "prepare", "environment")}


def _ours(place: Path, way: str) -> Contender:
    out = place / way
    command = [measure.our_program(), "convert", str(place / "ours.parquet"), "-r", str(place / "recipe.yaml")]
    environment = {
        "MEDIMAGENET_CACHE_DIR": str(place.parent / "cache"),
        "MEDIMAGENET_CONFIG_DIR": str(place / "config"),
    }
    return Contender(
        who=f"{rows.OURS} {way}",
        command=[*command, "-o", str(out), *(["--uncompressed"] if way == "uncompressed" else [])],
        prepare=partial(shutil.rmtree, out, ignore_errors=True),
        environment=environment,
    )


def _from_folder(dataset: Dataset, place: Path, peer: list[Contender]) -> list[Contender]:
    """Both programs on the folder of DICOM, with no index there."""
    ours = _ours(place, WHOLE)
    command = [str(dataset.folder) if word.endswith("ours.parquet") else word for word in ours.command]
    found = [Contender(who=f"{rows.OURS} {FROM_FOLDER}", command=command, **_rest(ours))]
    moved = {str(place / "crawl"): str(place / "whole-crawl"), str(place / "peer"): str(place / "whole-peer")}
    for one in peer:
        command = [moved.get(word, word) for word in one.command]
        prepare = partial(_remove, *map(Path, moved.values()))
        found.append(Contender(who=f"{PEER} {FROM_FOLDER}", command=command, prepare=prepare))
    return found


def _rest(contender: Contender) -> dict:
    return {name: value for name, value in _fields(contender).items() if name != "command"}


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _check_equal(dataset: Dataset, place: Path, *, with_peer: bool, with_whole: bool) -> tuple[int, str]:
    """Both ways hold the decoded voxels and masks; the peer's CT is that of ours to 1 HU, its masks are told apart."""
    recipe = Recipe.load(place / "recipe.yaml")
    items = plan_of_index(open_index(place / "ours.parquet"), recipe, None).items
    cases = {item.sample.series["CT"]["SeriesInstanceUID"]: read_case(item.sample, recipe.rois) for item in items}
    for way in ("compressed", "uncompressed"):
        written = [json.loads(path.read_bytes()) for path in (place / way).glob("*/*/sample.json")]
        if len(written) != len(cases):
            raise SystemExit(f"{dataset.name}: {len(written)} samples are there, {len(cases)} were to be written")
        for one in written:
            _same(one, cases[one["series"][0]["SeriesInstanceUID"]], place / way, recipe)
    said = compiling._check_equal(dataset, place, with_peer=with_peer)
    if with_whole and _images(place / WHOLE) != _images(place / "compressed"):
        raise SystemExit(f"{dataset.name}: what was converted from the folder differs from what was from its index")
    if with_whole and with_peer and _n_images(place / "whole-peer") != _n_images(place / "peer"):
        raise SystemExit(f"{dataset.name}: {PEER} wrote other files from the folder than from its index")
    exact = sum(_is_reference(item.sample, cases, dataset.folder.parent / "sts_reference") for item in items)
    return len(cases), f"{said} {exact} of our masks have a reference and equal it."


def _images(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/*.nii.gz")}


def _n_images(folder: Path) -> int:
    return sum(1 for _ in folder.rglob("*.nii.gz"))


def _is_reference(sample, cases: dict, references: Path) -> bool:
    """Whether the data come with a reference mask, which must be ours, voxel by voxel."""
    path = references / str(sample.series["CT"]["PatientID"]) / "CT_mask.nii.gz"
    if not path.is_file():
        return False
    mask = cases[sample.series["CT"]["SeriesInstanceUID"]].mask.array.any(axis=0)
    if not np.array_equal(np.asarray(nibabel.load(path).dataobj).T > 0, mask):
        raise SystemExit(f"a mask differs from its reference {path.name}")
    return True


def _same(one: dict, case, folder: Path, recipe: Recipe) -> None:
    image = np.asarray(nibabel.load(folder / one["images"][0]["file"]).dataobj).T
    if not np.array_equal(image, case.images["CT"].array):
        raise SystemExit(f"{one['images'][0]['file']} differs from the decoded series")
    total = sum(np.count_nonzero(np.asarray(nibabel.load(folder / mask["file"]).dataobj)) for mask in one["masks"])
    if total != sum(mask["voxels"] for mask in one["masks"]) or len(one["masks"]) != len(recipe.classes):
        raise SystemExit(f"the masks of {one['sample_id']} differ from what was rasterized")


if __name__ == "__main__":
    main()
