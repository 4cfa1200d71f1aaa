"""The versions of the public index that are here: for `medimagenet update --list`, `--unpin` and `--remove`."""

from typing import Any

from ..sources.idc_versions import (
    current_version,
    find_version,
    pin_version,
    pinned_version,
    remove_version,
    versions_here,
)
from .output import human_bytes, write_json, write_line, write_table


def show_versions(*, as_json: bool) -> None:
    """List them, newest first."""
    pinned, opened = pinned_version(), current_version()
    documents: list[dict[str, Any]] = [
        {
            "version": one.version,
            "installed": one.installed,
            "opened": one.version == opened.version,
            "pinned": one.version == pinned,
            "side_indices": list(one.side_indices),
            "fetched_bytes": one.size_bytes,
        }
        for one in versions_here()
    ]
    if as_json:
        write_json({"versions": documents})
        return
    write_table(
        ["version", "", "side indices", "fetched"],
        [
            [item["version"], _marks(item), " ".join(_names(item)), human_bytes(item["fetched_bytes"])]
            for item in documents
        ],
    )


def _marks(item: dict[str, Any]) -> str:
    return ", ".join(mark for mark in ("opened", "pinned", "installed") if item[mark])


def _names(item: dict[str, Any]) -> list[str]:
    return [name.removesuffix("_index") for name in item["side_indices"]]


def open_newest(*, as_json: bool) -> None:
    """Open the newest one from now on."""
    pin_version(None)
    _say({"opened": current_version().version}, f"opened from now on: {current_version().version}", as_json)


def remove_fetched(name: str, *, as_json: bool) -> None:
    """Remove what was fetched of one.

    Raises
    ------
    ValueError
        It is not here, is pinned, or nothing of it was fetched.
    """
    found = find_version(name)
    if found is None:
        raise ValueError(f"version {name!r} is not here: {', '.join(one.version for one in versions_here())} are")
    remove_version(found)
    _say({"removed": found.version}, f"removed: {found.version}", as_json)


def _say(document: dict[str, Any], line: str, as_json: bool) -> None:
    write_json(document) if as_json else write_line(line)
