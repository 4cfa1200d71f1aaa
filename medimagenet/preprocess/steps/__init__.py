"""Steps: each a frozen value that is called with a `Case` and gives the next one, its provenance extended.

A step of your own is a frozen dataclass with ``__call__(self, case: Case) -> Case``.
"""

from .checks import CheckFinite, CheckMask
from .crop import CropForeground, CropMask, crop_box
from .normalize import Normalize
from .regions import SelectRois
from .space import Orient, Resample, ResampleTo
from .step import Step

__all__ = [
    "CheckFinite",
    "CheckMask",
    "CropForeground",
    "CropMask",
    "Normalize",
    "Orient",
    "Resample",
    "ResampleTo",
    "SelectRois",
    "Step",
    "crop_box",
]
