"""TCIA's collection manager: what each collection is, its DOI, licences and citation (sources.md, 1.7).

Answers are kept in the user's cache: once fetched, they are there without a network until they are fetched again.
"""

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..errors import SourceError
from .http import Client
from .markup import plain_text
from .tcia_answers import as_count, as_doi, collection_key
from .tcia_kept import Catalogue, TciaCollection, kept_catalogue, kept_path
from .tcia_licenses import access_of, short_license
from .tcia_nbia import SERVICE

MANAGER = "https://cancerimagingarchive.net/api/v1"
MANAGER_VARIABLE = "MEDIMAGENET_TCIA_MANAGER_URL"
"""Variable that names another collection manager."""

_PAGE = 100
_MOST_PAGES = 1000  # a server whose last page names a next one would go on for ever

_FIELDS = {
    "collections": (
        *("id", "slug", "link", "collection_title", "collection_short_title", "collection_doi", "collection_summary"),
        *("collection_abstract", "cancer_types", "cancer_locations", "data_types", "species", "subjects", "program"),
        *("date_updated", "collection_downloads", "citations", "hide_from_browse_table"),
    ),
    "analysis-results": (
        *("id", "slug", "link", "result_title", "result_short_title", "result_doi", "result_summary"),
        *("cancer_types", "cancer_locations", "data_types", "species", "subjects", "program"),
        *("date_updated", "result_downloads", "citations", "hide_from_browse_table"),
    ),
    "downloads": ("id", "download_title", "download_type", "data_license", "download_access"),
    "citations": ("id", "tcia_citation_type", "tcia_citation_text", "tcia_citation_statement", "tcia_citation_doi"),
}


def tcia_catalogue(*, refresh: bool = False, client: Client | None = None, base_url: str = "") -> Catalogue:
    """What TCIA tells about its collections: from the cache or, where there is nothing or `refresh` says so, fetched.

    A fetch that fails leaves the cache as it is.

    Raises
    ------
    SourceError
        It has to be fetched, and cannot be; or the cache cannot be written.
    """
    kept = None if refresh else kept_catalogue()
    if kept is not None:
        return kept
    address = base_url or os.environ.get(MANAGER_VARIABLE) or MANAGER
    fetched = _fetch(client or Client(SERVICE), address)
    _write(kept_path(), fetched)
    return fetched


def _fetch(client: Client, base_url: str) -> Catalogue:
    rows = {name: list(_records(client, base_url, name)) for name in _FIELDS}
    downloads = {str(row.get("id")): row for row in rows["downloads"]}
    citations = {str(row.get("id")): row for row in rows["citations"]}
    found = [
        *(_described(row, "collection", downloads, citations) for row in rows["collections"]),
        *(_described(row, "result", downloads, citations) for row in rows["analysis-results"]),
    ]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Catalogue(
        fetched=now, collections=tuple(sorted(found, key=lambda one: (one.kind != "collection", one.collection_id)))
    )


def _records(client: Client, base_url: str, resource: str) -> Iterator[Mapping[str, Any]]:
    """All pages of a resource; each names the next in its `Link`."""
    url = f"{base_url.rstrip('/')}/{resource}/"
    asked: Mapping[str, Any] | None = {"per_page": _PAGE, "_fields": ",".join(_FIELDS[resource])}
    for _ in range(_MOST_PAGES):
        answer = client.get(url, params=asked)
        try:
            rows = answer.json()
        except ValueError as error:
            raise SourceError(f"TCIA's collection manager answered {resource} with no JSON") from error
        if not isinstance(rows, list):
            raise SourceError(f"TCIA's collection manager answered {resource} with no list")
        yield from (row for row in rows if isinstance(row, dict))
        following = answer.links.get("next", {}).get("url")
        if not following:
            return
        url, asked = urljoin(url, following), None
        if urlsplit(url).hostname != urlsplit(base_url).hostname:
            raise SourceError(f"TCIA's collection manager names another host for the next page of {resource}")
    raise SourceError(f"TCIA's collection manager has no last page of {resource}: {_MOST_PAGES} were read")


def _described(
    row: Mapping[str, Any], prefix: str, downloads: Mapping[str, Any], citations: Mapping[str, Any]
) -> TciaCollection:
    """One record: `false` is null there, numbers come as text, texts as HTML."""
    parts = [downloads[str(key)] for key in _list(row.get(f"{prefix}_downloads")) if str(key) in downloads]
    licenses = list(dict.fromkeys(short_license(_text(part.get("data_license"))) for part in parts))
    short = _text(row.get(f"{prefix}_short_title")) or _text(row.get("slug")) or str(row.get("id"))
    cited = [citations[str(key)] for key in _list(row.get("citations")) if str(key) in citations]
    cited.sort(key=lambda one: "data" not in str(one.get("tcia_citation_type")).lower())
    return TciaCollection(
        collection_id=collection_key(short),
        kind="collection" if prefix == "collection" else "analysis_result",
        short_title=short,
        title=_text(row.get(f"{prefix}_title")),
        doi=as_doi(row.get(f"{prefix}_doi")),
        summary=_text(row.get(f"{prefix}_summary")) or _text(row.get(f"{prefix}_abstract")),
        cancer_types=_texts(row.get("cancer_types")),
        locations=_texts(row.get("cancer_locations")),
        species=_texts(row.get("species")),
        data_types=_texts(row.get("data_types")),
        program=_texts(row.get("program")),
        subjects=as_count(row.get("subjects")),
        licenses=tuple(licenses),
        access=tuple(dict.fromkeys(str(access_of(name)) for name in licenses)),
        citations=tuple(text for text in (_text(one.get("tcia_citation_text")) for one in cited) if text),
        updated=_text(row.get("date_updated")),
        link=_text(row.get("link")),
        hidden=str(row.get("hide_from_browse_table")) in ("1", "True"),
    )


def _list(value: Any) -> list[Any]:
    """A list of identifiers; records (with an `id` or `ID`) stand for theirs."""
    values = value if isinstance(value, list) else [value] if value else []
    return [one.get("id", one.get("ID")) if isinstance(one, dict) else one for one in values]


def _text(value: Any) -> str | None:
    if isinstance(value, dict):  # WordPress: {"rendered": ...}
        value = value.get("rendered")
    return plain_text(str(value)) if value not in (None, False, "") else None


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in map(_text, values) if text)


def _write(path: Path, catalogue: Catalogue) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(asdict(catalogue), stream, ensure_ascii=False)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"cannot keep what TCIA told at {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
