"""`medimagenet collections` against the table of collections in the installed package."""

import shutil

import pyarrow.parquet as pq
import pytest

from medimagenet.sources import idc_versions
from medimagenet.sources.idc import installed_file


@pytest.fixture(scope="module")
def told():
    return {row["collection_id"]: row for row in pq.read_table(installed_file("collections_index")).to_pylist()}


def test_all(call, told):
    found = call("collections", "--json").document["collections"]
    assert {item["collection_id"] for item in found} == set(told)
    assert all(item["cancer_types"] == told[item["collection_id"]]["cancer_types"] for item in found)
    table = call("collections").out
    assert "179 collections, 99.9 TB" in table
    assert all(name in table for name in told)


def test_one(call, told):
    item = call("collections", "show", "Soft-Tissue-Sarcoma", "--json").document
    (source,) = told["soft_tissue_sarcoma"]["sources"]
    assert (item["patients"], item["series"], item["commercial"]) == (51, 612, True)
    assert item["sources"][0]["doi"] == source["source_doi"]
    text = call("collections", "show", "soft_tissue_sarcoma").out
    assert "Soft-tissue-Sarcoma" in text
    assert source["source_doi"] in text
    assert "CC BY 3.0" in text
    assert "cite: Valli" in text


def test_of_an_own_index(call, chain):
    assert call("collections", "--index", chain.index).out.startswith("collection")
    answer = call("collections", "show", "mine", "--index", chain.index)
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show"], "collections show NAME"),
        (["list", "lctsc"], "collections show NAME"),
        (["show", "lctcs"], "did you mean 'lctsc'"),
        (["wrong"], "wrong"),
    ],
)
def test_wrong_usage(call, arguments, says):
    answer = call("collections", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err


def test_a_picture(call, small_idc, tmp_path):
    answer = call("collections", "--plot", tmp_path / "x.png", "--json")
    assert len(answer.document["collections"]) == 3
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_of_collections_that_is_cut(call, small_idc, tmp_path, monkeypatch):
    shutil.copytree(small_idc, tmp_path / "package")
    path = tmp_path / "package" / "collections_index.parquet"
    path.write_bytes(path.read_bytes()[:900])
    monkeypatch.setattr(idc_versions, "installed_file", lambda table: tmp_path / "package" / f"{table}.parquet")
    for words in (["collections"], ["search", "--cancer", "lung"]):
        answer = call(*words)
        assert (answer.code, answer.out) == (1, "")
        assert "collections_index.parquet cannot be read" in answer.err
