"""What TCIA's collection manager told, as it is kept in the user's cache: read without a network."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .._places import cache_dir
from .tcia_answers import collection_key

_FORMAT = 1  # of the file: one of another format is not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class TciaCollection:
    """What TCIA tells about a collection, or about an analysis result."""

    collection_id: str
    """As in an index."""
    kind: str
    """collection or analysis_result."""
    short_title: str
    title: str | None
    doi: str | None
    summary: str | None
    cancer_types: tuple[str, ...]
    locations: tuple[str, ...]
    species: tuple[str, ...]
    data_types: tuple[str, ...]
    program: tuple[str, ...]
    subjects: int | None
    licenses: tuple[str | None, ...]
    """Of its downloads, each once."""
    access: tuple[str, ...]
    """Who may have them: values of `Access`."""
    citations: tuple[str, ...]
    """How to cite it: the data, then publications."""
    updated: str | None
    link: str | None
    hidden: bool
    """Whether TCIA leaves it out of its own table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the collection manager answered."""

    fetched: str
    """When: ISO 8601, UTC."""
    collections: tuple[TciaCollection, ...]
    """Sorted by `collection_id`, collections before analysis results."""

    def find(self, name: str) -> tuple[TciaCollection, ...]:
        """Those whose identifier or short title is `name`; blanks, hyphens, underscores and case do not matter."""
        wanted = collection_key(name)
        return tuple(one for one in self.collections if one.collection_id == wanted)


def kept_path() -> Path:
    """Where the catalogue is kept."""
    return cache_dir() / "tcia" / f"collections-{_FORMAT}.json"


def kept_catalogue() -> Catalogue | None:
    """What was kept, None where there is nothing that this version can read: it is only a cache."""
    try:
        told = json.loads(kept_path().read_text(encoding="utf-8"))
        names = [field.name for field in fields(TciaCollection)]
        rows = [{name: _frozen(row[name]) for name in names} for row in told["collections"]]
        return Catalogue(fetched=told["fetched"], collections=tuple(TciaCollection(**row) for row in rows))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
