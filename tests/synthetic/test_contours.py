"""Contours filled with matplotlib's point-in-polygon are the mask, whatever the shape, its size and its place."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid
from medimagenet.synthetic.contours import trace_slice
from medimagenet.synthetic.shapes import Ellipsoid, Shell, Torus

GRID = Grid((26, 22, 9), (2.0, 2.5, 5.0), (-25.0, -27.0, -20.0))


def fill(polygons, rows, columns):
    y, x = np.mgrid[:rows, :columns]
    centres = np.column_stack([x.ravel(), y.ravel()])
    mask = np.zeros(rows * columns, dtype=bool)
    for polygon in polygons:
        mask ^= Path(np.vstack([polygon, polygon[:1]])).contains_points(centres)
    return mask.reshape(rows, columns)


lengths = st.floats(0.5, 40.0)  # from less than a voxel to more than the grid
shapes = st.builds(
    lambda kind, center, radii, angles: kind[0](
        center=center, radii=radii, axes=Rotation.from_euler("xyz", angles).as_matrix().tolist(), **kind[1]
    ),
    st.sampled_from([(Ellipsoid, {}), (Shell, {"inner": 0.7}), (Torus, {"tube": 0.3})]),
    st.tuples(*[st.floats(-25, 25)] * 3),
    st.tuples(*[lengths] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
)


@settings(max_examples=150, deadline=None)
@given(shapes)
def test_the_fill_is_the_mask(shape):
    truth = shape.mask(GRID)
    for k in range(9):
        polygons = trace_slice(shape, GRID, k)
        assert all(polygon.shape[0] >= 3 and polygon.shape[1] == 2 for polygon in polygons)
        np.testing.assert_array_equal(fill(polygons, 22, 26), truth[k])


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_contours_keep_away_from_voxel_centres(shape):
    for k in range(9):
        for polygon in trace_slice(shape, GRID, k):
            assert np.hypot(*(polygon - np.rint(polygon)).T).min() > 0.03


def test_a_ring_has_a_hole_and_a_ball_follows_its_surface():
    ring = Torus(center=(0.0, 0.0, 0.0), radii=(15.0, 15.0, 15.0), tube=0.4)
    assert len(trace_slice(ring, GRID, 4)) == 2
    fine = Grid((80, 80, 1), (0.5, 0.5, 1.0), (-20.0, -20.0, 0.0))
    ball = Ellipsoid(center=(0.0, 0.0, 0.0), radii=(15.0, 15.0, 15.0))
    (polygon,) = trace_slice(ball, fine, 0)
    radii = np.hypot(*(polygon * 0.5 - 20.0).T)
    assert np.abs(radii - 15.0).max() < 0.1  # mm: a fifth of a voxel


def test_an_empty_slice_has_no_contours():
    ball = Ellipsoid(center=(0.0, 0.0, 100.0), radii=(5.0, 5.0, 5.0))
    assert trace_slice(ball, GRID, 0) == []
