"""Bars: how much of what, several panels beside one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ._files import new_figure, write_png

WIDTH, HEADER, ROW = 420, 110, 20  # pixels: of a panel, of its title and margins, of a bar
PLAIN, MARKED = "#4878a8", "#d1854a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar."""

    name: str
    value: float
    text: str
    """What is written at its end, such as "4.9 TB"."""
    marked: bool = False
    """Drawn in the second colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Bars below a title, the first on top."""

    title: str
    bars: Sequence[Bar]


def write_bars(path: Path, panels: Sequence[Panel], *, title: str = "", legend: tuple[str, str] | None = None) -> None:
    """Write a PNG of panels side by side.

    Parameters
    ----------
    legend
        What the plain and the marked colour mean.

    Raises
    ------
    ValueError
        There are no bars.
    OSError
        It cannot be written.
    """
    rows = max((len(panel.bars) for panel in panels), default=0)
    if rows == 0:
        raise ValueError(f"nothing to draw: {len(panels)} panels without bars")
    figure = new_figure(WIDTH * len(panels), HEADER + ROW * rows)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel, rows)
    figure.suptitle(title, parse_math=False)
    figure.tight_layout(rect=(0, 0.35 * ROW / (HEADER + ROW * rows) if legend else 0, 1, 1))
    if legend:
        for place, name, color in zip((0.02, 0.32), legend, (PLAIN, MARKED), strict=True):
            figure.text(place, 0.005, f"■ {name}", color=color, va="bottom", parse_math=False)
    write_png(figure, path)


def _draw(axes: object, panel: Panel, rows: int) -> None:
    """Bars from the top, as long as their share of the longest; a panel with fewer than `rows` ends earlier."""
    places = range(len(panel.bars))
    longest = max((bar.value for bar in panel.bars), default=0) or 1
    axes.barh(  # type: ignore[attr-defined]
        places, [bar.value for bar in panel.bars], color=[MARKED if bar.marked else PLAIN for bar in panel.bars]
    )
    for place, bar in zip(places, panel.bars, strict=True):
        axes.text(bar.value + longest / 60, place, bar.text, va="center", fontsize=9, parse_math=False)  # type: ignore[attr-defined]
    axes.set_yticks(places, [bar.name for bar in panel.bars], parse_math=False)  # type: ignore[attr-defined]
    axes.set(ylim=(rows - 0.4, -0.6), xlim=(0, 1.25 * longest), xticks=[], title=panel.title)  # type: ignore[attr-defined]
    axes.spines[["top", "right", "bottom"]].set_visible(False)  # type: ignore[attr-defined]
    axes.tick_params(axis="y", length=0, labelsize=9)  # type: ignore[attr-defined]
