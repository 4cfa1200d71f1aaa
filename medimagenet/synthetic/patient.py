"""Write one synthetic patient, with control over everything.

A patient's files appear in their folder all at once, or not at all. The same arguments give the same bytes.
"""

import importlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..geometry import Grid, Triple
from .defects import DEFECTS
from .phantom import Phantom, random_phantom
from .scene import Scene
from .truth import DoseField, PatientTruth

DEFAULT_GRID = Grid((64, 64, 32), (6.0, 6.0, 8.0), (-189.0, -189.0, -124.0))
IMAGES = ("CT", "MR", "PT")
WRITERS: Mapping[str, str] = {
    "CT": "images",
    "MR": "images",
    "PT": "images",
    "RTSTRUCT": "rtstruct",
    "SEG": "seg",
    "RTPLAN": "radiotherapy",
    "RTDOSE": "radiotherapy",
}
"""Module that writes each modality, in the order of writing: each refers only to those before it. Imported when asked
for, as highdicom takes a second."""
NEEDS = {"RTDOSE": "RTPLAN", "RTPLAN": "RTSTRUCT"}
COARSER: Mapping[str, Triple] = {
    "CT": (1.0, 1.0, 1.0),
    "MR": (1.25, 1.25, 1.0),
    "PT": (1.75, 1.75, 1.0),
    "RTDOSE": (2.0, 2.0, 1.0),
}
"""Voxel size against the leading image's, x, y, z, of what does not lead, so that resampling has something to do."""


def write_patient(
    folder: str | Path,
    patient_id: str = "SYN-0001",
    *,
    grid: Grid | None = None,
    grids: Mapping[str, Grid] | None = None,
    phantom: Phantom | None = None,
    modalities: Sequence[str] = ("CT", "RTSTRUCT"),
    annotate: Sequence[str] | None = None,
    seed: int = 0,
    noise: float = 1.0,
    defects: Sequence[str] = (),
) -> PatientTruth:
    """Write one patient into `folder`/`patient_id`.

    Parameters
    ----------
    folder : made when it does not exist
    grid : the leading image's (the first of the modalities), right-handed; an oblique `direction` gives an oblique
        series. Default 64 x 64 x 32 voxels of 6 x 6 x 8 mm.
    grids : by modality, for those that should not have a grid derived from `grid` (see `COARSER`)
    phantom : default `random_phantom` of the grid and the seed
    modalities : of CT, MR, PT, RTSTRUCT, SEG, RTPLAN, RTDOSE. What one of them refers to is written too: RTDOSE
        brings RTPLAN, that RTSTRUCT, and an annotation without an image a CT.
    annotate : images that get an RTSTRUCT or SEG of their own; default the first of the modalities
    seed : of anatomy, texture and noise
    noise : 0 gives every voxel exactly the value of its organ; 1 the texture and noise of a usual scan
    defects : names out of `DEFECTS`, planted in this order

    Raises
    ------
    ValueError
        An unknown modality or defect, a left-handed grid, noise below 0, an ID that is no folder name.
    FileExistsError
        The patient's folder exists.
    """
    target = Path(folder) / patient_id
    wanted = complete_modalities(modalities)
    grid = grid or DEFAULT_GRID
    coarser = {modality: _coarser(grid, factors) for modality, factors in COARSER.items()}
    own = {**coarser, wanted[0]: grid, **(grids or {})}
    annotated = tuple(annotate) if annotate is not None else wanted[:1]
    _check_identity(patient_id, noise)
    _check(own, wanted, annotated, defects)
    if target.exists():
        raise FileExistsError(f"{target} exists: choose another folder, or remove it")
    phantom = phantom or random_phantom(grid, seed)
    scene = Scene(
        patient_id=patient_id,
        folder=target.with_name(f".{patient_id}.{os.getpid()}.part"),
        phantom=phantom,
        grids={modality: own[modality] for modality in wanted if modality in own},
        noise=float(noise),
        seed=seed,
        dose=_dose_field(phantom),
        annotate=annotated,
    )
    return _write_whole(scene, wanted, tuple(defects), target)


def complete_modalities(modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities with those they refer to: images in the order asked, then the others in the order of writing.

    Raises
    ------
    ValueError
        A modality that cannot be written.
    """
    wanted = list(dict.fromkeys(modalities))
    if unknown := [modality for modality in wanted if modality not in WRITERS]:
        raise ValueError(f"cannot write modality {unknown[0]!r}; there are {', '.join(WRITERS)}")
    for modality, needed in NEEDS.items():
        if modality in wanted and needed not in wanted:
            wanted.append(needed)
    images = [modality for modality in wanted if modality in IMAGES] or ["CT"]
    return (*images, *(modality for modality in WRITERS if modality in wanted and modality not in IMAGES))


def _coarser(grid: Grid, factors: Triple) -> Grid:
    """A grid of the same centre and nearly the same field of view whose voxels are larger by `factors`."""
    if factors == (1.0, 1.0, 1.0):
        return grid
    size = [max(1, round(n / f)) for n, f in zip(grid.size, factors, strict=True)]
    spacing = [round(s * f, 6) for s, f in zip(grid.spacing, factors, strict=True)]
    steps = np.asarray(grid.direction) * np.asarray(spacing)
    middle = grid.to_patient((np.asarray(grid.size) - 1) / 2)
    corner = np.round(middle - steps @ ((np.asarray(size) - 1) / 2), 3).tolist()
    return Grid.from_dict({"size": size, "spacing": spacing, "origin": corner, "direction": grid.direction})


def _check_identity(patient_id: str, noise: float) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", patient_id):
        raise ValueError(f"patient_id must be 1 to 64 letters, digits, - or _: it names a folder; got {patient_id!r}")
    if not 0.0 <= noise < float("inf"):
        raise ValueError(f"noise must be 0 or more, got {noise}")


def _check(grids: Mapping[str, Grid], wanted: Sequence[str], annotated: Sequence[str], defects: Sequence[str]) -> None:
    for modality, grid in grids.items():
        if np.linalg.det(np.asarray(grid.direction)) < 0:
            raise ValueError(f"DICOM slices follow a right-handed grid, that of {modality} is not: {grid.direction}")
    if unknown := [name for name in annotated if name not in wanted or name not in IMAGES]:
        raise ValueError(f"cannot annotate {unknown[0]!r}: it is not among the images written")
    for name in defects:
        if name not in DEFECTS:
            raise ValueError(f"unknown defect {name!r}; there are {', '.join(DEFECTS)}")
        if DEFECTS[name].needs not in (None, *wanted):
            raise ValueError(f"defect {name!r} needs modality {DEFECTS[name].needs}, written are {', '.join(wanted)}")


def _dose_field(phantom: Phantom) -> DoseField:
    """60 Gy in the middle of the last organ (the tumour), half of it about two of its radii away."""
    target = phantom.organs[-1].shape
    x, y, z = (round(1.7 * radius, 3) for radius in target.radii)
    return DoseField(center=target.center, sigma=(x, y, z), peak_gy=60.0)


def _write_whole(scene: Scene, modalities: Sequence[str], defects: tuple[str, ...], target: Path) -> PatientTruth:
    """Write into the scene's folder, plant the defects, and move it to `target` as a whole."""
    shutil.rmtree(scene.folder, ignore_errors=True)
    try:
        for modality in modalities:
            module = importlib.import_module(f".{WRITERS[modality]}", __package__)
            scene.written[modality] = getattr(module, f"write_{modality.lower()}")(scene)
        truth = _truth(scene, defects)
        for name in defects:
            DEFECTS[name].plant(truth)
        scene.folder.rename(target)
    except BaseException:
        shutil.rmtree(scene.folder, ignore_errors=True)
        raise
    paths = {m: tuple(target / path.relative_to(scene.folder) for path in files) for m, files in truth.paths.items()}
    return replace(truth, folder=target, paths=paths)


def _truth(scene: Scene, defects: tuple[str, ...]) -> PatientTruth:
    return PatientTruth(
        patient_id=scene.patient_id,
        folder=scene.folder,
        paths={m: tuple(path for series in all_of for path in series.paths) for m, all_of in scene.written.items()},
        series_uids={m: tuple(series.uid for series in all_of) for m, all_of in scene.written.items()},
        grids=dict(scene.grids),
        phantom=scene.phantom,
        noise=scene.noise,
        dose=scene.dose,
        defects=defects,
    )
