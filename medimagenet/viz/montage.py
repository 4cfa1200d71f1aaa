"""Montages: rows of samples, columns of slices, masks laid over them, a legend of the classes.

Every slice is enlarged here by repeating pixels, to the ratio of its pixel size in mm, and put into the figure
without any resampling; only text is drawn. So what is coloured in the PNG is the mask, voxel for voxel. Captions and
letters stand beside the pictures, never on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from ..geometry import Grid
from ._files import POINTS_PER_PIXEL, new_figure, write_png
from .blending import class_colors, overlay, window
from .slices import Plane, best_slice, pixel_size, take_slice, towards_lps

SMALLEST_CELL = 320  # pixels: below, captions do not fit under a picture
LARGEST_CELL = 1024  # above, a montage of a few samples is larger than any screen; slices are then thinned out
CHARACTER = 0.62  # width of a character of the default font in units of its height, with room to spare


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a montage."""

    picture: NDArray[np.uint8]
    """(rows, columns, 3)."""
    pixel_mm: tuple[float, float]
    """Height and width of a pixel."""
    caption: str
    sides: tuple[str, str] = ("", "")
    """What is at the left and at the right border: ("R", "L") in an axial slice."""


@dataclass(frozen=True, slots=True)
class Row:
    """The pictures of one sample."""

    title: str
    """Without a patient's name or ID."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a picture is in the figure: pixels from the left and from the top."""

    left: int
    top: int
    width: int
    height: int


def case_tiles(
    image: NDArray[np.generic],
    grid: Grid,
    masks: NDArray[np.bool_],
    *,
    limits: tuple[float, float] | None = None,
    planes: Sequence[Plane] = tuple(Plane),
) -> tuple[Tile, ...]:
    """Per plane the slice that shows most of the masks, with the masks on it.

    Parameters
    ----------
    image : (Z, Y, X)
    masks : (classes, Z, Y, X)
    limits : window low and high, in the unit of the image
        None takes the range of the image without its extremes.
    """
    low, high = limits or value_range(image)
    masks, _ = towards_lps(masks, grid)
    image, grid = towards_lps(image, grid)
    tiles = []
    for plane in planes:
        index = best_slice(masks, plane)
        grey = window(take_slice(image, plane, index), low, high)
        picture = overlay(grey, take_slice(masks, plane, index), class_colors(len(masks)))
        caption = f"{plane} {index + 1} of {image.shape[plane.axis]}"
        tiles.append(Tile(picture, pixel_size(plane, grid.spacing), caption, plane.sides))
    return tuple(tiles)


def comparison_tiles(
    image: NDArray[np.generic],
    grid: Grid,
    truth: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    *,
    limits: tuple[float, float] | None = None,
    plane: Plane = Plane.AXIAL,
) -> tuple[Tile, ...]:
    """The same slice three times: as it is, with the true masks, with the predicted ones.

    Parameters
    ----------
    image : (Z, Y, X)
    truth, prediction : (classes, Z, Y, X)
        The slice is the one that shows most of `truth`.
    """
    low, high = limits or value_range(image)
    parts = [towards_lps(masks, grid)[0] for masks in (np.zeros_like(truth), truth, prediction)]
    image, grid = towards_lps(image, grid)
    index = best_slice(parts[1], plane)
    grey = window(take_slice(image, plane, index), low, high)
    size = pixel_size(plane, grid.spacing)
    names = (f"{plane} {index + 1} of {image.shape[plane.axis]}", "truth", "prediction")
    return tuple(
        Tile(overlay(grey, take_slice(masks, plane, index), class_colors(len(masks))), size, name, plane.sides)
        for masks, name in zip(parts, names, strict=True)
    )


def value_range(image: NDArray[np.generic]) -> tuple[float, float]:
    """The range of an image without the lowest 1 % and the highest 0.5 % of its finite values."""
    finite = np.asarray(image)[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (1.0, 99.5)))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def write_montage(path: Path, rows: Sequence[Row], classes: Sequence[str]) -> None:
    """Write rows of pictures and the legend of the classes as one PNG.

    Parameters
    ----------
    classes : names in the order of the masks' channels
        Their colours are those of `class_colors`.

    Raises
    ------
    ValueError
        There is no picture to show.
    """
    boxes, (width, height) = layout(rows)
    text = _text_height(rows)
    lines = _legend_lines(classes, width, text)
    figure = new_figure(width, height + round(1.8 * text * len(lines)))
    for row, placed in zip(rows, boxes, strict=True):
        _draw_title(figure, row.title, placed[0], text)
        for tile, box in zip(row.tiles, placed, strict=True):
            _draw_tile(figure, tile, box, text)
    _draw_legend(figure, lines, height, text)
    write_png(figure, path)


def layout(rows: Sequence[Row]) -> tuple[list[list[Box]], tuple[int, int]]:
    """Where each picture goes, and the width and height of them all with their captions, without the legend.

    Raises
    ------
    ValueError
        There is no picture to show.
    """
    if not rows or not all(row.tiles for row in rows):
        raise ValueError(f"a montage needs rows with at least one picture each, got {[len(row.tiles) for row in rows]}")
    cell, text = _cell(rows), _text_height(rows)
    margin = text
    boxes: list[list[Box]] = []
    top = margin
    for row in rows:
        top += 2 * text  # the title
        sizes = [_enlarged(tile, cell) for tile in row.tiles]
        tallest = max(height for height, _ in sizes)
        boxes.append(
            [
                Box(margin + k * (cell + margin) + (cell - width) // 2, top + (tallest - height) // 2, width, height)
                for k, (height, width) in enumerate(sizes)
            ]
        )
        top += tallest + 3 * text  # the caption
    columns = max(2, *(len(row.tiles) for row in rows))
    return boxes, (margin + columns * (cell + margin), top)


def _cell(rows: Sequence[Row]) -> int:
    """Edge in pixels of the square that each picture is fitted into: large enough that no pixel is left out."""
    needs = [SMALLEST_CELL]
    for tile in (tile for row in rows for tile in row.tiles):
        height, width = (n * mm for n, mm in zip(tile.picture.shape[:2], tile.pixel_mm, strict=True))
        needs.append(int(np.ceil(max(height, width) / min(tile.pixel_mm))))
    return min(LARGEST_CELL, max(needs))


def _text_height(rows: Sequence[Row]) -> int:
    return _cell(rows) // 24


def _enlarged(tile: Tile, cell: int) -> tuple[int, int]:
    """Height and width in pixels of a tile that fills its cell and keeps its ratio in mm."""
    height, width = (n * mm for n, mm in zip(tile.picture.shape[:2], tile.pixel_mm, strict=True))
    scale = cell / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _draw_tile(figure: Figure, tile: Tile, box: Box, text: int) -> None:
    rows = (np.arange(box.height) + 0.5) * (tile.picture.shape[0] / box.height)
    columns = (np.arange(box.width) + 0.5) * (tile.picture.shape[1] / box.width)
    picture = tile.picture[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]
    below = round(figure.bbox.height) - box.top - box.height
    figure.figimage(picture, box.left, below, origin="upper")
    for place, align, words in (
        (0.0, "left", tile.sides[0]),
        (0.5, "center", tile.caption),
        (1.0, "right", tile.sides[1]),
    ):
        _draw_text(figure, box.left + place * box.width, box.top + box.height + 1.2 * text, words, text, align)


def _draw_title(figure: Figure, title: str, first: Box, text: int) -> None:
    _draw_text(figure, text, first.top - 0.8 * text, title, round(1.1 * text), "left")


def _draw_legend(figure: Figure, lines: list[list[tuple[float, str, tuple[float, ...]]]], top: int, text: int) -> None:
    for number, line in enumerate(lines):
        base = top + 1.8 * text * number + text
        for left, name, color in line:
            corner = (left, figure.bbox.height - base - 0.1 * text)
            figure.add_artist(Rectangle(corner, text, text, color=color, transform=None))
            _draw_text(figure, left + 1.5 * text, base, name, text, "left")


def _legend_lines(classes: Sequence[str], width: int, text: int) -> list[list[tuple[float, str, tuple[float, ...]]]]:
    """Per line the left edge, name and colour of its entries."""
    lines: list[list[tuple[float, str, tuple[float, ...]]]] = [[]]
    left = float(text)
    for name, color in zip(classes, class_colors(len(classes)) / 255, strict=True):
        needed = (2.5 + CHARACTER * len(name) + 1) * text
        if lines[-1] and left + needed > width:
            lines.append([])
            left = float(text)
        lines[-1].append((left, name, tuple(color.tolist())))
        left += needed
    return lines if lines[0] else []


def _draw_text(figure: Figure, left: float, base: float, words: str, height: int, align: str) -> None:
    """Write one line; `left` and `base` are pixels from the left and from the top. Dollar signs are no formulas."""
    x, y = left / figure.bbox.width, 1 - base / figure.bbox.height
    size = height * POINTS_PER_PIXEL
    figure.text(x, y, words, fontsize=size, ha=align, va="baseline", color="black", parse_math=False)
