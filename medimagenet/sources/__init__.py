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
    from .nmdid import Nmdid as Nmdid
    from .tcia import Tcia as Tcia
    from .tcia_nbia import Nbia as Nbia

_HOMES = {
    "Folder": "folder",
    "FolderScan": "folder",
    "Nbia": "tcia_nbia",
    "Nmdid": "nmdid",
    "RemoteFile": "base",
    "RemoteSource": "base",
    "SeriesRecord": "base",
    "Source": "base",
    "Tcia": "tcia",
}

__all__ = [
    "Folder",
    "FolderScan",
    "Nbia",
    "Nmdid",
    "RemoteFile",
    "RemoteSource",
    "SeriesRecord",
    "Source",
    "Tcia",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
