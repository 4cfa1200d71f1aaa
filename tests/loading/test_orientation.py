"""Turns against nibabel's orientations, for every code and every kind of grid."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from medimagenet.geometry import Grid
from medimagenet.loading.orientation import STORED, check_orientation, item_shape, turn_towards, whole_shape

CODES = ["".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)]
SIZE = (4, 5, 6)


def grid_of(code, *, tilt=0.2):
    """A grid whose axes point to `code`, tilted so that no axis is exact."""
    columns = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    c, s = np.cos(tilt), np.sin(tilt)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    direction = rotation @ np.array([columns[letter] for letter in code], dtype=float).T
    return Grid(SIZE, (0.7, 1.3, 2.9), (-20.5, 13.0, 7.25), direction)


@pytest.mark.parametrize("code", CODES)
def test_array_and_affine_are_those_of_nibabel(code):
    grid = grid_of("LPS")
    array = np.arange(np.prod(SIZE)).reshape(grid.shape)
    turn = turn_towards(grid, code)
    xyz = array.transpose(2, 1, 0)
    change = ornt_transform(io_orientation(grid.affine_ras), axcodes2ornt(tuple(code)))
    expected = apply_orientation(xyz, change)
    got = array.transpose(turn.array_axes)[tuple(slice(None, None, -1 if flip else 1) for flip in turn.flips)]
    np.testing.assert_array_equal(got, expected)
    affine = turn.affine(grid, (0, 0, 0), whole_shape(grid, turn))
    np.testing.assert_allclose(affine, grid.affine_ras @ inv_ornt_aff(change, SIZE), atol=1e-9)
    assert "".join(nibabel.aff2axcodes(affine)) == code


@pytest.mark.parametrize("stored", CODES[::5])
def test_any_stored_order_becomes_ras(stored):
    grid = grid_of(stored)
    turn = turn_towards(grid, "RAS")
    affine = turn.affine(grid, (0, 0, 0), whole_shape(grid, turn))
    assert nibabel.aff2axcodes(affine) == ("R", "A", "S")
    corners = np.array(list(product(*[(0, n - 1) for n in whole_shape(grid, turn)])))
    own = np.array(list(product(*[(0, n - 1) for n in SIZE])))
    there = {tuple(point) for point in np.round(nibabel.affines.apply_affine(affine, corners), 6) + 0.0}
    assert there == {tuple(point) for point in np.round(nibabel.affines.apply_affine(grid.affine_ras, own), 6) + 0.0}


def test_the_stored_order_maps_z_y_x():
    grid = grid_of("LPS")
    affine = STORED.affine(grid, (1, 2, 3), (2, 2, 2))
    for index in [(0, 0, 0), (1, 0, 0), (0, 1, 1)]:
        z, y, x = index
        expected = grid.affine_ras @ [x + 1, y + 2, z + 3, 1]
        np.testing.assert_allclose(affine @ [*index, 1], expected, atol=1e-9)


def test_the_affine_of_a_patch_that_begins_outside():
    grid = grid_of("LPS")
    turn = turn_towards(grid, "RAS")
    affine = turn.affine(grid, (-3, -2, 4), (6, 7, 8))
    last = (-3 + 6 - 1, -2 + 7 - 1, 4)  # R and A run backwards along x and y
    np.testing.assert_allclose(affine[:3, 3], (grid.affine_ras @ [*last, 1])[:3], atol=1e-9)


def test_sizes_along_the_axes():
    assert item_shape((1, 2, 3), "RAS") == (1, 2, 3)
    assert item_shape((1, 2, 3), None) == (3, 2, 1)
    assert STORED.to_grid_order((3, 2, 1)) == (1, 2, 3)
    assert whole_shape(grid_of("PIR"), turn_towards(grid_of("PIR"), "RAS")) == (6, 4, 5)


@pytest.mark.parametrize("wrong", ["RA", "RAR", "XYZ", ""])
def test_a_wrong_code_is_named(wrong):
    with pytest.raises(ValueError, match=repr(wrong) if wrong else "got ''"):
        check_orientation(wrong)
