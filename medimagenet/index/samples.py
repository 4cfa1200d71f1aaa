"""Samples: series that belong together, through DICOM references first and frame of reference second.

The first-named modality leads: each of its series is at most one sample. Rules, in this order:

1. An annotation (RTSTRUCT, SEG, RTPLAN, RTDOSE) belongs to the image series that it references, through others where
   it must: RTDOSE -> RTPLAN -> RTSTRUCT -> CT. Where that UID has several rows, to the nearest in the folder tree.
2. An annotation of which no image series is in the index belongs to the leading series of the same patient and frame
   of reference; the sample then has the finding ``referenced_by_frame``.
3. Another image belongs to the leading series when patient and frame of reference are the same, or when a REG object
   leads from its frame of reference to the leading one's; the sample then has the finding ``joined_by_registration``.
4. Of several candidates, the first by: reference before frame before registration; connected to the other annotations
   (a plan to its dose); without errors and absent references; same patient, same study; nearest in the folder tree;
   most instances; most ROIs; SeriesInstanceUID; key. The others are listed.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..findings import Finding
from .graph import Graph, Row, preference
from .links import ANNOTATIONS
from .missing import lead_reason, row_reason

if TYPE_CHECKING:
    from .table import Index

_DEEPEST_FIRST = ("RTDOSE", "RTPLAN", "RTSTRUCT", "SEG")  # what is chosen first decides what is connected to it
_MEANT = {"PET": "PT", "MRI": "MR", "RTSS": "RTSTRUCT", "RS": "RTSTRUCT", "RD": "RTDOSE", "RP": "RTPLAN"}
_NAME_LENGTH = 48  # of the patient's part of a sample_id: with the rest below what file systems and people bear


class Missing(NamedTuple):
    """A row that is in no sample, and why."""

    key: str
    """Of the row; of an index without the leading modality, "index"."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Series that belong together."""

    sample_id: str
    """Safe as a file name and unique; made from patient, study and leading series, whatever the order of the index."""
    patient_id: str
    collection_id: str | None
    series: Mapping[str, Row]
    """Rows of the index by modality, in the order asked."""
    others: tuple[Row, ...] = ()
    """Candidates that were not taken: other annotations of the frame of reference, other images of it."""
    findings: tuple[Finding, ...] = ()
    """Of the joining. Findings of each series are in its row."""
    registrations: Mapping[str, Row] = field(default_factory=dict)
    """By modality the REG that leads from the frame of reference of its series to that of the leading one."""


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The samples of an index, and every row of the modalities asked that is in none."""

    samples: tuple[Sample, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: Row
    by_frame: bool = False
    registration: Row | None = None


def find_samples(index: "Index", modalities: str | Sequence[str]) -> SampleSet:
    """Find the series that belong together.

    Parameters
    ----------
    index
        Where to look.
    modalities
        What a sample must have, such as ``"CT,PT,RTSTRUCT"`` or a list. The first one leads and must be of images.

    Raises
    ------
    ValueError
        No modality, one twice, an annotation first, or a name that is not DICOM's.
    """
    asked = parse_modalities(modalities)
    graph = Graph(index.rows())
    leads = [row for row in graph.rows if row["Modality"] == asked[0]]
    if not leads:
        present = ", ".join(sorted({str(row["Modality"]) for row in graph.rows})) or "nothing"
        return SampleSet((), (Missing("index", f"no {asked[0]} in the index, which has {present}"),))
    claims = claim_annotations(graph, asked)
    samples: list[Sample] = []
    missing: list[Missing] = []
    names = Counter(_base_id(lead) for lead in leads)
    for lead in leads:
        candidates = {name: _candidates(graph, claims, lead, name) for name in asked[1:]}
        if all(candidates.values()):
            samples.append(_sample(graph, lead, candidates, is_unique=names[_base_id(lead)] == 1))
        else:
            absent = [name for name in asked[1:] if not candidates[name]]
            missing.append(Missing(lead["key"], lead_reason(graph, lead, absent)))
    missing += _unused(graph, asked, samples)
    return SampleSet(
        tuple(sorted(samples, key=lambda sample: sample.sample_id)), tuple(sorted(missing, key=lambda item: item.key))
    )


def parse_modalities(modalities: str | Sequence[str]) -> tuple[str, ...]:
    """The modalities of ``"CT, RTSTRUCT"`` or of a list, in capitals.

    Raises
    ------
    ValueError
        None, one twice, an annotation first, or a name that is not DICOM's.
    """
    names = modalities.split(",") if isinstance(modalities, str) else list(modalities)
    asked = tuple(name.strip().upper() for name in names)
    if not asked or not all(asked):
        raise ValueError(f'modalities must be names such as "CT,RTSTRUCT", got {modalities!r}')
    for name in asked:
        if name in _MEANT:
            raise ValueError(f"unknown modality {name!r} in {modalities!r}: DICOM calls it {_MEANT[name]}")
    if len(set(asked)) < len(asked):
        raise ValueError(f"each modality once: a sample has one series of each, got {modalities!r}")
    if asked[0] in ANNOTATIONS:
        raise ValueError(f'the first modality leads and must be of images, as in "CT,{asked[0]}", got {modalities!r}')
    return asked


def claim_annotations(graph: Graph, asked: Sequence[str]) -> dict[str, list[_Candidate]]:
    """For each leading row, by key, the annotations of the modalities asked that belong to it."""
    claims: dict[str, list[_Candidate]] = {}
    for row in graph.rows:
        if row["Modality"] not in ANNOTATIONS or row["Modality"] not in asked:
            continue
        images = [origin for origin in graph.origins(row).values() if origin["Modality"] not in ANNOTATIONS]
        for image in images:
            if image["Modality"] == asked[0]:
                claims.setdefault(image["key"], []).append(_Candidate(row))
        if not images:
            lead = min(graph.in_frame(row, asked[0]), key=lambda lead: preference(lead, row), default=None)
            if lead is not None:
                claims.setdefault(lead["key"], []).append(_Candidate(row, by_frame=True))
    return claims


def _candidates(graph: Graph, claims: Mapping[str, Sequence[_Candidate]], lead: Row, modality: str) -> list[_Candidate]:
    if modality in ANNOTATIONS:
        return [candidate for candidate in claims.get(lead["key"], ()) if candidate.row["Modality"] == modality]
    registered = [_Candidate(row, registration=leads) for row, leads in graph.registered(lead, modality)]
    return [*(_Candidate(row) for row in graph.in_frame(lead, modality)), *registered]


def _sample(graph: Graph, lead: Row, candidates: Mapping[str, Sequence[_Candidate]], *, is_unique: bool) -> Sample:
    chosen = _choose(graph, lead, candidates)
    series = {lead["Modality"]: lead, **{name: chosen[name].row for name in candidates}}
    taken = {row["key"] for row in series.values()}
    others = {
        row["key"]: row
        for name in candidates
        for row in [*(candidate.row for candidate in candidates[name]), *graph.in_frame(lead, name)]
        if row["key"] not in taken
    }
    return Sample(
        sample_id=_base_id(lead) + ("" if is_unique else f"-{_digest(lead['key'])[:6]}"),
        patient_id=lead["PatientID"] or "",
        collection_id=lead["collection_id"],
        series=series,
        others=tuple(others[key] for key in sorted(others)),
        findings=tuple(_findings(chosen, candidates, list(others.values()))),
        registrations={name: each.registration for name, each in chosen.items() if each.registration is not None},
    )


def _choose(graph: Graph, lead: Row, candidates: Mapping[str, Sequence[_Candidate]]) -> dict[str, _Candidate]:
    """One candidate of each modality: annotations from the deepest up, so that each goes with its own."""
    chosen: dict[str, _Candidate] = {}
    order = sorted(candidates, key=lambda name: _DEEPEST_FIRST.index(name) if name in ANNOTATIONS else -1)

    def rank(candidate: _Candidate) -> tuple[Any, ...]:
        origins = graph.origins(candidate.row)
        above = len({origin["Modality"] for origin in origins.values()} & set(candidates))
        below = sum(candidate.row["key"] in graph.origins(other.row) for other in chosen.values())
        how = 2 if candidate.registration is not None else int(candidate.by_frame)
        return how, -above - below, _is_flawed(candidate.row), *preference(candidate.row, lead)

    for name in order:
        chosen[name] = min(candidates[name], key=rank)
    return chosen


def _is_flawed(row: Row) -> bool:
    """Whether a row has a finding for which another is better taken."""
    return any(finding["severity"] == "error" or finding["code"] == "dangling_reference" for finding in row["findings"])


def _findings(
    chosen: Mapping[str, _Candidate], candidates: Mapping[str, Sequence[_Candidate]], others: Sequence[Row]
) -> list[Finding]:
    findings = [
        Finding(
            code="referenced_by_frame",
            message=f"the images that the {name} refers to are not in the index: it was joined by frame of reference",
            numbers={"modality": name},
        )
        for name, candidate in chosen.items()
        if candidate.by_frame
    ]
    findings += [
        Finding(
            code="joined_by_registration",
            message=f"the {name} is in another frame of reference, from which a registration (REG) leads here",
            numbers={"modality": name},
        )
        for name, candidate in chosen.items()
        if candidate.registration is not None
    ]
    for name in chosen:
        count = sum(row["Modality"] == name for row in others)
        if count:
            code = "other_annotation" if name in ANNOTATIONS else "other_image"
            of_lead = len(candidates[name]) - 1
            message = f"{count} other {name} of its frame of reference not taken, {of_lead} of them of the same images"
            findings.append(Finding(code=code, message=message, numbers={"modality": name, "others": count}))
    return findings


def _unused(graph: Graph, asked: Sequence[str], samples: Sequence[Sample]) -> list[Missing]:
    """Rows of the modalities asked, without the leading one, that no sample has or lists."""
    used = {row["key"] for sample in samples for row in (*sample.series.values(), *sample.others)}
    return [
        Missing(row["key"], row_reason(graph, row, asked[0]))
        for row in graph.rows
        if row["Modality"] in asked[1:] and row["key"] not in used
    ]


def _base_id(lead: Row) -> str:
    """Patient, and ten hex digits of study and series."""
    patient = re.sub(r"[^A-Za-z0-9_-]+", "_", lead["PatientID"] or "")[:_NAME_LENGTH].strip("_-") or "patient"
    return (
        f"{patient}-{_digest(lead['PatientID'] or '', lead['StudyInstanceUID'] or '', lead['SeriesInstanceUID'])[:10]}"
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
