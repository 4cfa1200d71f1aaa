"""What an enhanced PET (DICOM PS3.3 A.56) says of its values, in the words of a single-frame one.

Its unit is that of the real world value mapping, whose line must be the rescale; that it is corrected for attenuation
and decay stands in flags of their own (C.8.22.5), and the moment of decay correction in a date-time.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .elements import read_dataset
from .header import ImageHeader
from .pet_values import not_computable

if TYPE_CHECKING:
    import pydicom

ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
_UNITS: Mapping[str, tuple[str, str]] = {
    "Bq/ml": ("BQML", ""),
    "cm2/ml{SUVbsa}": ("CM2ML", "BSA"),
    "g/ml{SUVbw}": ("GML", "BW"),
    "g/ml{SUVibw}": ("GML", "IBW"),
    "g/ml{SUVlbm(James128)}": ("GML", "LBMJAMES128"),
    "g/ml{SUVlbm(Janma)}": ("GML", "LBMJANMA"),
    "g/ml{SUVlbm}": ("GML", "LBM"),
    "{SUVbw}g/ml": ("GML", "BW"),
    "{counts}": ("CNTS", ""),
    "{propcounts}/s": ("PROPCPS", ""),
}
"""UCUM code (PS3.16 CID 84, and an older form) -> Units (0054,1001) and SUV Type (0054,1006)."""
_FLAGS = (("ATTN", "AttenuationCorrected"), ("DECY", "DecayCorrected"))
_RESCALE = "PixelValueTransformation"
_CLOSE = 1e-6  # relative: one number as decimal text and as a double


def enhanced_values(header: ImageHeader) -> dict[str, Any]:
    """Units, SUVType, CorrectedImage and DecayCorrection, as far as the object says; none of other classes.

    Raises
    ------
    DicomError
        Frames have different units, or the mapping is not the rescale.
    """
    if header.values.get("SOPClassUID") != ENHANCED_PET:
        return {}
    dataset = read_dataset(header.path, stop_before_pixels=True)
    found: dict[str, Any] = {}
    units = {_unit(mapping, rescale) for mapping, rescale in _mappings(dataset)}
    if len(units) > 1:
        raise not_computable("Units", f"not one: real world values of frames are in {', '.join(sorted(units))}")
    for unit in units:
        stated, kind = _UNITS.get(unit, (unit, ""))
        found |= {"Units": stated} | ({"SUVType": kind} if kind else {})
    found["CorrectedImage"] = [short for short, keyword in _FLAGS if dataset.get(keyword) == "YES"]
    if dataset.get("DecayCorrected") == "NO":
        found["DecayCorrection"] = "NONE"
    elif dataset.get("DecayCorrectionDateTime"):
        found["DecayCorrection"] = "START"
    return found


def _mappings(dataset: "pydicom.Dataset") -> Iterator[tuple["pydicom.Dataset", "pydicom.Dataset | None"]]:
    """Each real world value mapping with the rescale of the same frame, the shared one once."""
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or ()), None)
    for groups in dataset.get("PerFrameFunctionalGroupsSequence") or (None,):
        mapping, rescale = (_item(groups, name) or _item(shared, name) for name in ("RealWorldValueMapping", _RESCALE))
        if mapping is not None:
            yield mapping, rescale


def _item(groups: "pydicom.Dataset | None", name: str) -> "pydicom.Dataset | None":
    items = groups.get(f"{name}Sequence") if groups is not None else None
    return items[0] if items else None


def _unit(mapping: "pydicom.Dataset", rescale: "pydicom.Dataset | None") -> str:
    """The unit of a mapping by slope and intercept."""
    line = [mapping.get("RealWorldValueSlope"), mapping.get("RealWorldValueIntercept", 0.0)]
    own = [rescale.get("RescaleSlope", 1), rescale.get("RescaleIntercept", 0)] if rescale is not None else [1, 0]
    for one, other in zip(line, own, strict=True):
        if one is None or abs(float(one) - float(other)) > _CLOSE * max(abs(float(one)), abs(float(other))):
            raise not_computable("Units", f"unknown: the real world values, {line}, are not the rescaled ones, {own}")
    codes = mapping.get("MeasurementUnitsCodeSequence")
    return str(codes[0].get("CodeValue", "")) if codes else ""
