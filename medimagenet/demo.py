"""The embedded main job: synthetic patients walk the whole chain, from DICOM files to a trained model.

Nothing is downloaded. Everything that a person needs to look at lies in one folder at the end.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ._optional import require
from .compiler import CompileReport, compile_store
from .errors import StoreExistsError
from .index import index_directory
from .preprocess import Recipe
from .store import Store, open_store
from .synthetic import write_patients
from .viz import Row, comparison_tiles, write_montage
from .volume import Mask

Progress = Callable[[int, int], None]
Stage = Callable[[str], Progress | None]
"""Called when a stage begins, with what it does; gives the stage's progress callback."""

RECIPE = """\
# What `medimagenet demo` compiles. Change it and run the commands that the demo printed again.
name: demo
description: Synthetic patients, liver and tumour on CT.
modalities: [CT, RTSTRUCT]         # the first one leads: its grid is the sample's
rois:                              # class: patterns of ROI names, letter case ignored
  liver: ["liver"]
  tumour: ["gtv.*"]
spacing: [4, 4, 4]                 # mm, x y z
images:
  CT:
    normalize: {kind: window, low: -160, high: 240}   # HU
split: {train: 0.7, val: 0.3, seed: 0}
"""
SIZE, SPACING = (96, 96, 48), (4.0, 4.0, 5.0)
"""Voxels and mm, x y z: the whole body in its field of view, small enough for two minutes of training."""
PATCH_SIZE = (48, 48, 32)
SHOWN = 4
"""Held-out patients in the picture."""
SHOWN_HU = (-160.0, 240.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo did and where it lies."""

    folder: Path
    patients: int
    series: int
    compiled: CompileReport
    training: Any
    """`medimagenet.train.TrainingReport`."""
    files: Mapping[str, Path]
    """What to look at: dicom, index, recipe, store, model, predictions, curve."""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "folder": str(self.folder),
            "patients": self.patients,
            "series": self.series,
            "written": len(self.compiled.written),
            "skipped": len(self.compiled.skipped),
            "training": self.training.to_dict(),
            "files": {name: str(path) for name, path in self.files.items()},
        }


def run_demo(
    folder: Path,
    *,
    patients: int = 16,
    minutes: float = 2.0,
    seed: int = 0,
    jobs: int | None = None,
    stage: Stage | None = None,
) -> DemoReport:
    """Write patients, index, compile, train, draw. What fails leaves nothing behind.

    Parameters
    ----------
    folder : must not exist, or be empty
    patients : how many; three tenths of them are held out
    minutes : of training
    stage : told what begins

    Raises
    ------
    StoreExistsError
        `folder` has something in it.
    MissingPackageError
        torch, monai or lightning is not installed.
    """
    for package in ("torch", "monai", "lightning"):
        require(package, extra="train")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreExistsError(f"{folder} is not empty: name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    begin = stage or (lambda _: None)
    files = _files(folder)
    try:
        series, compiled = _compile(files, patients, seed, jobs, begin)
        training = _train(files, minutes, seed, begin)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half a demo would only be in the way of the next
        raise
    return DemoReport(
        folder=folder, patients=patients, series=series, compiled=compiled, training=training, files=files
    )


def _compile(
    files: Mapping[str, Path], patients: int, seed: int, jobs: int | None, begin: Stage
) -> tuple[int, CompileReport]:
    """From nothing to a store; the number of series, and what the compiler reports."""
    write_patients(
        files["dicom"],
        patients,
        size=SIZE,
        spacing=SPACING,
        seed=seed,
        jobs=jobs,
        progress=begin(f"writing {patients} synthetic patients as DICOM"),
    )
    progress = begin("indexing")
    index = index_directory(files["dicom"], jobs=jobs, progress=progress, collection_id="synthetic", license="CC0-1.0")
    index.write(files["index"])
    files["recipe"].write_text(RECIPE)
    recipe = Recipe.load(files["recipe"])
    return len(index), compile_store(index, recipe, files["store"], jobs=jobs, progress=begin("compiling"))


def _train(files: Mapping[str, Path], minutes: float, seed: int, begin: Stage) -> Any:
    """Train on the store, draw what came of it, and return the training's report."""
    train = require("medimagenet.train", extra="train")
    store = open_store(files["store"])
    settings = train.TrainingSettings(patch_size=PATCH_SIZE, seconds=60 * minutes, seed=seed)
    progress = begin(f"training for {minutes:g} minutes")
    module, report = train.train_segmentation(store, files["model"].parent, settings, progress=progress)
    begin("drawing what the model predicts")
    rows = [_row(store, sample_id, mask) for sample_id, mask in islice(train.predict_masks(module, store), SHOWN)]
    write_montage(files["predictions"], rows, store.classes)
    train.draw_training(report, files["curve"])
    return report


def _row(store: Store, sample_id: str, predicted: Mask) -> Row:
    """One held-out patient: the slice with most of the truth, plain, with the truth, and with the prediction."""
    image = store.array(sample_id)
    truth = store.array(sample_id, "label").read() > 0
    tiles = comparison_tiles(image.read()[0], image.grid, truth, predicted.array, limits=SHOWN_HU)
    return Row(sample_id, tiles)


def _files(folder: Path) -> dict[str, Path]:
    return {
        "dicom": folder / "dicom",
        "index": folder / "demo.parquet",
        "recipe": folder / "recipe.yaml",
        "store": folder / "demo.zarr",
        "model": folder / "model" / "model.pt",
        "predictions": folder / "predictions.png",
        "curve": folder / "loss.png",
    }
