"""loading: takes a `Store` and a sampler, gives samples and batches; on disk: the loader's state in a checkpoint.

`PatchDataset` and `VolumeDataset` are map-style and give MONAI-dictionary items to any DataLoader; `PatchLoader`
fills batches with threads, and gives the same patches. All are pure functions of (seed, epoch, index).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import PatchDataset as PatchDataset
    from .dataset import VolumeDataset as VolumeDataset
    from .epochs import EpochSampler as EpochSampler
    from .loader import PatchLoader as PatchLoader
    from .patches import PatchSettings as PatchSettings
    from .samplers import Draw as Draw
    from .samplers import Share as Share

_HOMES = {
    "Draw": "samplers",
    "EpochSampler": "epochs",
    "PatchDataset": "dataset",
    "PatchLoader": "loader",
    "PatchSettings": "patches",
    "Share": "samplers",
    "VolumeDataset": "dataset",
}

__all__ = ["Draw", "EpochSampler", "PatchDataset", "PatchLoader", "PatchSettings", "Share", "VolumeDataset"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
