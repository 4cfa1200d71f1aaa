"""What is written beside the files of a sample: a JSON document.

The document has the DICOM fields of each image, what was computed from its voxels, what it refers to, the
annotations that are there, licence and DOI, the findings, and the steps with the values they used.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..findings import Finding
from ..geometry import Grid
from ..kernels.intensity import percentiles, statistics
from ..store import most_restrictive
from ..volume import Volume
from .convert_plan import Item

PERCENTILES = (0.5, 50.0, 99.5)
IDENTIFYING = ("PatientID", "PatientName", "PatientBirthDate")
SERIES = (
    *("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID", "SeriesDescription"),
    *("source", "collection_id", "crdc_series_uuid", "license", "doi", "content_hash"),
    *("n_instances", "referenced_series", "roi_names"),
)
"""Columns of the index that the document repeats for each series."""


def image_record(name: str, file: str, volume: Volume) -> dict[str, Any]:
    """What the document says of an image."""
    constants = volume.normalization
    return {
        "name": name,
        "file": file,
        "unit": volume.unit,
        **geometry_record(volume.array, volume.grid),
        "statistics": statistics_record(volume.array),
        "normalization": None if constants is None else constants.to_dict(),
        "dicom": {key: value for key, value in volume.metadata.items() if key not in IDENTIFYING},
    }


def mask_record(name: str, file: str, array: NDArray[Any], grid: Grid, value: int | None = None) -> dict[str, Any]:
    """What the document says of a mask, or of the voxels of one value of a label map."""
    voxels = int(np.count_nonzero(array) if value is None else np.count_nonzero(array == value))
    return {
        "name": name,
        "file": file,
        "value": 1 if value is None else value,
        **geometry_record(array, grid),
        "voxels": voxels,
        "volume_mm3": voxels * prod(grid.spacing),
    }


def geometry_record(array: NDArray[Any], grid: Grid) -> dict[str, Any]:
    """Type, size and place of an array: x, y, z, mm, LPS."""
    dtype = "uint8" if array.dtype == np.bool_ else array.dtype.name
    return {"dtype": dtype, "shape": list(array.shape), "orientation": grid.orientation, **grid.to_dict()}


def statistics_record(array: NDArray[Any]) -> dict[str, Any]:
    """Of the finite voxels; None where there are none. Percentiles are exact."""
    found, ranks = statistics(array), percentiles(array, PERCENTILES)
    figures = {"min": found.minimum, "max": found.maximum, "mean": found.mean, "std": found.std}
    figures |= {f"percentile_{q:g}": value for q, value in zip(PERCENTILES, ranks, strict=True)}
    known = {name: value if isfinite(value) else None for name, value in figures.items()}
    return {**known, "not_finite": found.not_finite}


def document(
    item: Item,
    images: Sequence[Mapping[str, Any]],
    masks: Sequence[Mapping[str, Any]],
    findings: Iterable[Finding],
    provenance: Sequence[Any],
    stored: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """All that is said of a sample. `stored` is its row of a store, where it comes from one."""
    series = _series_of_rows(item) if stored is None else _series_of_store(stored)
    return {
        "sample_id": item.sample_id,
        "patient_id": item.patient_id,
        "collection_id": item.collection_id,
        "split": item.split,
        "fold": item.fold,
        "license": most_restrictive(one["license"] for one in series),
        "doi": next((one["doi"] for one in series if one["doi"]), None),
        "images": list(images),
        "masks": list(masks),
        "annotations": sorted({one["modality"] for one in series} & {"RTSTRUCT", "SEG"}),
        "series": series,
        "other_series": [_other(row) for row in (() if item.sample is None else item.sample.others)],
        "findings": [finding.to_row() for finding in findings],
        "provenance": list(provenance) if stored is None else json.loads(stored["provenance"] or "[]"),
        "medimagenet": __version__,
    }


def _series_of_rows(item: Item) -> list[dict[str, Any]]:
    rows = {} if item.sample is None else item.sample.series
    return [{"modality": modality, **{name: row[name] for name in SERIES}} for modality, row in rows.items()]


def _series_of_store(stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = {"series_uid": "SeriesInstanceUID"}
    absent = dict.fromkeys(SERIES)
    return [
        {**absent, **{known.get(name, name): value for name, value in one.items()}} for one in stored["series"] or ()
    ]


def _other(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("Modality", "SeriesInstanceUID", "StudyInstanceUID", "SeriesDescription")
    return {name: row[name] for name in names}
