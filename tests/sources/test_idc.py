"""The public index against the Parquet file that it is made from, read by pyarrow."""

import importlib.metadata

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from medimagenet.errors import SourceError
from medimagenet.index.schema import SCHEMA
from medimagenet.sources import idc, idc_versions


@pytest.fixture(scope="module")
def raw() -> pa.Table:
    """Every 2,000th row of the installed file."""
    table = pq.read_table(idc.installed_file("idc_index"))
    return table.take(pa.array(range(0, len(table), 2000)))


@pytest.fixture
def small(raw, tmp_path, monkeypatch):
    """An installed index of those rows, and a cache of its own."""
    pq.write_table(raw, tmp_path / "idc_index.parquet")
    monkeypatch.setattr(idc_versions, "installed_file", lambda table: tmp_path / f"{table}.parquet")
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def rows_of(path):
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS x (READ_ONLY)")
        return connection.sql(idc.series_query("x")).to_arrow_table()


def test_columns_are_those_of_an_index_in_their_order(small):
    table = rows_of(idc.public_database())
    assert table.column_names == SCHEMA.names
    assert table.cast(SCHEMA).schema == SCHEMA


def test_every_row_says_what_the_file_says(small, raw):
    laid = rows_of(idc.public_database()).sort_by("SeriesInstanceUID").to_pylist()
    original = raw.sort_by("SeriesInstanceUID").to_pylist()
    assert len(laid) == len(original) == len(raw)
    same = ("collection_id", "PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDescription")
    same += ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "SOPClassUID", "BodyPartExamined")
    same += ("Manufacturer", "ManufacturerModelName", "TransferSyntaxUID", "analysis_result_id", "crdc_series_uuid")
    renamed = {"n_instances": "instanceCount", "license": "license_short_name", "doi": "source_DOI"}
    for row, was in zip(laid, original, strict=True):
        assert [row[name] for name in same] == [was[name] for name in same]
        assert [row[name] for name in renamed] == [was[name] for name in renamed.values()]
        assert row["size_bytes"] == round(was["series_size_MB"] * 1_000_000)
        assert row["StudyDate"] == (was["StudyDate"] and "".join(was["StudyDate"].split("-")))
        assert row["SeriesDate"] == (was["SeriesDate"] and "".join(was["SeriesDate"].split("-")))
        assert row["uri"] == f"s3://{was['aws_bucket']}/{was['crdc_series_uuid']}/"
        assert row["key"] == f"{was['SeriesInstanceUID']}:{was['crdc_series_uuid']}"
        assert (row["source"], row["files"], row["findings"]) == ("idc", [], [])
        assert row["roi_names"] is row["referenced_series"] is row["SliceThickness"] is None


def test_collections_and_in_them_modalities_lie_together(small):
    table = rows_of(idc.public_database())
    places = list(zip(table.column("collection_id").to_pylist(), table.column("Modality").to_pylist(), strict=True))
    assert places == sorted(places)


def test_vocabulary_counts_what_is_there(small, raw):
    with duckdb.connect(str(idc.public_database()), read_only=True) as connection:
        counted = dict(connection.execute("SELECT value, n FROM vocabulary WHERE name = 'Modality'").fetchall())
    judge = pc.value_counts(raw.column("Modality")).to_pylist()
    assert counted == {item["values"]: item["counts"] for item in judge}


def test_it_is_made_once_and_progress_is_told(small):
    steps = []
    path = idc.public_database(lambda done, total: steps.append((done, total)))
    assert steps == [(k, 9) for k in range(10)]
    before = path.stat().st_mtime_ns
    assert idc.public_database(lambda done, total: steps.append("again")) == path
    assert path.stat().st_mtime_ns == before
    assert "again" not in steps
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_its_name_has_the_versions(small):
    name = idc.database_path().name
    assert importlib.metadata.version("idc-index-data") in name
    assert duckdb.__version__ in name


def test_older_layouts_are_removed_when_a_newer_one_is_laid(small):
    path = idc.database_path()
    path.parent.mkdir(parents=True)
    layout = f"layout{idc.LAYOUT}"
    superseded = [path.name.replace(layout, name) for name in ("layout1", f"layout{idc.LAYOUT - 1}")]
    superseded += [path.name.replace(f"-{layout}", f"-0123456789-{layout}"), "idc-1.2.3-layout2-duckdb1.2.0.duckdb"]
    others = [path.name.replace(layout, f"layout{idc.LAYOUT + 1}"), f"idc-1.2.3-{layout}-duckdb1.2.0.duckdb"]
    others += [f"{path.stem}-mine.parquet", "idc-thesis.duckdb", path.name.replace(duckdb.__version__, "0.9.0")]
    for name in (*superseded, *others):
        (path.parent / name).write_bytes(b"")
    assert idc.public_database() == path
    assert {item.name for item in path.parent.iterdir()} == {path.name, *others}


def test_a_removed_database_answers_whoever_has_it_open(small, raw):
    path = idc.public_database()
    older = path.with_name(path.name.replace(f"layout{idc.LAYOUT}", "layout1"))
    path.rename(older)
    with duckdb.connect(str(older), read_only=True) as reader:
        idc.public_database()
        assert not older.exists()
        assert reader.execute("SELECT count(*), count(DISTINCT key) FROM series").fetchall() == [(len(raw),) * 2]


def test_what_cannot_be_removed_stays(small, monkeypatch):
    path = idc.public_database()
    older = path.with_name(path.name.replace(f"layout{idc.LAYOUT}", "layout1"))
    path.rename(older)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError("in use")))
    assert idc.public_database() == path
    assert older.is_file()


def test_a_file_that_is_cut_leaves_what_was_there(small):
    path = idc.public_database()
    before = path.read_bytes()
    source = small / "idc_index.parquet"
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(SourceError, match=r"idc_index\.parquet could not be laid anew into .*MEDIMAGENET_CACHE_DIR"):
        idc.build_database(path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written(small, monkeypatch):
    (small / "file").write_text("")
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(small / "file"))
    with pytest.raises(SourceError, match="MEDIMAGENET_CACHE_DIR names another folder"):
        idc.public_database()


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(idc_versions, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(SourceError, match="pip install no-such-distribution"):
        idc.installed_version()


def test_a_table_that_is_not_there():
    with pytest.raises(SourceError, match=r"no_such_index\.parquet is missing: pip install"):
        idc.installed_file("no_such_index")
