"""Stage sources: takes a collection, a folder or a service, gives a stream of `SeriesRecord`; nothing on disk.

Names are resolved on first use (PEP 562), so that importing the stage loads no reader of files.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import SeriesRecord as SeriesRecord
    from .base import Source as Source
    from .folder import Folder as Folder
    from .folder import FolderScan as FolderScan

_HOMES = {
    "Folder": "folder",
    "FolderScan": "folder",
    "SeriesRecord": "base",
    "Source": "base",
}

__all__ = [
    "Folder",
    "FolderScan",
    "SeriesRecord",
    "Source",
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
