"""The figure shows what it is given, and is the same file each time."""

import numpy as np
from PIL import Image

from medimagenet.viz.curves import HEIGHT, WIDTH, _running_mean, write_curves


def test_same_input_same_bytes(tmp_path):
    loss = [(step, 1 / (1 + step)) for step in range(50)]
    for name in ("one.png", "two.png"):
        write_curves(tmp_path / name, loss=loss, scores={"Dice of $a": [(0, 0.1), (50, 0.9)]}, title="demo")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert Image.open(tmp_path / "one.png").size == (WIDTH, HEIGHT)


def test_a_score_is_drawn_at_its_height(tmp_path):
    middles = []
    for value in (0.1, 0.5, 0.9):
        write_curves(tmp_path / "c.png", loss=[(0, 1.0)], scores={"a": [(0, value), (1, value)]})
        picture = np.asarray(Image.open(tmp_path / "c.png").convert("RGB")).astype(int)
        rows, _ = np.nonzero(np.ptp(picture, axis=2) > 60)
        values, counts = np.unique(rows, return_counts=True)
        middles.append(float(values[counts.argmax()]))
    assert middles[0] > middles[1] > middles[2]
    assert abs((middles[0] + middles[2]) / 2 - middles[1]) <= 1


def test_no_scores_and_no_loss(tmp_path):
    write_curves(tmp_path / "c.png", loss=[], scores={})
    assert (tmp_path / "c.png").stat().st_size > 0


def test_running_mean_against_numpy():
    values = np.random.default_rng(0).normal(size=120)
    expected = [values[max(0, k - 3) : k + 4].mean() for k in range(120)]
    np.testing.assert_allclose(_running_mean(values), expected)
