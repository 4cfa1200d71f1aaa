"""store, driven by compiler: takes a `Case` as arrays, gives a `Store`; on disk: Zarr v3 shards, or HDF5.

`create_store` and `create_hdf5_store` write one, `open_store` opens one, `Store.array` reads boxes of voxels, `verify`
reads everything and says what differs from its hash.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .attribution import attribution_markdown as attribution_markdown
    from .attribution import most_restrictive as most_restrictive
    from .hdf5_backend import Hdf5Writer as Hdf5Writer
    from .hdf5_backend import create_hdf5_store as create_hdf5_store
    from .layout import SampleData as SampleData
    from .layout import StoreConfig as StoreConfig
    from .layout import StoredArray as StoredArray
    from .reader import ArrayReader as ArrayReader
    from .store import Store as Store
    from .store import open_store as open_store
    from .targets import Targets as Targets
    from .verification import Problem as Problem
    from .verification import verify as verify
    from .zarr_backend import StoreWriter as StoreWriter
    from .zarr_backend import create_store as create_store

_HOMES = {
    "ArrayReader": "reader",
    "Hdf5Writer": "hdf5_backend",
    "Problem": "verification",
    "SampleData": "layout",
    "Store": "store",
    "StoreConfig": "layout",
    "StoreWriter": "zarr_backend",
    "StoredArray": "layout",
    "Targets": "targets",
    "attribution_markdown": "attribution",
    "create_hdf5_store": "hdf5_backend",
    "create_store": "zarr_backend",
    "most_restrictive": "attribution",
    "open_store": "store",
    "verify": "verification",
}

__all__ = [
    "ArrayReader",
    "Hdf5Writer",
    "Problem",
    "SampleData",
    "Store",
    "StoreConfig",
    "StoreWriter",
    "StoredArray",
    "Targets",
    "attribution_markdown",
    "create_hdf5_store",
    "create_store",
    "most_restrictive",
    "open_store",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
