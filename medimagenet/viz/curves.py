"""Curves of a training: the loss of each step, and the scores of each validation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._files import new_figure, write_png
from .blending import class_colors

WIDTH, HEIGHT = 960, 400  # pixels

Points = Sequence[tuple[float, float]]


def write_curves(path: Path, *, loss: Points, scores: Mapping[str, Points], title: str = "") -> None:
    """Write a PNG with the loss on the left and the scores on the right.

    Parameters
    ----------
    loss : (step, value)
        Each step is drawn lightly, their running mean over a twentieth of the training strongly.
    scores : by name, (step, value)
        Such as the validation Dice of each class; the axis runs from 0 to 1.
    """
    figure = new_figure(WIDTH, HEIGHT)
    left, right = figure.subplots(1, 2)
    steps, values = _columns(loss)
    left.plot(steps, values, color="0.75", linewidth=0.8)
    left.plot(steps, _running_mean(values), color="black", linewidth=1.6)
    left.set(xlabel="step", ylabel="training loss")
    for color, (name, points) in zip(class_colors(len(scores)) / 255, scores.items(), strict=True):
        right.plot(*_columns(points), color=color, marker="o", markersize=4, label=name, clip_on=False)
    right.set(xlabel="step", ylabel="score", ylim=(0, 1))
    if scores:
        right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, parse_math=False)
    figure.tight_layout()
    write_png(figure, path)


def _columns(points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over a window around each value, smaller at both ends: as long as the values."""
    reach = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)
