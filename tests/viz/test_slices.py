"""Where a point of the patient appears on the screen, and which slice is chosen."""

import itertools

import numpy as np
import pytest

from medimagenet.geometry import Grid
from medimagenet.viz.slices import Plane, best_slice, pixel_size, take_slice, towards_lps

LPS = Grid((6, 5, 4), (1.0, 2.0, 3.0))


def marked(grid, point):
    """A volume with one bright voxel at a point of the patient (LPS mm)."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    x, y, z = np.rint(grid.to_index(point)).astype(int)
    array[z, y, x] = 1
    return array


@pytest.mark.parametrize(
    ("plane", "point", "row", "column"),
    [
        # a point at the patient's left, back and top: x, y and z are largest
        (Plane.AXIAL, (5, 8, 9), "bottom", "right"),  # back is below; left is on the viewer's right
        (Plane.CORONAL, (5, 8, 9), "top", "right"),
        (Plane.SAGITTAL, (5, 8, 9), "top", "right"),  # the face looks to the viewer's left
        (Plane.AXIAL, (0, 0, 0), "top", "left"),
        (Plane.CORONAL, (0, 0, 0), "bottom", "left"),
        (Plane.SAGITTAL, (0, 0, 0), "bottom", "left"),
    ],
)
def test_radiological_orientation(plane, point, row, column):
    array = marked(LPS, point)
    picture = take_slice(array, plane, int(np.argwhere(array)[0][plane.axis]))
    expected = (0 if row == "top" else picture.shape[0] - 1, 0 if column == "left" else picture.shape[1] - 1)
    np.testing.assert_array_equal(np.argwhere(picture), [expected])


@pytest.mark.parametrize("orientation", ["".join(p) for o in ("LPS", "RAI", "LAS") for p in itertools.permutations(o)])
def test_any_array_is_turned_to_the_same_voxels_in_the_patient(orientation):
    array = np.random.default_rng(0).normal(size=(2, *LPS.shape))
    axes, flips = LPS.axes_towards(orientation)
    grid = LPS.turned(axes, flips)
    assert grid.orientation == orientation
    other = np.empty((2, *grid.shape))
    for z, y, x in np.ndindex(grid.shape):
        i, j, k = np.rint(LPS.to_index(grid.to_patient((x, y, z)))).astype(int)
        other[:, z, y, x] = array[:, k, j, i]
    turned, back = towards_lps(other, grid)
    np.testing.assert_array_equal(turned, array)
    assert back.is_close(LPS, tolerance_mm=1e-9)


def test_pixels_keep_their_ratio():
    assert pixel_size(Plane.AXIAL, LPS.spacing) == (2.0, 1.0)
    assert pixel_size(Plane.CORONAL, LPS.spacing) == (3.0, 1.0)
    assert pixel_size(Plane.SAGITTAL, LPS.spacing) == (3.0, 2.0)
    array = np.zeros(LPS.shape)
    for plane in Plane:  # the picture spans what the volume spans in mm
        rows, columns = take_slice(array, plane, 0).shape
        height, width = pixel_size(plane, LPS.spacing)
        spans = dict(zip("xyz", (6.0, 10.0, 12.0), strict=True))
        names = {Plane.AXIAL: "yx", Plane.CORONAL: "zx", Plane.SAGITTAL: "zy"}[plane]
        assert (rows * height, columns * width) == (spans[names[0]], spans[names[1]])


def test_best_slice_cuts_most_classes_then_the_largest_sections():
    masks = np.zeros((2, 7, 9, 9), dtype=bool)
    masks[0, 1, :, :] = True  # large, alone
    masks[0, 3:5, 0, 0] = True
    masks[1, 3, 0, 0] = True
    masks[1, 4, 0, :3] = True  # both classes, and more of the second
    assert best_slice(masks, Plane.AXIAL) == 4
    assert best_slice(masks[:1], Plane.AXIAL) == 1
    assert best_slice(np.zeros_like(masks), Plane.AXIAL) == 3
    assert best_slice(masks[:0], Plane.SAGITTAL) == 4


def test_a_slice_that_is_not_there():
    with pytest.raises(IndexError, match="no coronal slice -1"):
        take_slice(np.zeros(LPS.shape), Plane.CORONAL, -1)
