"""Texture against the sum of cosines written out."""

import numpy as np
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid
from medimagenet.synthetic.texture import Texture


def test_a_slice_is_the_sum_of_its_waves():
    turn = Rotation.from_euler("xyz", [15, -20, 35], degrees=True).as_matrix()
    grid = Grid((7, 6, 5), (2.0, 3.0, 4.0), (-11.0, 5.0, 8.0), turn.tolist())
    texture = Texture.random(np.random.default_rng(0), 100.0)
    for k, j, i in np.ndindex(5, 6, 7):
        at = texture.waves @ grid.to_patient((i, j, k)) + texture.phases
        expected = np.cos(at).sum() * np.sqrt(2 / len(at))
        assert abs(texture.of_slice(grid, k)[j, i] - expected) < 1e-9


def test_mean_zero_and_standard_deviation_one():
    grid = Grid((200, 200, 1), (2.0, 2.0, 2.0))
    samples = [Texture.random(np.random.default_rng(seed), 100.0).of_slice(grid, 0) for seed in range(50)]
    assert abs(np.mean(samples)) < 0.05
    assert abs(np.std(samples) - 1) < 0.05
