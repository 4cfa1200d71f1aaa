"""What a compile will do, decided before any pixel is read: which samples, under which names, in which split."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import RecipeError, SourceError
from ..findings import Finding
from ..index import Index, Sample, find_samples
from ..preprocess import Recipe
from ..preprocess.split import assign_patients
from ..rois import match_rois
from .pseudonyms import Pseudonyms
from .targets import Entries, find_targets, missing_targets

_PUBLIC_SOURCES = ("idc", "tcia")
"""Whose PatientIDs are published: elsewhere they are somebody's secret."""

MOST_NAMES = 10  # ROI names that a message lists, most frequent first


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One sample to compile, under the name that it has in the store."""

    sample: Sample
    split: str
    input_hash: str
    """Changes when any of the sample's files does, or one of its targets."""
    findings: tuple[Finding, ...]
    """Of the sample and of its series, as the index has them."""
    obstacles: tuple[Finding, ...]
    """Those for which the recipe leaves the sample out."""
    fold: int | None = None
    """Of the cross-validation, where the recipe asks for folds."""
    targets: Entries = ()
    """What the recipe's table says of the sample."""

    @property
    def sample_id(self) -> str:
        """The sample's name in the store."""
        return self.sample.sample_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All tasks, sorted by name, and what formed no sample."""

    tasks: tuple[Task, ...]
    not_formed: tuple[tuple[str, str], ...]


def make_plan(
    index: Index,
    recipe: Recipe,
    pseudonyms: Pseudonyms | None,
    *,
    frozen: Mapping[str, tuple[str, int | None]] | None = None,
) -> Plan:
    """Find the samples of a recipe and name them.

    Parameters
    ----------
    pseudonyms : names for patients of local data; None keeps the original IDs
    frozen : patient -> split and fold of an earlier compile, which stay as they are, so that no patient ever changes
        sides. Patients of one PatientID in several collections are taken for one person

    Raises
    ------
    SourceError
        The index has no sample with all the recipe's modalities.
    RecipeError
        A class of the recipe matches no ROI of any sample, the recipe wants a finding to stop the run, or its targets
        cannot be found.
    """
    found = find_samples(index, list(recipe.modalities))
    if not found.samples:
        raise SourceError(_no_samples(recipe, found.missing))
    _check_classes(found.samples, recipe)
    named = [renamed(sample, pseudonyms) for sample in found.samples]
    assigned = _assigned(found.samples, named, recipe, frozen or {})
    targets = find_targets(found.samples, named, recipe)
    tasks = [
        _task(sample, *place, recipe, entries) for sample, place, entries in zip(named, assigned, targets, strict=True)
    ]
    not_formed = tuple((str(which), str(why)) for which, why in found.missing)
    return Plan(tasks=tuple(sorted(tasks, key=lambda task: task.sample_id)), not_formed=not_formed)


def _assigned(
    samples: Sequence[Sample], named: Sequence[Sample], recipe: Recipe, frozen: Mapping[str, tuple[str, int | None]]
) -> list[tuple[str, int | None]]:
    """Split and fold of each sample: all samples of a person have the same, also across collections."""
    persons = _persons(samples)
    strata = _strata(samples, persons, recipe)
    places: dict[str, tuple[str, int | None]] = dict(assign_patients(persons, recipe.split, strata))
    for person, sample in zip(persons, named, strict=True):
        places[person] = frozen.get(sample.patient_id, places[person])
    return [frozen.get(one.patient_id, places[person]) for person, one in zip(persons, named, strict=True)]


def _persons(samples: Sequence[Sample]) -> list[str]:
    """Who each sample is of: the first of the collections that know the PatientID, and the PatientID.

    Splits depend on who the patient is, not on the pseudonym: two users get the same split.
    """
    first: dict[str, str] = {}
    for sample in samples:
        identity = _identity(sample)
        first[sample.patient_id] = min(identity, first.get(sample.patient_id, identity))
    return [first[sample.patient_id] if sample.patient_id else _identity(sample) for sample in samples]


def _identity(sample: Sample) -> str:
    return f"{sample.collection_id or ''}/{sample.patient_id}"


def _strata(samples: Sequence[Sample], persons: Sequence[str], recipe: Recipe) -> dict[str, str] | None:
    """Per person the collections, or the classes, that its samples have."""
    if recipe.split.stratify == "none":
        return None
    found: dict[str, set[str]] = {person: set() for person in persons}
    for person, sample in zip(persons, samples, strict=True):
        if recipe.split.stratify == "collection":
            found[person].add(sample.collection_id or "")
        else:
            match = match_rois(_roi_names(sample), recipe.rois, several=recipe.several)
            found[person] |= {label for label, taken in match.classes.items() if taken}
    return {person: "+".join(sorted(names)) for person, names in found.items()}


def _no_samples(recipe: Recipe, missing: Sequence[tuple[str, str]]) -> str:
    reasons = Counter(why for _, why in missing).most_common(3)
    why = "; ".join(f"{count} x {reason}" for reason, count in reasons) or "the index has no series of them"
    return (
        f"no sample has all of {','.join(recipe.modalities)} (recipe {recipe.name}): {why}; "
        f'see "medimagenet samples INDEX --modalities {",".join(recipe.modalities)} --missing"'
    )


def _roi_names(sample: Sample) -> list[str]:
    """As the index knows them; a NIfTI label that tells no names may have any number."""
    names = [name for row in sample.series.values() for name in row["roi_names"] or ()]
    is_unnamed = any(row["file_format"] and row["Modality"] == "SEG" for row in sample.series.values()) and not names
    return [f"label_{value}" for value in range(1, 256)] if is_unnamed else names


def _check_classes(samples: Sequence[Sample], recipe: Recipe) -> None:
    """A class that matches nothing anywhere is a mistake in the recipe, told before hours of work."""
    if not recipe.rois:
        return
    names = Counter(name for sample in samples for name in set(_roi_names(sample)))
    match = match_rois(list(names), recipe.rois, several=recipe.several)
    if match.missing:
        listed = ", ".join(f"{name} ({count})" for name, count in names.most_common(MOST_NAMES))
        patterns = {label: list(recipe.rois[label]) for label in match.missing}
        raise RecipeError(
            f"recipe {recipe.name}: no ROI of any of the {len(samples)} samples matches {patterns}; a pattern must "
            f"match the whole name; the most frequent names are {listed or 'none at all'}"
        )


def renamed(sample: Sample, pseudonyms: Pseudonyms | None) -> Sample:
    """The name in the store: the patient's, and six digits that tell the patient's samples apart."""
    is_local = next(iter(sample.series.values()))["source"] not in _PUBLIC_SOURCES
    if pseudonyms is None or not is_local:
        return sample
    patient = pseudonyms.of(sample.patient_id, sample.collection_id or "")
    uids = "\0".join(row["SeriesInstanceUID"] for row in sample.series.values())
    suffix = hashlib.blake2b(f"{uids}\0{sample.sample_id}".encode(), digest_size=3).hexdigest()
    return replace(sample, sample_id=f"{patient}-{suffix}", patient_id=patient)


def _task(sample: Sample, split: str, fold: int | None, recipe: Recipe, targets: Entries) -> Task:
    findings = (*findings_of(sample), *missing_targets(targets))
    obstacles = tuple(finding for finding in findings if recipe.action_for(finding.code) != "keep")
    for finding in obstacles:
        if recipe.action_for(finding.code) == "fail":
            raise RecipeError(
                f"recipe {recipe.name} says fail for {finding.code}, and sample {sample.sample_id} has it: "
                f"{finding.message}"
            )
    return Task(
        sample=sample,
        split=split,
        input_hash=input_hash_of(sample, targets),
        findings=findings,
        obstacles=obstacles,
        fold=fold,
        targets=targets,
    )


def findings_of(sample: Sample) -> tuple[Finding, ...]:
    """Of a sample and of its series, as the index has them."""
    rows = sample.series.values()
    return (*(Finding.from_row(row) for series in rows for row in series["findings"] or ()), *sample.findings)


def input_hash_of(sample: Sample, targets: Entries = ()) -> str:
    """Changes when any of the sample's files does, or one of its targets."""
    rows = [*sample.series.values(), *sample.registrations.values()]
    inputs: list[list[Any]] = [[row["SeriesInstanceUID"], row["content_hash"]] for row in rows]
    inputs += [[entry["name"], repr(entry["value"])] for entry in targets]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def input_bytes(tasks: Sequence[Task]) -> int:
    """Size of all files of some tasks."""
    return sum(row["size_bytes"] or 0 for task in tasks for row in task.sample.series.values())
