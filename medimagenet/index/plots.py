"""Pictures of counts: what an index has, by modality and licence, and its collections."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..viz.bars import Bar, Panel, write_bars
from .collections import Collection
from .stats import LicenseCount, ModalityCount, Stats

MOST_BARS = 25
"""In a panel; what is left is one bar, so that nothing is hidden."""

LEGEND = ("commercial use allowed", "not allowed, or not known to be, for all of it")


def plot_stats(stats: Stats, path: Path | str) -> None:
    """Write a PNG: series, patients and size by modality, and series by licence.

    Raises
    ------
    ValueError
        There are no series.
    OSError
        It cannot be written.
    """
    _refuse_nothing(stats.series)
    found = stats.modalities
    panels = [
        Panel(title="series by modality", bars=_by_modality(found, lambda item: item.series, _count)),
        Panel(
            title="patients by modality", bars=_by_modality(found, lambda item: item.patients, _count, adds_up=False)
        ),
        Panel(title="size by modality", bars=_by_modality(found, lambda item: item.size_bytes, _size)),
        Panel(title="series by licence (orange: not known to be commercial)", bars=_by_license(stats.licenses)),
    ]
    title = f"{_count(stats.series)} series of {_count(stats.patients)} patients, {_size(stats.size_bytes)}"
    write_bars(Path(path), panels, title=title)


def plot_collections(collections: Sequence[Collection], path: Path | str) -> None:
    """Write a PNG: size, series and patients of the largest collections.

    Raises
    ------
    ValueError
        There are no collections.
    OSError
        It cannot be written.
    """
    _refuse_nothing(len(collections))
    largest = sorted(collections, key=lambda item: -item.size_bytes)
    shown, rest = largest[:MOST_BARS], largest[MOST_BARS:]
    panels = [
        _collection_panel("size", shown, rest, lambda item: item.size_bytes, _size),
        _collection_panel("series", shown, rest, lambda item: item.series, _count),
        _collection_panel("patients", shown, rest, lambda item: item.patients, _count),
    ]
    total = sum(item.size_bytes for item in collections)
    write_bars(Path(path), panels, title=f"{len(collections)} collections, {_size(total)}", legend=LEGEND)


def _refuse_nothing(count: int) -> None:
    if not count:
        raise ValueError("nothing to draw: no series were found")


def _by_modality(
    found: Iterable[ModalityCount],
    value: Callable[[ModalityCount], int],
    text: Callable[[int], str],
    *,
    adds_up: bool = True,
) -> list[Bar]:
    """The largest first. What does not add up, as patients with several modalities, has no bar of the rest."""
    ranked = sorted(found, key=lambda item: -value(item))
    bars = [Bar(name=item.modality or "none", value=value(item), text=text(value(item))) for item in ranked[:MOST_BARS]]
    rest = ranked[MOST_BARS:]
    total = sum(map(value, rest))
    return [*bars, Bar(name=f"{len(rest)} others", value=total, text=text(total))] if rest and adds_up else bars


def _by_license(found: Iterable[LicenseCount]) -> list[Bar]:
    return [
        Bar(
            name=_short(item.license or "unknown"),
            value=item.series,
            text=_count(item.series),
            marked=not item.commercial,
        )
        for item in found
    ]


def _collection_panel(
    title: str,
    shown: Iterable[Collection],
    rest: Sequence[Collection],
    value: Callable[[Collection], int],
    text: Callable[[int], str],
) -> Panel:
    bars = [
        Bar(name=_short(item.collection_id), value=value(item), text=text(value(item)), marked=not item.commercial)
        for item in shown
    ]
    if rest:
        total = sum(map(value, rest))
        commercial = all(item.commercial for item in rest)
        bars.append(Bar(name=f"{len(rest)} others", value=total, text=text(total), marked=not commercial))
    return Panel(title=title, bars=bars)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."


def _count(number: int) -> str:
    return f"{number:,}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
