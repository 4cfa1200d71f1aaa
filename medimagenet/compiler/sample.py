"""One sample: decoded, preprocessed, and laid out for the store. Runs in a worker process."""

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, GridTooLargeError
from ..findings import Finding
from ..geometry import Grid, Size
from ..kernels.foreground import foreground_points
from ..preprocess import Recipe, preprocess
from ..preprocess.steps import crop_box
from ..store import SampleData, StoredArray
from ..store.attribution import most_restrictive
from ..volume import Case, Volume
from .decode import read_by_recipe
from .plan import Task, refuse_failing, too_large
from .report import Result, unique_findings
from .workers import Tell

if TYPE_CHECKING:
    from ..store import StoreWriter


def compile_sample(task: Task, recipe: Recipe, writer: "StoreWriter", tell: Tell | None = None) -> Result:
    """Compile one sample into the store; its row is not committed yet.

    Parameters
    ----------
    tell : called with the sample's name and what a step that takes long says of its progress

    Raises
    ------
    RecipeError
        The recipe says "fail" for a finding of the sample.
    StoreError
        The store cannot be written, for instance on a full disk.
    """
    try:
        case = read_by_recipe(task.sample, recipe)
        source_grids = {modality: image.grid for modality, image in case.images.items()}
        case = preprocess(case, recipe, progress=None if tell is None else partial(tell, task.sample_id))
    except (DicomError, GridTooLargeError) as error:
        return not_made(task.sample_id, (*task.findings, *why_not(error)), recipe)
    findings = unique_findings((*task.findings, *case.all_findings()))
    if recipe.action(findings) != "keep":
        return not_made(task.sample_id, findings, recipe)
    row = writer.write_sample(_sample_data(task, case, recipe, source_grids, findings))
    return Result(sample_id=task.sample_id, row=row, findings=findings)


def why_not(error: DicomError | GridTooLargeError) -> tuple[Finding, ...]:
    """Why a sample cannot be made, as findings."""
    if isinstance(error, GridTooLargeError):
        return (too_large(error),)
    return (*error.findings, Finding(code="not_decodable", message=str(error)))


def not_made(sample_id: str, findings: tuple[Finding, ...], recipe: Recipe | None) -> Result:
    """The result of a sample that is left out.

    Raises
    ------
    RecipeError
        The recipe says "fail" for one of its findings.
    """
    if recipe is not None:
        refuse_failing(findings, recipe, sample_id)
    return Result(sample_id=sample_id, row=None, findings=findings)


def _sample_data(
    task: Task, case: Case, recipe: Recipe, source_grids: Mapping[str, Grid], findings: tuple[Finding, ...]
) -> SampleData:
    crop = crop_box(case.provenance)
    leading = next(iter(case.images))
    source_grid = source_grids[leading]
    arrays = {
        "image" if modality == leading else modality.lower(): _stored(volume, source_grids[modality], None)
        if modality in recipe.own_grids
        else _stored(volume, source_grid, crop)
        for modality, volume in case.images.items()
    }
    foreground: dict[str, NDArray[np.int32]] = {}
    if case.mask is not None:
        mask = case.mask
        label = mask.to_label_map()[np.newaxis] if recipe.label == "map" else mask.array.view(np.uint8)
        arrays["label"] = StoredArray(array=label, grid=mask.grid, source_grid=source_grid, crop=crop)
        for value, name in enumerate(mask.names):
            channel = label[0] == value + 1 if recipe.label == "map" else mask.array[value]
            foreground[name] = foreground_points(channel, recipe.store.max_foreground, seed=value)
    return SampleData(
        sample_id=task.sample_id,
        arrays=arrays,
        foreground=foreground,
        row=_row(task, case, findings),
    )


def _stored(volume: Volume, source_grid: Grid, crop: tuple[Size, Size] | None) -> StoredArray:
    array = volume.array if volume.array.ndim == 4 else volume.array[np.newaxis]
    return StoredArray(
        array=array,
        grid=volume.grid,
        source_grid=source_grid,
        crop=crop,
        normalization=volume.normalization,
        unit=volume.unit,
    )


def _row(task: Task, case: Case, findings: tuple[Finding, ...]) -> dict[str, Any]:
    series = task.sample.series
    leading = next(iter(series.values()))
    return {
        "patient_id": task.sample.patient_id,
        "collection_id": task.sample.collection_id,
        "split": task.split,
        "fold": task.fold,
        "license": most_restrictive(row["license"] for row in series.values()),
        "doi": leading["doi"],
        "series": [_series(modality, row) for modality, row in series.items()],
        "findings": [finding.to_row() for finding in findings],
        "input_hash": task.input_hash,
        "provenance": json.dumps(list(case.provenance), sort_keys=True),
        **({"targets": [dict(entry) for entry in task.targets]} if task.targets else {}),
    }


def _series(modality: str, row: Mapping[str, Any]) -> dict[str, Any]:
    copied = ("source", "collection_id", "license", "doi", "content_hash")
    return {"modality": modality, "series_uid": row["SeriesInstanceUID"], **{name: row[name] for name in copied}}
