"""Collections: what the public index tells about each, and what is in an index of it."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .._lazy import LazyModule
from ..errors import SourceError
from ..sources.idc_layout import COLLECTION_COUNTS
from ..sources.idc_versions import current_version
from ..sources.tcia_kept import kept_catalogue
from .licenses import allows_commercial_use, by_restrictiveness
from .rows import PUBLIC

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from .table import Index
else:
    pq = LazyModule("pyarrow.parquet")  # which most queries do not need: 30 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSource:
    """One of the data sets that a collection was made from: its images, or annotations that others made of them."""

    title: str
    kind: str
    """original_data or analysis_result."""
    doi: str | None
    license: str | None
    modalities: str | None
    citation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What an index has of a collection. What only the public index tells is None for others."""

    collection_id: str
    title: str | None
    cancer_types: str | None
    locations: str | None
    species: str | None
    patients: int
    studies: int
    series: int
    instances: int
    size_bytes: int
    modalities: tuple[str, ...]
    licenses: tuple[str | None, ...]
    """Of its series, the most restrictive first."""
    commercial: bool
    """Whether all of its series are under licences that allow commercial use."""
    description: str | None
    sources: tuple[DatasetSource, ...]


def list_collections(index: "Index") -> tuple[Collection, ...]:
    """The collections of an index, sorted by name."""
    told = _told()
    counts = f"SELECT * FROM {PUBLIC}.collections" if index.is_whole_public else COLLECTION_COUNTS
    return tuple(_collection(row, told.get(row[0], {})) for row in index.fetch(counts))


def collections_of_cancer(name: str) -> tuple[list[str], list[str]]:
    """The public collections with a cancer type that contains `name`, and all cancer types that there are."""
    types = {key: _split(row["cancer_types"]) for key, row in _told().items()}
    wanted = name.strip().casefold()
    found = [key for key, names in types.items() if any(wanted in one.casefold() for one in names)]
    return found, sorted({one for names in types.values() for one in names})


@cache
def citations() -> dict[str, str]:
    """How each public data set, and each analysis of one, asks to be cited, by its DOI in lower case.

    Those that only TCIA has are among them once its catalogue was fetched (``collections --tcia``).
    """
    found: dict[str, str] = {}
    sources = [source for row in _told().values() for source in row["sources"] or ()]
    for source in [*sources, *_read(current_version().files["analysis_results_index"])]:
        text = _plain_text(source.get("citation"))
        doi = source.get("source_doi") or source.get("source_DOI")
        if doi and text:
            found.setdefault(doi.lower(), text)
    for told in getattr(kept_catalogue(), "collections", ()):
        if told.doi and told.citations:
            found.setdefault(told.doi, told.citations[0])
    return found


def _told() -> dict[str, dict[str, Any]]:
    """What the public index that is opened tells about its collections, by collection_id."""
    return _told_by(current_version().files["collections_index"])


@cache
def _told_by(path: Path) -> dict[str, dict[str, Any]]:
    return {row["collection_id"]: row for row in _read(path)}


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:  # read_table would import pandas where it is installed: half a second
            return list(file.read().to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _split(text: str | None) -> Sequence[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _collection(row: tuple[Any, ...], told: dict[str, Any]) -> Collection:
    name, patients, studies, series, instances, size_bytes, modalities, licenses = row
    return Collection(
        collection_id=name,
        title=told.get("collection_name"),
        cancer_types=told.get("cancer_types"),
        locations=told.get("tumor_locations"),
        species=told.get("species"),
        patients=patients,
        studies=studies,
        series=series,
        instances=int(instances),
        size_bytes=int(size_bytes),
        modalities=tuple(modalities),
        licenses=tuple(by_restrictiveness(license or None for license in licenses)),
        commercial=all(allows_commercial_use(license) for license in licenses),
        description=_plain_text(told.get("description")),
        sources=tuple(_source(source) for source in told.get("sources") or ()),
    )


def _source(told: dict[str, Any]) -> DatasetSource:
    return DatasetSource(
        title=told["source_title"] or told["source_id"],
        kind=told["source_type"],
        doi=told["source_doi"],
        license=(told["license"] or {}).get("license_short_name"),
        modalities=told["modalities"],
        citation=_plain_text(told["citation"]),
    )


def _plain_text(markup: str | None) -> str | None:
    """Text without HTML's tags, entities and line ends."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split()) if markup else None
