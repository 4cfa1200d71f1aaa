"""cover_planes against rational arithmetic, and laws."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.kernels.coverage import cover_planes
from medimagenet.kernels.rasterize import fill_contours

SHAPE = (5, 6)
HALF = Fraction(1, 2)
coarse = st.integers(-8, 24).map(lambda n: n / 4)
thirds = st.integers(-6, 18).map(lambda n: n / 3)


def polygons(coordinate, most=6):
    return st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=most).map(np.array)


def cover(contours, shape=SHAPE, **options):
    out = np.full((1, *shape), 7, dtype=np.float32)
    starts = np.cumsum([0, *map(len, contours)])
    cover_planes(np.concatenate(contours), starts, np.zeros(len(contours), dtype=np.int64), out, **options)
    return out[0]


def edges_of(contours):
    for contour in contours:
        points = [(Fraction(x), Fraction(y)) for x, y in contour.tolist()]
        yield from ((a, b) if a[1] < b[1] else (b, a) for a, b in zip(points, points[1:] + points[:1], strict=True))


def x_at(edge, y):
    (x0, y0), (x1, y1) = edge
    return x0 + (y - y0) * (x1 - x0) / (y1 - y0)


def cover_exactly(contours, shape=SHAPE):
    """Between all heights where anything happens, lengths inside a voxel are linear: their middle times the height."""
    edges = [edge for edge in edges_of(contours) if edge[0][1] != edge[1][1]]
    heights = {edge[end][1] for edge in edges for end in (0, 1)} | {Fraction(n) - HALF for n in range(shape[0] + 1)}
    for edge in edges:
        slope = (edge[1][0] - edge[0][0]) / (edge[1][1] - edge[0][1])
        if slope:
            heights |= {edge[0][1] + (Fraction(n) - HALF - edge[0][0]) / slope for n in range(shape[1] + 1)}
        for other in edges:
            other_slope = (other[1][0] - other[0][0]) / (other[1][1] - other[0][1])
            if slope != other_slope:  # lines that cross, be it outside of the edges
                heights.add((x_at(other, Fraction(0)) - x_at(edge, Fraction(0))) / (slope - other_slope))
    ordered = sorted(y for y in heights if -HALF <= y <= shape[0] - HALF)
    area = [[Fraction(0)] * shape[1] for _ in range(shape[0])]
    for bottom, top in pairwise(ordered):
        middle = (bottom + top) / 2
        row = int(middle + HALF)
        xs = sorted(x_at(edge, middle) for edge in edges if edge[0][1] < middle < edge[1][1])
        for left, right in zip(xs[::2], xs[1::2], strict=True):
            for column in range(shape[1]):
                inside = min(right, column + HALF) - max(left, column - HALF)
                area[row][column] += max(inside, 0) * (top - bottom)
    return np.array(area, dtype=np.float64)


@settings(max_examples=60)
@given(st.lists(polygons(coarse) | polygons(thirds), min_size=1, max_size=2))
def test_agrees_with_exact_arithmetic(contours):
    np.testing.assert_allclose(cover(contours), cover_exactly(contours), rtol=0, atol=1e-7)


def test_nothing_and_everything_are_exactly_that():
    far = 1e6 + 1 / 3
    assert (cover([np.array([[-far, -far], [far, -far], [far, far], [-far, far]])]) == 1).all()
    assert (cover([np.array([[20.1, 0.2], [30.3, 0.7], [25.9, 3.1]])]) == 0).all()
    third = cover([np.array([[-1 / 3, -1 / 3], [2 / 3, -1 / 3], [2 / 3, 2 / 3], [-1 / 3, 2 / 3]])])
    assert np.count_nonzero(third) == 4  # nothing is left behind right of the region


@given(polygons(thirds, 9))
def test_a_finer_grid_has_the_same_area(polygon):
    fine = cover([(polygon + 0.5) * 3 - 0.5], (15, 18))
    blocks = fine.reshape(5, 3, 6, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(blocks, cover([polygon]), atol=1e-6)


def test_full_and_empty_voxels_are_those_of_the_mask():
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([30 + 20.3 * np.cos(turns), 25 + 17.2 * np.sin(turns)], axis=1)
    share, mask = cover([circle], (50, 60)), fill_contours([circle], (50, 60))
    assert mask[share == 1].all()
    assert not mask[share == 0].any()
    x, y = circle.T
    shoelace = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    np.testing.assert_allclose(share.sum(dtype=np.float64), shoelace, rtol=1e-6)


def test_threads_give_the_same_and_other_slices_stay():
    random = np.random.default_rng(0)
    contours = [random.uniform(-3, 35, (9, 2)) for _ in range(24)]
    starts, planes = np.arange(0, 24 * 9 + 1, 9), random.permutation(np.arange(24) % 7)
    outs = []
    for parallel in (False, True):
        out = np.full((8, 32, 30), 7, dtype=np.float32)
        cover_planes(np.concatenate(contours), starts, planes, out, parallel=parallel)
        outs.append(out)
    np.testing.assert_array_equal(*outs)
    assert (outs[0][7] == 7).all()
    assert outs[0][:7].max() <= 1
    with pytest.raises(ValueError, match="slices of a mask of 8, got 2 to 8"):
        cover_planes(np.concatenate(contours), starts, planes + 2, outs[0])
