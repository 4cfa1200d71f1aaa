"""Stage sources: takes a collection, a folder or a service, gives a stream of `SeriesRecord`; nothing on disk.

Names are resolved on first use (PEP 562), so that importing the stage loads no reader of files.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .base import RemoteFile as RemoteFile
    from .base import RemoteSource as RemoteSource
    from .base import SeriesRecord as SeriesRecord
    from .base import Source as Source
    from .folder import Folder as Folder
    from .folder import FolderScan as FolderScan

_HOMES = {
    "Folder": "folder",
    "FolderScan": "folder",
    "RemoteFile": "base",
    "RemoteSource": "base",
    "SeriesRecord": "base",
    "Source": "base",
}

__all__ = [
    "Folder",
    "FolderScan",
    "RemoteFile",
    "RemoteSource",
    "SeriesRecord",
    "Source",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
