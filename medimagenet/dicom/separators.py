"""What may tell the volumes of one series apart, as an instance says it: by keyword, or in a vendor's private tags."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .elements import Elements
from .header import DOUBLES, TEXT, keyword_values, private_row

SEPARATORS: Mapping[int, tuple[str, str]] = {
    0x00080008: ("ImageType", TEXT),
    0x00080032: ("AcquisitionTime", TEXT),
    0x00080033: ("ContentTime", TEXT),
    0x00089208: ("ComplexImageComponent", TEXT),
    0x00180060: ("KVP", TEXT),
    0x00180081: ("EchoTime", TEXT),
    0x00180082: ("InversionTime", TEXT),
    0x00180086: ("EchoNumbers", TEXT),
    0x00181060: ("TriggerTime", TEXT),
    0x00181210: ("ConvolutionKernel", TEXT),
    0x00181314: ("FlipAngle", TEXT),
    0x00189087: ("DiffusionBValue", DOUBLES),
    0x00189089: ("DiffusionGradientOrientation", DOUBLES),
    0x00200011: ("SeriesNumber", TEXT),
    0x00200012: ("AcquisitionNumber", TEXT),
    0x00200013: ("InstanceNumber", TEXT),
    0x00200100: ("TemporalPositionIdentifier", TEXT),
    0x00541300: ("FrameReferenceTime", TEXT),
}
"""Tags that are looked at where slices share a place."""

TIMES = ("AcquisitionTime", "ContentTime")
"""Of these the ones that are text: as numbers they would lose their leading zeros."""

_SIEMENS, _GE, _GE_ACQUISITION = "SIEMENS MR HEADER", "GEMS_PARM_01", "GEMS_ACQU_01"
_PHILIPS = "Philips Imaging DD 001"
_GE_OFFSET = 1_000_000_000  # that newer GE software adds to b-values


def values_apart(elements: Elements) -> dict[str, Any]:
    """What may tell an instance from others at its place, by keyword; what is absent is left out.

    Where the standard's b-value is absent, that of Siemens, GE or Philips stands for it.
    """
    given = keyword_values(elements, SEPARATORS).items()
    found = {keyword: value if keyword in TIMES else plain(value) for keyword, value in given}
    if "DiffusionBValue" not in found:
        found |= _private_diffusion(elements)
    return found


def _private_diffusion(elements: Elements) -> dict[str, Any]:
    siemens = elements.text(private_row(elements, 0x0019, _SIEMENS, 0x0C))
    if siemens is not None:
        row = private_row(elements, 0x0019, _SIEMENS, 0x0E)
        direction = {} if row is None else {"DiffusionGradientOrientation": _numbers(elements.value(row), "<f8")}
        return {"DiffusionBValue": plain(siemens), **direction}
    ge = elements.text(private_row(elements, 0x0043, _GE, 0x39))
    if ge is not None:
        b_value = plain(ge.split("\\")[0])
        parts = [elements.text(private_row(elements, 0x0019, _GE_ACQUISITION, e)) for e in (0xBB, 0xBC, 0xBD)]
        found = {"DiffusionBValue": b_value % _GE_OFFSET if isinstance(b_value, int) else b_value}
        return found | ({"DiffusionGradientOrientation": plain(parts)} if all(parts) else {})
    row = private_row(elements, 0x2001, _PHILIPS, 0x03)
    return {} if row is None else {"DiffusionBValue": _numbers(elements.value(row), "<f4")}


def _numbers(raw: bytes, dtype: str) -> Any:
    itemsize = np.dtype(dtype).itemsize
    return plain(np.frombuffer(raw[: len(raw) // itemsize * itemsize], dtype=dtype).tolist())


def plain(value: Any) -> Any:
    """A value as int, float or text; several as a tuple; a list of one as that one."""
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return plain(value[0]) if len(value) == 1 else tuple(plain(item) for item in value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if number != number or abs(number) == float("inf"):
        return str(value)
    return int(number) if number.is_integer() else number
