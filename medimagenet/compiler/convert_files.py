"""Where the files of a conversion are: their names, how they are written, and whether those of a sample are there."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from ..export.nifti import COMPRESSION_LEVEL
from ..preprocess import Recipe
from .convert_plan import Item, To

PARTIAL = ".partial"
"""Where samples are written before their files are moved to their places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How files are written."""

    out: Path
    to: To
    recipe: Recipe | None = None
    level: int | None = COMPRESSION_LEVEL
    """Of compression; None writes NIfTI as .nii and HDF5 without filter."""
    settings_hash: str = ""

    @property
    def suffix(self) -> str:
        """Of image files."""
        return ".nii" if self.level is None else ".nii.gz"


def record_path(item: Item, to: To) -> str:
    """Where the document of a sample is, below the output folder. A sample is there when this file is."""
    patient = safe_name(item.patient_id)
    places = {
        "nifti": f"{patient}/{item.sample_id}/sample.json",
        "hdf5": f"{patient}/{item.sample_id}.json",
        "nnunet": f"metadata/{item.sample_id}.json",
    }
    return places[to]


def is_whole(item: Item, settings: Settings) -> Mapping[str, Any] | None:
    """The document of a sample that is there, from the same input and settings, with all its files; else None."""
    try:
        row: Mapping[str, Any] = json.loads((settings.out / record_path(item, settings.to)).read_bytes())
        sizes = {name: (settings.out / name).stat().st_size for name in row["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = row.get("input_hash") == item.input_hash and row.get("settings_hash") == settings.settings_hash
    return row if same and row["split"] == item.split and sizes == row["files"] else None


class SafeNames:
    """Gives names that a file can have, each once, whatever case the file system thinks of."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The name where it is safe and free, else the nearest that is."""
        base = safe_name(name)
        candidates = chain([base], (f"{base}_{k}" for k in count(2)))
        found = next(each for each in candidates if each.lower() not in self._taken)
        self._taken.add(found.lower())
        return found


def safe_name(name: str) -> str:
    """A name as a file or folder can have it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80].strip("_") or "unnamed"
