"""Which slices lie between contour planes, and shapes between two that are known."""

import numpy as np
import pytest

from medimagenet.dicom.interpolation import SliceBetween, distinct, fill_between, slices_between


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ([], []),
        ([3.0, 3.0], []),
        ([1.0, 2.0, 3.0], []),
        ([1.0, 4.0], [2, 3]),
        ([1.0, 2.0, 4.0, 5.0], [3]),  # one plane was left out
        ([1.0, 2.0, 5.0, 6.0], []),  # two bodies
        ([0.95, 2.02, 3.05], []),  # planes that are nearly slices meet them
        ([0.5, 2.5, 4.5], [1, 2, 3, 4]),
        ([-3.0, 1.0, 5.0, 9.0], [0, 2, 3, 4, 6, 7]),  # the image has eight slices
    ],
)
def test_slices_between_planes_of_one_body(heights, expected):
    assert [part.number for part in slices_between(np.array(heights), 8)] == expected


def test_where_between_the_planes_a_slice_is():
    assert [part.part for part in slices_between(np.array([1.0, 5.0]), 8)] == [0.25, 0.5, 0.75]


def test_heights_that_are_the_same_plane():
    assert distinct(np.array([2.0, 1.0, 2.005, 1.0]), 0.01).tolist() == [1.0, 2.0]


def rectangle(x0, x1, y0, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def test_between_two_half_planes_the_border_moves_evenly():
    """Rectangles so large that only their right side is near: it is at x = 4.5 mm below and at 12.5 mm above."""
    mask = np.zeros((5, 9, 20), dtype=bool)
    polygons = [rectangle(-99, 4.5, -99, 99), rectangle(-99, 12.5, -99, 99)]
    fill_between(polygons, np.array([0.0, 4.0]), slices_between(np.array([0.0, 4.0]), 5), (1.0, 1.0), mask)
    assert [int(mask[z, 4].sum()) for z in range(5)] == [0, 7, 9, 11, 0]


def test_spacing_is_in_mm():
    mask = np.zeros((3, 20, 10), dtype=bool)
    polygons = [rectangle(-99, 9, -99, 99), rectangle(-99, 13, -99, 99)]
    fill_between(polygons, np.array([0.0, 2.0]), [SliceBetween(1, 0.0, 2.0)], (2.0, 1.0), mask)
    assert int(mask[1, 10].sum()) == 6  # up to 11 mm: voxels at 0, 2, ..., 10


def test_a_body_beside_the_image_fills_nothing():
    mask = np.zeros((3, 8, 8), dtype=bool)
    far = rectangle(30, 40, 0, 5)
    fill_between([far, far], np.array([0.0, 2.0]), [SliceBetween(1, 0.0, 2.0)], (1.0, 1.0), mask)
    assert not mask.any()
