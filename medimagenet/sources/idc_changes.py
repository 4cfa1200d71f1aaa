"""What differs between two versions of IDC's index.

IDC never changes what a ``crdc_series_uuid`` names: a series whose content was changed has a new one under the same
SeriesInstanceUID, and objects of the old one stay where they are.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from ..errors import SourceError
from .idc_layout import CONFIG
from .idc_versions import IdcVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionChange:
    """What became of a collection."""

    collection_id: str
    change: str
    """new, withdrawn, or changed: it is in both versions."""
    new: int
    """Series that only the later version has."""
    revised: int
    """Series of which the content is another."""
    withdrawn: int
    """Series that only the earlier version has."""
    size_bytes: int
    """Of the new and revised series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What became of the index from one version to another."""

    earlier: str
    later: str
    new: int
    revised: int
    withdrawn: int
    size_bytes: int
    """Of the new and revised series."""
    collections: tuple[CollectionChange, ...]
    """Those that are not the same in both, sorted by name."""


_SERIES = """
SELECT CASE WHEN a.SeriesInstanceUID IS NULL THEN 'new' WHEN b.SeriesInstanceUID IS NULL THEN 'withdrawn'
        ELSE 'revised' END AS change,
    coalesce(b.collection_id, a.collection_id) AS collection_id, SeriesInstanceUID, b.crdc_series_uuid,
    a.crdc_series_uuid AS earlier_crdc_series_uuid, coalesce(b.Modality, a.Modality) AS Modality,
    CAST(round(coalesce(b.series_size_MB, 0) * 1e6) AS BIGINT) AS size_bytes
FROM read_parquet($earlier) AS a FULL JOIN read_parquet($later) AS b USING (SeriesInstanceUID)
WHERE a.crdc_series_uuid IS DISTINCT FROM b.crdc_series_uuid
"""

_COLLECTIONS = f"""
SELECT collection_id,
    CASE WHEN collection_id NOT IN (SELECT collection_id FROM read_parquet($earlier)) THEN 'new'
        WHEN collection_id NOT IN (SELECT collection_id FROM read_parquet($later)) THEN 'withdrawn' ELSE 'changed' END,
    count_if(change = 'new'), count_if(change = 'revised'), count_if(change = 'withdrawn'), sum(size_bytes)
FROM ({_SERIES}) GROUP BY collection_id ORDER BY collection_id
"""


def compare_versions(earlier: IdcVersion, later: IdcVersion) -> Changes:
    """Count what is new, revised or withdrawn, by collection.

    Raises
    ------
    SourceError
        A file of them cannot be read.
    """
    with _connected() as connection:
        rows = _ask(connection, _COLLECTIONS, earlier, later).fetchall()
    collections = tuple(
        CollectionChange(
            collection_id=name, change=change, new=new, revised=revised, withdrawn=withdrawn, size_bytes=int(size)
        )
        for name, change, new, revised, withdrawn, size in rows
    )
    return Changes(
        earlier=earlier.version,
        later=later.version,
        new=sum(item.new for item in collections),
        revised=sum(item.revised for item in collections),
        withdrawn=sum(item.withdrawn for item in collections),
        size_bytes=sum(item.size_bytes for item in collections),
        collections=collections,
    )


def changed_series(earlier: IdcVersion, later: IdcVersion) -> pa.Table:
    """Each series that is new, revised or withdrawn, with its ``crdc_series_uuid`` in both versions.

    Raises
    ------
    SourceError
        A file of them cannot be read.
    """
    with _connected() as connection:
        query = f"SELECT * FROM ({_SERIES}) ORDER BY change, collection_id, SeriesInstanceUID"
        return _ask(connection, query, earlier, later).to_arrow_table()


def _connected() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config=CONFIG)


def _ask(
    connection: duckdb.DuckDBPyConnection, query: str, earlier: IdcVersion, later: IdcVersion
) -> duckdb.DuckDBPyRelation:
    files: dict[str, Path] = {"earlier": earlier.files["idc_index"], "later": later.files["idc_index"]}
    try:
        return connection.sql(query, params={name: str(path) for name, path in files.items()})
    except duckdb.Error as error:
        raise SourceError(
            f"versions {earlier.version} and {later.version} cannot be compared: {str(error).splitlines()[0]}"
        ) from error
