"""Grid against SimpleITK (points, DICOMOrient, crops) and nibabel (RAS affines, orientations)."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid

ORIENTATIONS = [
    "".join(pair[side] for pair, side in zip(order, sides, strict=True))
    for order in permutations(("RL", "AP", "IS"))
    for sides in product((0, 1), repeat=3)
]


def direction_of(orientation: str) -> np.ndarray:
    """The exact direction matrix whose axes point to the letters, LPS."""
    unit = {"R": (-1, 0, 0), "L": (1, 0, 0), "A": (0, -1, 0), "P": (0, 1, 0), "I": (0, 0, -1), "S": (0, 0, 1)}
    return np.array([unit[letter] for letter in orientation], dtype=float).T


lengths = st.floats(0.25, 8)
coordinates = st.floats(-500, 500)
sizes = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def grids(draw, tilt: float = 180.0):
    """Any upright orientation, then rotated by up to `tilt` degrees about any axis."""
    upright = direction_of(draw(st.sampled_from(ORIENTATIONS)))
    axis = np.array(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    norm = np.linalg.norm(axis)
    turn = np.zeros(3) if norm < 1e-3 else axis / norm * np.radians(draw(st.floats(-tilt, tilt)))
    direction = np.round(Rotation.from_rotvec(turn).as_matrix() @ upright, 12)  # ITK's inverse fails on 1e-310
    return Grid(draw(sizes), draw(st.tuples(*[lengths] * 3)), draw(st.tuples(*[coordinates] * 3)), direction)


def as_sitk(grid: Grid, array: np.ndarray | None = None) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.zeros(grid.shape, np.float32) if array is None else array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(np.ravel(grid.direction).tolist())
    return image


def numbered(grid: Grid) -> np.ndarray:
    """An array in which no voxel is like another."""
    return np.arange(np.prod(grid.shape), dtype=np.float32).reshape(grid.shape)


@given(grids(), st.tuples(*[st.floats(-20, 20)] * 3))
def test_points_are_where_simpleitk_puts_them(grid, index):
    expected = as_sitk(grid).TransformContinuousIndexToPhysicalPoint(index)
    np.testing.assert_allclose(grid.to_patient(index), expected, atol=1e-8)


@given(grids(), st.tuples(*[coordinates] * 3))
def test_indices_are_where_simpleitk_puts_them(grid, point):
    expected = as_sitk(grid).TransformPhysicalPointToContinuousIndex(point)
    np.testing.assert_allclose(grid.to_index(point), expected, atol=1e-6)


@given(grids())
def test_many_points_are_mapped_at_once(grid):
    indices = np.arange(24.0).reshape(2, 4, 3)
    one_by_one = [[grid.to_patient(index) for index in row] for row in indices]
    np.testing.assert_allclose(grid.to_patient(indices), one_by_one, atol=1e-9)
    np.testing.assert_allclose(grid.to_index(grid.to_patient(indices)), indices, atol=1e-6)


@given(grids())
def test_the_affine_is_the_same_map(grid):
    index = np.array([3.0, -2.0, 5.5])
    np.testing.assert_allclose((grid.affine @ [*index, 1])[:3], grid.to_patient(index), atol=1e-9)


@given(grids(tilt=40))
def test_letters_are_those_of_nibabel(grid):
    # nibabel may answer otherwise near 45 degrees, where two axes are as near
    assert grid.orientation == "".join(nibabel.aff2axcodes(grid.affine_ras))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_is_named_and_named_as_simpleitk_does(orientation):
    grid = Grid((2, 3, 4), direction=direction_of(orientation))
    assert grid.orientation == orientation
    name = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(np.ravel(grid.direction).tolist())
    assert name == orientation


@given(grids(tilt=40), st.sampled_from(ORIENTATIONS))
def test_turning_is_dicom_orient(grid, orientation):
    array = numbered(grid)
    axes, flips = grid.axes_towards(orientation)
    turned = np.transpose(array, [2 - axes[2 - k] for k in range(3)])  # (z, y, x) of the new from the old
    turned = np.flip(turned, [2 - k for k in range(3) if flips[k]])
    expected = SimpleITK.DICOMOrient(as_sitk(grid, array), orientation)
    np.testing.assert_array_equal(turned, SimpleITK.GetArrayFromImage(expected))
    result = grid.turned(axes, flips)
    assert result.size == expected.GetSize()
    assert result.orientation == orientation
    np.testing.assert_allclose(result.spacing, expected.GetSpacing())
    np.testing.assert_allclose(result.origin, expected.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(np.ravel(result.direction), expected.GetDirection(), atol=1e-9)


@given(grids(), st.sampled_from(ORIENTATIONS))
def test_turning_moves_no_voxel_in_the_patient(grid, orientation):
    axes, flips = grid.axes_towards(orientation)
    turned = grid.turned(axes, flips)
    new = np.array([1.0, 2.0, 0.5])
    old = np.empty(3)
    for k, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
        old[axis] = grid.size[axis] - 1 - new[k] if flip else new[k]
    np.testing.assert_allclose(turned.to_patient(new), grid.to_patient(old), atol=1e-8)


def test_an_oblique_stack_stays_oblique():
    tilted = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    grid = Grid((4, 5, 6), direction=tilted @ direction_of("RPS"))
    turned = grid.turned(*grid.axes_towards("LPS"))
    assert turned.orientation == "LPS"
    np.testing.assert_allclose(turned.direction, tilted, atol=1e-12)


def test_three_axes_even_at_45_degrees():
    half = Rotation.from_euler("xz", (45, 45), degrees=True).as_matrix()
    assert len(set(Grid((2, 2, 2), direction=half).orientation)) == 3


@pytest.mark.parametrize("word", ["LPL", "LP", "XPS", "", "lps", "LPSA", "LRS"])
def test_a_word_that_is_no_orientation_is_refused(word):
    with pytest.raises(ValueError, match="orientation"):
        Grid((2, 2, 2)).axes_towards(word)


@given(grids(), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_crop_is_simpleitk_region_of_interest(grid, start):
    start = tuple(min(s, n - 1) for s, n in zip(start, grid.size, strict=True))
    size = tuple(n - s for s, n in zip(start, grid.size, strict=True))
    expected = SimpleITK.RegionOfInterest(as_sitk(grid), size, start)
    cropped = grid.crop(start, size)
    assert cropped.size == expected.GetSize()
    np.testing.assert_allclose(cropped.origin, expected.GetOrigin(), atol=1e-8)
    assert (cropped.spacing, cropped.direction) == (grid.spacing, grid.direction)


def test_a_crop_may_begin_outside():
    assert Grid((4, 4, 4), spacing=(2, 2, 2)).crop((-1, 0, 1), (9, 9, 9)).origin == (-2, 0, 2)


@given(grids(), st.tuples(*[lengths] * 3))
def test_new_spacing_keeps_the_first_voxel_and_covers_the_last(grid, spacing):
    new = grid.with_spacing(spacing)
    assert (new.origin, new.direction, new.spacing) == (grid.origin, grid.direction, spacing)
    for n_old, s_old, n_new, s_new in zip(grid.size, grid.spacing, new.size, spacing, strict=True):
        assert abs((n_new - 1) * s_new - (n_old - 1) * s_old) <= s_new / 2 + 1e-9


def test_spacing_of_none_keeps_the_axis():
    grid = Grid((10, 11, 12), spacing=(0.7, 0.8, 3.0))
    new = grid.with_spacing((None, 1.6, None))
    assert (new.size, new.spacing) == ((10, 6, 12), (0.7, 1.6, 3.0))


@given(grids())
def test_the_ras_affine_is_what_nibabel_makes_of_the_itk_image(grid):
    flip = np.diag([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(grid.affine_ras[:3, :3], flip @ np.asarray(grid.direction) @ np.diag(grid.spacing))
    np.testing.assert_allclose(grid.affine_ras[:3, 3], flip @ np.asarray(grid.origin))
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(grid.affine_ras), grid.spacing)


@given(grids())
def test_a_dict_gives_the_grid_back(grid):
    assert Grid.from_dict(grid.to_dict()) == grid


def test_arrays_are_zyx():
    grid = Grid((5, 4, 3))
    assert grid.shape == (3, 4, 5)
    assert as_sitk(grid).GetSize() == (5, 4, 3)


@given(grids())
def test_close_is_by_the_corners(grid):
    x, y, z = grid.origin
    assert grid.is_close(Grid(grid.size, grid.spacing, (x + 0.009, y, z), grid.direction))
    assert not grid.is_close(Grid(grid.size, grid.spacing, (x + 0.011, y, z), grid.direction))
    assert not grid.is_close(Grid((grid.size[0] + 1, *grid.size[1:]), grid.spacing, grid.origin, grid.direction))


def test_a_small_error_of_spacing_counts_at_the_far_corner():
    grid = Grid((501, 4, 4))
    assert not grid.is_close(Grid((501, 4, 4), spacing=(1.0001, 1, 1)))
    assert grid.is_close(Grid((501, 4, 4), spacing=(1.00001, 1, 1)))


SHEAR = ((1, 0.1, 0), (0, 1, 0), (0, 0, 1))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"size": (0, 2, 2)}, r"size .*\(0, 2, 2\)"),
        ({"size": (2, 2)}, r"size .*\(2, 2\)"),
        ({"spacing": (1, 0, 1)}, r"spacing .*0\.0"),
        ({"spacing": (1, float("nan"), 1)}, "spacing .*nan"),
        ({"spacing": (1, -1, 1)}, r"spacing .*-1\.0"),
        ({"spacing": (1, 1)}, "spacing"),
        ({"origin": (0, float("inf"), 0)}, "origin .*inf"),
        ({"direction": SHEAR}, "orthonormal"),
        ({"direction": np.zeros((3, 3))}, "orthonormal"),
        ({"direction": np.full((3, 3), np.nan)}, "orthonormal"),
    ],
)
def test_what_is_no_grid_is_refused_with_its_value(fields, said):
    with pytest.raises(ValueError, match=said):
        Grid(**{"size": (2, 2, 2), **fields})


def test_a_mirrored_direction_is_a_grid():
    assert Grid((2, 2, 2), direction=direction_of("RPS")).orientation == "RPS"


def test_decimal_strings_of_six_digits_are_orthonormal_enough():
    rounded = np.round(Rotation.from_euler("xyz", (11, 23, 31), degrees=True).as_matrix(), 6)
    assert Grid((2, 2, 2), direction=rounded).size == (2, 2, 2)


def test_equal_grids_are_equal_and_hash_equal():
    one, other = Grid([2, 3, 4], [1, 1, 2]), Grid((2, 3, 4), (1.0, 1.0, 2.0))
    assert one == other
    assert hash(one) == hash(other)
