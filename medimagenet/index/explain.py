"""Why each series is in a sample, beside one, or in none: a row for every series of the modalities asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .graph import Graph, Row
from .links import ANNOTATIONS, REGISTRATION
from .samples import Sample, SampleSet, find_samples, parse_modalities

if TYPE_CHECKING:
    from .table import Index

Outcome = Literal["leads", "taken", "not taken", "in none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What became of one series."""

    patient_id: str
    modality: str
    series: str
    """SeriesInstanceUID."""
    key: str
    outcome: Outcome
    """It leads a sample, is taken into one, could belong to one but another was taken, or is in none."""
    samples: tuple[str, ...]
    """Samples that it is in or beside."""
    reason: str


def explain_samples(index: "Index", modalities: str | Sequence[str]) -> tuple[Explanation, ...]:
    """Say of every series of these modalities why it is in a sample or not; by patient, then in the order asked.

    Parameters
    ----------
    modalities : as `find_samples` takes them

    Raises
    ------
    ValueError
        As `find_samples`.
    """
    asked = parse_modalities(modalities)
    graph = Graph(index.rows())
    found = find_samples(index, asked)
    taken, beside = _places(found)
    missing = {item.key: item.reason for item in found.missing}
    rows = [row for row in graph.rows if row["Modality"] in asked]
    rows.sort(key=lambda row: (row["PatientID"] or "", asked.index(row["Modality"]), row["key"]))
    return tuple(_explain(graph, row, taken, beside, missing) for row in rows)


def _places(found: SampleSet) -> tuple[dict[str, list[Sample]], dict[str, list[Sample]]]:
    """Per key the samples that a row is in, and those that it is beside."""
    taken: dict[str, list[Sample]] = {}
    beside: dict[str, list[Sample]] = {}
    for sample in found.samples:
        for row in sample.series.values():
            taken.setdefault(row["key"], []).append(sample)
        for row in sample.others:
            beside.setdefault(row["key"], []).append(sample)
    return taken, beside


def _explain(
    graph: Graph,
    row: Row,
    taken: Mapping[str, Sequence[Sample]],
    beside: Mapping[str, Sequence[Sample]],
    missing: Mapping[str, str],
) -> Explanation:
    key = row["key"]
    outcome: Outcome
    if key in taken:
        samples = taken[key]
        lead = next(iter(samples[0].series.values()))
        outcome = "leads" if lead["key"] == key else "taken"
        how = _why_leads(samples[0]) if outcome == "leads" else _how(graph, row, lead, samples[0])
        reason = "; but ".join([how, *_contradictions(row)])
    elif key in beside:
        samples, outcome = beside[key], "not taken"
        reason = _why_not(graph, row, samples[0])
    else:
        samples, outcome, reason = [], "in none", missing.get(key, "no sample has its place")
    return Explanation(
        patient_id=row["PatientID"] or "",
        modality=row["Modality"],
        series=row["SeriesInstanceUID"],
        key=key,
        outcome=outcome,
        samples=tuple(sample.sample_id for sample in samples),
        reason=reason,
    )


def _contradictions(row: Row) -> list[str]:
    """What speaks against the bonds of a series that was taken nevertheless."""
    return [found["message"] for found in row["findings"] if found["code"] == "reference_mismatch"]


def _why_leads(sample: Sample) -> str:
    others = list(sample.series)[1:]
    return f"has {', '.join(others)}" if others else "nothing else was asked for"


def _how(graph: Graph, row: Row, lead: Row, sample: Sample) -> str:
    """By which bond a series belongs to the leading one."""
    if row["Modality"] not in ANNOTATIONS:
        if row["Modality"] in sample.registrations:
            return f"a {REGISTRATION} leads from its frame of reference to that of the {lead['Modality']}"
        return f"same patient and frame of reference as the {lead['Modality']}"
    path = _path(graph, row, lead["key"])
    if path is None:
        return f"its own images are not in the index; same frame of reference as the {lead['Modality']}"
    return "refers to " + ", which refers to ".join(f"the {step['Modality']}" for step in path)


def _path(graph: Graph, row: Row, target: str) -> list[Row] | None:
    """The shortest chain of references from a row to another one."""
    waiting: list[list[Row]] = [[source] for source in graph.sources(row)]
    seen: set[str] = {row["key"]}
    while waiting:
        chain = waiting.pop(0)
        last = chain[-1]
        if last["key"] == target:
            return chain
        if last["key"] not in seen:
            seen.add(last["key"])
            waiting += [[*chain, source] for source in graph.sources(last)]
    return None


def _why_not(graph: Graph, row: Row, sample: Sample) -> str:
    """Why another one of its modality was taken."""
    lead = next(iter(sample.series.values()))
    chosen = sample.series[row["Modality"]]
    other = f"the {row['Modality']} {chosen['SeriesInstanceUID']} was taken"
    if row["Modality"] in ANNOTATIONS and lead["key"] not in graph.origins(row):
        return f"belongs to other images of the frame of reference; {other}"
    flaws = sorted(
        {found["code"] for found in row["findings"] if found["severity"] == "error"}
        | {found["code"] for found in row["findings"] if found["code"] == "dangling_reference"}
    )
    if flaws:
        return f"has {', '.join(flaws)}; {other}"
    return f"{other}, which stands first: see the order in the documentation of find_samples"
