"""Stage dicom: takes local series, gives a `Volume` or a `Mask` in a `Case`, with findings; nothing on disk.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pydicom nor numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .mask import read_mask as read_mask
    from .rtdose import read_dose as read_dose
    from .rtstruct import StructureSet as StructureSet
    from .rtstruct import read_structures as read_structures
    from .scan import read_header as read_header
    from .scan import scan as scan
    from .series import read_series as read_series
    from .stack import SlicePlane as SlicePlane
    from .stack import Stack as Stack
    from .stack import plane_from_values as plane_from_values
    from .stack import stack_slices as stack_slices

_HOMES = {
    "SlicePlane": "stack",
    "Stack": "stack",
    "StructureSet": "rtstruct",
    "plane_from_values": "stack",
    "read_dose": "rtdose",
    "read_header": "scan",
    "read_mask": "mask",
    "read_series": "series",
    "read_structures": "rtstruct",
    "scan": "scan",
    "stack_slices": "stack",
}

__all__ = [
    "SlicePlane",
    "Stack",
    "StructureSet",
    "plane_from_values",
    "read_dose",
    "read_header",
    "read_mask",
    "read_series",
    "read_structures",
    "scan",
    "stack_slices",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
