"""fill_contours and fill_planes against rational arithmetic. The first call compiles, hence no deadline."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.kernels.rasterize import fill_contours, fill_planes, fill_regions, unpack_region

SHAPE = (12, 16)
eighths = st.integers(-16, 144).map(lambda n: n / 8)  # often on a voxel centre, where ties are decided
thirds = st.integers(-6, 54).map(lambda n: n / 3)  # not exact in binary


def polygons(coordinate):
    return st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=9).map(np.array)


def fill_exactly(polygon):  # the even-odd rule, voxel by voxel, without rounding
    points = [(Fraction(x), Fraction(y)) for x, y in polygon.tolist()]
    mask = np.zeros(SHAPE, dtype=bool)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        for row, column in np.ndindex(SHAPE):
            if min(y0, y1) <= row < max(y0, y1):
                mask[row, column] ^= x0 + (row - y0) * (x1 - x0) / (y1 - y0) <= column
    return mask


@settings(deadline=None)
@given(polygons(eighths))
def test_agrees_with_exact_arithmetic(polygon):
    np.testing.assert_array_equal(fill_contours([polygon], SHAPE), fill_exactly(polygon))


@settings(deadline=None, max_examples=1000)
@given(polygons(thirds))
def test_a_fan_of_triangles_fills_what_its_polygon_fills(polygon):
    fan = [fill_contours([polygon[[0, k, k + 1]]], SHAPE) for k in range(1, len(polygon) - 1)]
    np.testing.assert_array_equal(np.logical_xor.reduce(fan), fill_contours([polygon], SHAPE))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(polygons(eighths), st.integers(0, 2)), max_size=6))
def test_planes_are_the_exclusive_or_of_their_contours_and_counts_are_theirs(placed):
    mask = np.zeros((3, *SHAPE), dtype=bool)
    vertices = np.concatenate([np.empty((0, 2)), *(polygon for polygon, _ in placed)])
    starts = np.cumsum([0, *(len(polygon) for polygon, _ in placed)])
    counts = fill_planes(vertices, starts, np.array([plane for _, plane in placed], dtype=np.int64), mask)
    exact = [fill_exactly(polygon) for polygon, _ in placed]
    expected = np.zeros_like(mask)
    for filled, (_, plane) in zip(exact, placed, strict=True):
        expected[plane] ^= filled
    np.testing.assert_array_equal(mask, expected)
    assert counts.tolist() == [int(filled.sum()) for filled in exact]


@pytest.mark.parametrize("far", [1e3, 1e9, 1e18, 1e300])
def test_a_contour_that_reaches_far_outside_fills_the_slice(far):
    square = np.array([[-far, -far], [far, -far], [far, far], [-far, far]])
    assert fill_contours([square], SHAPE).all()


def test_a_contour_inside_another_is_a_hole():
    outer = np.array([[1, 1], [11, 1], [11, 11], [1, 11]]) - 0.5
    inner = np.array([[4, 4], [7, 4], [7, 7], [4, 7]]) - 0.5
    mask = fill_contours([outer, inner], SHAPE)
    assert mask.sum() == 100 - 9
    assert not mask[4:7, 4:7].any()


def test_wrong_contours_are_refused_with_their_value():
    with pytest.raises(ValueError, match=r"contour 0 must be .* got shape \(2, 2\)"):
        fill_contours([np.zeros((2, 2))], SHAPE)
    with pytest.raises(ValueError, match=r"finite vertices, got .*nan"):
        fill_contours([np.array([[0, 0], [1, 0], [np.nan, 1]])], SHAPE)
    triangle, mask = np.eye(3)[:, :2], np.zeros((1, *SHAPE), dtype=bool)
    with pytest.raises(ValueError, match="slices of a mask of 1, got 1 to 1"):
        fill_planes(triangle, np.array([0, 3]), np.array([1]), mask)
    with pytest.raises(ValueError, match=r"divide 3 vertices into 1 contours, got \[0 2\]"):
        fill_planes(triangle, np.array([0, 2]), np.array([0]), mask)


def many_regions():
    random = np.random.default_rng(0)
    contours = [random.uniform(-3, 18, (random.integers(3, 12), 2)) for _ in range(60)]
    starts = np.cumsum([0, *map(len, contours)])
    return np.concatenate(contours), starts, random.integers(0, 7, 60), random.integers(0, 11, 60)


@pytest.mark.parametrize("parallel", [False, True])
def test_regions_are_filled_each_by_itself_as_channels_and_as_bits(parallel):
    vertices, starts, planes, regions = many_regions()
    channels = np.zeros((11, 7, *SHAPE), dtype=bool)
    counts = fill_regions(vertices, starts, planes, regions, channels, parallel=parallel)
    packed = np.zeros((2, 7, *SHAPE), dtype=np.uint8)
    packed_counts = fill_regions(vertices, starts, planes, regions, packed, parallel=parallel)
    np.testing.assert_array_equal(counts, packed_counts)
    for region in range(11):
        alone = np.zeros((7, *SHAPE), dtype=bool)
        for k in np.flatnonzero(regions == region):
            alone[planes[k]] ^= fill_exactly(vertices[starts[k] : starts[k + 1]])
        np.testing.assert_array_equal(channels[region], alone)
        np.testing.assert_array_equal(unpack_region(packed, region), alone)
    assert not (packed[1] >> 3).any()


def test_a_region_without_a_channel_is_refused():
    vertices, starts, planes, regions = many_regions()
    with pytest.raises(ValueError, match="one of 8 for each of 60 contours"):
        fill_regions(vertices, starts, planes, regions, np.zeros((1, 7, *SHAPE), dtype=np.uint8))
