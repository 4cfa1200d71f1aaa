"""The kept catalogue: read back as it was written, by hand here, and never an error."""

import json

import pytest

from medimagenet.index import collections
from medimagenet.sources.tcia_kept import kept_catalogue, kept_path

TOLD = {
    "collection_id": "tcia_alone",
    "kind": "collection",
    "short_title": "TCIA-Alone",
    **dict.fromkeys(("title", "summary", "updated", "link")),
    "doi": "10.7937/only-there",
    **{name: [] for name in ("locations", "species", "data_types", "program", "access")},
    "cancer_types": ["Lung Cancer"],
    "subjects": 3,
    "licenses": ["CC BY 4.0", None],
    "citations": ["Somebody (2026). Data.", "A paper."],
    "hidden": False,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path))


def keep(document):
    kept_path().parent.mkdir(parents=True, exist_ok=True)
    kept_path().write_text(document if isinstance(document, str) else json.dumps(document))


def test_what_is_kept_is_found_by_any_spelling():
    assert kept_catalogue() is None
    keep({"fetched": "2026-11-22T17:00:00+00:00", "collections": [TOLD]})
    (one,) = kept_catalogue().find("tcia alone")
    assert (one.cancer_types, one.licenses, one.subjects) == (("Lung Cancer",), ("CC BY 4.0", None), 3)
    assert kept_catalogue().find("other") == ()


@pytest.mark.parametrize("document", ["", "{", "[]", {"fetched": "x"}, {"fetched": "x", "collections": [{"a": 1}]}])
def test_what_cannot_be_read_is_nothing(document):
    keep(document)
    assert kept_catalogue() is None


def test_its_citations_are_found_by_doi():
    collections.citations.cache_clear()
    before = collections.citations()
    assert "10.7937/only-there" not in before
    keep({"fetched": "x", "collections": [TOLD, {**TOLD, "doi": next(iter(before))}]})
    collections.citations.cache_clear()
    try:
        found = collections.citations()
    finally:
        collections.citations.cache_clear()
    assert found == before | {"10.7937/only-there": "Somebody (2026). Data."}  # the public index goes first
