"""store, driven by compiler: takes a `Case` as arrays, gives a `Store`; on disk: Zarr v3 shards.

`create_store` writes one, `open_store` opens one, `Store.array` reads boxes of voxels, `verify` reads everything
and says what differs from its hash.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .attribution import attribution_markdown as attribution_markdown
    from .attribution import most_restrictive as most_restrictive
    from .layout import SampleData as SampleData
    from .layout import StoreConfig as StoreConfig
    from .layout import StoredArray as StoredArray
    from .reader import ArrayReader as ArrayReader
    from .store import Store as Store
    from .store import open_store as open_store
    from .verification import Problem as Problem
    from .verification import verify as verify
    from .zarr_backend import StoreWriter as StoreWriter
    from .zarr_backend import create_store as create_store

_HOMES = {
    "ArrayReader": "reader",
    "Problem": "verification",
    "SampleData": "layout",
    "Store": "store",
    "StoreConfig": "layout",
    "StoreWriter": "zarr_backend",
    "StoredArray": "layout",
    "attribution_markdown": "attribution",
    "create_store": "zarr_backend",
    "most_restrictive": "attribution",
    "open_store": "store",
    "verify": "verification",
}

__all__ = [
    "ArrayReader",
    "Problem",
    "SampleData",
    "Store",
    "StoreConfig",
    "StoreWriter",
    "StoredArray",
    "attribution_markdown",
    "create_store",
    "most_restrictive",
    "open_store",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
