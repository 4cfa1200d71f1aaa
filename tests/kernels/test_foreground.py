"""foreground_points against numpy.argwhere, and its draw against the laws of sampling without replacement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from medimagenet.kernels.foreground import foreground_points

volumes = arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 3))


@settings(deadline=None)
@given(volumes, st.integers(0, 3))
def test_below_the_limit_it_is_argwhere(labels, value):
    points = foreground_points(labels, value=value)
    assert points.dtype == np.int32
    np.testing.assert_array_equal(points, np.argwhere(labels == value))


@settings(deadline=None)
@given(volumes, st.integers(0, 20), st.integers(0, 2**63))
def test_above_the_limit_it_is_that_many_of_them_in_order(labels, limit, seed):
    everything = [tuple(point) for point in np.argwhere(labels == 1)]
    points = [tuple(point) for point in foreground_points(labels, limit=limit, seed=seed)]
    assert len(points) == min(limit, len(everything))
    assert points == sorted(set(points))
    assert set(points) <= set(everything)


def test_every_voxel_has_the_same_chance():
    """Chi-squared over 2,000 seeds: 10 of 60 voxels, so each is expected 333 times."""
    labels = np.ones((3, 4, 5), dtype=bool)
    counts = np.zeros(labels.shape)
    for seed in range(2000):
        counts[tuple(foreground_points(labels, limit=10, seed=seed).T)] += 1
    # drawn without replacement, the counts vary by the factor 50/59 less than independent draws would
    assert stats.chi2.sf(((counts - counts.mean()) ** 2 / counts.mean()).sum() * 59 / 50, 59) > 1e-3


def test_pairs_of_neighbours_are_drawn_independently():
    """The chance that both of two neighbours are drawn is that of any pair: (10 * 9) / (60 * 59)."""
    labels = np.ones((60, 1, 1), dtype=bool)
    pairs = 0
    for seed in range(2000):
        drawn = foreground_points(labels, limit=10, seed=seed)[:, 0]
        pairs += int(np.count_nonzero(np.diff(drawn) == 1))
    expected = 2000 * 59 * (10 * 9) / (60 * 59)
    assert abs(pairs - expected) < 4 * expected**0.5


def test_the_draw_is_pinned():
    """Stores must stay bit-identical: these figures were drawn by version 0.1.0 and must never change."""
    labels = np.ones((10, 10, 10), dtype=np.uint8)
    drawn = foreground_points(labels, limit=5, seed=7) @ np.array([100, 10, 1])
    assert drawn.tolist() == [443, 610, 925, 956, 997]


def test_equal_seeds_draw_the_same_and_others_do_not():
    labels = np.ones((8, 8, 8), dtype=bool)
    draws = [foreground_points(labels, limit=50, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_view_that_is_not_contiguous():
    labels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 3
    np.testing.assert_array_equal(
        foreground_points(labels[:, ::2].transpose(2, 1, 0)), np.argwhere(labels[:, ::2].T == 1)
    )


@pytest.mark.parametrize(
    ("labels", "limit", "words"),
    [
        (np.zeros((2, 2), dtype=np.uint8), 1, "(2, 2)"),
        (np.zeros((2, 2, 2), dtype=np.float32), 1, "float32"),
        (np.zeros((2, 2, 2), dtype=np.uint8), -1, "-1"),
    ],
)
def test_wrong_arguments_are_named(labels, limit, words):
    with pytest.raises(ValueError, match="must") as error:
        foreground_points(labels, limit=limit)
    assert words in str(error.value)
