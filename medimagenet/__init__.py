"""Med-ImageNet: from "which public scans fit my question?" to "my GPU is never waiting for data".

The names here are what a user types. Each is imported when it is first used, so that ``import medimagenet`` costs
nothing: neither numba nor SimpleITK, pydicom, torch or matplotlib is loaded by it.
"""

from typing import TYPE_CHECKING

from ._lazy import lazy_names
from ._version import __version__

if TYPE_CHECKING:
    from .compiler import compile_store as compile_store
    from .dicom import read_mask as read_mask
    from .dicom import read_series as read_series
    from .dicom import read_volumes as read_volumes
    from .geometry import Grid as Grid
    from .index import Index as Index
    from .index import index_directory as index_directory
    from .index import open_index as open_index
    from .loading import PatchDataset as PatchDataset
    from .loading import PatchLoader as PatchLoader
    from .loading import VolumeDataset as VolumeDataset
    from .preprocess import Recipe as Recipe
    from .store import Store as Store
    from .store import open_store as open_store
    from .train import DataModule as DataModule
    from .volume import Case as Case
    from .volume import Mask as Mask
    from .volume import Volume as Volume

_HOMES = {
    "Case": "volume",
    "DataModule": "train",
    "Grid": "geometry",
    "Index": "index",
    "Mask": "volume",
    "PatchDataset": "loading",
    "PatchLoader": "loading",
    "Recipe": "preprocess",
    "Store": "store",
    "Volume": "volume",
    "VolumeDataset": "loading",
    "compile_store": "compiler",
    "index_directory": "index",
    "open_index": "index",
    "open_store": "store",
    "read_mask": "dicom",
    "read_series": "dicom",
    "read_volumes": "dicom",
}

__all__ = [
    "Case",
    "DataModule",
    "Grid",
    "Index",
    "Mask",
    "PatchDataset",
    "PatchLoader",
    "Recipe",
    "Store",
    "Volume",
    "VolumeDataset",
    "__version__",
    "compile_store",
    "index_directory",
    "open_index",
    "open_store",
    "read_mask",
    "read_series",
    "read_volumes",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
