"""PET values to body-weight SUV: the factor of a series, or the tag that is in the way.

SUVbw = activity concentration (Bq/ml) x body weight (g) / injected activity (Bq) decayed to the time that the images
are decay-corrected to. The rules are those of the QIBA vendor-neutral pseudo-code and of the IBSI: Decay Correction
START refers to the start of the series, unless Series Time is later than the earliest acquisition (the series was
written anew); ADMIN refers to the injection, and nothing is decayed any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..errors import DicomError
from ..findings import Finding
from .elements import Elements
from .header import TEXT, ImageHeader, item_values, keyword_values, private_row

UNIT_SUV = "SUVbw g/ml"
UNIT_ACTIVITY = "Bq/ml"

DAY = timedelta(days=1)
LONGEST_HALF_LIVES = 20.0  # between injection and scan: beyond it nothing is left to image, the times must be wrong

PET: Mapping[int, tuple[str, str]] = {
    0x00080021: ("SeriesDate", TEXT),
    0x00080031: ("SeriesTime", TEXT),
    0x00101030: ("PatientWeight", TEXT),
    0x00280051: ("CorrectedImage", TEXT),
    0x00541001: ("Units", TEXT),
    0x00541006: ("SUVType", TEXT),
    0x00541102: ("DecayCorrection", TEXT),
}
TRACER: Mapping[int, tuple[str, str]] = {
    0x00181072: ("RadiopharmaceuticalStartTime", TEXT),
    0x00181074: ("RadionuclideTotalDose", TEXT),
    0x00181075: ("RadionuclideHalfLife", TEXT),
    0x00181078: ("RadiopharmaceuticalStartDateTime", TEXT),
}
_TRACERS = 0x00540016
_TAGS = {keyword: tag for table in (PET, TRACER) for tag, (keyword, _) in table.items()} | {
    "AcquisitionTime": 0x00080032
}
_PHILIPS, _PHILIPS_CREATOR, _PHILIPS_SUV, _PHILIPS_ACTIVITY = 0x7053, "Philips PET Private Group", 0x00, 0x09
_GE_CREATOR, _GE_SCAN = "GEMS_PETD_01", 0x0D


@dataclass(frozen=True, slots=True)
class PetScale:
    """What rescaled PET values are multiplied by, and what they then are."""

    factor: float
    unit: str


def pet_scale(headers: Sequence[ImageHeader], *, to_suv: bool) -> PetScale:
    """The factor of a PET series.

    Parameters
    ----------
    headers : of all slices; everything but acquisition times is taken from the first
    to_suv : SUVbw in g/ml, else activity concentration in Bq/ml

    Raises
    ------
    DicomError
        The factor cannot be computed; the message and its finding `suv_not_computable` name the tag.
    """
    elements = headers[0].elements
    values = keyword_values(elements, PET)
    units = values.get("Units")
    if units == "GML":
        if not to_suv:
            raise _not_computable("Units", "GML: the activity cannot be told from a SUV")
        if values.get("SUVType", "BW") != "BW":
            raise _not_computable("SUVType", f"{values['SUVType']!r}, not body weight (BW)")
        return PetScale(1.0, UNIT_SUV)
    if units == "CNTS":
        suv, activity = (_private(elements, _PHILIPS, _PHILIPS_CREATOR, e) for e in (_PHILIPS_SUV, _PHILIPS_ACTIVITY))
        if to_suv and _positive(suv):
            return PetScale(float(suv or 0), UNIT_SUV)
        if not _positive(activity):
            raise _not_computable("Units", "CNTS, without a usable private factor (7053,1000) or (7053,1009)")
        to_activity = float(activity or 0)
    elif units == "BQML":
        to_activity = 1.0
    else:
        raise _not_computable("Units", f"{units!r}; known are BQML, GML, and CNTS of Philips")
    if not to_suv:
        return PetScale(to_activity, UNIT_ACTIVITY)
    return PetScale(to_activity * _suv_per_activity(headers, values), UNIT_SUV)


def _suv_per_activity(headers: Sequence[ImageHeader], values: Mapping[str, Any]) -> float:
    elements = headers[0].elements
    tracers = elements.items(elements.fields().get(_TRACERS))
    if not tracers:
        raise _not_computable("RadiopharmaceuticalInformationSequence", "absent", tag=_TRACERS)
    tracer = item_values(elements, TRACER, tracers[0])
    corrections = values.get("CorrectedImage", [])
    absent = {"ATTN", "DECY"} - set([corrections] if isinstance(corrections, str) else corrections)
    correction = values.get("DecayCorrection")
    if absent:
        raise _not_computable("CorrectedImage", f"without {' and '.join(sorted(absent))}")
    if correction not in ("START", "ADMIN"):
        raise _not_computable("DecayCorrection", f"{correction!r}; usable are START and ADMIN")
    weight_g = _number("PatientWeight", values) * 1000.0
    dose = _number("RadionuclideTotalDose", tracer)
    if correction == "ADMIN":
        return weight_g / dose
    half_life = _number("RadionuclideHalfLife", tracer)
    elapsed_s = _decay_time(headers, values, tracer).total_seconds()
    if elapsed_s > LONGEST_HALF_LIVES * half_life:
        hours = elapsed_s / 3600
        raise _not_computable("RadiopharmaceuticalStartTime", f"{hours:.1f} hours before the scan")
    return weight_g / (dose * 2.0 ** (-elapsed_s / half_life))


def _decay_time(headers: Sequence[ImageHeader], values: Mapping[str, Any], tracer: Mapping[str, Any]) -> timedelta:
    """From the injection to the time that the images are corrected to."""
    reference = _reference_time(headers, values)
    stamp = tracer.get("RadiopharmaceuticalStartDateTime")
    if stamp is not None:
        started = _moment(stamp[:8], stamp[8:], "RadiopharmaceuticalStartDateTime")
    else:
        time = tracer.get("RadiopharmaceuticalStartTime")
        if time is None:
            raise _not_computable("RadiopharmaceuticalStartTime", "absent")
        started = _moment(reference.strftime("%Y%m%d"), time, "RadiopharmaceuticalStartTime")
        if started > reference:
            started -= DAY  # injected before midnight
    if not started <= reference:
        raise _not_computable("RadiopharmaceuticalStartDateTime", f"{started - reference} after the scan")
    return reference - started


def _reference_time(headers: Sequence[ImageHeader], values: Mapping[str, Any]) -> datetime:
    """The start of the series; the scan time that GE keeps, or the earliest acquisition, where that came before."""
    date = values.get("SeriesDate") or headers[0].values.get("AcquisitionDate") or "20000101"  # only intervals matter
    acquired = [
        _moment(h.values.get("AcquisitionDate", date), h.values["AcquisitionTime"], "AcquisitionTime")
        for h in headers
        if "AcquisitionTime" in h.values
    ]
    series = _moment(date, values["SeriesTime"], "SeriesTime") if "SeriesTime" in values else None
    if series is not None and (not acquired or series <= min(acquired)):
        return series
    scan = _private(headers[0].elements, 0x0009, _GE_CREATOR, _GE_SCAN)
    if scan is not None:
        return _moment(scan[:8], scan[8:], "SeriesTime")
    if not acquired:
        raise _not_computable("SeriesTime", "absent, as is AcquisitionTime (0008,0032)")
    return min(acquired)


def _private(elements: Elements, group: int, creator: str, element: int) -> str | None:
    return elements.text(private_row(elements, group, creator, element))


def _moment(date: str, time: str, keyword: str) -> datetime:
    """A date (DA) and a time (TM, fraction optional), with what follows in a date-time (DT) ignored."""
    digits = time.replace(":", "").split("+")[0].split("-")[0]
    whole, _, fraction = digits.partition(".")
    try:
        moment = datetime.strptime(date.replace(".", "") + whole.ljust(6, "0")[:6], "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError as error:
        raise _not_computable(keyword, f"{date} {time}, not a date and a time") from error


def _number(keyword: str, values: Mapping[str, Any]) -> float:
    if not _positive(values.get(keyword)):
        raise _not_computable(keyword, repr(values[keyword]) if keyword in values else "absent")
    return float(values[keyword])


def _positive(text: str | None) -> bool:
    try:
        return text is not None and 0.0 < float(text) < float("inf")
    except ValueError:
        return False


def _not_computable(keyword: str, what: str, tag: int | None = None) -> DicomError:
    number = _TAGS[keyword] if tag is None else tag
    message = f"PET cannot be converted: {keyword} ({number >> 16:04X},{number & 0xFFFF:04X}) is {what}"
    finding = Finding(code="suv_not_computable", message=message, numbers={"keyword": keyword})
    return DicomError(message, [finding])
