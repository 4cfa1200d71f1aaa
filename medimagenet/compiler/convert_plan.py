"""What a conversion will write, decided before any pixel is read: items out of an index, or out of a store."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SourceError
from ..findings import Finding
from ..index import Index, Sample, find_samples
from ..preprocess import Recipe
from .plan import ANNOTATIONS, IMAGES, Plan, Task, findings_of, input_hash_of, make_plan, renamed
from .pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from ..store import Store  # would load all that reads one

To = Literal["nifti", "hdf5", "nnunet"]
"""What files a conversion writes."""

DOSE = "RTDOSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One sample to convert, from the rows of an index or from a store."""

    sample_id: str
    patient_id: str
    collection_id: str | None
    split: str | None
    fold: int | None = None
    input_hash: str
    findings: tuple[Finding, ...] = ()
    obstacles: tuple[Finding, ...] = ()
    """Findings for which the recipe leaves the sample out."""
    sample: Sample | None = None
    """Where it comes from an index."""
    store: Path | None = None
    """Where it comes from a store."""

    @property
    def input_bytes(self) -> int:
        """Size of its files."""
        rows = [] if self.sample is None else self.sample.series.values()
        return sum(row["size_bytes"] or 0 for row in rows)

    @property
    def voxels(self) -> int:
        """Of its images, as the index knows them; 0 where it does not."""
        rows = [] if self.sample is None else self.sample.series.values()
        return sum(prod(row["shape"]) for row in rows if row["shape"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertPlan:
    """All items, sorted by name, and what formed none."""

    items: tuple[Item, ...]
    not_formed: tuple[tuple[str, str], ...] = ()


def plan_of_index(
    index: Index,
    recipe: Recipe | None,
    pseudonyms: Pseudonyms | None,
    *,
    frozen: Mapping[str, tuple[str, int | None]] | None = None,
) -> ConvertPlan:
    """The samples of a recipe; without one every image series, with all annotations that belong to it.

    `frozen` is as `make_plan` takes it.

    Raises
    ------
    SourceError
        There is nothing to convert.
    RecipeError
        The recipe does not fit the index.
    """
    if recipe is not None:
        plan = make_plan(index, recipe, pseudonyms, frozen=frozen)
        return ConvertPlan(items=tuple(map(_of_task, plan.tasks)), not_formed=plan.not_formed)
    plan = _plan_of_everything(index, pseudonyms)
    return ConvertPlan(items=tuple(map(_of_task, plan.tasks)), not_formed=plan.not_formed)


def plan_of_store(store: "Store") -> ConvertPlan:
    """Every sample of a store."""
    rows = store.samples.to_pylist()
    return ConvertPlan(
        items=tuple(
            Item(
                sample_id=row["sample_id"],
                patient_id=row["patient_id"],
                collection_id=row["collection_id"],
                split=row["split"],
                fold=row["fold"],
                input_hash=row["stored_hash"],
                findings=tuple(map(Finding.from_row, row["findings"] or ())),
                store=Path(store.path),
            )
            for row in rows
        )
    )


def _of_task(task: Task) -> Item:
    return Item(
        sample_id=task.sample_id,
        patient_id=task.sample.patient_id,
        collection_id=task.sample.collection_id,
        split=task.split or None,
        fold=task.fold,
        input_hash=task.input_hash,
        findings=task.findings,
        obstacles=task.obstacles,
        sample=task.sample,
    )


def _plan_of_everything(index: Index, pseudonyms: Pseudonyms | None) -> Plan:
    """Each image series with the annotations and the dose of its own, which `find_samples` joins one kind at a time."""
    rows = index.rows()
    present = {row["Modality"] for row in rows}
    tasks, missing = [], {row["key"]: "no image, annotation or dose: not converted" for row in rows}
    for modality in (name for name in IMAGES if name in present):
        samples = _with_annotations(index, modality, [name for name in (*ANNOTATIONS, DOSE) if name in present])
        for sample in samples:
            for row in (*sample.series.values(), *sample.others):
                missing.pop(row["key"], None)
            named = renamed(sample, pseudonyms)
            findings = findings_of(named)
            own = map(Finding.from_row, named.series[modality]["findings"] or ())
            obstacles = tuple(finding for finding in own if finding.severity == "error")
            input_hash = input_hash_of(named)
            tasks.append(Task(sample=named, split="", input_hash=input_hash, findings=findings, obstacles=obstacles))
    if not tasks:
        raise SourceError(
            f"the index has no image series (CT, MR, PT) to convert, but {', '.join(sorted(map(str, present)))}"
        )
    by_key = {row["key"]: row for row in rows}
    not_formed = tuple((key, _why_not(by_key[key], why)) for key, why in sorted(missing.items()))
    return Plan(tasks=tuple(sorted(tasks, key=lambda task: task.sample_id)), not_formed=not_formed)


def _with_annotations(index: Index, modality: str, kinds: Sequence[str]) -> Iterator[Sample]:
    """All series of a modality as samples, each with the first annotation of every kind that belongs to it."""
    found = {kind: _by_lead(index, modality, kind) for kind in kinds}
    for sample in find_samples(index, [modality]).samples:
        key = sample.series[modality]["key"]
        joined = [found[kind][key] for kind in kinds if key in found[kind]]
        series = {**sample.series, **{name: row for one in joined for name, row in one.series.items()}}
        taken = {row["key"] for row in series.values()}
        others = {row["key"]: row for one in joined for row in one.others if row["key"] not in taken}
        yield Sample(
            sample_id=sample.sample_id,
            patient_id=sample.patient_id,
            collection_id=sample.collection_id,
            series=series,
            others=tuple(others.values()),
            findings=tuple(finding for one in (sample, *joined) for finding in one.findings),
        )


def _by_lead(index: Index, modality: str, kind: str) -> Mapping[str, Sample]:
    samples = find_samples(index, [modality, kind]).samples
    return {sample.series[modality]["key"]: sample for sample in samples}


def _why_not(row: Mapping[str, Any], why: str) -> str:
    if row["Modality"] in (*ANNOTATIONS, DOSE):
        return f"{row['Modality']} that belongs to no image series of the index"
    return f"{row['Modality']}: {why}"


def settings_hash(to: To, recipe: Recipe | None, source: str, options: Mapping[str, Any]) -> str:
    """Changes when the files of an unchanged item would: format, recipe, store, options and version of the layout."""
    content = [to, None if recipe is None else recipe.hash, source, dict(options), LAYOUT_VERSION]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


LAYOUT_VERSION = 2
"""Raised by whoever changes names, content or metadata of converted files."""
