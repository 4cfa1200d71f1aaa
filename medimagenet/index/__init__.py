"""Stage index: takes records, gives an `Index` and, with modalities, its samples; on disk Parquet.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pyarrow nor pydicom.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .build import index_directory as index_directory
    from .build import index_source as index_source
    from .cohort import check_cohort as check_cohort
    from .collections import list_collections as list_collections
    from .samples import Sample as Sample
    from .samples import SampleSet as SampleSet
    from .samples import find_samples as find_samples
    from .schema import INDEX_VERSION as INDEX_VERSION
    from .stats import LicenseCount as LicenseCount
    from .stats import ModalityCount as ModalityCount
    from .stats import Stats as Stats
    from .table import Index as Index
    from .table import open_index as open_index

_HOMES = {
    "INDEX_VERSION": "schema",
    "Index": "table",
    "LicenseCount": "stats",
    "ModalityCount": "stats",
    "Sample": "samples",
    "SampleSet": "samples",
    "Stats": "stats",
    "check_cohort": "cohort",
    "find_samples": "samples",
    "index_directory": "build",
    "index_source": "build",
    "list_collections": "collections",
    "open_index": "table",
}

__all__ = [
    "INDEX_VERSION",
    "Index",
    "LicenseCount",
    "ModalityCount",
    "Sample",
    "SampleSet",
    "Stats",
    "check_cohort",
    "find_samples",
    "index_directory",
    "index_source",
    "list_collections",
    "open_index",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
