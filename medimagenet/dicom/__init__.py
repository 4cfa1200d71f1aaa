"""Stage dicom: takes local series, gives a `Volume` or a `Mask` in a `Case`, with findings; nothing on disk.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pydicom nor numba.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .dvh import DoseVolumeHistogram as DoseVolumeHistogram
    from .dvh import dose_volume_histogram as dose_volume_histogram
    from .header_scan import read_header as read_header
    from .header_scan import scan as scan
    from .mask import read_mask as read_mask
    from .registration import Registration as Registration
    from .registration import read_registration as read_registration
    from .rtdose import read_dose as read_dose
    from .rtstruct import StructureSet as StructureSet
    from .rtstruct import read_structures as read_structures
    from .seg import Segmentation as Segmentation
    from .seg import read_segments as read_segments
    from .series import read_series as read_series
    from .series import read_volumes as read_volumes
    from .stack import SlicePlane as SlicePlane
    from .stack import Stack as Stack
    from .stack import plane_from_values as plane_from_values
    from .stack import stack_slices as stack_slices

_HOMES = {
    "DoseVolumeHistogram": "dvh",
    "Registration": "registration",
    "Segmentation": "seg",
    "SlicePlane": "stack",
    "Stack": "stack",
    "StructureSet": "rtstruct",
    "dose_volume_histogram": "dvh",
    "plane_from_values": "stack",
    "read_dose": "rtdose",
    "read_header": "header_scan",
    "read_mask": "mask",
    "read_registration": "registration",
    "read_segments": "seg",
    "read_series": "series",
    "read_structures": "rtstruct",
    "read_volumes": "series",
    "scan": "header_scan",
    "stack_slices": "stack",
}

__all__ = [
    "DoseVolumeHistogram",
    "Registration",
    "Segmentation",
    "SlicePlane",
    "Stack",
    "StructureSet",
    "dose_volume_histogram",
    "plane_from_values",
    "read_dose",
    "read_header",
    "read_mask",
    "read_registration",
    "read_segments",
    "read_series",
    "read_structures",
    "read_volumes",
    "scan",
    "stack_slices",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
