"""What a compile will do, decided before any pixel is read: which samples, under which names, in which split."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import GridTooLargeError, RecipeError, SourceError
from ..findings import Finding
from ..geometry import LETTERS, Grid
from ..index import Index, Sample, SampleSet, find_samples
from ..index.samples import Missing
from ..preprocess import Recipe
from ..preprocess.pipeline import check_size
from ..preprocess.split import assign_patients
from ..rois import match_rois
from .pseudonyms import Pseudonyms
from .targets import Entries, find_targets, missing_targets

IMAGES = ("CT", "MR", "PT")
ANNOTATIONS = ("RTSTRUCT", "SEG")

_PUBLIC_SOURCES = ("idc", "tcia")
"""Whose PatientIDs are published: elsewhere they are somebody's secret."""

_TO_HIGHER = str.maketrans("".join(low for low, _ in LETTERS), "".join(high for _, high in LETTERS))
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
        A class of the recipe matches no ROI of any sample, the recipe wants a finding to stop the run, its targets
        cannot be found, its query is no SQL, or its spacing makes every sample too large.
    """
    found = _queried(find_samples(index, list(recipe.modalities)), index, recipe)
    if not found.samples:
        raise SourceError(_no_samples(recipe, found.missing))
    _check_classes(found.samples, recipe)
    named = [renamed(sample, pseudonyms) for sample in found.samples]
    assigned = _assigned(found.samples, named, recipe, frozen or {})
    targets = find_targets(found.samples, named, recipe)
    tasks = [
        _task(sample, *place, recipe, entries) for sample, place, entries in zip(named, assigned, targets, strict=True)
    ]
    giants = [task.obstacles[-1] for task in tasks if [one.code for one in task.obstacles][-1:] == ["grid_too_large"]]
    if len(giants) == len(tasks):
        raise RecipeError(f"recipe {recipe.name} makes every sample too large: {giants[0].message}")
    not_formed = tuple((str(which), str(why)) for which, why in found.missing)
    return Plan(tasks=tuple(sorted(tasks, key=lambda task: task.sample_id)), not_formed=not_formed)


def _queried(found: SampleSet, index: Index, recipe: Recipe) -> SampleSet:
    """The samples whose leading series meets the recipe's query; the others as missing.

    Raises
    ------
    RecipeError
        The query cannot be understood.
    """
    if recipe.query is None:
        return found
    try:
        keys = {key for (key,) in index.narrowed(recipe.query).fetch("SELECT key FROM series")}
    except ValueError as error:
        raise RecipeError(f"query of recipe {recipe.name}: {error}") from error
    leads = {sample.sample_id: next(iter(sample.series.values()))["key"] for sample in found.samples}
    left_out = [Missing(key, f"not in the query {recipe.query}") for key in leads.values() if key not in keys]
    samples = tuple(sample for sample in found.samples if leads[sample.sample_id] in keys)
    return SampleSet(samples, (*found.missing, *left_out))


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
    """Who each sample is of: the first of the collections that know the person, and the PatientID there.

    Samples are of one person where they have one PatientID, or a series in common: a collection that was published
    again under other IDs. Splits depend on who the patient is, not on the pseudonym: two users get the same split.
    """
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def leading(key: tuple[str, str]) -> tuple[str, str]:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    named = []
    for sample in samples:
        key = ("patient", sample.patient_id) if sample.patient_id else ("unknown", _identity(sample))
        named.append(key)
        for row in sample.series.values():
            leader[leading(("series", row["SeriesInstanceUID"]))] = leading(key)
    first: dict[tuple[str, str], str] = {}
    for key, sample in zip(named, samples, strict=True):
        identity = _identity(sample)
        first[leading(key)] = min(identity, first.get(leading(key), identity))
    return [first[leading(key)] for key in named]


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
    findings = (*findings_of(sample), *missing_targets(targets), *_giant(sample, recipe))
    obstacles = tuple(finding for finding in findings if recipe.action_for(finding.code) != "keep")
    refuse_failing(obstacles, recipe, sample.sample_id)
    return Task(
        sample=sample,
        split=split,
        input_hash=input_hash_of(sample, targets),
        findings=findings,
        obstacles=obstacles,
        fold=fold,
        targets=targets,
    )


def refuse_failing(findings: Sequence[Finding], recipe: Recipe, sample_id: str) -> None:
    """Stop the run where the recipe wants that.

    Raises
    ------
    RecipeError
        The recipe says "fail" for one of the findings.
    """
    for finding in findings:
        if recipe.action_for(finding.code) == "fail":
            raise RecipeError(
                f"recipe {recipe.name} says fail for {finding.code}, and sample {sample_id} has it: {finding.message}"
            )


def _giant(sample: Sample, recipe: Recipe) -> tuple[Finding, ...]:
    """Estimated from what the index knows of the leading series; what it does not know is seen when it is decoded."""
    row = next(iter(sample.series.values()))
    letters = row["orientation"] or ""
    if not (row["shape"] and row["spacing_mm"] and sorted(letters.translate(_TO_HIGHER)) == ["L", "P", "S"]):
        return ()
    direction = [[0.0] * 3 for _ in range(3)]
    for axis, letter in enumerate(letters):
        patient = next(k for k, pair in enumerate(LETTERS) if letter in pair)
        direction[patient][axis] = 1.0 if letter == LETTERS[patient][1] else -1.0
    try:
        check_size(Grid(tuple(row["shape"][::-1]), tuple(row["spacing_mm"]), direction=direction), recipe)  # type: ignore[arg-type]
    except GridTooLargeError as error:
        return (too_large(error),)
    except ValueError:  # a spacing that is none: decoding says so
        return ()
    return ()


def too_large(error: GridTooLargeError) -> Finding:
    """The finding of a sample that a recipe makes too large."""
    return Finding(code="grid_too_large", message=str(error))


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
