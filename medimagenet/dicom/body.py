"""What an uptake is divided by: the size of the body, by formulas that DICOM names (PS3.16, 126401 to 126406).

    SUVbw            body weight
    SUVlbm, Janma    lean body mass of Janmahasatian et al., Clin Pharmacokinet 2005, which the IBSI recommends:
                     9270 W / (6680 + 216 B) of a man, 9270 W / (8780 + 244 B) of a woman
    SUVlbm, James    lean body mass of James 1976, coefficient 128: 1.10 W - 128 (W/H)^2, 1.07 W - 148 (W/H)^2
    SUVibw           ideal body weight of Sugawara et al., Radiology 1999: 48.0 + 1.06 (H - 152), 45.5 + 0.91 (H - 152)
    SUVbsa           body surface area of Du Bois 1916: 0.007184 W^0.425 H^0.725 square metres

W is the weight in kg, H the height in cm, B the body mass index in kg per square metre.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .pet_values import not_computable, positive_number

TALLEST_M, SMALLEST_M = 2.6, 0.2  # a height beyond is not in metres
HEAVIEST_KG = 650.0  # a weight beyond is not in kilograms; animals may be as light as they are
_CM2_PER_M2 = 1e4
_G_PER_KG = 1e3


def _weight_kg(values: Mapping[str, Any]) -> float:
    weight = positive_number("PatientWeight", values)
    if weight > HEAVIEST_KG:
        raise not_computable("PatientWeight", f"{values['PatientWeight']!r}, which no weight in kilograms is")
    return weight


def _weight(values: Mapping[str, Any]) -> float:
    return _weight_kg(values) * _G_PER_KG


def _height_cm(values: Mapping[str, Any]) -> float:
    height = positive_number("PatientSize", values)
    if not SMALLEST_M <= height <= TALLEST_M:
        raise not_computable("PatientSize", f"{values['PatientSize']!r}, which no height in metres is")
    return height * 100.0


def _by_sex(values: Mapping[str, Any], man: float, woman: float) -> float:
    sex = values.get("PatientSex")
    if sex not in ("M", "F"):
        raise not_computable("PatientSex", "absent" if sex is None else f"{sex!r}; the formula is of M and F")
    size = man if sex == "M" else woman
    if size <= 0:
        raise not_computable("PatientSize", "too small for the weight: the formula gives no mass")
    return size * _G_PER_KG


def _janmahasatian(values: Mapping[str, Any]) -> float:
    weight, height = _weight_kg(values), _height_cm(values)
    index = weight / (height / 100.0) ** 2
    return _by_sex(values, 9270 * weight / (6680 + 216 * index), 9270 * weight / (8780 + 244 * index))


def _james(values: Mapping[str, Any]) -> float:
    weight, height = _weight_kg(values), _height_cm(values)
    square = (weight / height) ** 2
    return _by_sex(values, 1.10 * weight - 128 * square, 1.07 * weight - 148 * square)


def _ideal(values: Mapping[str, Any]) -> float:
    height = _height_cm(values)
    return _by_sex(values, 48.0 + 1.06 * (height - 152), 45.5 + 0.91 * (height - 152))


def _surface(values: Mapping[str, Any]) -> float:
    weight, height = _weight_kg(values), _height_cm(values)
    return 0.007184 * weight**0.425 * height**0.725 * _CM2_PER_M2


SIZES: Mapping[str, tuple[Callable[[Mapping[str, Any]], float], str]] = {
    "suv": (_weight, "SUVbw g/ml"),
    "suvbw": (_weight, "SUVbw g/ml"),
    "suvlbm": (_janmahasatian, "SUVlbm (Janmahasatian) g/ml"),
    "suvlbm_james": (_james, "SUVlbm (James 128) g/ml"),
    "suvibw": (_ideal, "SUVibw g/ml"),
    "suvbsa": (_surface, "SUVbsa cm2/ml"),
}
"""Kind of SUV -> its size of the body, g or cm2, from PatientWeight, PatientSize and PatientSex; its unit."""


def body_size(kind: str, values: Mapping[str, Any]) -> float:
    """The size of the body of a kind of SUV, in g, of SUVbsa in cm2.

    Raises
    ------
    DicomError
        A value that the formula needs is absent or impossible: the finding `suv_not_computable` names its tag.
    """
    return SIZES[kind][0](values)
