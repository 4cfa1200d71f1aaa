"""Read a whole store and say what differs from what was written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from .form import Form
from .layout import ATTRIBUTION, FOREGROUND, content_hash
from .reader import ShardedArray
from .store import Store, open_store


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
    there = store.form.sample_ids()
    problems = _check_whole(store, there)
    for done, row in enumerate(_rows(store), start=1):
        problems += _check_sample(store.form, row, is_there=row["sample_id"] in there, recipe_hash=store.recipe_hash)
        if progress is not None:
            progress(done, len(store))
    return problems


def _rows(store: Store) -> Any:
    return (store.row(sample_id) for sample_id in store.ids())


def _check_whole(store: Store, there: set[str]) -> list[Problem]:
    """What is there that should not be, and the other way round."""
    found = []
    if not store.is_finished:
        found.append("the run that made it did not come to its end: compile again with the same recipe to continue it")
    elif store.form.attribution() is None:
        found.append(f"{ATTRIBUTION} is missing")
    found += store.form.defects()
    whole = [Problem(sample_id=None, array=None, what=what) for what in found]
    what = "its bytes have no row in samples.parquet: the sample does not exist, they are left over"
    return whole + [Problem(sample_id=name, array=None, what=what) for name in sorted(there.difference(store.ids()))]


def _check_sample(form: Form, row: Mapping[str, Any], *, is_there: bool, recipe_hash: str) -> list[Problem]:
    sample_id = row["sample_id"]
    if not is_there:
        return [Problem(sample_id=sample_id, array=None, what=f"it is missing in {form.path}")]
    problems = [
        Problem(sample_id=sample_id, array=array["name"], what=what)
        for array in row["arrays"]
        for what in _check_array(form, sample_id, array)
    ]
    what = _check_voxels(form, sample_id, FOREGROUND, row["foreground_hash"])
    if what is not None:
        problems.append(Problem(sample_id=sample_id, array=FOREGROUND, what=what))
    if row["recipe_hash"] != recipe_hash:
        what = f"it was made by the recipe {row['recipe_hash']}, the store by {recipe_hash}"
        problems.append(Problem(sample_id=sample_id, array=None, what=what))
    what = None if problems else _check_stored(form, sample_id, None, row)
    if what is not None:
        problems.append(Problem(sample_id=sample_id, array=None, what=what))
    return problems


def _check_array(form: Form, sample_id: str, row: Mapping[str, Any]) -> list[str]:
    what = _check_voxels(form, sample_id, row["name"], row["hash"])
    what = _check_stored(form, sample_id, row["name"], row) if what is None else what
    return [] if what is None else [what]


def _check_stored(form: Form, sample_id: str, name: str | None, row: Mapping[str, Any]) -> str | None:
    """What is wrong with what is stored beside the voxels, None if nothing is."""
    try:
        stored = form.stored(sample_id, name)
    except StoreError as error:
        return str(error)
    if stored == (row["stored_hash"], row["stored_bytes"]):
        return None
    return "its voxels are right, but what is stored is not what was written (metadata, padding, files beside it)"


def _check_voxels(form: Form, sample_id: str, name: str, expected: str) -> str | None:
    """What is wrong with the voxels of an array, None if they are right."""
    try:
        array = ShardedArray(form.chunks(sample_id, name), f"sample {sample_id}, array {name}")
        shape = array.metadata.shape
        voxels = np.empty(shape, dtype=array.metadata.dtype)
        if voxels.size:
            array.read_box([0] * len(shape), shape, voxels)
    except StoreError as error:
        return str(error)
    found = content_hash(voxels)
    return None if found == expected else f"its voxels hash to {found[:16]}…, they were written as {expected[:16]}…"
