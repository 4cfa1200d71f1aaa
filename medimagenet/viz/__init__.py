"""Takes: arrays with a `Grid`. Gives: figures. On disk: PNG.

For every picture the choice of slices, the colours and the pixels are functions of the arrays alone, so that a figure
made twice is the same file. Captions carry what the caller gives; nothing here reads names of patients.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .curves import write_curves as write_curves
    from .montage import Row as Row
    from .montage import Tile as Tile
    from .montage import case_tiles as case_tiles
    from .montage import comparison_tiles as comparison_tiles
    from .montage import write_montage as write_montage
    from .overlay import class_colors as class_colors
    from .overlay import overlay as overlay
    from .overlay import window as window
    from .slices import Plane as Plane

_HOMES = {
    "Plane": "slices",
    "Row": "montage",
    "Tile": "montage",
    "case_tiles": "montage",
    "class_colors": "overlay",
    "comparison_tiles": "montage",
    "overlay": "overlay",
    "window": "overlay",
    "write_curves": "curves",
    "write_montage": "montage",
}

__all__ = [
    "Plane",
    "Row",
    "Tile",
    "case_tiles",
    "class_colors",
    "comparison_tiles",
    "overlay",
    "window",
    "write_curves",
    "write_montage",
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
