"""Bars are as long as their values say: their pixels are counted."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from medimagenet.viz.bars import MARKED, PLAIN, Bar, Panel, write_bars


def widths(path, color):
    """Pixels of a colour in each row that has some, without those of the legend."""
    image = imread(path)[:-30, :, :3]
    rows = np.isclose(image, to_rgb(color), atol=0.02).all(axis=2).sum(axis=1)
    return rows[rows > 5]


def test_lengths_are_in_proportion(tmp_path):
    values = [Bar(name="a", value=100, text="100"), Bar(name="b", value=50, text="50", marked=True)]
    write_bars(tmp_path / "x.png", [Panel(title="t", bars=values)], title="T", legend=("one", "other"))
    plain, marked = widths(tmp_path / "x.png", PLAIN).max(), widths(tmp_path / "x.png", MARKED).max()
    assert plain == pytest.approx(2 * marked, rel=0.03)


def test_the_same_picture_is_the_same_file(tmp_path):
    panels = [Panel(title="t", bars=[Bar(name="$a_1$", value=0, text="0")]), Panel(title="empty", bars=[])]
    for name in ("x.png", "y.png"):
        write_bars(tmp_path / name, panels)
    assert (tmp_path / "x.png").read_bytes() == (tmp_path / "y.png").read_bytes()


def test_no_bars(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw: 1 panels without bars"):
        write_bars(tmp_path / "x.png", [Panel(title="t", bars=[])])
