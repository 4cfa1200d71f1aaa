"""Stage dicom: takes local series, gives a `Volume` or a `Mask` in a `Case`, with findings; nothing on disk.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pydicom nor numba.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .mask import read_mask as read_mask
    from .rtdose import read_dose as read_dose
    from .rtstruct import StructureSet as StructureSet
    from .rtstruct import read_structures as read_structures
    from .scan import read_header as read_header
    from .scan import scan as scan
    from .series import read_series as read_series
    from .series import read_volumes as read_volumes
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
    "read_volumes": "series",
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
    "read_volumes",
    "scan",
    "stack_slices",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
