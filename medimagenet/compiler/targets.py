"""The targets that a recipe stores with its samples, found before any pixel is read."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from ..errors import RecipeError, StoreError
from ..findings import Finding
from ..index import Sample
from ..preprocess import Recipe
from ..store.targets import Targets, TargetTable, read_targets

Entries = tuple[Mapping[str, Any], ...]
"""Per target its name, its value (nan where there is none), and whether it is whole: a row's column `targets`."""


def find_targets(samples: Sequence[Sample], named: Sequence[Sample], recipe: Recipe) -> list[Entries]:
    """Targets of each sample; empty where the recipe has none.

    Parameters
    ----------
    samples : with the patients' original IDs, which the table knows
    named : the same with the names that they get in the store

    Raises
    ------
    RecipeError
        The table cannot be read, a value is no number, no row is of any sample, or a value is missing and the recipe
        says "fail".
    """
    wanted, path = recipe.targets, recipe.target_table
    if wanted is None or path is None:
        return [()] * len(samples)
    try:
        table = read_targets(
            Targets(columns=wanted.columns, table=path, key=wanted.key, by=wanted.by, classes=wanted.classes)
        )
    except StoreError as error:
        raise RecipeError(f"recipe {recipe.name}, targets: {error}") from error
    found = [_entries(table, one, name) for one, name in zip(samples, named, strict=True)]
    if not any(not isnan(entry["value"]) for entries in found for entry in entries):
        raise RecipeError(
            f"recipe {recipe.name}, targets: none of {len(table.rows)} rows of {path} is of any of the "
            f"{len(samples)} samples (rows matched by {table.by}): see key and by"
        )
    if wanted.missing == "fail":
        _refuse_missing(found, named, recipe)
    return found


def missing_targets(entries: Entries) -> tuple[Finding, ...]:
    """A finding where a sample lacks targets."""
    lacking = [entry["name"] for entry in entries if isnan(entry["value"])]
    if not lacking:
        return ()
    message = f"the table of targets has no value of {', '.join(lacking)}"
    return (Finding(code="target_missing", message=message, numbers={"targets": lacking}),)


def _entries(table: TargetTable, sample: Sample, named: Sample) -> Entries:
    """Samples may be named as in the index or as in the store."""
    keys = (named.sample_id, sample.sample_id) if table.by == "sample" else (sample.patient_id, named.patient_id)
    none = (float("nan"),) * len(table.names)
    values = next((table.rows[key] for key in keys if key in table.rows), none)
    return tuple(
        {"name": name, "value": value, "is_whole": is_whole}
        for name, value, is_whole in zip(table.names, values, table.is_whole, strict=True)
    )


def _refuse_missing(found: Sequence[Entries], named: Sequence[Sample], recipe: Recipe) -> None:
    lacking = [
        (sample.sample_id, entry["name"])
        for sample, entries in zip(named, found, strict=True)
        for entry in entries
        if isnan(entry["value"])
    ]
    if lacking:
        shown = ", ".join(f"{name} of {sample_id}" for sample_id, name in lacking[:3])
        raise RecipeError(
            f"recipe {recipe.name}, targets: {len(lacking)} values are missing, first {shown}: fill them in, or say "
            "targets: {missing: skip} to leave such samples out, or {missing: empty} to keep them with nan"
        )
