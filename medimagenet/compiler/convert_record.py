"""What is written beside the files of a conversion: per sample a JSON document, of all a table.

The document has the DICOM fields of each image, what was computed from its voxels, what it refers to, the
annotations that are there, licence and DOI, the findings, and the steps with the values they used.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
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
DICOM = (
    *("Modality", "StudyDate", "SeriesDate", "SeriesNumber", "SeriesDescription", "BodyPartExamined"),
    *("PatientSex", "PatientAge", "Manufacturer", "ManufacturerModelName", "SOPClassUID"),
)
"""Keywords that are columns of the table."""


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


_NUMBERS = (
    *("spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "min", "max", "mean", "std"),
    *("percentile_0.5", "percentile_50", "percentile_99.5", "volume_mm3"),
)
_WHOLES = ("size_x", "size_y", "size_z", "channels", "value", "voxels", "fold")
_TEXTS = (
    *("sample_id", "patient_id", "collection_id", "split", "kind", "name", "file", "dtype", "unit", "orientation"),
    *("license", "doi", "annotations", "findings", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("referenced_series", *DICOM),
)
TABLE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        *((name, pa.int64()) for name in _WHOLES),
        *((name, pa.float64()) for name in _NUMBERS),
    ]
)
"""Columns of metadata.parquet and metadata.csv: a row per image, and per mask or value of a label map."""


def table_rows(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The documents as rows of the table, in their order."""
    rows = []
    for one in documents:
        rows += [_row(one, "image", part) for part in one["images"]]
        rows += [_row(one, "mask", part) for part in one["masks"]]
    return rows


def _row(one: Mapping[str, Any], kind: str, part: Mapping[str, Any]) -> dict[str, Any]:
    by_modality = {series["modality"]: series for series in one["series"]}
    own = by_modality.get(part["name"]) if kind == "image" else None
    series = own or next((by_modality[name] for name in one["annotations"]), {}) if kind == "mask" else own or {}
    joined = {
        "kind": kind,
        "annotations": "|".join(one["annotations"]),
        "findings": "|".join(dict.fromkeys(finding["code"] for finding in one["findings"])),
        "referenced_series": "|".join(series.get("referenced_series") or ()),
        "channels": part["shape"][0] if len(part["shape"]) == 4 else 1,
        **{f"size_{axis}": n for axis, n in zip("xyz", part["size"], strict=True)},
        **{f"spacing_{axis}_mm": length for axis, length in zip("xyz", part["spacing"], strict=True)},
    }
    layers = (part.get("dicom") or {}, part.get("statistics") or {}, part, series, one, joined)
    found: dict[str, Any] = {}
    for name in TABLE_SCHEMA.names:
        found[name] = next((layer[name] for layer in reversed(layers) if layer.get(name) is not None), None)
    found["name"], found["file"] = part["name"], part["file"]
    return found


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The table for Parquet.

    Read from lines of JSON, since Arrow's way from Python values imports pandas where it is installed: half a second.
    """
    if not rows:
        return TABLE_SCHEMA.empty_table()
    lines = "\n".join(json.dumps({name: row[name] for name in TABLE_SCHEMA.names}, allow_nan=False) for row in rows)
    options = pyarrow.json.ParseOptions(explicit_schema=TABLE_SCHEMA, unexpected_field_behavior="error")
    block = pyarrow.json.ReadOptions(block_size=max(1 << 20, 2 * len(lines)))  # no row longer than a block
    return pyarrow.json.read_json(io.BytesIO(lines.encode()), read_options=block, parse_options=options)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_SCHEMA.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
