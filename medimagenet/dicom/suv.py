"""PET values to SUV: the factor of every slice of a series, or the tag that is in the way.

SUV = activity concentration (Bq/ml) x size of the body / injected activity (Bq) decayed to the time that the values
are corrected to. The rules are those of the QIBA vendor-neutral pseudo-code and of the IBSI; sizes of the body are in
`body`, times in `pet_times`. Decay Correction ADMIN refers to the injection, and nothing is decayed any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from .body import SIZES, body_size
from .header import ImageHeader, Known, item_values, keyword_values, private_row
from .pet_enhanced import enhanced_values
from .pet_times import elapsed_seconds
from .pet_values import OF_SERIES, PET, TRACER, TRACERS, is_positive, not_computable, positive_number

Pet = Literal["suv", "suvbw", "suvlbm", "suvlbm_james", "suvibw", "suvbsa", "bqml"]
"""What PET is decoded to: SUV by body weight ("suv", "suvbw"), by lean body mass of Janmahasatian or of James, by
ideal body weight or by body surface; or activity concentration."""
KINDS: tuple[str, ...] = get_args(Pet)

UNIT_ACTIVITY = "Bq/ml"
_TRACER_TAGS = np.array([TRACERS], dtype=np.int64)
LEAST_DOSE_BQ = 1e4  # less makes no image: the number is not in Bq
_PHILIPS, _PHILIPS_CREATOR, _PHILIPS_SUV, _PHILIPS_ACTIVITY = 0x7053, "Philips PET Private Group", 0x00, 0x09
_TYPES: Mapping[str, str] = {
    "BW": "suvbw",
    "LBMJANMA": "suvlbm",
    "LBMJAMES128": "suvlbm_james",
    "IBW": "suvibw",
    "BSA": "suvbsa",
}
"""SUV Type (0054,1006) -> kind. LBM alone does not say whose formula it is."""


@dataclass(frozen=True, slots=True)
class PetScale:
    """What rescaled PET values are multiplied by, and what they then are."""

    factors: tuple[float, ...]
    """Per slice."""
    unit: str

    @property
    def factor(self) -> float:
        """That of the first slice: of all, unless values are not decay-corrected."""
        return self.factors[0]


def pet_scale(headers: Sequence[ImageHeader], kind: str = "suv") -> PetScale:
    """The factors of a PET series.

    Parameters
    ----------
    headers : of all slices, which must agree in everything but times
    kind : one of `KINDS`

    Raises
    ------
    DicomError
        The factor cannot be computed; the message and its finding `suv_not_computable` name the tag.
    """
    values = enhanced_values(headers[0]) | keyword_values(headers[0].elements, PET)
    _check_alike(headers)
    units = values.get("Units")
    unit = UNIT_ACTIVITY if kind == "bqml" else SIZES[kind][1]
    if units in ("GML", "CM2ML"):
        return PetScale((_from_suv(units, kind, values),) * len(headers), unit)
    if units in ("CNTS", "PROPCPS"):
        return PetScale(_from_counts(headers, kind, values, units), unit)
    if units != "BQML":
        raise not_computable("Units", f"{units!r}; known are BQML, GML, CM2ML, and CNTS or PROPCPS of Philips")
    return PetScale(_from_activity(headers, kind, values), unit)


def _check_alike(headers: Sequence[ImageHeader]) -> None:
    """Whether slices agree on what their values are, and of whom."""
    known: Known = {}
    first = keyword_values(headers[0].elements, OF_SERIES, known)
    for header in headers[1:]:
        values = keyword_values(header.elements, OF_SERIES, known)
        if values != first:
            keyword = next(key for key, _ in OF_SERIES.values() if values.get(key) != first.get(key))
            one, other = (repr(each[keyword]) if keyword in each else "absent" for each in (first, values))
            raise not_computable(keyword, f"{one} of one slice and {other} of another")


def _tracer(headers: Sequence[ImageHeader]) -> dict[str, Any]:
    """What is said of the tracer, which is one, and the same for all slices."""
    found: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    for header in headers:
        elements = header.elements
        ((row, start, _),) = elements.find(_TRACER_TAGS)
        last = elements.table[elements.table[row][3] - 1]
        raw = b"" if row < 0 else elements.data[start : int(last[1]) + max(0, int(last[2]))]
        if raw in seen:  # as all slices of a sound series: to parse each would take as long as its pixels
            continue
        seen.add(raw)
        for item in elements.items(row if row >= 0 else None):
            values = item_values(elements, TRACER, item)
            found += [values] * (values not in found)
    if not found:
        raise not_computable("RadiopharmaceuticalInformationSequence", "absent")
    if len(found) > 1:
        raise not_computable("RadiopharmaceuticalInformationSequence", f"of {len(found)} injections that differ")
    return found[0]


def _from_suv(units: str, kind: str, values: Mapping[str, Any]) -> float:
    """Values that are SUV: those of another kind have another size of the body in them."""
    if kind == "bqml":
        raise not_computable("Units", f"{units}: the activity cannot be told from a SUV")
    stated = values.get("SUVType", "BSA" if units == "CM2ML" else "BW")
    present = _TYPES.get(stated)
    if present is None or (present == "suvbsa") != (units == "CM2ML"):
        known = ", ".join(_TYPES)
        raise not_computable("SUVType", f"{stated!r}, which does not say by what the values were divided ({known} do)")
    if SIZES[present] == SIZES[kind]:
        return 1.0
    return body_size(kind, values) / body_size(present, values)


def _from_counts(headers: Sequence[ImageHeader], kind: str, values: Mapping[str, Any], units: str) -> tuple[float, ...]:
    """Values that are counts mean something by the factors in the private data of Philips alone."""
    suv, activity = ([_private(header, element) for header in headers] for element in (_PHILIPS_SUV, _PHILIPS_ACTIVITY))
    if kind != "bqml" and all(map(is_positive, suv)):
        ratio = 1.0 if SIZES[kind] == SIZES["suv"] else body_size(kind, values) / body_size("suv", values)
        return tuple(float(text or 0) * ratio for text in suv)
    if not all(map(is_positive, activity)):
        raise not_computable("Units", f"{units}, without a usable private factor (7053,1000) or (7053,1009)")
    per_activity = _from_activity(headers, kind, values)
    return tuple(float(text or 0) * factor for text, factor in zip(activity, per_activity, strict=True))


def _from_activity(headers: Sequence[ImageHeader], kind: str, values: Mapping[str, Any]) -> tuple[float, ...]:
    if kind == "bqml":
        return (1.0,) * len(headers)
    tracer = _tracer(headers)
    correction = values.get("DecayCorrection")
    _check_corrections(values, correction)
    size = body_size(kind, values)
    dose = positive_number("RadionuclideTotalDose", tracer)
    if dose < LEAST_DOSE_BQ:
        raise not_computable("RadionuclideTotalDose", f"{tracer['RadionuclideTotalDose']!r}, which is not in Bq")
    if correction == "ADMIN":
        return (size / dose,) * len(headers)
    half_life = positive_number("RadionuclideHalfLife", tracer)
    elapsed = elapsed_seconds(headers, values, tracer, half_life)
    return tuple(size / (dose * 2.0 ** (-seconds / half_life)) for seconds in elapsed)


def _check_corrections(values: Mapping[str, Any], correction: str | None) -> None:
    """Whether the values are an activity, and the two statements about decay agree."""
    given = values.get("CorrectedImage", [])
    corrections = {given} if isinstance(given, str) else set(given)
    absent = {"ATTN", "DECY"} - corrections if correction != "NONE" else {"ATTN"} - corrections
    if absent:
        raise not_computable("CorrectedImage", f"without {' and '.join(sorted(absent))}")
    if correction == "NONE" and "DECY" in corrections:
        raise not_computable("DecayCorrection", "'NONE', though CorrectedImage (0028,0051) has DECY")
    if correction not in ("START", "ADMIN", "NONE"):
        raise not_computable("DecayCorrection", f"{correction!r}; usable are START, ADMIN and NONE")


def _private(header: ImageHeader, element: int) -> str | None:
    return header.elements.text(private_row(header.elements, _PHILIPS, _PHILIPS_CREATOR, element))
