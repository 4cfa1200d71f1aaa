"""What a compile did: every sample of the plan is in it once, with the reason where it is not in the store."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..findings import Finding

State = Literal["written", "unchanged", "skipped", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one sample."""

    sample_id: str
    state: State
    findings: tuple[Finding, ...] = ()
    """All findings of the sample; for a skipped one they say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a worker made of one sample: a row for the table, or None and the findings that say why."""

    sample_id: str
    row: Mapping[str, Any] | None
    findings: tuple[Finding, ...]


def unique_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The index and the decoder see some of the same things; each is told once."""
    return tuple({(finding.code, finding.message): finding for finding in findings}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileReport:
    """What a compile did."""

    path: Path
    """The store."""
    outcomes: tuple[Outcome, ...]
    """One per sample of the plan, and one per sample that left the store, sorted by sample."""
    not_formed: tuple[tuple[str, str], ...] = ()
    """Series of the asked modalities that belong to no sample: (which, why)."""
    seconds: float = field(default=0.0, compare=False)

    def of_state(self, state: State) -> tuple[Outcome, ...]:
        """The outcomes of one state."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == state)

    @property
    def written(self) -> tuple[str, ...]:
        """IDs of the samples that were compiled now."""
        return tuple(outcome.sample_id for outcome in self.of_state("written"))

    @property
    def unchanged(self) -> tuple[str, ...]:
        """IDs of the samples that were there already, from the same recipe and the same input."""
        return tuple(outcome.sample_id for outcome in self.of_state("unchanged"))

    @property
    def skipped(self) -> tuple[Outcome, ...]:
        """The samples that are not in the store."""
        return self.of_state("skipped")

    def findings(self) -> tuple[Finding, ...]:
        """All findings of all samples."""
        return tuple(finding for outcome in self.outcomes for finding in outcome.findings)

    def rows(self) -> list[dict[str, str]]:
        """One row per finding; a sample without findings has one row that says so."""
        rows = []
        for outcome in self.outcomes:
            found = [finding.to_row() for finding in outcome.findings] or [dict.fromkeys(FINDING_COLUMNS, "")]
            rows += [{"sample_id": outcome.sample_id, "state": outcome.state, **row} for row in found]
        rows += [
            {"sample_id": which, "state": "not_formed", **dict.fromkeys(FINDING_COLUMNS, ""), "message": why}
            for which, why in self.not_formed
        ]
        return rows

    def to_csv(self) -> str:
        """The rows as CSV: what lies beside the store."""
        text = io.StringIO()
        writer = csv.DictWriter(text, ["sample_id", "state", *FINDING_COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts, and the rows."""
        states: Sequence[State] = ("written", "unchanged", "skipped", "removed")
        counts: dict[str, Any] = {state: len(self.of_state(state)) for state in states}
        return {"store": str(self.path), "seconds": round(self.seconds, 3), **counts, "samples": self.rows()}


FINDING_COLUMNS = ("code", "severity", "message", "numbers")


def report_path(store: Path) -> Path:
    """Where the report of the last compile of a store lies."""
    return store.with_name(f"{store.name}.report.csv")
