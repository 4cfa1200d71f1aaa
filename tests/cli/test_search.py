"""`medimagenet search` against pyarrow on the installed file, and against the patients that were written."""

import csv
import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from medimagenet.cli import search
from medimagenet.index import open_index
from medimagenet.sources import idc, idc_versions

EXAMPLE = ("search", "--collection", "nsclc_radiomics", "--modality", "CT", "--annotated-by", "RTSTRUCT")


@pytest.fixture(scope="module")
def expected():
    """Rows of the installed file that the example asks for, and their bytes."""
    raw = pq.read_table(idc.installed_file("idc_index"), filters=[("collection_id", "==", "nsclc_radiomics")])
    studies = raw.filter(pc.equal(raw["Modality"], "RTSTRUCT"))["StudyInstanceUID"].combine_chunks()
    return raw.filter(
        pc.and_(pc.equal(raw["Modality"], "CT"), pc.is_in(raw["StudyInstanceUID"], value_set=studies))
    ).to_pylist()


def test_json_has_every_series(call, expected):
    document = call(*EXAMPLE, "--json").document
    assert {row["SeriesInstanceUID"] for row in document["series"]} == {row["SeriesInstanceUID"] for row in expected}
    assert document["stats"]["series"] == len(expected) == 422
    assert document["stats"]["size_bytes"] == sum(round(row["series_size_MB"] * 1e6) for row in expected)
    assert document["stats"]["licenses"][0]["commercial"] is False


def test_csv_is_csv(call, expected):
    rows = list(csv.DictReader(io.StringIO(call(*EXAMPLE, "--csv").out)))
    assert {(row["SeriesInstanceUID"], row["doi"]) for row in rows} == {
        (row["SeriesInstanceUID"], row["source_DOI"]) for row in expected
    }


def test_table_for_people(call):
    answer = call(*EXAMPLE)
    assert answer.code == 0
    assert answer.out.count("LUNG1-") == search.SHOWN
    assert "422 series of 422 patients, 27.0 GB, the first 20 shown" in answer.out
    assert "CC BY-NC 3.0: commercial use not allowed" in answer.out
    assert call(*EXAMPLE, "--limit", 3).out.count("LUNG1-") == 3


def test_an_index_is_written_and_searched_again(call, tmp_path):
    assert "422 series" in call(*EXAMPLE, "--parquet", tmp_path / "x.parquet").err
    again = call("search", tmp_path / "x.parquet", "--text", "lung", "--limit", 1, "--json").document
    assert again["stats"]["series"] == 422
    assert again["series"][0]["crdc_series_uuid"] in again["series"][0]["uri"]


def test_sql_asks_what_was_found(call):
    answer = call(*EXAMPLE, "--sql", "SELECT Modality, count(*) AS n FROM series GROUP BY 1", "--json")
    assert answer.document == {"n": 1, "rows": [{"Modality": "CT", "n": 422}]}
    assert "20 of 422 rows" in call(*EXAMPLE, "--sql", "SELECT key FROM series").out


def test_own_index_and_both(call, chain):
    own = call("search", chain.index, "--roi", "liver", "--annotated-by", "RTSTRUCT", "--json").document
    assert {row["PatientID"] for row in own["series"]} == {truth.patient_id for truth in chain.truths}
    both = call("search", chain.index, "--public", "--license", "CC0-1.0", "--modality", "CT", "--json").document
    assert both["stats"]["series"] == len(chain.truths)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--modality", "PET"], "did you mean 'PT'"),
        (["--age", "80", "18"], "age must be"),
        (["--sql", "SELECT nothing FROM series"], "query failed"),
        (["--sql", "DROP TABLE series"], "not changed by queries"),
        (["--json", "--csv"], "choose one"),
        (["--roi", "gtv"], "rtstruct_index"),
    ],
)
def test_wrong_usage(call, arguments, says):
    answer = call("search", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err


def test_first_use_is_told(call, tmp_path, monkeypatch):
    rows = next(pq.ParquetFile(idc.installed_file("idc_index")).iter_batches(50))
    pq.write_table(pa.Table.from_batches([rows]), tmp_path / "idc_index.parquet")
    monkeypatch.setattr(idc_versions, "installed_file", lambda name: tmp_path / f"{name}.parquet")
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "cache"))
    answer = call("search", "--limit", 0, "--json")
    assert answer.document["stats"]["series"] == 50
    assert "first use of the public index" in answer.err
    assert "done in" in answer.err
    assert "first use" not in call("search", "--limit", 0, "--json").err
    assert len(open_index()) == 50


def test_a_picture(call, small_idc, tmp_path):
    answer = call("search", "--modality", "CT", "--plot", tmp_path / "x.png")
    assert (answer.code, answer.out) == (0, "")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "picture in" in answer.err
    nothing = call("search", "--modality", "MG", "--plot", tmp_path / "y.png")
    assert (nothing.code, nothing.out) == (2, "")
    assert "nothing to draw" in nothing.err
