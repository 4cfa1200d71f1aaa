"""NCI Imaging Data Commons: its index of every public series, from the installed package ``idc-index-data``.

The package holds one Parquet file in a single row group, of which every query reads whole columns. It is laid anew
once, into a DuckDB file in the user's cache: our column names and units, sorted so that collections lie together, with
an index over SeriesInstanceUID. Nothing here uses the network.

What the table does not know is NULL: references, ROI names, frames of reference and geometry are in side indices.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from .._places import CACHE_VARIABLE, cache_dir
from ..errors import SourceError

NAME = "idc"
"""Value of the column `source`."""

DISTRIBUTION = "idc-index-data"

CONFIG = {
    "autoinstall_known_extensions": "false",  # nothing is fetched by a query
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in a query is a table, never a variable of the caller
}
"""How DuckDB is opened, here and for every query."""

VOCABULARY = ("collection_id", "Modality", "BodyPartExamined", "Manufacturer", "PatientSex", "license")
"""Columns of which the known values are kept in a table, to check what is asked without reading a million rows."""

_LAYOUT = 1  # of the tables below: a file of another one is not looked at

_BUILD = """
CREATE TABLE series AS SELECT
    collection_id, PatientID, PatientSex, PatientAge, StudyInstanceUID, replace(StudyDate, '-', '') AS StudyDate,
    StudyDescription, SeriesInstanceUID, SeriesNumber, replace(SeriesDate, '-', '') AS SeriesDate, SeriesDescription,
    Modality, SOPClassUID, BodyPartExamined, Manufacturer, ManufacturerModelName, TransferSyntaxUID,
    rtrim(series_aws_url, '*') AS uri, instanceCount AS n_instances,
    CAST(round(series_size_MB * 1e6) AS BIGINT) AS size_bytes, license_short_name AS license, source_DOI AS doi,
    analysis_result_id, crdc_series_uuid
FROM read_parquet(?)
ORDER BY collection_id, PatientID, StudyInstanceUID, Modality, SeriesInstanceUID
"""

_FINDINGS = "STRUCT(code VARCHAR, severity VARCHAR, message VARCHAR, numbers VARCHAR)[]"


def series_query(database: str) -> str:
    """SQL of the public series with the columns of `SeriesRecord`, in their order, from an attached database."""
    unknown = {
        "SOPInstanceUID": "VARCHAR",
        "FrameOfReferenceUID": "VARCHAR",
        "SliceThickness": "DOUBLE",
        "referenced_series": "VARCHAR[]",
        "referenced_instances": "VARCHAR[]",
        "roi_names": "VARCHAR[]",
        "shape": "INTEGER[]",
        "spacing_mm": "DOUBLE[]",
        "orientation": "VARCHAR",
        "file_format": "VARCHAR",
        "agreement": "VARCHAR",
    }
    nulls = {name: f"CAST(NULL AS {kind}) AS {name}" for name, kind in unknown.items()}
    return f"""SELECT
        SeriesInstanceUID || ':' || crdc_series_uuid AS key, '{NAME}' AS source, collection_id, PatientID, PatientSex,
        PatientAge, StudyInstanceUID, StudyDate, StudyDescription, SeriesInstanceUID, SeriesNumber, SeriesDate,
        SeriesDescription, Modality, SOPClassUID, {nulls["SOPInstanceUID"]}, BodyPartExamined, Manufacturer,
        ManufacturerModelName, TransferSyntaxUID, {nulls["FrameOfReferenceUID"]}, {nulls["SliceThickness"]}, uri,
        CAST([] AS VARCHAR[]) AS files, n_instances, size_bytes, crdc_series_uuid AS content_hash, license, doi,
        {nulls["referenced_series"]}, {nulls["referenced_instances"]}, {nulls["roi_names"]}, {nulls["shape"]},
        {nulls["spacing_mm"]}, {nulls["orientation"]}, CAST([] AS {_FINDINGS}) AS findings, analysis_result_id,
        crdc_series_uuid, {nulls["file_format"]}, CAST([] AS VARCHAR[]) AS checksums, {nulls["agreement"]}
    FROM {database}.series"""


def installed_version() -> str:
    """Version of the installed index, such as ``25.0.5``; the number before the first point is IDC's own version.

    Raises
    ------
    SourceError
        The package is not installed.
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise SourceError(f"the public index is not installed: pip install {DISTRIBUTION}") from error


def installed_file(table: str) -> Path:
    """Parquet file of a table of the installed index, such as ``idc_index`` or ``collections_index``.

    Raises
    ------
    SourceError
        The package, or this file of it, is not installed.
    """
    found = importlib.util.find_spec("idc_index_data")  # not imported: that reads every schema, half a second
    if found is None or found.origin is None:
        raise SourceError(f"the public index is not installed: pip install {DISTRIBUTION}")
    path = Path(found.origin).parent / f"{table}.parquet"
    if not path.is_file():
        raise SourceError(f"{path} is missing: pip install --force-reinstall {DISTRIBUTION}")
    return path


def database_path() -> Path:
    """Where the table is laid: by versions of the data, of the layout and of DuckDB, whose files it may not read."""
    return cache_dir() / "index" / f"idc-{installed_version()}-layout{_LAYOUT}-duckdb{duckdb.__version__}.duckdb"


def public_database(progress: Callable[[int, int], None] | None = None) -> Path:
    """The public index as a DuckDB file, made at first use: some ten seconds and 150 MB.

    Parameters
    ----------
    progress
        Called with the number of steps done and of all steps, only where the file has to be made.

    Raises
    ------
    SourceError
        The package is not installed, its file cannot be read, or the cache cannot be written.
    """
    path = database_path()
    return path if path.is_file() else build_database(path, progress)


def build_database(path: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Lay the installed index anew into `path`, whole or not at all. Processes that do so at once do no harm.

    Raises
    ------
    SourceError
        The package is not installed, its file cannot be read, or `path` cannot be written.
    """
    source = installed_file("idc_index")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _lay(source, temporary, progress or (lambda done, total: None))
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"the public index {source} could not be laid anew into {path}: {reason}; "
            f"{CACHE_VARIABLE} names another folder for it"
        ) from error
    finally:
        for leftover in (temporary, temporary.with_name(f"{temporary.name}.wal")):
            with contextlib.suppress(OSError):
                leftover.unlink()
    return path


def _lay(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    words = [
        f"SELECT '{name}' AS name, CAST({name} AS VARCHAR) AS value, count(*) AS n FROM series GROUP BY 2"
        for name in VOCABULARY
    ]
    steps: list[tuple[str, list[Any]]] = [
        (_BUILD, [str(source)]),
        (f"CREATE TABLE vocabulary AS {' UNION ALL '.join(words)}", []),
        ("CREATE INDEX by_series ON series (SeriesInstanceUID)", []),  # one series in 5 ms instead of 55
        ("CHECKPOINT", []),
    ]
    with duckdb.connect(str(target), config=CONFIG) as connection:
        for number, (statement, values) in enumerate(steps):
            progress(number, len(steps))
            connection.execute(statement, values)
    progress(len(steps), len(steps))
