"""Indices beyond the border against the sequence that each kind of border stands for, written out by NumPy's pad."""

import numpy as np
import pytest

from medimagenet.kernels.borders import (
    axis_tables,
    columns_inside,
    folded,
    is_inside,
    nearest_index,
    split_index,
    voxels_clamped,
    voxels_reflected,
    within,
)

N = 5


@pytest.mark.parametrize(("place", "mode"), [(voxels_clamped, "edge"), (voxels_reflected, "symmetric")])
def test_voxels_beyond_the_border_are_those_of_a_padded_line(place, mode):
    index = np.arange(-13, N + 13)
    np.testing.assert_array_equal(place(index, N), np.pad(np.arange(N), 13, mode=mode))


@pytest.mark.parametrize("index", [-7.3, -5.5, -0.51, -0.5, 0.0, 2.25, 4.5, 4.75, 9.5, 14.2])
def test_a_mirrored_index_lies_between_the_same_voxels(index):
    padded = np.pad(np.arange(float(N)), 20, mode="symmetric")
    expected = np.interp(index, np.arange(-20, N + 20), padded)
    place = folded(index, N)
    assert -0.5 <= place <= N - 0.5
    below, above, share = split_index(place, N)
    assert below + share * (above - below) == pytest.approx(expected, abs=1e-12)
    assert within(N, np.array([index]), "reflect")[0] == place


def test_indices_inside_stay_to_the_last_bit():
    index = np.linspace(-0.5, N - 0.5, 57)
    np.testing.assert_array_equal(within(N, index, "reflect"), index)
    np.testing.assert_array_equal(within(N, index - 9, "edge"), index - 9)


def test_what_is_inside():
    index = np.array([-0.51, -0.5, 0.0, 4.49, 4.5])
    assert columns_inside(N, index, "constant") == (1, 4)
    assert columns_inside(N, index, "edge") == (0, 5)
    assert columns_inside(N, index + 40, "constant") == (0, 0)
    volume = np.zeros((N, N, N))
    assert is_inside(-0.5, 0.0, 4.49, volume) and not is_inside(0.0, 0.0, 4.5, volume)


def test_ties_go_to_the_higher_voxel():
    assert [nearest_index(index, N) for index in (-3.0, 0.49, 0.5, 1.5, 9.0)] == [0, 0, 1, 2, 4]


def test_tables_hold_neighbours_and_weights():
    z, y, x = axis_tables((N, 1, 2), np.diag([0.5, 1.0, 1.0]), np.array([-0.5, 0.0, 0.25]), (4, 2, 2), "edge")
    np.testing.assert_array_equal(z.below, [0, 0, 0, 1])
    np.testing.assert_array_equal(z.weight, [0, 0, 0.5, 0])
    np.testing.assert_array_equal(y.below, [0, 0])
    np.testing.assert_array_equal((x.below, x.weight), ([0, 0], [0.25, 1.0]))
