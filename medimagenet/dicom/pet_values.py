"""The header values that a SUV is made of, and the finding where one of them is in the way."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ..errors import DicomError
from ..findings import Finding
from .header import TEXT

PET: Mapping[int, tuple[str, str]] = {
    0x00080021: ("SeriesDate", TEXT),
    0x00080022: ("AcquisitionDate", TEXT),
    0x00080031: ("SeriesTime", TEXT),
    0x00080032: ("AcquisitionTime", TEXT),
    0x00100040: ("PatientSex", TEXT),
    0x00101020: ("PatientSize", TEXT),
    0x00101030: ("PatientWeight", TEXT),
    0x00181242: ("ActualFrameDuration", TEXT),
    0x00189701: ("DecayCorrectionDateTime", TEXT),
    0x00280051: ("CorrectedImage", TEXT),
    0x00541001: ("Units", TEXT),
    0x00541006: ("SUVType", TEXT),
    0x00541102: ("DecayCorrection", TEXT),
    0x00541300: ("FrameReferenceTime", TEXT),
}
TRACER: Mapping[int, tuple[str, str]] = {
    0x00181072: ("RadiopharmaceuticalStartTime", TEXT),
    0x00181074: ("RadionuclideTotalDose", TEXT),
    0x00181075: ("RadionuclideHalfLife", TEXT),
    0x00181078: ("RadiopharmaceuticalStartDateTime", TEXT),
}
TRACERS = 0x00540016
OF_SERIES: Mapping[int, tuple[str, str]] = {
    tag: PET[tag] for tag in (0x00100040, 0x00101020, 0x00101030, 0x00541001, 0x00541006, 0x00541102)
}
"""What all slices of a series must have in common."""
_TAGS = {keyword: tag for table in (PET, TRACER) for tag, (keyword, _) in table.items()} | {
    "RadiopharmaceuticalInformationSequence": TRACERS
}


def moment(date: str, time: str, keyword: str) -> datetime:
    """A date (DA) and a time (TM, fraction optional), with what follows in a date-time (DT) ignored."""
    digits = time.replace(":", "").split("+")[0].split("-")[0]
    whole, _, fraction = digits.partition(".")
    try:
        start = datetime.strptime(date.replace(".", "") + whole.ljust(6, "0")[:6], "%Y%m%d%H%M%S")
        return start + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError as error:
        raise not_computable(keyword, f"{date} {time}, not a date and a time") from error


def positive_number(keyword: str, values: Mapping[str, Any]) -> float:
    """A number above 0."""
    if not is_positive(values.get(keyword)):
        raise not_computable(keyword, repr(values[keyword]) if keyword in values else "absent")
    return float(values[keyword])


def is_positive(text: Any) -> bool:
    """Whether a value is a finite number above 0."""
    try:
        return text is not None and 0.0 < float(text) < float("inf")
    except (TypeError, ValueError):
        return False


def not_computable(keyword: str, what: str) -> DicomError:
    """The error, with its finding, that says which tag is in the way."""
    number = _TAGS[keyword]
    message = f"PET cannot be converted: {keyword} ({number >> 16:04X},{number & 0xFFFF:04X}) is {what}"
    finding = Finding(code="suv_not_computable", message=message, numbers={"keyword": keyword})
    return DicomError(message, [finding])
