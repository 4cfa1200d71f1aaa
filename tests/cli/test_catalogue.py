"""`medimagenet collections --tcia` against a collection manager on loopback."""

import pytest

from medimagenet.sources.tcia_collections import MANAGER_VARIABLE
from tests.sources.nbia_server import NbiaServer

ROWS = [
    {
        "id": n,
        "collection_short_title": name,
        "collection_title": f"The {name} &amp; more",
        "collection_summary": "<p>Images</p>",
        "collection_doi": "10.7937/X",
        "cancer_types": ["Lung Cancer"],
        "subjects": "422",
        "collection_downloads": [1],
        "citations": [5],
        "hide_from_browse_table": hidden,
    }
    for n, (name, hidden) in enumerate([("NSCLC-Radiomics", "0"), ("LIDC-IDRI", "0"), ("Secret", "1")])
]


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "cache"))
    with NbiaServer(collections=ROWS) as running:
        running.wordpress["downloads"] = [{"id": 1, "data_license": "CC BY-NC 3.0"}]
        running.wordpress["citations"] = [{"id": 5, "tcia_citation_text": "Aerts (2014) <i>Data</i>"}]
        monkeypatch.setenv(MANAGER_VARIABLE, f"{running.url.removesuffix('/nbia-api')}/api/v1")
        # four resources at the pace that TCIA is asked at would take seconds
        monkeypatch.setattr("medimagenet.sources.http.LIMITS", {})
        yield running


def test_a_table_and_one_of_them(call, server):
    table = call("collections", "--tcia")
    assert table.code == 0
    assert "NSCLC-Radiomics" in table.out
    assert "Secret" not in table.out
    assert "2 collections, as TCIA told on 20" in table.out
    shown = call("collections", "show", "nsclc_radiomics", "--tcia").out
    assert shown.startswith("The NSCLC-Radiomics & more\nImages\n")
    for line in ("https://doi.org/10.7937/x", "CC BY-NC 3.0", "open, not for commercial use", "Aerts (2014) Data"):
        assert line in shown


def test_json_has_all_and_the_second_time_nothing_is_asked(call, server):
    first = call("collections", "--tcia", "--json").document
    assert {one["short_title"] for one in first["collections"]} == {"NSCLC-Radiomics", "LIDC-IDRI", "Secret"}
    asked = len(server.requests)
    assert call("collections", "--tcia", "--json").document == first
    one = call("collections", "show", "LIDC IDRI", "--tcia", "--json").document
    assert [item["collection_id"] for item in one["collections"]] == ["lidc_idri"]
    assert len(server.requests) == asked
    call("collections", "--tcia", "--update")
    assert len(server.requests) == 2 * asked


def test_an_unknown_name_and_a_wrong_use(call, server):
    answer = call("collections", "show", "nsclc-radiomic", "--tcia")
    assert answer.code == 2
    assert "did you mean NSCLC-Radiomics?" in " ".join(answer.err.replace("│", "").split())
    assert call("collections", "--update").code == 2
