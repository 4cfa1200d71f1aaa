"""The documents of all converted samples as one table: a row per image, and per mask or value of a label map."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json

DICOM = (
    *("Modality", "StudyDate", "SeriesDate", "SeriesNumber", "SeriesDescription", "BodyPartExamined"),
    *("PatientSex", "PatientAge", "Manufacturer", "ManufacturerModelName", "SOPClassUID"),
)
"""Keywords that are columns of the table."""

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
