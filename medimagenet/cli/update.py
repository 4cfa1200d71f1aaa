"""`medimagenet update`: newer versions of the public index, its side indices, and which version is opened."""

import csv
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import SIDE_INDICES, check_update, update_index
from ..sources.idc_changes import changed_series
from ..sources.idc_versions import current_version, find_version
from .output import (
    JsonFlag,
    Progress,
    human_bytes,
    plural,
    progress_stages,
    to_json,
    write_json,
    write_line,
    write_note,
    write_table,
    wrong_usage,
)
from .versions import open_newest, remove_fetched, show_versions

MOST_COLLECTIONS = 20  # lines of what differs; --changes has them all


def command(
    version: Annotated[
        str | None, typer.Argument(help="Such as 24 or 24.0.3; the newest where none is named.", metavar="[VERSION]")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say what is newer. Nothing is fetched.")] = False,
    side: Annotated[
        list[str] | None, typer.Option(help="Side index to fetch; repeat it for several. All where none is named.")
    ] = None,
    no_side: Annotated[bool, typer.Option("--no-side", help="No side indices.")] = False,
    pin: Annotated[
        str | None, typer.Option(help="Open this version from now on, fetched where it is not here.", metavar="VERSION")
    ] = None,
    unpin: Annotated[bool, typer.Option("--unpin", help="Open the newest version that is here from now on.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the versions that are here.")] = False,
    remove: Annotated[
        str | None, typer.Option(help="Remove what was fetched of this version.", metavar="VERSION")
    ] = None,
    changes: Annotated[
        Path | None, typer.Option(help="Write each new, revised or withdrawn series.", metavar="Y.csv")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch the newest public index and its side indices; say what is new, revised or withdrawn.

    Side indices tell what annotations refer to, ROI names, slice thickness and geometry. Every file is compared with
    its published checksum; what fails changes nothing, and the next run goes on where it broke off.
    """
    alone = [flag for flag, given in (("--unpin", unpin), ("--list", listing), ("--remove", remove)) if given]
    if len(alone) > 1 or (alone and (version or check or side or pin or changes)) or (pin and version):
        raise typer.BadParameter(
            f"{' and '.join(alone) or '--pin'} goes with no other request: ask one thing at a time"
        )
    with wrong_usage():
        if listing:
            show_versions(as_json=as_json)
        elif unpin:
            open_newest(as_json=as_json)
        elif remove is not None:
            remove_fetched(remove, as_json=as_json)
        elif check:
            _check(version or pin, as_json=as_json)
        else:
            sides = [] if no_side else (side or list(SIDE_INDICES))
            _update(pin or version, sides, pin=pin is not None, changes=changes, as_json=as_json)


def _check(version: str | None, *, as_json: bool) -> None:
    found = check_update(version)
    if as_json:
        write_json(asdict(found))
        return
    write_line(f"opened: {found.version}; published: {found.available}{'' if found.here else ', which is not here'}")
    if found.missing:
        write_line(f"side indices of it that are not here: {', '.join(found.missing)}")
    if not found.here or found.missing:
        write_line(f"next: medimagenet update{f' {version}' if version else ''}")


def _update(version: str | None, sides: list[str], *, pin: bool, changes: Path | None, as_json: bool) -> None:
    start = time.perf_counter()
    before = find_version(current_version().version) if changes is not None else None
    with progress_stages() as begin:
        done = update_index(version, side_indices=sides, pin=pin, stage=lambda label: _megabytes(begin, label))
    if changes is not None and before is not None:
        _write_changes(changes, before.version, done.version)
    if as_json:
        write_json({**to_json(done), "seconds": time.perf_counter() - start})
        return
    if done.fetched:
        write_line(f"fetched of version {done.version}: {', '.join(done.fetched)}")
    else:
        write_line(f"version {done.version} is here, whole: nothing was fetched")
    if done.changes is not None:
        _render(to_json(done.changes))
    other = "" if done.opened == done.version else " (pinned: --unpin opens the newest)"
    seconds = time.perf_counter() - start
    write_line(f"opened from now on: {done.opened}{other}; {human_bytes(done.size_bytes)} for queries, {seconds:.1f} s")


def _megabytes(begin: Callable[[str], Progress], label: str) -> Progress:
    """Progress of a table in MB; of the laying, in its steps."""
    if not label.endswith("_index"):
        return begin(label)
    bar = begin(f"{label}, MB")
    return lambda done, total: bar(done // 10**6, max(1, total // 10**6))


def _render(changes: dict[str, Any]) -> None:
    counts = ", ".join(f"{changes[name]} {name}" for name in ("new", "revised", "withdrawn"))
    write_line(
        f"from {changes['earlier']} to {changes['later']}: series {counts}; {human_bytes(changes['size_bytes'])}"
    )
    found = changes["collections"]
    shown = sorted(found, key=lambda item: -item["new"] - item["revised"] - item["withdrawn"])[:MOST_COLLECTIONS]
    names = ("collection_id", "change", "new", "revised", "withdrawn")
    if shown:
        write_table(
            ["collection", "is", *names[2:], "size"],
            [[*(item[name] for name in names), human_bytes(item["size_bytes"])] for item in shown],
        )
    if len(shown) < len(found):
        write_line(f"and {plural(len(found) - len(shown), 'collection')} more: --changes Y.csv has every series")


def _write_changes(path: Path, earlier: str, later: str) -> None:
    one, two = find_version(earlier), find_version(later)
    if one is None or two is None:
        raise ValueError(f"versions {earlier} and {later} must both be here to be compared")
    table = changed_series(one, two)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, table.column_names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.to_pylist())
    write_note(f"{plural(len(table), 'series')} in {path}")
