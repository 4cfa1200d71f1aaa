"""Defects that can be planted in a synthetic patient: one thing wrong each, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from .truth import PatientTruth


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One named defect."""

    plant: Callable[[PatientTruth], None]
    """Changes the files of a patient in place."""
    modality: str
    """What must have been written."""
    finding: str | None
    """Code of the finding that a reader should report, a key of `findings.SEVERITY`; None where all stays well."""

    @property
    def description(self) -> str:
        """What it does."""
        return self.plant.__doc__ or ""


DEFECTS: dict[str, Defect] = {}
