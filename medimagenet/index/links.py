"""What only the whole index can tell about a row: its UID is there twice, what it refers to is not there."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..findings import Finding
from ..sources.base import SINGLE_OBJECTS, SeriesRecord

ANNOTATIONS = ("RTSTRUCT", "SEG", "RTPLAN", "RTDOSE")
"""Modalities that mean nothing without what they refer to."""

REGISTRATION = "REG"
"""Modality of objects that lead from one frame of reference to another."""

_DIFFERENCES = {
    "place": "uri",
    "encoding": "TransferSyntaxUID",
    "SOP class": "SOPClassUID",
    "patient": "PatientID",
    "content": "content_hash",
}


def link_records(records: Iterable[SeriesRecord]) -> list[SeriesRecord]:
    """Add the findings `repeated_uid`, `mixed_modality`, `dangling_reference`, `no_reference`, `reference_mismatch`.

    Order is kept.
    """
    records = list(records)
    by_series: dict[str, list[SeriesRecord]] = defaultdict(list)
    for record in records:
        by_series[record.SeriesInstanceUID].append(record)
    by_instance: dict[str, list[SeriesRecord]] = defaultdict(list)
    for record in records:
        if record.SOPInstanceUID:
            by_instance[record.SOPInstanceUID].append(record)
    linked = []
    for record in records:
        added = [
            *_identity_findings(record, by_series[record.SeriesInstanceUID]),
            *_reference_findings(record, by_series, by_instance),
        ]
        linked.append(replace(record, findings=(*record.findings, *added)) if added else record)
    return linked


def _identity_findings(record: SeriesRecord, same_uid: Sequence[SeriesRecord]) -> Iterable[Finding]:
    twins = [other for other in same_uid if other is not record and _is_twin(record, other)]
    if twins:
        differences = [
            what
            for what, column in _DIFFERENCES.items()
            if any(getattr(other, column) != getattr(record, column) for other in twins)
        ]
        yield Finding(
            code="repeated_uid",
            message=f"its UID is in {len(twins) + 1} rows, which differ in {', '.join(differences) or 'file names'}",
            numbers={"rows": len(twins) + 1, "differ_in": differences},
        )
    modalities = sorted({other.Modality or "none" for other in same_uid})
    if len(modalities) > 1:
        yield Finding(
            code="mixed_modality",
            message=f"its SeriesInstanceUID is shared by modalities {', '.join(modalities)}",
            numbers={"modalities": modalities},
        )


def _is_twin(one: SeriesRecord, other: SeriesRecord) -> bool:
    """Whether two rows of one SeriesInstanceUID should be one. Several objects of one series are sound."""
    if one.Modality != other.Modality:
        return False
    if one.Modality in SINGLE_OBJECTS and one.PatientID == other.PatientID:
        return one.SOPInstanceUID == other.SOPInstanceUID
    return True


def _reference_findings(
    record: SeriesRecord, series: Mapping[str, Sequence[SeriesRecord]], instances: Mapping[str, Sequence[SeriesRecord]]
) -> Iterable[Finding]:
    if record.Modality not in (*ANNOTATIONS, REGISTRATION):
        return
    wanted = record.referenced_instances or record.referenced_series
    known = instances if record.referenced_instances else series
    absent = [uid for uid in wanted if uid not in known]
    if absent:
        what = "objects" if record.referenced_instances else "series"
        yield Finding(
            code="dangling_reference",
            message=f"{len(absent)} of {len(wanted)} {what} that it refers to are not in the index",
            numbers={"absent": len(absent), "of": len(wanted)},
        )
    elif not wanted:
        yield Finding(code="no_reference", message="it does not say which images it belongs to")
    yield from _mismatch_findings(record, [known[uid] for uid in wanted if uid in known])


def _mismatch_findings(record: SeriesRecord, targets: Sequence[Sequence[SeriesRecord]]) -> Iterable[Finding]:
    """References that resolve to somebody else's objects, or to voxels that lie in another frame of reference."""
    columns = {"patient": "PatientID"}
    if record.Modality in ("SEG", "RTDOSE"):  # an RTSTRUCT may have several frames, a plan has no coordinates to check
        columns["frame of reference"] = "FrameOfReferenceUID"
    differs = [
        what
        for what, column in columns.items()
        if any(_is_other(getattr(record, column), [getattr(row, column) for row in rows]) for rows in targets)
    ]
    if differs:
        message = f"what it refers to has another {' and another '.join(differs)}"
        yield Finding(code="reference_mismatch", message=message, numbers={"differ_in": differs})


def _is_other(own: str | None, others: Sequence[str | None]) -> bool:
    """Whether a value contradicts those of all rows that a reference may mean; an absent one contradicts nothing."""
    return bool(own) and all(other and other != own for other in others)
