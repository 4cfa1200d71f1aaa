"""The index in memory and on disk. Judges: pyarrow reads the bytes, Python counts what SQL counts."""

import errno
import json
import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medimagenet._optional import is_installed
from medimagenet.errors import IndexFileError, MissingPackageError
from medimagenet.findings import Finding
from medimagenet.index import INDEX_VERSION, Index, open_index
from medimagenet.index.schema import METADATA_KEY, SCHEMA

OLD_SAMPLES = sorted((Path(__file__).parents[1] / "data").glob("index-v*.parquet"))


@pytest.fixture
def index(make_record, make_object):
    finding = Finding(code="dangling_reference", message="1 of 1 series", numbers={"absent": 1, "of": 1})
    records = [
        make_record("ct", "CT", "1.2", "a/ct", shape=(3, 4, 5), spacing_mm=(1.0, 2.0, 3.0), files=("2", "ä/1", "0")),
        make_object("rs", "RTSTRUCT", place="a/rs", series=["1.2"], roi_names=("lung", ""), findings=(finding,)),
    ]
    problems = [{"path": "/data/x,y\n.txt", "code": "not_dicom", "severity": "info", "message": "empty file"}]
    return Index.from_records(records, problems)


def test_what_is_written_is_read(index, tmp_path):
    index.write(tmp_path / "x.parquet")
    again = open_index(tmp_path / "x.parquet")
    assert again.table.equals(index.table, check_metadata=True)
    assert again.rows() == index.rows()
    assert again.problems == index.problems
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.parquet", "x.report.csv"]


def test_other_programs_can_read_it(index, tmp_path):
    index.write(str(tmp_path / "x.parquet"))
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column("SeriesInstanceUID").to_pylist() == ["1.2", "2.rs"]
    assert table.column("shape").to_pylist() == [[3, 4, 5], None]
    assert json.loads(table.schema.metadata[METADATA_KEY])["index_version"] == INDEX_VERSION
    column = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


def test_bytes_depend_on_nothing_but_the_rows(index, tmp_path):
    index.write(tmp_path / "x.parquet")
    open_index(tmp_path / "x.parquet").write(tmp_path / "y.parquet")
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()
    assert (tmp_path / "x.report.csv").read_bytes() == (tmp_path / "y.report.csv").read_bytes()


def test_an_index_may_be_written_again(index, tmp_path):
    Index(index.table.slice(0, 1)).write(tmp_path / "x.parquet")
    index.write(tmp_path / "x.parquet")
    assert len(open_index(tmp_path / "x.parquet")) == 2


def test_it_is_readable_for_whom_the_umask_lets(index, tmp_path):
    before = os.umask(0o022)
    try:
        index.write(tmp_path / "x.parquet")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.parquet").stat().st_mode) == 0o644


@pytest.mark.parametrize("content", [b"my thesis", b""])
def test_nothing_else_is_overwritten(index, tmp_path, content):
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="is there and is no index"):
        index.write(path)
    assert path.read_bytes() == content
    assert [item.name for item in tmp_path.iterdir()] == ["x.parquet"]


def test_foreign_parquet_and_folders_are_not_overwritten(index, tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    (tmp_path / "y.parquet").mkdir()
    for name in ("x", "y"):
        with pytest.raises(IndexFileError, match="choose another name or remove it"):
            index.write(tmp_path / f"{name}.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pydict() == {"a": [1]}


def test_no_folder_to_write_into(index, tmp_path):
    with pytest.raises(IndexFileError, match=r"there is no folder .*absent; create it first"):
        index.write(tmp_path / "absent" / "x.parquet")


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_what_was_there(index, tmp_path, monkeypatch, written):
    path = tmp_path / "x.parquet"
    Index(index.table.slice(0, 1)).write(path)
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}
    fsync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(IndexFileError, match="No space left on device; nothing was changed"):
        index.write(path)
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_an_absent_file(tmp_path):
    with pytest.raises(IndexFileError, match=r"no index at .*x\.parquet: make one with \"medimagenet index DIR"):
        open_index(tmp_path / "x.parquet")


def test_a_folder_instead_of_a_file(tmp_path):
    with pytest.raises(IndexFileError, match="is a folder, not an index: make one with"):
        open_index(tmp_path)


def test_a_file_cut_anywhere(index, tmp_path):
    index.write(tmp_path / "x.parquet")
    raw = (tmp_path / "x.parquet").read_bytes()
    for length in (*range(0, 20), *range(20, len(raw), 97), len(raw) - 1):
        (tmp_path / "cut.parquet").write_bytes(raw[:length])
        with pytest.raises(IndexFileError, match="is no Parquet file or is cut short"):
            open_index(tmp_path / "cut.parquet")


def test_foreign_parquet(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(IndexFileError, match="is Parquet but no index"):
        open_index(tmp_path / "x.parquet")


def test_a_column_is_missing(index, tmp_path):
    index.write(tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    pq.write_table(table.drop_columns(["uri"]), tmp_path / "x.parquet")
    with pytest.raises(IndexFileError, match="uri"):
        open_index(tmp_path / "x.parquet")


@pytest.mark.parametrize("metadata", [b"not json", b'{"index_version": "one"}', b"[]"])
def test_metadata_that_say_nothing(tmp_path, metadata):
    pq.write_table(SCHEMA.empty_table().replace_schema_metadata({METADATA_KEY: metadata}), tmp_path / "x.parquet")
    with pytest.raises(IndexFileError, match="is Parquet but no index"):
        open_index(tmp_path / "x.parquet")


def test_a_newer_version(index, tmp_path):
    newer = json.dumps({"index_version": INDEX_VERSION + 1}).encode()
    pq.write_table(index.table.replace_schema_metadata({METADATA_KEY: newer}), tmp_path / "x.parquet")
    with pytest.raises(
        IndexFileError, match=f"version {INDEX_VERSION + 1}, this program reads up to {INDEX_VERSION}: up"
    ):
        open_index(tmp_path / "x.parquet")


@pytest.mark.parametrize("path", OLD_SAMPLES, ids=lambda path: path.name)
def test_old_samples_are_read(path):
    old = open_index(path)
    assert [row["key"] for row in old.rows()] == ["ct", "rs"]
    assert len(old.problems) == 1
    assert len(old.samples("CT,RTSTRUCT").samples) == 1


def test_there_is_a_sample_of_every_version():
    assert [path.name for path in OLD_SAMPLES] == [f"index-v{n}.parquet" for n in range(1, INDEX_VERSION + 1)]


@pytest.mark.parametrize("table", ["series", "index"])
def test_sql(index, table):
    answer = index.sql(f"SELECT Modality, len(files) AS n FROM {table} ORDER BY n DESC")
    assert answer.to_pylist() == [{"Modality": "CT", "n": 3}, {"Modality": "RTSTRUCT", "n": 1}]


@pytest.mark.parametrize(
    "query", ["SELECT Modalty FROM series", "not SQL", "SELECT CAST(Modality AS INTEGER) FROM series", ""]
)
def test_a_query_that_fails_names_the_columns(index, query):
    with pytest.raises(ValueError, match=r"columns key, source|gives no rows"):
        index.sql(query)


def test_a_query_changes_nothing(index):
    with pytest.raises(ValueError, match="query: DELETE FROM series"):
        index.sql("DELETE FROM series")
    assert len(index) == 2


def test_paths_are_in_the_order_of_the_row(index):
    assert Index.paths(index.rows()[0]) == [Path("/data/a/ct/2"), Path("/data/a/ct/ä/1"), Path("/data/a/ct/0")]


def test_pandas(index):
    if not is_installed("pandas"):
        with pytest.raises(MissingPackageError, match=r'pip install "medimagenet\[notebook\]"'):
            index.to_pandas()
        return
    assert list(index.to_pandas()["Modality"]) == ["CT", "RTSTRUCT"]


def test_size_and_repr(index):
    assert len(index) == 2
    assert repr(index) == "Index(2 series, 1 files in no series)"
