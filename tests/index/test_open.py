"""What `open_index` opens: files, several of them, the public index, both; and what that costs in a fresh process."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medimagenet._optional import is_installed
from medimagenet.errors import MissingPackageError
from medimagenet.index import Index, open_index
from medimagenet.index.schema import LATER_COLUMNS, SCHEMA

SERIES = "1.3.6.1.4.1.32722.99.99.298991776521342375010861296712563382046"

FIRST_ANSWER = """
import json, sys
from medimagenet import open_index
rows = open_index().search(collection="nsclc_radiomics", modality="CT", annotated_by="RTSTRUCT").rows()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss is also the parent's
print(json.dumps([len(rows), 1024 * int(peak.split()[1]), sorted(sys.modules)]))
"""


@pytest.fixture
def files(make_record, make_object, tmp_path):
    one = Index.from_records([make_record("a", "CT", SERIES), make_object("rs", "RTSTRUCT", series=[SERIES])])
    one.write(tmp_path / "one.parquet")
    problem = {"path": "/x", "code": "not_dicom", "severity": "info", "message": "m"}
    Index.from_records([make_record("b", "MR", "1.9")], [problem]).write(tmp_path / "two.parquet")
    return [tmp_path / "one.parquet", str(tmp_path / "two.parquet")]


def test_several_files_are_one_index(files):
    index = open_index(files)
    assert [row["key"] for row in index.rows()] == ["a", "rs", "b"]
    assert len(index.problems) == 1
    assert index.table.schema == SCHEMA
    assert len(index.samples("CT,RTSTRUCT").samples) == 1


def test_both_are_one_query(files):
    index = open_index(files[0], public=True)
    rows = index.sql(f"SELECT source FROM series WHERE SeriesInstanceUID = '{SERIES}'").to_pylist()
    assert sorted(row["source"] for row in rows) == ["folder", "idc"]
    assert len(index) == len(open_index()) + 2
    samples = index.search(modality=["CT", "RTSTRUCT"], min_slices=0).samples("CT,RTSTRUCT").samples
    assert [sample.series["CT"]["key"] for sample in samples] == ["a"]


def test_public_series_form_no_samples_without_side_indices():
    with pytest.raises(ValueError, match=r"'CT,RTSTRUCT' of public series: .* side index rtstruct_index, not here yet"):
        open_index().samples("CT,RTSTRUCT")


@pytest.mark.parametrize("arguments", [{"public": False}, {"path": []}, {"path": [], "public": False}])
def test_nothing_to_open(arguments):
    with pytest.raises(ValueError, match="no index to open: got path="):
        open_index(**arguments)


def test_a_search_can_be_written_and_read(tmp_path):
    found = open_index().search(collection="lctsc")
    found.write(tmp_path / "x.parquet")
    again = open_index(tmp_path / "x.parquet")
    assert again.table.equals(found.table)
    assert pq.read_table(tmp_path / "x.parquet").column("crdc_series_uuid").null_count == 0
    assert "120 series" in again._repr_html_()


def test_later_columns_may_be_absent(files, tmp_path):
    table = pq.read_table(files[0])
    pq.write_table(table.drop_columns(list(LATER_COLUMNS)), tmp_path / "old.parquet")
    assert open_index(tmp_path / "old.parquet").table.equals(open_index(files[0]).table)


def test_other_tables(files):
    index = open_index(files[0])
    assert isinstance(index.to_arrow(), pa.Table)
    if not is_installed("polars"):
        with pytest.raises(MissingPackageError, match=r'pip install "medimagenet\[notebook\]"'):
            index.to_polars()
    else:
        assert index.to_polars().height == 2


def test_the_first_answer_is_light():
    open_index()  # laid into the cache, if it was not
    answer = subprocess.run([sys.executable, "-c", FIRST_ANSWER], capture_output=True, text=True, check=True).stdout
    rows, peak, modules = json.loads(answer)
    assert rows == 422
    assert peak < 300e6
    assert not {"pandas", "numba", "pydicom", "torch", "SimpleITK", "idc_index_data"} & set(modules)
