"""The seconds between the injection and the moment that PET values are corrected to, per slice.

Decay Correction (0054,1102) START: to the start of the series, unless that is later than the earliest acquisition (the
series was written anew, and its time says when); then to the scan time that GE keeps in private data, else to the
earliest acquisition. A Decay Correction DateTime goes before all of these: the standard's (0018,9701), or that of
Siemens (0071,xx22), of which the time of day counts, on the day of the scan: where dates were shifted to hide a
patient, those in private data often stayed. NONE: every slice shows the
activity at the time of its own frame, averaged over the frame; the frame's start and length must be there.
(QIBA vendor-neutral pseudo-code for SUV; IBSI.)
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import expm1, log
from typing import Any

from .elements import Elements
from .header import ImageHeader, keyword_values, private_row
from .pet_values import PET, is_positive, moment, not_computable, positive_number

DAY = timedelta(days=1)
LONGEST_HALF_LIVES = 10.0  # between injection and scan: beyond it a thousandth is left, the times must be wrong
DISAGREEMENT = timedelta(seconds=60)  # between two statements of the injection's time: written to the minute
_GE, _GE_SCAN, _GE_INJECTION = "GEMS_PETD_01", 0x0D, 0x3B
_SIEMENS, _SIEMENS_CORRECTION = "SIEMENS MED PT", 0x22
_NO_DATE = "15000101"  # only intervals matter; no scan is so old, and no dummy date


def elapsed_seconds(
    headers: Sequence[ImageHeader], values: Mapping[str, Any], tracer: Mapping[str, Any], half_life: float
) -> list[float]:
    """From the injection to the moment of each slice's values.

    Parameters
    ----------
    values, tracer : of the first slice, by keyword

    Raises
    ------
    DicomError
        A time is absent, impossible or contradicts another.
    """
    if values.get("DecayCorrection") == "NONE":
        moments = _frame_moments(headers, half_life)
    else:
        moments = [_reference(headers, values)] * len(headers)
    injection = _injection(headers[0].elements, tracer, min(moments))
    elapsed = [(time - injection).total_seconds() for time in moments]
    if min(elapsed) < 0:
        raise not_computable("RadiopharmaceuticalStartDateTime", f"{injection - min(moments)} after the scan")
    if max(elapsed) > LONGEST_HALF_LIVES * half_life:
        keyword = "RadiopharmaceuticalStart" + ("DateTime" if "RadiopharmaceuticalStartDateTime" in tracer else "Time")
        raise not_computable(
            keyword, f"{max(elapsed) / 3600:.1f} hours before the scan, {half_life:g} s is the half-life"
        )
    _check_agreement(tracer)
    return elapsed


def _injection(elements: Elements, tracer: Mapping[str, Any], scan: datetime) -> datetime:
    stamp, time = tracer.get("RadiopharmaceuticalStartDateTime"), tracer.get("RadiopharmaceuticalStartTime")
    if stamp is None and time is None:
        stamp = elements.text(private_row(elements, 0x0009, _GE, _GE_INJECTION))
    if stamp is not None:
        if scan.year == int(_NO_DATE[:4]):
            raise not_computable("SeriesDate", "absent, as is AcquisitionDate (0008,0022): the injection has a date")
        return moment(stamp[:8], stamp[8:], "RadiopharmaceuticalStartDateTime")
    if time is None:
        raise not_computable("RadiopharmaceuticalStartTime", "absent")
    started = moment(scan.strftime("%Y%m%d"), time, "RadiopharmaceuticalStartTime")
    return started - DAY if started > scan else started  # injected before midnight


def _check_agreement(tracer: Mapping[str, Any]) -> None:
    """Whether the two statements of the injection's time are of the same time of day."""
    stamp, time = tracer.get("RadiopharmaceuticalStartDateTime"), tracer.get("RadiopharmaceuticalStartTime")
    if stamp is None or time is None:
        return
    one = moment(stamp[:8], stamp[8:], "RadiopharmaceuticalStartDateTime")
    other = moment(stamp[:8], time, "RadiopharmaceuticalStartTime")
    if min(abs(one - other), DAY - abs(one - other)) > DISAGREEMENT:
        raise not_computable("RadiopharmaceuticalStartTime", f"{time}, RadiopharmaceuticalStartDateTime is {stamp}")


def _reference(headers: Sequence[ImageHeader], values: Mapping[str, Any]) -> datetime:
    """What decay correction START refers to."""
    stamp = values.get("DecayCorrectionDateTime")
    if stamp is not None:
        return moment(stamp[:8], stamp[8:], "DecayCorrectionDateTime")
    date = values.get("SeriesDate") or headers[0].values.get("AcquisitionDate") or _NO_DATE
    series = moment(date, values["SeriesTime"], "SeriesTime") if "SeriesTime" in values else None
    acquired = [_acquired(header.values, date, series) for header in headers if "AcquisitionTime" in header.values]
    known = min(acquired, default=series)
    siemens = headers[0].elements.text(private_row(headers[0].elements, 0x0071, _SIEMENS, _SIEMENS_CORRECTION))
    if siemens is not None and known is not None:
        return _on_day_of(moment(siemens[:8], siemens[8:], "DecayCorrectionDateTime"), known)
    if series is not None and (not acquired or series <= min(acquired)):
        return series
    scan = headers[0].elements.text(private_row(headers[0].elements, 0x0009, _GE, _GE_SCAN))
    if scan is not None:
        return moment(scan[:8], scan[8:], "SeriesTime")
    if not acquired:
        raise not_computable("SeriesTime", "absent, as is AcquisitionTime (0008,0032)")
    return min(acquired)


def _on_day_of(time: datetime, scan: datetime) -> datetime:
    """A time of day on the day that brings it nearest to the scan."""
    same_day = datetime.combine(scan.date(), time.time())
    return min((same_day - DAY, same_day, same_day + DAY), key=lambda day: abs(day - scan))


def _acquired(values: Mapping[str, Any], date: str, series: datetime | None) -> datetime:
    """When a slice was acquired; without a date of its own, on the next day where the series began before midnight."""
    time = moment(values.get("AcquisitionDate", date), values["AcquisitionTime"], "AcquisitionTime")
    if series is not None and "AcquisitionDate" not in values and series - time > DAY / 2:
        return time + DAY
    return time


def _frame_moments(headers: Sequence[ImageHeader], half_life: float) -> list[datetime]:
    """When the activity was what each slice shows: between the start and the middle of its frame."""
    rows = [keyword_values(header.elements, PET) for header in headers]
    moments = []
    for row in rows:
        if "AcquisitionTime" not in row:
            raise not_computable("AcquisitionTime", "absent, and DecayCorrection is NONE")
        date = row.get("AcquisitionDate") or row.get("SeriesDate") or _NO_DATE
        start = moment(date, row["AcquisitionTime"], "AcquisitionTime")
        duration_s = positive_number("ActualFrameDuration", row) / 1000.0
        moments.append(start + timedelta(seconds=_average_time(duration_s, half_life)))
    references = {row["FrameReferenceTime"] for row in rows if is_positive(row.get("FrameReferenceTime"))}
    if len(references) > 1 and len(set(moments)) == 1:
        raise not_computable("AcquisitionTime", "that of all slices, though FrameReferenceTime differs from bed to bed")
    return moments


def _average_time(duration_s: float, half_life: float) -> float:
    """Seconds after the start of a frame at which the activity equals its mean over the frame."""
    decay = log(2.0) / half_life
    mean = -expm1(-decay * duration_s) / (decay * duration_s)
    return -log(mean) / decay
