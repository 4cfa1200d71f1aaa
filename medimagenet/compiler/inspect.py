"""What is in a store: as numbers for tables, and as a picture that a person can check.

Joins the store and viz. Nothing here names a patient beyond what the store itself calls its samples.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..store import ArrayReader, Store
from ..viz import Row, case_tiles, write_montage

LABEL = "label"
SAMPLES_SHOWN = 4  # of a montage when none are named: what fits on a screen


def summarize(store: Store, samples: Sequence[str] | None = None) -> dict[str, Any]:
    """The content of a store in JSON values: of the whole, and per sample under ``rows``.

    Parameters
    ----------
    samples : ids of the rows to give; None gives all. The figures of the whole are always those of all

    Raises
    ------
    ValueError
        There is no sample of a given name.
    """
    wanted = set(_known(store, samples))
    rows = [_row(row) for row in store.samples.to_pylist()]
    findings = Counter((finding["code"], finding["severity"]) for row in rows for finding in row["findings"])
    return {
        "store": str(store.path),
        "format": store.attributes["format"],
        "finished": store.is_finished,
        "recipe": store.recipe.get("name"),
        "recipe_hash": store.recipe_hash,
        "label_kind": store.label_kind,
        "classes": list(store.classes),
        "samples": len(rows),
        "patients": len({row["patient_id"] for row in rows}),
        "splits": _count(row["split"] for row in rows),
        "licenses": _count(row["license"] for row in rows),
        "stored_bytes": sum(row["stored_bytes"] for row in rows),
        "findings": [
            {"code": code, "severity": severity, "count": count} for (code, severity), count in sorted(findings.items())
        ],
        "rows": [row for row in rows if row["sample_id"] in wanted],
    }


def plot(store: Store, path: Path | str, samples: Sequence[str] | None = None) -> tuple[str, ...]:
    """Write a PNG with the three planes of each image of a few samples, their classes laid over them.

    Parameters
    ----------
    samples : ids; None takes the first of each split in turn, four in all

    Returns
    -------
    samples : the ids that are shown

    Raises
    ------
    ValueError
        There is no sample of a given name.
    StoreError
        The store has no samples.
    StoreDamagedError
        An array cannot be read.
    """
    if not len(store):
        raise StoreError(f"{store.path} has no samples to draw")
    shown = _known(store, samples) if samples is not None else _first_of_each_split(store)
    rows = [row for sample_id in shown for row in _picture_rows(store, sample_id)]
    write_montage(Path(path), rows, store.classes)
    return shown


def read_masks(store: Store, sample_id: str) -> NDArray[np.bool_]:
    """(classes, Z, Y, X) of a sample, whether its label is stored as channels or as a map; no classes without label."""
    if LABEL not in store.names(sample_id):
        return np.zeros((0, *store.array(sample_id).shape[1:]), dtype=np.bool_)
    label = _read(store.array(sample_id, LABEL))
    if store.label_kind == "channels":
        return label.astype(np.bool_)
    return np.stack([label[0] == value for value in range(1, len(store.classes) + 1)])


def _known(store: Store, samples: Sequence[str] | None) -> tuple[str, ...]:
    ids = store.ids()
    if samples is None:
        return ids
    unknown = [sample for sample in samples if sample not in set(ids)]
    if unknown:
        few = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
        raise ValueError(f"no sample {', '.join(map(repr, unknown))} in {store.path}; it has {len(ids)}: {few}")
    return tuple(samples)


def _first_of_each_split(store: Store) -> tuple[str, ...]:
    """The first samples, each split giving one in turn, so that a few show all splits. Sorted by id."""
    places: Counter[str] = Counter()
    turns = []
    for row in store.samples.select(["sample_id", "split"]).to_pylist():
        turns.append((places[row["split"]], row["sample_id"]))
        places[row["split"]] += 1
    return tuple(sorted(sample_id for _, sample_id in sorted(turns)[:SAMPLES_SHOWN]))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    voxel_mm3 = prod(row["spacing_mm"])
    return {
        "sample_id": row["sample_id"],
        "patient_id": row["patient_id"],
        "split": row["split"],
        "modalities": [series["modality"] for series in row["series"] or ()],
        "arrays": {array["name"]: {"shape": array["shape"], "dtype": array["dtype"]} for array in row["arrays"]},
        "size": row["shape"][:0:-1],  # x, y, z of (C, Z, Y, X)
        "spacing_mm": row["spacing_mm"],
        "classes": {
            entry["name"]: {"voxels": entry["voxels"], "volume_mm3": entry["voxels"] * voxel_mm3}
            for entry in row["class_voxels"] or ()
        },
        "license": row["license"],
        "doi": row["doi"],
        "findings": [
            {key: finding[key] for key in ("code", "severity", "message")} for finding in row["findings"] or ()
        ],
        "stored_bytes": row["stored_bytes"],
    }


def _count(values: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value or "unknown" for value in values).items()))


def _picture_rows(store: Store, sample_id: str) -> list[Row]:
    """A row of pictures for each image of a sample, the leading one first."""
    row = store.row(sample_id)
    masks = read_masks(store, sample_id)
    common = store.array(sample_id, store.names(sample_id)[0]).grid
    leading = next((series["modality"] for series in row["series"] or ()), "image")
    rows = []
    for name in store.names(sample_id):
        if name != LABEL:
            array = store.array(sample_id, name)
            called = leading if name == "image" else name.upper()
            title = f"{sample_id} · {row['split'] or 'no split'} · {called} · {_describe(array)}"
            drawn = masks if array.grid.is_close(common) else np.zeros((0, *array.shape[1:]), dtype=np.bool_)
            rows.append(Row(title, case_tiles(_read(array)[0], array.grid, drawn, limits=_limits(array))))
    return rows


def _describe(array: ArrayReader) -> str:
    size = " × ".join(str(n) for n in array.grid.size)
    spacing = " × ".join(f"{mm:g}" for mm in np.round(array.grid.spacing, 3))
    return f"{size} voxels of {spacing} mm"


def _limits(array: ArrayReader) -> tuple[float, float] | None:
    """The window that training sees; None where the recipe clips nothing."""
    constants = array.normalization
    if constants is None or not np.isfinite([constants.low, constants.high]).all():
        return None
    return constants.low, constants.high


def _read(array: ArrayReader) -> NDArray[Any]:
    return array.read((0, 0, 0), array.shape[1:])
