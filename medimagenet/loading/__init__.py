"""loading: takes a `Store` and a sampler, gives samples and batches; on disk: the loader's state in a checkpoint.

`PatchDataset`, `SliceDataset` and `VolumeDataset` are map-style and give MONAI-dictionary items to any DataLoader;
`PatchLoader` fills batches with threads, and gives the same patches. All are pure functions of (seed, epoch, index).
`GridPatchDataset` and `GridAggregator` are for inference over whole volumes.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .dataset import PatchDataset as PatchDataset
    from .dataset import VolumeDataset as VolumeDataset
    from .epochs import EpochSampler as EpochSampler
    from .grid import GridAggregator as GridAggregator
    from .grid import GridPatchDataset as GridPatchDataset
    from .grid import predict_store as predict_store
    from .loader import PatchLoader as PatchLoader
    from .measure import LoaderSpeed as LoaderSpeed
    from .measure import measure_loader as measure_loader
    from .patches import PatchSettings as PatchSettings
    from .samplers import Draw as Draw
    from .samplers import Share as Share
    from .slices import SliceDataset as SliceDataset

_HOMES = {
    "Draw": "samplers",
    "EpochSampler": "epochs",
    "GridAggregator": "grid",
    "GridPatchDataset": "grid",
    "LoaderSpeed": "measure",
    "PatchDataset": "dataset",
    "PatchLoader": "loader",
    "PatchSettings": "patches",
    "Share": "samplers",
    "SliceDataset": "slices",
    "VolumeDataset": "dataset",
    "measure_loader": "measure",
    "predict_store": "grid",
}

__all__ = [
    "Draw",
    "EpochSampler",
    "GridAggregator",
    "GridPatchDataset",
    "LoaderSpeed",
    "PatchDataset",
    "PatchLoader",
    "PatchSettings",
    "Share",
    "SliceDataset",
    "VolumeDataset",
    "measure_loader",
    "predict_store",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
