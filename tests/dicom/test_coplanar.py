"""Contours that repeat and cross one another, against counts over whole slices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.coplanar import count_crossings, repeated_contours
from medimagenet.kernels.rasterize import fill_contours

SHAPE = (40, 50)


def box(x0, x1, y0, y1):
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


def crossings(contours, planes, with_counts=True):
    counts = np.array([fill_contours([contour], SHAPE).sum() for contour in contours]) if with_counts else None
    lengths = np.array([len(contour) for contour in contours])
    return count_crossings(np.concatenate(contours), lengths, np.array(planes), SHAPE, counts)


@pytest.mark.parametrize("with_counts", [True, False])
@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (box(5.5, 9.5, 5.5, 9.5), 0),  # inside: a hole
        (box(30.5, 40.5, 5.5, 9.5), 0),  # beside it
        (box(20.5, 30.5, 5.5, 9.5), 0),  # they share an edge
        (box(20.2, 30.5, 5.5, 9.5), 0),  # they share less than a voxel's centre
        (box(15.5, 30.5, 5.5, 9.5), 1),
        (box(-30.5, 5.5, 5.5, 9.5), 1),  # beyond the image
        (box(0.5, 20.5, 0.5, 20.5), 0),  # the same voxels
    ],
)
def test_pairs_that_share_some_voxels_and_have_others(other, expected, with_counts):
    assert crossings([box(0.5, 20.5, 0.5, 20.5), other], [3, 3], with_counts) == expected
    assert crossings([box(0.5, 20.5, 0.5, 20.5), other], [3, 4], with_counts) == 0


corners = st.tuples(*[st.integers(-8, 60).map(lambda n: n + 0.5)] * 6).map(lambda c: np.array(c).reshape(3, 2))


@given(st.lists(st.tuples(corners, st.integers(0, 2)), min_size=1, max_size=7), st.booleans())
def test_any_pairs_as_counted_over_the_whole_slice(drawn, with_counts):
    contours, planes = [part[0] for part in drawn], [part[1] for part in drawn]
    masks = [fill_contours([contour], SHAPE) for contour in contours]
    expected = sum(
        bool((masks[a] & masks[b]).any() and (masks[a] & ~masks[b]).any() and (masks[b] & ~masks[a]).any())
        for a in range(len(masks))
        for b in range(a)
        if planes[a] == planes[b]
    )
    assert crossings(contours, planes, with_counts) == expected


def test_many_pairs_are_counted_in_parts_and_no_more_than_a_bound(monkeypatch):
    contours = [box(0.5, 9.5 + k, k + 0.5, 20.5 + k) for k in range(6)]
    monkeypatch.setattr("medimagenet.dicom.coplanar.VOXELS_AT_ONCE", 1)
    assert crossings(contours, [1] * 6) == 15
    monkeypatch.setattr("medimagenet.dicom.coplanar.MOST_PAIRS", 4)
    assert crossings(contours, [1] * 6) == 4
    monkeypatch.setattr("medimagenet.dicom.coplanar.MOST_VOXELS", 1)
    assert crossings(contours, [1] * 6) == 1


def repeats(contours):
    lengths = np.array([len(contour) for contour in contours])
    low, high = np.array([c.min(axis=0) for c in contours]), np.array([c.max(axis=0) for c in contours])
    return repeated_contours(np.concatenate(contours), lengths, low, high).tolist()


def test_a_contour_is_the_same_wherever_it_begins_and_whichever_way_it_runs():
    ring = np.array([(0, 0, 1), (4, 0, 1), (4, 1, 1), (1, 1, 1), (1, 3, 1), (0, 3, 1)], dtype=float)
    again = [np.roll(ring, 2, axis=0), ring[::-1], np.roll(ring[::-1], 1, axis=0), np.vstack([ring, ring[:1]])]
    assert repeats([ring, *again]) == [False, True, True, True, True]
    assert repeats([ring, ring + np.array([0, 0, 1]), ring * 1.001, ring[[0, 1, 3, 2, 4, 5]]]) == [False] * 4
    assert repeats([ring, ring + 1e-7]) == [False, True]


def test_very_many_contours_of_one_box_are_told_apart():
    rings = [np.array([(0, 0, 1), (40, k / 100, 1), (40, 40, 1), (0, 40, 1)], dtype=float) for k in range(1, 4000)]
    assert not any(repeats([ring * [1, 1, 0] for ring in rings]))  # of each to each would be eight million
    assert sum(repeats([*rings[:1000], *rings[:900]])) == 900


def test_contours_of_one_box_that_differ_are_kept():
    left, right = np.array([(0, 0, 0), (4, 0, 0), (0, 4, 0)]), np.array([(4, 0, 0), (4, 4, 0), (0, 4, 0)])
    assert repeats([left.astype(float), right.astype(float)]) == [False, False]
