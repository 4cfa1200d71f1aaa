"""Bring the public index up to date: fetch what is newer, say what differs, lay it for queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from ..sources.idc import database_path, public_database
from ..sources.idc_changes import Changes, compare_versions
from ..sources.idc_layout import SIDE_COLUMNS
from ..sources.idc_update import IdcRelease, Stage
from ..sources.idc_versions import IdcVersion, current_version, find_version, pin_version
from .query import unknown_value

SIDE_INDICES = tuple(SIDE_COLUMNS)
"""The side indices that `update_index` can fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """What an update would do."""

    version: str
    """The version that `open_index` opens now."""
    available: str
    """The one that IDC publishes."""
    here: bool
    """Whether that one is on this machine."""
    missing: tuple[str, ...]
    """Side indices that IDC publishes of it and that are not here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What an update did."""

    earlier: str | None
    """The version that was opened before; None where a pinned one was not here."""
    version: str
    """The one that was asked for, which is here now."""
    opened: str
    """The one that `open_index` opens from now on: another one where the user pinned it."""
    fetched: tuple[str, ...]
    """Tables that were fetched."""
    side_indices: tuple[str, ...]
    """Side indices of the version that are here now."""
    changes: Changes | None
    """What differs from the version before; None where it is the same."""
    database: Path
    """What queries run on."""
    size_bytes: int
    """Of the database."""


def check_update(version: str | None = None, *, base_url: str | None = None) -> Available:
    """Ask IDC for the newest version of its index, or for another one. Nothing is fetched or changed.

    Parameters
    ----------
    version
        Such as ``24`` or ``24.0.3``; None: what is current.
    base_url
        Where IDC's index is published, by default what ``MEDIMAGENET_IDC_INDEX_URL`` names or else IDC's own place.

    Raises
    ------
    SourceError
        The server cannot be asked, or has no such version.
    """
    release = IdcRelease(base_url).find(version)
    found = find_version(release.version)
    has = found.side_indices if found is not None else ()
    return Available(
        version=current_version().version,
        available=release.version,
        here=found is not None,
        missing=tuple(name for name in SIDE_INDICES if name not in has),
    )


def update_index(
    version: str | None = None,
    *,
    side_indices: Sequence[str] = SIDE_INDICES,
    pin: bool = False,
    base_url: str | None = None,
    stage: Stage | None = None,
) -> Update:
    """Fetch the newest version of IDC's index, or another one, with side indices; lay it; say what differs.

    Tables that are here already are not fetched again. An attempt that fails changes nothing, and the next one goes on
    where it broke off. Indexes that are open stay as they are.

    Parameters
    ----------
    version
        Such as ``24``, which is its newest, or ``24.0.3``; None: what is current.
    side_indices
        Which to fetch, of `SIDE_INDICES`.
    pin
        Open this version from now on, also when newer ones are here.
    base_url
        As of `check_update`.
    stage
        Takes what begins, such as a table; gives the function that is called with the bytes or steps done and of all.

    Raises
    ------
    ValueError
        A side index that is not known.
    SourceError
        It cannot be fetched whole, or the cache cannot be written.
    """
    for name in side_indices:
        if name not in SIDE_INDICES:
            raise unknown_value("side index", name, SIDE_INDICES)
    earlier = _current_or_none()
    here = find_version(version) if version is not None else None
    if here is not None and set(side_indices) <= set(here.side_indices):
        found, fetched = here, set[str]()  # nothing to ask for: a version never changes
    else:
        published = IdcRelease(base_url)
        release = published.find(version)
        before = find_version(release.version)
        found = published.fetch(release, side_indices, stage)
        fetched = set(found.checksums) - set(before.checksums if before is not None else ())
    if pin:
        pin_version(found)
    opened = current_version()
    database = database_path(opened)
    if not database.is_file():
        public_database(stage("laying the index for queries") if stage else None)
    return Update(
        earlier=earlier.version if earlier is not None else None,
        version=found.version,
        opened=opened.version,
        fetched=tuple(sorted(fetched)),
        side_indices=found.side_indices,
        changes=compare_versions(earlier, found) if earlier and earlier.version != found.version else None,
        database=database,
        size_bytes=database.stat().st_size,
    )


def _current_or_none() -> IdcVersion | None:
    try:
        return current_version()
    except SourceError:  # a pinned version that is not here: what is asked for may be that one
        return None
