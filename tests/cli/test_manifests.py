"""`search` with lists of series, in and out."""

import pytest

from medimagenet.sources.tcia_manifest import read_manifest

LCTSC = ("search", "--collection", "lctsc", "--modality", "CT")


def test_a_manifest_of_what_was_found_and_back(call, tmp_path):
    path = tmp_path / "x.tcia"
    answer = call(*LCTSC, "--manifest", path)
    assert (answer.code, answer.out) == (0, "")
    assert "60 series in" in answer.err
    found = {row["SeriesInstanceUID"] for row in call(*LCTSC, "--json").document["series"]}
    assert set(read_manifest(path)) == found
    assert len(found) == 60
    again = call("search", "--from-manifest", path, "--json").document["series"]
    assert {row["SeriesInstanceUID"] for row in again} == found
    narrower = call("search", "--from-manifest", path, "--min-slices", 200, "--json").document["series"]
    assert 0 < len(narrower) < 60


def test_a_table_for_the_new_retriever(call, tmp_path):
    assert call(*LCTSC, "--manifest", tmp_path / "x.csv").code == 0
    assert (tmp_path / "x.csv").read_text().splitlines()[0] == "SeriesInstanceUID"


def test_series_of_ones_own_are_in_no_manifest(call, chain, tmp_path):
    answer = call("search", chain.index, "--manifest", tmp_path / "x.tcia")
    assert answer.code == 2
    assert "not public" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["1.2.3.4.5.6.7.8.9", ""])
def test_a_list_that_has_nothing_of_the_index(call, tmp_path, text):
    (tmp_path / "x.tcia").write_text(text)
    answer = call("search", "--from-manifest", tmp_path / "x.tcia")
    assert (answer.code, answer.out) == (1, "")
    assert "x.tcia" in answer.err
