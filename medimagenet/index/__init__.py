"""Stage index: takes records, gives an `Index` and, with modalities, its samples; on disk Parquet.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pyarrow nor pydicom.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .build import index_directory as index_directory
    from .samples import Sample as Sample
    from .samples import SampleSet as SampleSet
    from .samples import find_samples as find_samples
    from .schema import INDEX_VERSION as INDEX_VERSION
    from .table import Index as Index
    from .table import open_index as open_index

_HOMES = {
    "INDEX_VERSION": "schema",
    "Index": "table",
    "Sample": "samples",
    "SampleSet": "samples",
    "find_samples": "samples",
    "index_directory": "build",
    "open_index": "table",
}

__all__ = [
    "INDEX_VERSION",
    "Index",
    "Sample",
    "SampleSet",
    "find_samples",
    "index_directory",
    "open_index",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
