"""A sample of the index becomes a `Case`: its series decoded, its annotations on the leading image's grid."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dicom import read_dose, read_mask, read_registration, read_series
from ..dicom.mask import read_regions
from ..dicom.regions import Between, OffGrid
from ..index import Index, Sample
from ..nifti import read_nifti, read_nifti_mask
from ..preprocess import Recipe
from ..rois import Several, match_rois
from ..volume import Case, Mask, Volume
from .plan import ANNOTATIONS, IMAGES

NIFTI = "nifti"
_NIFTI_METADATA = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SeriesDescription", "PatientID")


def read_case(
    sample: Sample,
    rois: Mapping[str, Sequence[str]] | None = None,
    *,
    several: Several = "merge",
    fix: Collection[str] = (),
    between: Between = "nearest",
    off_grid: OffGrid = "fail",
) -> Case:
    """Decode every series of a sample.

    Parameters
    ----------
    fix : codes of findings that decoding repairs, as `read_series` takes them; the provenance says what was done
    rois : patterns per class, as `match_rois` takes them. ROIs that no class takes are not filled, since a plan with
        forty ROIs takes gigabytes; the provenance names them. None fills all.
    between, off_grid : of annotations, as `read_mask` takes them

    Returns
    -------
    Case
        Images by modality in the order asked, the leading one first, each on its own grid; dose as "RTDOSE". The mask
        has one channel per ROI of every annotation, on the leading image's grid, named as the files have them.

    Raises
    ------
    DicomError
        A series cannot be decoded.
    """
    images: dict[str, Volume] = {}
    masks: list[Mask] = []
    provenance: list[Mapping[str, Any]] = []
    for modality, row in sample.series.items():
        if row["file_format"] == NIFTI:
            left_out = _add_nifti(row, modality, images, masks, rois, several)
            provenance += [{"step": "ReadRois", "modality": modality, "left_out": left_out}] if left_out else []
        elif modality in ANNOTATIONS:
            path = Index.paths(row)[0]
            wanted, left_out = _wanted(path, rois, several)
            leading = next(iter(images.values()))
            masks.append(read_mask(path, leading, wanted, between=between, off_grid=off_grid))
            provenance.append({"step": "ReadRois", "modality": modality, "left_out": left_out})
        elif modality == "RTDOSE":
            images[modality] = read_dose(Index.paths(row)[0])
        elif modality in IMAGES:
            volume = read_series(Index.paths(row), fix=fix, jobs=1)
            images[modality] = _registered(volume, sample.registrations.get(modality), images)
            repairs = volume.metadata.get("repairs", ())
            provenance += [{"step": "Repair", "modality": modality, **repair} for repair in repairs]
    return Case(
        sample_id=sample.sample_id,
        patient_id=sample.patient_id,
        images=images,
        mask=_join(masks),
        findings=tuple(sample.findings),
        provenance=tuple(provenance),
    )


def read_by_recipe(sample: Sample, recipe: Recipe) -> Case:
    """`read_case` with what a recipe says about regions and repairs."""
    return read_case(
        sample,
        recipe.rois,
        several=recipe.several,
        fix=recipe.fixes,
        between=recipe.between,
        off_grid=recipe.off_grid,
    )


def _add_nifti(
    row: Mapping[str, Any],
    modality: str,
    images: dict[str, Volume],
    masks: list[Mask],
    rois: Mapping[str, Sequence[str]] | None,
    several: Several,
) -> list[str]:
    """Read the NIfTI files of a row into images or masks; the regions that no class takes, whose files are not read."""
    if modality not in ANNOTATIONS:
        known = {name: row[name] for name in _NIFTI_METADATA if row[name] is not None}
        images[modality] = read_nifti(Index.paths(row)[0], modality=modality, metadata=known)
        return []
    left_out = (
        []
        if rois is None or len(row["files"]) == 1
        else list(match_rois(row["roi_names"], rois, several=several).unused)
    )
    leading = next(iter(images.values()))
    found = list(read_nifti_regions(row, leading, left_out))
    masks += found or [Mask(np.zeros((0, *leading.grid.shape), dtype=np.bool_), leading.grid, ())]
    return left_out


def read_nifti_regions(row: Mapping[str, Any], image: Volume, left_out: Collection[str] = ()) -> Iterator[Mask]:
    """The mask of each file of a row: of the row's one file, or of several, each of which is a region."""
    paths, names = Index.paths(row), tuple(row["roi_names"] or ())
    if len(paths) == 1:
        yield read_nifti_mask(paths[0], image, names)
        return
    for path, name in zip(paths, names, strict=True):
        if name not in left_out:
            yield read_nifti_mask(path, image, (name,))


def _registered(volume: Volume, registration: Mapping[str, Any] | None, images: Mapping[str, Volume]) -> Volume:
    """An image of another frame of reference, moved into that of the leading one."""
    if registration is None:
        return volume
    leading = next(iter(images.values()))
    return read_registration(Index.paths(registration)[0]).move(volume, leading.metadata["FrameOfReferenceUID"])


def _wanted(
    path: Path, rois: Mapping[str, Sequence[str]] | None, several: Several
) -> tuple[dict[str, list[str]] | None, list[str]]:
    """Each ROI that a class takes as a class of its own, under its own name, and those that none takes.

    The names are the decoder's, which tells ROIs of one name apart; those of the index are the file's.
    """
    if rois is None:
        return None, []
    match = match_rois(read_regions(path).names, rois, several=several)
    taken = dict.fromkeys(name for group in match.classes.values() for name in group)
    return exactly(list(taken)), list(match.unused)


def exactly(names: Sequence[str]) -> dict[str, list[str]]:
    """Each name as a class of its own that takes that very name, as `read_mask` takes classes."""
    return {name: [f"(?-i:{re.escape(name.strip())})"] for name in names}


def _join(masks: list[Mask]) -> Mask | None:
    """One mask with the regions of all, which stand on one grid."""
    if not masks:
        return None
    if len(masks) == 1:
        return masks[0]
    return Mask(
        np.concatenate([mask.array for mask in masks]),
        masks[0].grid,
        tuple(name for mask in masks for name in mask.names),
        findings=tuple(finding for mask in masks for finding in mask.findings),
    )
