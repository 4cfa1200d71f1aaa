"""Stage download: takes a selection of an index, gives local series; on disk the files and a manifest.

Names are resolved on first use (PEP 562), so that importing the stage opens no connection and reads no index.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .licenses import Terms as Terms
    from .plan import DownloadPlan as DownloadPlan
    from .plan import PlannedSeries as PlannedSeries
    from .plan import plan_download as plan_download
    from .run import DownloadReport as DownloadReport
    from .run import FailedSeries as FailedSeries
    from .run import download as download
    from .selection import select_series as select_series

_HOMES = {
    "DownloadPlan": "plan",
    "DownloadReport": "run",
    "FailedSeries": "run",
    "PlannedSeries": "plan",
    "Terms": "licenses",
    "download": "run",
    "plan_download": "plan",
    "select_series": "selection",
}

__all__ = [
    "DownloadPlan",
    "DownloadReport",
    "FailedSeries",
    "PlannedSeries",
    "Terms",
    "download",
    "plan_download",
    "select_series",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
