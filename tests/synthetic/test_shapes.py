"""Volumes against integration by counting points; insides against formulas written another way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid
from medimagenet.synthetic.shapes import Ellipsoid, Shell, Torus

TURN = Rotation.from_euler("xyz", [25, -40, 70], degrees=True)
AXES = tuple(map(tuple, TURN.as_matrix()))
SHAPES = [
    Ellipsoid(center=(3.0, -2.0, 1.0), radii=(20.0, 11.0, 7.0), axes=AXES),
    Shell(center=(3.0, -2.0, 1.0), radii=(20.0, 11.0, 7.0), inner=0.6, axes=AXES),
    Torus(center=(3.0, -2.0, 1.0), radii=(14.0, 10.0, 12.0), tube=0.4, axes=AXES),
]
GRID = Grid((130, 130, 130), (0.4, 0.4, 0.4), (-22.8, -27.8, -24.8))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_counted_voxels_give_the_analytic_volume(shape):
    counted = np.count_nonzero(shape.mask(GRID)) * 0.4**3
    assert counted == pytest.approx(shape.volume_mm3, rel=2e-3)


def test_volumes_of_textbook_solids():
    assert Ellipsoid(center=(0, 0, 0), radii=(3.0, 3.0, 3.0)).volume_mm3 == pytest.approx(36 * np.pi)
    assert Shell(center=(0, 0, 0), radii=(3.0, 3.0, 3.0), inner=2 / 3).volume_mm3 == pytest.approx(
        (36 - 32 / 3) * np.pi
    )
    torus = Torus(center=(0, 0, 0), radii=(5.0, 5.0, 5.0), tube=0.4)  # ring 5 mm, tube 2 mm: 2 pi² R r²
    assert torus.volume_mm3 == pytest.approx(2 * np.pi**2 * 5 * 4)


points = st.tuples(*[st.floats(-30, 30)] * 3)


@settings(max_examples=300)
@given(points)
def test_inside_agrees_with_the_shape_turned_upright(point):
    local = TURN.inv().apply(np.array(point) - [3.0, -2.0, 1.0])
    x, y, z = local / [20.0, 11.0, 7.0]
    ball = np.hypot(np.hypot(x, y), z)
    a, b, c = local / [14.0, 10.0, 12.0]
    to_ring = np.hypot(np.hypot(a, b) - 1, c)
    for shape, expected, distance in [
        (SHAPES[0], ball <= 1, ball - 1),
        (SHAPES[1], 0.6 <= ball <= 1, min(abs(ball - 1), abs(ball - 0.6))),
        (SHAPES[2], to_ring <= 0.4, to_ring - 0.4),
    ]:
        if abs(distance) > 1e-9:
            assert (shape.level(np.array(point)) >= 0) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_a_slice_has_the_level_of_its_points(shape):
    grid = Grid((9, 7, 5), (5.0, 4.0, 6.0), (-20.0, -15.0, -10.0), AXES)
    z, y, x = np.indices(grid.shape)
    everywhere = shape.level(grid.to_patient(np.stack([x, y, z], axis=-1)))
    for k in range(5):
        np.testing.assert_allclose(shape.level_of_slice(grid, k), everywhere[k], atol=1e-12)
    np.testing.assert_array_equal(shape.mask(grid), everywhere >= 0)


@settings(max_examples=100, deadline=None)
@given(points)
def test_nothing_is_outside_the_window(point):
    grid = Grid((24, 20, 15), (1.7, 2.0, 2.5), point, AXES)
    z, y, x = np.indices(grid.shape)
    centres = grid.to_patient(np.stack([x, y, z], axis=-1))
    for shape in SHAPES:
        inside = shape.level(centres) >= 0
        found = inside[shape.window(grid)].sum()
        assert found == inside.sum() == shape.mask(grid).sum()


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        (Ellipsoid, {"radii": (1.0, 0.0, 2.0)}, "0.0"),
        (Shell, {"radii": (1.0, 1.0, 2.0), "inner": 1.0}, "1.0"),
        (Torus, {"radii": (1.0, 1.0, 2.0), "tube": 1.5}, "1.5"),
        (Torus, {"radii": (1.0, -1.0, 2.0), "tube": 0.5}, "-1.0"),
    ],
)
def test_impossible_solids_are_refused(kind, fields, named):
    with pytest.raises(ValueError, match=named):
        kind(center=(0.0, 0.0, 0.0), **fields)
