"""How IDC's tables are laid into a DuckDB file: our columns and units, and what the side indices add to a series.

Rows are sorted by collection, then modality, patient and study, in small row groups: most questions name a collection
or a modality, and skip the groups of others. The table has the columns of an index, in their order, also those of which
IDC knows nothing: they take no room, and a view that makes them up takes each query a millisecond to plan. Beside
`series` the file holds the side indices as they are, the words of searches, and the values that filters know.

What a side index would tell is NULL where it is not there: what an annotation refers to, ROI names, geometry.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._lazy import LazyModule
from ..findings import SEVERITY

if TYPE_CHECKING:
    import duckdb
else:
    duckdb = LazyModule("duckdb")  # slow, and many commands do without

CONFIG = {
    "autoinstall_known_extensions": "false",  # nothing is fetched by a query
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in a query is a table, never a variable of the caller
}
"""How DuckDB is opened, here and for every query."""

VOCABULARY = ("collection_id", "Modality", "BodyPartExamined", "Manufacturer", "PatientSex", "license", "roi_names")
"""Columns of which the known values are kept in a table, to check what is asked without reading a million rows."""

TEXT_COLUMNS = ("SeriesDescription", "StudyDescription", "BodyPartExamined", "ManufacturerModelName", "collection_id")
"""Where a search for words looks. Each combination that there is stands once in the table `texts`."""

COLLECTION_COUNTS = """
SELECT collection_id, count(DISTINCT PatientID), count(DISTINCT StudyInstanceUID), count(*), sum(n_instances),
    sum(size_bytes), list_sort(list_distinct(list(Modality))), list_distinct(list(coalesce(license, '')))
FROM series WHERE collection_id IS NOT NULL GROUP BY ALL ORDER BY collection_id
"""
"""What is counted of each collection. Of the whole public index it is kept in the table `collections`: counting a
million rows again and again takes a quarter of a second and 300 MB."""

NAME = "idc"
"""Value of the column `source`."""

LAYOUT = 5
"""Of the tables that are laid: a file of another one is not looked at."""

ROW_GROUP = 12_288
"""Rows; DuckDB's own is 122,880. One collection or modality is then read without its neighbours, and one collection by
several threads. With half as many a table of 226 MiB instead of 205; in smaller blocks than DuckDB's own it takes less
room, but a search of a text column takes a fifth longer."""

SIDE_COLUMNS = {
    "rtstruct_index": ("SeriesInstanceUID", "ROINames", "referenced_SeriesInstanceUID"),
    "seg_index": ("SeriesInstanceUID", "segmented_SeriesInstanceUID", "SegmentedPropertyType_CodeMeanings"),
    "volume_geometry_index": (
        *("SeriesInstanceUID", "single_orientation", "orthogonal_orientation", "unique_slice_positions"),
        *("consistent_in_plane_row", "consistent_in_plane_col", "consistent_pixel_spacing"),
        *("consistent_image_dimensions", "uniform_slice_spacing", "regularly_spaced_3d_volume"),
        *("ImageOrientationPatient", "slice_spacing_mm"),
    ),
    "ct_index": (
        *("SeriesInstanceUID", "SliceThickness", "Rows", "Columns", "PixelSpacing_row_mm", "PixelSpacing_col_mm"),
    ),
    "mr_index": (
        *("SeriesInstanceUID", "SliceThickness", "Rows", "Columns", "PixelSpacing_row_mm", "PixelSpacing_col_mm"),
    ),
    "pt_index": (
        *("SeriesInstanceUID", "SliceThickness", "Rows", "Columns", "PixelSpacing_row_mm", "PixelSpacing_col_mm"),
        *("Units", "DecayCorrection", "CorrectedImage", "RadionuclideTotalDose", "RadiopharmaceuticalStartTime"),
    ),
    "clinical_index": ("collection_id", "table_name", "column", "column_label"),
}
"""The side indices that are used, and the columns that each must have."""

MAIN_COLUMNS = {
    "idc_index": (
        *("collection_id", "PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate"),
        *("StudyDescription", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesDescription", "Modality"),
        *("SOPClassUID", "BodyPartExamined", "Manufacturer", "ManufacturerModelName", "TransferSyntaxUID"),
        *("series_aws_url", "instanceCount", "series_size_MB", "license_short_name", "source_DOI"),
        *("analysis_result_id", "crdc_series_uuid"),
    ),
    "collections_index": ("collection_id", "collection_name", "cancer_types", "description", "sources"),
    "analysis_results_index": ("analysis_result_id",),
    "prior_versions_index": ("SeriesInstanceUID", "crdc_series_uuid"),
    "version_metadata_index": ("idc_version", "version_timestamp"),
}
"""The tables of which the index consists, and the columns that each must have."""

_IMAGES = ("ct_index", "mr_index", "pt_index")

_MACROS = """
CREATE TEMP MACRO letter_of(v) AS CASE greatest(abs(v[1]), abs(v[2]), abs(v[3]))
    WHEN abs(v[1]) THEN if(v[1] > 0, 'L', 'R') WHEN abs(v[2]) THEN if(v[2] > 0, 'P', 'A')
    ELSE if(v[3] > 0, 'S', 'I') END;
CREATE TEMP MACRO normal_of(o) AS
    [o[2] * o[6] - o[3] * o[5], o[3] * o[4] - o[1] * o[6], o[1] * o[5] - o[2] * o[4]];
CREATE TEMP MACRO finding_of(applies, code, severity, message) AS
    CASE WHEN applies THEN [{'code': code, 'severity': severity, 'message': message, 'numbers': '{}'}] ELSE [] END;
"""

_GEOMETRY = """
SELECT *, orthogonal_orientation IS NULL AS lacks_place,
    single_orientation AND orthogonal_orientation AND consistent_pixel_spacing AND consistent_image_dimensions AS alike,
    letter_of(ImageOrientationPatient[1:3]) || letter_of(ImageOrientationPatient[4:6])
        || letter_of(normal_of(ImageOrientationPatient)) AS letters
FROM volume_geometry_index
"""

_FINDINGS = (  # in the order of a local index: places are compared only of slices that are alike, steps only of places
    # that differ. Messages say no figures, since the table has none.
    ("v.lacks_place", "no_position", "slices without ImagePositionPatient or ImageOrientationPatient"),
    ("NOT v.consistent_image_dimensions", "mixed_size", "slices have different sizes"),
    ("NOT v.single_orientation", "mixed_orientation", "slices have different orientations"),
    ("NOT v.consistent_pixel_spacing", "mixed_spacing", "slices have different pixel spacings"),
    ("NOT v.orthogonal_orientation", "skewed_axes", "row and column directions are not at a right angle"),
    ("v.alike AND i.instanceCount = 1", "single_slice", "one slice only"),
    ("v.alike AND NOT v.unique_slice_positions", "duplicate_slices", "several slices lie at one position"),
    (
        "v.alike AND v.unique_slice_positions AND NOT (v.consistent_in_plane_row AND v.consistent_in_plane_col)",
        "shifted_slices",
        "slices lie 0.1 mm or more sideways of one another: shifted, or a tilted gantry",
    ),
    (
        "v.alike AND v.unique_slice_positions AND NOT v.uniform_slice_spacing",
        "nonuniform_spacing",
        "steps between slices differ from their mean by 1 % or more: uneven, or slices are missing",
    ),
)

_TABLE = """
CREATE TABLE series (
    key VARCHAR GENERATED ALWAYS AS (SeriesInstanceUID || ':' || crdc_series_uuid) VIRTUAL, source VARCHAR,
    collection_id VARCHAR, PatientID VARCHAR, PatientSex VARCHAR, PatientAge VARCHAR, StudyInstanceUID VARCHAR,
    StudyDate VARCHAR, StudyDescription VARCHAR, SeriesInstanceUID VARCHAR, SeriesNumber VARCHAR, SeriesDate VARCHAR,
    SeriesDescription VARCHAR, Modality VARCHAR, SOPClassUID VARCHAR, SOPInstanceUID VARCHAR, BodyPartExamined VARCHAR,
    Manufacturer VARCHAR, ManufacturerModelName VARCHAR, TransferSyntaxUID VARCHAR, FrameOfReferenceUID VARCHAR,
    SliceThickness DOUBLE, uri VARCHAR, files VARCHAR[], n_instances BIGINT, size_bytes BIGINT,
    content_hash VARCHAR GENERATED ALWAYS AS (crdc_series_uuid) VIRTUAL, license VARCHAR, doi VARCHAR,
    referenced_series VARCHAR[], referenced_instances VARCHAR[], roi_names VARCHAR[], shape INTEGER[],
    spacing_mm DOUBLE[], orientation VARCHAR,
    findings STRUCT(code VARCHAR, severity VARCHAR, message VARCHAR, numbers VARCHAR)[], analysis_result_id VARCHAR,
    crdc_series_uuid VARCHAR, file_format VARCHAR, checksums VARCHAR[], agreement VARCHAR, citation VARCHAR,
    text_key UBIGINT
)
"""

_SERIES = """
INSERT INTO series BY NAME SELECT
    '{source}' AS source, i.collection_id, i.PatientID, i.PatientSex, i.PatientAge, i.StudyInstanceUID,
    replace(i.StudyDate, '-', '') AS StudyDate, i.StudyDescription, i.SeriesInstanceUID, i.SeriesNumber,
    replace(i.SeriesDate, '-', '') AS SeriesDate, i.SeriesDescription, i.Modality, i.SOPClassUID, i.BodyPartExamined,
    i.Manufacturer, i.ManufacturerModelName, i.TransferSyntaxUID, {added}, rtrim(i.series_aws_url, '*') AS uri,
    CAST([] AS VARCHAR[]) AS files, i.instanceCount AS n_instances,
    CAST(round(i.series_size_MB * 1e6) AS BIGINT) AS size_bytes, i.license_short_name AS license, i.source_DOI AS doi,
    i.analysis_result_id, i.crdc_series_uuid, CAST([] AS VARCHAR[]) AS checksums, {text_key} AS text_key
FROM main_table AS i {joins}
ORDER BY i.collection_id, i.Modality, i.PatientID, i.StudyInstanceUID, i.SeriesInstanceUID
"""


def lay(tables: Mapping[str, Path], target: Path, progress: Callable[[int, int], None]) -> None:
    """Write a DuckDB file of these Parquet files, by name: ``idc_index``, and any of `SIDE_COLUMNS`.

    Raises
    ------
    duckdb.Error, OSError
        A file cannot be read or has other columns, or `target` cannot be written.
    """
    with duckdb.connect(config=CONFIG) as connection:
        connection.execute(f"ATTACH '{_escaped(target)}' AS laid (ROW_GROUP_SIZE {ROW_GROUP})")
        connection.execute("USE laid")
        steps = list(_steps(tables))
        for number, statement in enumerate(steps):
            progress(number, len(steps))
            connection.execute(statement)
        progress(len(steps), len(steps))


def _steps(tables: Mapping[str, Path]) -> Iterable[str]:
    sides = [name for name in SIDE_COLUMNS if name in tables]
    for name in sides:
        yield f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{_escaped(tables[name])}')"
    yield f"CREATE TEMP VIEW main_table AS SELECT * FROM read_parquet('{_escaped(tables['idc_index'])}')"
    yield (  # line ends between the columns: no word that is looked for holds one
        f"CREATE TABLE texts AS SELECT {_text_key()} AS text_key, "
        f"lower(concat_ws(chr(10), {', '.join(TEXT_COLUMNS)})) AS text "
        f"FROM (SELECT DISTINCT {', '.join(TEXT_COLUMNS)} FROM main_table)"
    )
    yield _MACROS
    yield _TABLE
    yield _series(sides)
    yield _vocabulary()
    yield f"CREATE TABLE collections AS {COLLECTION_COUNTS}"
    yield "CREATE INDEX by_series ON series (SeriesInstanceUID)"  # one series in 4 ms instead of 55
    yield "CHECKPOINT"


def _series(sides: Iterable[str]) -> str:
    """What the series are made of, and what the side indices that are there add to them."""
    sides = set(sides)
    added = {"findings": "[]"}
    joins = []
    if sides & {"rtstruct_index", "seg_index"}:
        joins.append(f"LEFT JOIN ({_annotations(sides)}) AS a ON a.SeriesInstanceUID = i.SeriesInstanceUID")
        added |= {"referenced_series": "a.referenced_series", "roi_names": "a.roi_names"}
    if sides & set(_IMAGES):
        columns = "SeriesInstanceUID, SliceThickness, Rows, Columns, PixelSpacing_row_mm, PixelSpacing_col_mm"
        images = " UNION ALL ".join(f"SELECT {columns} FROM {name}" for name in _IMAGES if name in sides)
        joins.append(f"LEFT JOIN ({images}) AS g ON g.SeriesInstanceUID = i.SeriesInstanceUID")
        added["SliceThickness"] = "g.SliceThickness"
    if "volume_geometry_index" in sides:
        joins.append(f"LEFT JOIN ({_GEOMETRY}) AS v ON v.SeriesInstanceUID = i.SeriesInstanceUID")
        added["findings"] = " || ".join(map(_finding, _FINDINGS))
        added["orientation"] = "CASE WHEN v.regularly_spaced_3d_volume THEN v.letters END"
        if sides & set(_IMAGES):
            added |= _volume()
    values = ", ".join(f"{value} AS {name}" for name, value in added.items())
    return _SERIES.format(source=NAME, added=values, joins=" ".join(joins), text_key=_text_key("i."))


def _text_key(table: str = "") -> str:
    """64 bits that stand for a combination of words: 145,000 of them meet one another once in a billion tables."""
    return f"hash({', '.join(table + name for name in TEXT_COLUMNS)})"


def _annotations(sides: Iterable[str]) -> str:
    """Of RTSTRUCT and SEG: what they refer to and what they name. Without a reference in IDC the list is empty."""
    parts = {
        "rtstruct_index": "referenced_SeriesInstanceUID AS target, ROINames AS names",
        "seg_index": "segmented_SeriesInstanceUID AS target, SegmentedPropertyType_CodeMeanings AS names",
    }
    united = " UNION ALL ".join(
        f"SELECT SeriesInstanceUID, {columns} FROM {name}" for name, columns in parts.items() if name in sides
    )
    return (
        "SELECT SeriesInstanceUID, CASE WHEN target IS NULL THEN [] ELSE [target] END AS referenced_series, "
        f"coalesce(names, []) AS roi_names FROM ({united})"
    )


def _volume() -> dict[str, str]:
    """Shape (Z, Y, X) and spacing (x, y, z) of regular volumes: x runs along columns, PixelSpacing_col_mm apart."""
    whole = "v.regularly_spaced_3d_volume AND g.Rows IS NOT NULL AND g.Columns IS NOT NULL"
    spaced = "g.PixelSpacing_col_mm IS NOT NULL AND g.PixelSpacing_row_mm IS NOT NULL"
    return {
        "shape": f"CASE WHEN {whole} AND {spaced} THEN CAST([i.instanceCount, g.Rows, g.Columns] AS INTEGER[]) END",
        "spacing_mm": f"CASE WHEN {whole} AND {spaced} THEN "
        "CAST([g.PixelSpacing_col_mm, g.PixelSpacing_row_mm, v.slice_spacing_mm] AS DOUBLE[]) END",
    }


def _finding(parts: tuple[str, str, str]) -> str:
    condition, code, message = parts
    return f"finding_of({condition}, '{code}', '{SEVERITY[code]}', '{message}')"


def _vocabulary() -> str:
    words: list[str] = []
    for name in VOCABULARY:
        value = f"unnest({name})" if name == "roi_names" else name
        rows = f"(SELECT {value} AS value FROM series)"
        words.append(f"SELECT '{name}' AS name, value, count(*) AS n FROM {rows} GROUP BY 2")
    return f"CREATE TABLE vocabulary AS {' UNION ALL '.join(words)}"


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")


def columns_of(connection: Any, path: Path) -> list[str]:
    """The columns of a Parquet file."""
    found = connection.execute("SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet(?))", [str(path)])
    return [name for (name,) in found.fetchall()]
