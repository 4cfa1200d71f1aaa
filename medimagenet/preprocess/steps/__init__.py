"""Steps: each a frozen value that is called with a `Case` and gives the next one, its provenance extended.

A step of your own is a frozen dataclass with ``__call__(self, case: Case) -> Case``; recipes name it ``module:Class``.
"""

from .checks import CheckFinite, CheckMask
from .crop import CropBody, CropForeground, CropMask, CropNonzero, crop_box
from .filters import Denoise, MonaiTransform, N4BiasCorrection, SimpleItkFilter
from .masks import LargestComponent, MergeLabels, largest_component
from .normalize import Normalize
from .pad import CropPad, ToCtGrid, ToPetGrid
from .regions import SelectRois
from .registry import STEPS, build_step
from .space import Orient, Resample, ResampleTo
from .step import Stage, Step, recorded
from .values import ClipPercentile, HistogramMatch, Suv, fit_landmarks

__all__ = [
    "STEPS",
    "CheckFinite",
    "CheckMask",
    "ClipPercentile",
    "CropBody",
    "CropForeground",
    "CropMask",
    "CropNonzero",
    "CropPad",
    "Denoise",
    "HistogramMatch",
    "LargestComponent",
    "MergeLabels",
    "MonaiTransform",
    "N4BiasCorrection",
    "Normalize",
    "Orient",
    "Resample",
    "ResampleTo",
    "SelectRois",
    "SimpleItkFilter",
    "Stage",
    "Step",
    "Suv",
    "ToCtGrid",
    "ToPetGrid",
    "build_step",
    "crop_box",
    "fit_landmarks",
    "largest_component",
    "recorded",
]
