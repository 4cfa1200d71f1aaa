"""Planes that are no slices, against the slices that they become when the volume is turned; distances against SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from medimagenet.kernels.oblique import fill_oblique, signed_distances
from medimagenet.kernels.rasterize import fill_planes

SHAPE = (9, 12, 15)


def contours(seed):
    random = np.random.default_rng(seed)
    polygons = [random.uniform(-2, 14, (random.integers(3, 9), 2)) for _ in range(12)]
    return polygons, np.sort(random.integers(0, 7, 12))


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1)])
def test_planes_across_any_axis_are_slices_of_the_turned_volume(axes, parallel):
    """u, v, height are the axes x, y, z of the volume in the order `axes`."""
    polygons, planes = contours(sum(axes))
    mask = np.zeros(SHAPE, dtype=bool)
    turned = np.zeros(tuple(SHAPE[2 - axes[k]] for k in (2, 1, 0)), dtype=bool)
    vertices, starts = np.concatenate(polygons), np.cumsum([0, *map(len, polygons)])
    fill_planes(vertices, starts, planes, turned)
    affine = np.zeros((3, 4))
    for row, axis in enumerate(axes):
        affine[row, axis] = 1
    heights, firsts = np.unique(planes, return_index=True)
    count = fill_oblique(
        vertices, starts, np.r_[firsts, len(planes)], heights.astype(float), 0.4, affine, mask, parallel=parallel
    )
    back = [2 - axes[2 - k] for k in range(3)]  # array axis of the volume behind each array axis of the turned one
    np.testing.assert_array_equal(mask.transpose(back), turned)
    assert count == turned.sum() > 0


def test_a_voxel_belongs_to_the_nearest_plane_within_reach():
    square = np.array([[-1, -1], [2, -1], [2, 2], [-1, 2]], dtype=float)
    mask = np.zeros((6, 1, 1), dtype=bool)
    affine = np.eye(3, 4)
    fill_oblique(np.r_[square, square + 10], np.array([0, 4, 8]), np.arange(3), np.array([1.0, 3.0]), 1.5, affine, mask)
    assert mask[:, 0, 0].tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("parallel", [False, True])
def test_distances_are_those_of_a_fine_raster(parallel):
    outer, inner = (
        np.array([[5, 5], [45, 9], [40, 44], [8, 38.0]]),
        np.array([[18, 18], [30, 18], [30, 28], [18, 28.0]]),
    )
    vertices, starts = np.concatenate([outer, inner]), np.array([0, 4, 8])
    found = signed_distances(vertices, starts, (0, 0), (1.0, 1.0), (50, 50), parallel=parallel)
    fine = signed_distances(vertices, starts, (-0.4, -0.4), (0.2, 0.2), (250, 250)) > 0
    expected = 0.2 * (ndimage.distance_transform_edt(fine) - ndimage.distance_transform_edt(~fine))[2::5, 2::5]
    np.testing.assert_allclose(found, expected, atol=0.3)


def test_distances_to_one_point_are_exact():
    point = np.array([[3.0, 4.0]] * 3)
    assert signed_distances(point, np.array([0, 3]), (0, 0), (3.0, 4.0), (2, 2)).tolist() == [[-5, -4], [-3, 0]]
