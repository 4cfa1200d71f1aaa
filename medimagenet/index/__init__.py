"""Stage index: takes records, gives an `Index` and, with modalities, its samples; on disk Parquet.

Names are resolved on first use (PEP 562), so that importing the stage loads neither pyarrow nor pydicom.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .build import index_directory as index_directory
    from .build import index_source as index_source
    from .cohort import Cohort as Cohort
    from .cohort import check_cohort as check_cohort
    from .collections import Collection as Collection
    from .collections import list_collections as list_collections
    from .explain import Explanation as Explanation
    from .explain import explain_samples as explain_samples
    from .plots import plot_collections as plot_collections
    from .plots import plot_stats as plot_stats
    from .query import Filters as Filters
    from .rois import ClassCount as ClassCount
    from .rois import RoiCount as RoiCount
    from .rois import RoiTable as RoiTable
    from .rois import count_rois as count_rois
    from .samples import Sample as Sample
    from .samples import SampleSet as SampleSet
    from .samples import find_samples as find_samples
    from .schema import INDEX_VERSION as INDEX_VERSION
    from .stats import LicenseCount as LicenseCount
    from .stats import ModalityCount as ModalityCount
    from .stats import Stats as Stats
    from .table import Index as Index
    from .table import open_index as open_index
    from .update import SIDE_INDICES as SIDE_INDICES
    from .update import Available as Available
    from .update import Update as Update
    from .update import check_update as check_update
    from .update import update_index as update_index

_HOMES = {
    "Available": "update",
    "ClassCount": "rois",
    "Cohort": "cohort",
    "Collection": "collections",
    "Filters": "query",
    "Explanation": "explain",
    "INDEX_VERSION": "schema",
    "Index": "table",
    "LicenseCount": "stats",
    "ModalityCount": "stats",
    "RoiCount": "rois",
    "RoiTable": "rois",
    "SIDE_INDICES": "update",
    "Sample": "samples",
    "SampleSet": "samples",
    "Stats": "stats",
    "Update": "update",
    "check_cohort": "cohort",
    "check_update": "update",
    "count_rois": "rois",
    "explain_samples": "explain",
    "find_samples": "samples",
    "index_directory": "build",
    "index_source": "build",
    "list_collections": "collections",
    "open_index": "table",
    "plot_collections": "plots",
    "plot_stats": "plots",
    "update_index": "update",
}

__all__ = [
    "INDEX_VERSION",
    "SIDE_INDICES",
    "Available",
    "ClassCount",
    "Cohort",
    "Collection",
    "Explanation",
    "Filters",
    "Index",
    "LicenseCount",
    "ModalityCount",
    "RoiCount",
    "RoiTable",
    "Sample",
    "SampleSet",
    "Stats",
    "Update",
    "check_cohort",
    "check_update",
    "count_rois",
    "explain_samples",
    "find_samples",
    "index_directory",
    "index_source",
    "list_collections",
    "open_index",
    "plot_collections",
    "plot_stats",
    "update_index",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
