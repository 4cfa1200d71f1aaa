"""What is at Zenodo, HuggingFace, in an S3 bucket or behind plain links: names, addresses, sizes, checksums, licence.

Services' facts: HuggingFace's tree is paged by ``Link``; its ``lfs.oid`` is a SHA-256, its ``oid`` a hash of git. An
ETag of S3 is no checksum in general. Zenodo gives MD5. Dropbox's shared links need ``dl=1``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import obstore
import requests
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .._version import __version__
from ..errors import SourceError
from .credentials import SERVERS, find_credentials, server_url
from .http import Client, Limits, public_address
from .manifest import Manifest

ZENODO_VARIABLE = SERVERS["zenodo"][0]
HUGGINGFACE_VARIABLE = SERVERS["huggingface"][0]
"""Variables that name other servers of the same kind, such as mirrors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One file of an archive."""

    path: str
    url: str
    size_bytes: int | None = None
    checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source has."""

    place: str
    """Names it in this version."""
    files: tuple[ArchiveFile, ...]
    license: str | None = None
    doi: str | None = None


def list_archive(manifest: Manifest, limits: Limits | None = None) -> Listing:
    """What there is at the source of a manifest.

    Raises
    ------
    SourceError
        The source cannot be asked, does not have it, or does not let us.
    """
    return _LISTERS[manifest.source](manifest, limits)


def zenodo_url() -> str:
    """Where Zenodo is."""
    return server_url("zenodo")


def huggingface_url() -> str:
    """Where HuggingFace is."""
    return server_url("huggingface")


def _zenodo(manifest: Manifest, limits: Limits | None) -> Listing:
    base = zenodo_url()
    with Client("zenodo", base_url=base, credentials=find_credentials("zenodo"), limits=limits) as client:
        record = _json(client.get(f"api/records/{manifest.record}"))
    metadata = record.get("metadata", {})
    if record.get("id") not in (manifest.record, str(manifest.record)):
        raise SourceError(
            f"zenodo: record {manifest.record} stands for all versions, the newest is {record.get('id')}: "
            "write that number into the manifest, so that its files stay the same"
        )
    if metadata.get("access_right", "open") != "open":
        raise SourceError(f"zenodo: record {manifest.record} is {metadata['access_right']}, not open")
    files = tuple(
        ArchiveFile(path=file["key"], url=file["links"]["self"], size_bytes=file["size"], checksum=file["checksum"])
        for file in record.get("files", ())
    )
    said = (metadata.get("license") or {}).get("id")
    return Listing(place=f"{base}/records/{manifest.record}", files=files, license=said, doi=record.get("doi"))


def _huggingface(manifest: Manifest, limits: Limits | None) -> Listing:
    base = huggingface_url()
    repo = quote(str(manifest.repo))
    with Client("huggingface", base_url=base, credentials=find_credentials("huggingface"), limits=limits) as client:
        revision = f"/revision/{quote(manifest.revision, safe='')}" if manifest.revision else ""
        about = _json(client.get(f"api/datasets/{repo}{revision}"))
        commit = about["sha"]
        entries = list(_tree(client, f"{base}/api/datasets/{repo}/tree/{commit}"))
    files = tuple(
        ArchiveFile(
            path=entry["path"],
            url=f"{base}/datasets/{repo}/resolve/{commit}/{quote(entry['path'])}",
            size_bytes=(entry.get("lfs") or entry).get("size"),
            checksum=f"sha256:{entry['lfs']['oid']}" if entry.get("lfs") else None,
        )
        for entry in entries
        if entry["type"] == "file"
    )
    said = (about.get("cardData") or {}).get("license")
    license = said if isinstance(said, str) else None  # several: none of them is that of a file
    return Listing(place=f"{base}/datasets/{repo}/tree/{commit}", files=files, license=license)


def _tree(client: Client, url: str) -> Iterator[dict[str, Any]]:
    following: str | None = f"{url}?recursive=true"
    seen: set[str] = set()
    while following and following not in seen:
        seen.add(following)
        answer = client.get(following)
        entries = _json(answer, list)
        yield from entries
        following = answer.links.get("next", {}).get("url")
        if following and urlsplit(following).netloc != urlsplit(url).netloc:
            raise SourceError(f"huggingface: the next page of {public_address(url)} is on another host")


def _s3(manifest: Manifest, limits: Limits | None) -> Listing:
    bucket = str(manifest.bucket)
    endpoint = (manifest.endpoint or f"https://s3.{manifest.region}.amazonaws.com").rstrip("/")
    options = {"user_agent": f"medimagenet/{__version__}", "allow_http": endpoint.startswith("http://")}
    try:
        store = S3Store(bucket, endpoint=endpoint, region=manifest.region, skip_signature=True, client_options=options)
        entries = [entry for batch in obstore.list(store, prefix=manifest.prefix or None) for entry in batch]
    except BaseError as error:
        first = str(error).splitlines()[0]
        raise SourceError(f"s3: bucket {bucket} at {endpoint} cannot be listed: {first[:200]}") from error
    files = tuple(
        ArchiveFile(
            path=entry["path"].removeprefix(manifest.prefix).lstrip("/") or entry["path"].rpartition("/")[2],
            url=f"{endpoint}/{bucket}/{quote(entry['path'])}",
            size_bytes=entry["size"],
        )
        for entry in sorted(entries, key=lambda entry: str(entry["path"]))
    )
    return Listing(place=f"{endpoint}/{bucket}/{manifest.prefix}", files=files)


def _links(manifest: Manifest, limits: Limits | None) -> Listing:
    """Plain links list nothing: what the manifest says is all that is known."""
    direct = _dropbox_address if manifest.source == "dropbox" else str
    files = tuple(ArchiveFile(path=file.path, url=direct(str(file.url))) for file in manifest.files)
    return Listing(place=manifest.collection_id, files=files)


def _dropbox_address(url: str) -> str:
    """Of the file itself, not of the page that shows it."""
    parts = urlsplit(url)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in ("dl", "raw")]
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode([*query, ("dl", "1")]), ""))


def _json(answer: requests.Response, kind: type = dict) -> Any:
    try:
        document = answer.json()
    except ValueError as error:
        raise SourceError(f"{public_address(answer.url)} does not answer in JSON: is it the right address?") from error
    if not isinstance(document, kind):
        raise SourceError(f"{public_address(answer.url)} answers with {type(document).__name__}, not {kind.__name__}")
    return document


_LISTERS: Mapping[str, Callable[[Manifest, Limits | None], Listing]] = {
    "zenodo": _zenodo,
    "huggingface": _huggingface,
    "s3": _s3,
    "http": _links,
    "dropbox": _links,
}
