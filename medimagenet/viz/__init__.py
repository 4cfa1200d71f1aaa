"""Takes: arrays with a `Grid`. Gives: figures. On disk: PNG.

For every picture the choice of slices, the colours and the pixels are functions of the arrays alone, so that a figure
made twice is the same file. Captions carry what the caller gives; nothing here reads names of patients.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .blending import class_colors as class_colors
    from .blending import overlay as overlay
    from .blending import window as window
    from .curves import write_curves as write_curves
    from .montage import Row as Row
    from .montage import Tile as Tile
    from .montage import case_tiles as case_tiles
    from .montage import comparison_tiles as comparison_tiles
    from .montage import write_montage as write_montage
    from .slices import Plane as Plane

_HOMES = {
    "Plane": "slices",
    "Row": "montage",
    "Tile": "montage",
    "case_tiles": "montage",
    "class_colors": "blending",
    "comparison_tiles": "montage",
    "overlay": "blending",
    "window": "blending",
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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
