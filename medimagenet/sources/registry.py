"""Which sources there are: a line each here, or in another package's entry points.

Another package adds a source without a change here, by one line of its ``pyproject.toml``::

    [project.entry-points."medimagenet.sources"]
    mine = "my_package.sources:Mine"

A source is a class with an attribute `name`, the one it is registered under. What it can do it says by its methods:

- ``Mine(argument).series()`` lists series (`Source`): `argument` is what a user writes behind the colon of
  ``medimagenet index mine:ARGUMENT``.
- ``Mine().remote_files(row)`` says what to fetch (`RemoteSource`). A row of an index tells all that this needs, so that
  an index can be downloaded from that another person made.

Its module is imported when it is first used.
"""

import difflib
import importlib.metadata
from functools import partial
from typing import Any, cast

from ..errors import SourceError
from .base import RemoteSource, Source

GROUP = "medimagenet.sources"
"""Group of entry points that is looked through."""

SOURCES = {
    "archive": "medimagenet.sources.archive:Archive",
    "dicomdir": "medimagenet.sources.dicomdir:DicomDir",
    "dicomweb": "medimagenet.sources.dicomweb:DicomWeb",
    "folder": "medimagenet.sources.folder:Folder",
    "idc": "medimagenet.sources.idc_objects:IdcObjects",
    "nmdid": "medimagenet.sources.nmdid:Nmdid",
    "tcia": "medimagenet.sources.tcia:Tcia",
}
"""Name -> module:class. These names cannot be taken by another package."""


def source_names() -> list[str]:
    """Names of all sources, ours and those of installed packages, sorted."""
    return sorted({*SOURCES, *(point.name for point in importlib.metadata.entry_points(group=GROUP))})


def source_class(name: str) -> type[Any]:
    """The class of a source.

    Raises
    ------
    SourceError
        There is no such source, two packages claim its name, or what it names cannot be imported.
    """
    point = _entry_point(name)
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise SourceError(f"source {name!r} is {point.value}, which cannot be imported: {error}") from error
    if getattr(found, "name", None) != name:
        raise SourceError(f"source {name!r} is {point.value}, whose name is {getattr(found, 'name', None)!r}")
    return cast(type[Any], found)


def listed_source(name: str, argument: str) -> Source:
    """The source that lists series, of what a user asked of it.

    Raises
    ------
    SourceError
        As of `source_class`, or the source lists nothing; and whatever it finds wrong with `argument`.
    """
    found = source_class(name)
    _check_method(found, "series", f"source {name!r} cannot be listed, only fetched from")
    return cast(Source, found(argument))


def remote_source(name: str) -> RemoteSource:
    """The source that says what to fetch.

    Raises
    ------
    SourceError
        As of `source_class`, or nothing can be fetched from this source.
    """
    found = source_class(name)
    _check_method(found, "remote_files", f"series of source {name!r} are where they are: there is nothing to fetch")
    return cast(RemoteSource, found())


def _check_method(found: type[Any], method: str, message: str) -> None:
    if not callable(getattr(found, method, None)):
        raise SourceError(message)


def _entry_point(name: str) -> importlib.metadata.EntryPoint:
    make = partial(importlib.metadata.EntryPoint, name, group=GROUP)
    if name in SOURCES:
        return make(value=SOURCES[name])
    values = sorted({point.value for point in importlib.metadata.entry_points(group=GROUP, name=name)})
    if not values:
        close = difflib.get_close_matches(name, source_names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise SourceError(f"no source {name!r}: {hint}there are {', '.join(source_names())}")
    if len(values) > 1:
        raise SourceError(f"source {name!r} is claimed by {' and by '.join(values)}: uninstall one of the packages")
    return make(value=values[0])
