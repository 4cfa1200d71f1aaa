"""Read a whole store and say what differs from what was written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from .layout import ATTRIBUTION, FOREGROUND, LEVEL, PARTIAL, SAMPLES, content_hash
from .reader import ShardedArray
from .store import Store, open_store
from .zarr_backend import hash_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not as it was written."""

    sample_id: str | None
    """None where it is about the store as a whole."""
    array: str | None
    """Name of the array, None where it is about the whole sample."""
    what: str
    """A sentence: what is wrong, and with which file or hash."""


def verify(path: Path | str, *, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Read every byte of a store and compare it with the hashes in its table.

    Parameters
    ----------
    progress
        Called with the number of samples done and of all samples.

    Returns
    -------
    problems : empty where everything is as it was written

    Raises
    ------
    StoreError
        The store cannot be opened at all: see `open_store`.
    """
    store = open_store(path)
    problems = _check_whole(store)
    for done, row in enumerate(_rows(store), start=1):
        problems += _check_sample(store.path / SAMPLES / row["sample_id"], row, store.recipe_hash)
        if progress is not None:
            progress(done, len(store))
    return problems


def _rows(store: Store) -> Any:
    return (store.row(sample_id) for sample_id in store.ids())


def _check_whole(store: Store) -> list[Problem]:
    """What is there that should not be, and the other way round."""
    found = []
    if not store.is_finished:
        found.append("the run that made it did not come to its end: compile again with the same recipe to continue it")
    elif not (store.path / ATTRIBUTION).is_file():
        found.append(f"{ATTRIBUTION} is missing")
    if (store.path / PARTIAL).exists():
        found.append(f"{PARTIAL} is there: it is being written, or a run was interrupted")
    whole = [Problem(sample_id=None, array=None, what=what) for what in found]
    known = set(store.ids())
    folders = sorted(path.name for path in (store.path / SAMPLES).glob("*") if path.is_dir())
    orphans = [name for name in folders if name not in known]
    what = "its folder has no row in samples.parquet: the sample does not exist, its bytes are left over"
    return whole + [Problem(sample_id=name, array=None, what=what) for name in orphans]


def _check_sample(folder: Path, row: Mapping[str, Any], recipe_hash: str) -> list[Problem]:
    sample_id = row["sample_id"]
    if not folder.is_dir():
        return [Problem(sample_id=sample_id, array=None, what=f"its folder is missing: {folder}")]
    problems = [
        Problem(sample_id=sample_id, array=array["name"], what=what)
        for array in row["arrays"]
        for what in _check_array(folder / array["name"], sample_id, array)
    ]
    what = _check_voxels(folder / FOREGROUND, sample_id, FOREGROUND, row["foreground_hash"])
    if what is not None:
        problems.append(Problem(sample_id=sample_id, array=FOREGROUND, what=what))
    if row["recipe_hash"] != recipe_hash:
        what = f"it was made by the recipe {row['recipe_hash']}, the store by {recipe_hash}"
        problems.append(Problem(sample_id=sample_id, array=None, what=what))
    if not problems and hash_files(folder) != (row["stored_hash"], row["stored_bytes"]):
        what = f"a file below {folder} is not the one that was written, though every voxel reads right"
        problems.append(Problem(sample_id=sample_id, array=None, what=what))
    return problems


def _check_array(folder: Path, sample_id: str, row: Mapping[str, Any]) -> list[str]:
    what = _check_voxels(folder / LEVEL, sample_id, row["name"], row["hash"])
    if what is not None:
        return [what]
    if hash_files(folder) != (row["stored_hash"], row["stored_bytes"]):
        return [f"its voxels are right, but a file below {folder} is not the one that was written (metadata, padding)"]
    return []


def _check_voxels(folder: Path, sample_id: str, name: str, expected: str) -> str | None:
    """What is wrong with the voxels of an array, None if they are right."""
    try:
        array = ShardedArray(folder, f"sample {sample_id}, array {name}")
        shape = array.metadata.shape
        voxels = np.empty(shape, dtype=array.metadata.dtype)
        if voxels.size:
            array.read_box([0] * len(shape), shape, voxels)
    except StoreError as error:
        return str(error)
    found = content_hash(voxels)
    return None if found == expected else f"its voxels hash to {found[:16]}…, they were written as {expected[:16]}…"
