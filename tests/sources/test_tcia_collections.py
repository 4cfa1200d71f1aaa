"""The collection manager, on loopback, with the quirks of sources.md, 1.7."""

import json

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.http import Client, Limits
from medimagenet.sources.tcia_collections import tcia_catalogue
from tests.sources.nbia_server import Fault, NbiaServer

LUNG = {
    "id": 17,
    "slug": "nsclc-radiomics",
    "link": "https://www.cancerimagingarchive.net/collection/nsclc-radiomics/",
    "collection_title": "NSCLC-Radiomics &#8211; lung",
    "collection_short_title": "NSCLC-Radiomics",
    "collection_doi": "https://doi.org/10.7937/K9/TCIA.2015.PF0M9REI",
    "collection_summary": "<p>Images of 422&nbsp;patients.</p><ul><li>CT</li><li>RTSTRUCT</li></ul>",
    "cancer_types": ["Lung Cancer"],
    "cancer_locations": ["Lung"],
    "data_types": False,
    "species": ["Human"],
    "subjects": "422",
    "program": ["Community"],
    "date_updated": "2020-10-22",
    "collection_downloads": [1, 2, 99],
    "citations": [6, 5],
    "hide_from_browse_table": "0",
}
RESULT = {
    "id": 30,
    "slug": "x",
    "result_short_title": "RIDER-LungCT-Seg",
    "result_doi": False,
    "result_downloads": False,
    "citations": False,
    "hide_from_browse_table": 1,
}
DOWNLOADS = [
    {"id": 1, "download_type": ["Radiology Images"], "data_license": "CC BY-NC 3.0", "download_access": "Public"},
    {"id": 2, "download_type": ["Other"], "data_license": "TCIA Restricted", "download_access": "Limited"},
]
CITATIONS = [
    {"id": 5, "tcia_citation_type": "Data Citation", "tcia_citation_text": "<p>Aerts, H. (2014). <i>Data</i></p>"},
    {"id": 6, "tcia_citation_type": "Publication", "tcia_citation_text": "Aerts &amp; al."},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    with NbiaServer(collections=[LUNG]) as running:
        running.wordpress |= {"analysis-results": [RESULT], "downloads": DOWNLOADS, "citations": CITATIONS}
        yield running


def catalogue(server, **settings):
    client = Client("tcia", limits=Limits(attempts=1, backoff_s=0.0, connect_s=2.0, read_s=5.0))
    return tcia_catalogue(client=client, base_url=f"{server.url.removesuffix('/nbia-api')}/api/v1", **settings)


def test_what_is_told_of_a_collection(server):
    (lung,) = catalogue(server).find("nsclc radiomics")
    assert (lung.collection_id, lung.kind, lung.title) == ("nsclc_radiomics", "collection", "NSCLC-Radiomics – lung")
    assert lung.summary == "Images of 422 patients. CT RTSTRUCT"
    assert (lung.doi, lung.subjects, lung.data_types) == ("10.7937/k9/tcia.2015.pf0m9rei", 422, ())
    assert lung.licenses == ("CC BY-NC 3.0", "TCIA Restricted")
    assert lung.access == ("open, not for commercial use", "controlled")
    assert lung.citations == ("Aerts, H. (2014). Data", "Aerts & al.")
    assert not lung.hidden


def test_false_is_null_and_hidden_ones_are_marked(server):
    (result,) = catalogue(server).find("RIDER_LungCT-Seg")
    assert (result.kind, result.doi, result.licenses, result.citations) == ("analysis_result", None, (), ())
    assert result.hidden


def test_pages_are_followed_by_their_links(server):
    rows = [LUNG | {"id": n, "collection_short_title": f"C-{n}"} for n in range(230)]
    server.wordpress["collections"] = rows
    found = catalogue(server).collections
    assert [one.collection_id for one in found[:-1]] == sorted(f"c_{n}" for n in range(230))
    assert len(server.asked("")) == 3 + 3  # three pages of collections, one of each other resource


def test_a_page_on_another_host_is_not_followed(server):
    server.wordpress["collections"] = [LUNG | {"id": n} for n in range(101)]
    client = Client("tcia", limits=Limits(attempts=1, backoff_s=0.0))
    ask = client.get

    def get(url, **settings):
        answer = ask(url, **settings)
        answer.headers["Link"] = '<https://elsewhere.example/?page=2>; rel="next"'
        return answer

    client.get = get
    with pytest.raises(SourceError, match="another host"):
        tcia_catalogue(client=client, base_url=f"{server.url.removesuffix('/nbia-api')}/api/v1")


def test_it_is_fetched_once_and_stays_without_a_network(server):
    first = catalogue(server)
    asked = len(server.requests)
    assert catalogue(server) == first
    assert tcia_catalogue(base_url="http://127.0.0.1:9/none") == first
    assert len(server.requests) == asked
    catalogue(server, refresh=True)
    assert len(server.requests) == 2 * asked


def test_a_failed_refresh_leaves_what_was_there(server, own_cache):
    first = catalogue(server)
    (path,) = (own_cache / "tcia").iterdir()
    before = path.read_bytes()
    server.fail("", Fault(), Fault(status=404))
    with pytest.raises(SourceError, match="404"):
        catalogue(server, refresh=True)
    assert path.read_bytes() == before
    assert catalogue(server) == first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fetched": "x", "collections": [{}]}'])
def test_a_damaged_cache_is_fetched_again(server, own_cache, content):
    first = catalogue(server)
    (path,) = (own_cache / "tcia").iterdir()
    path.write_text(content)
    assert catalogue(server).collections == first.collections
    assert json.loads(path.read_text())["collections"]


def test_without_network_and_cache_it_is_an_error():
    client = Client("tcia", limits=Limits(attempts=1, backoff_s=0.0, connect_s=0.5))
    with pytest.raises(SourceError, match="no answer from"):
        tcia_catalogue(client=client, base_url="http://127.0.0.1:9/api/v1")


def test_a_page_in_place_of_json(server):
    server.fail("", Fault(status=200, body="<html>maintenance</html>"))
    with pytest.raises(SourceError, match="answered collections with no JSON"):
        catalogue(server)
