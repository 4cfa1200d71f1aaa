"""Contours that are not in slices, or too few of them: against bodies whose truth is known."""

import numpy as np
import pytest

from medimagenet.dicom.contours import Contour, Roi, fill_rois
from medimagenet.dicom.regions import FillPolicy
from medimagenet.geometry import Grid

GRID = Grid((24, 20, 16), (1.0, 1.5, 2.0), (-10.0, -20.0, 100.0))
NEAREST = FillPolicy()
INTERPOLATE = FillPolicy(between="interpolate")


def fill(contours, grid=GRID, policy=NEAREST, dtype=bool):
    mask = np.zeros((1, *grid.shape), dtype=dtype)
    findings = fill_rois([Roi(1, "r", tuple(map(Contour, contours)))], grid, mask, policy)
    return mask[0], [finding.code for finding in findings], findings


def box_section(axis, at, low, high):
    """Of the box between two index corners (x, y, z), the rectangle across an axis at an index: LPS mm."""
    a, b = (k for k in range(3) if k != axis)
    corners = np.empty((4, 3))
    corners[:, axis] = at
    corners[:, a], corners[:, b] = [low[a], high[a], high[a], low[a]], [low[b], low[b], high[b], high[b]]
    return GRID.to_patient(corners)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_is_the_same_whichever_way_it_is_drawn(axis, parallel):
    low, high = (3.5, 2.5, 4.5), (12.5, 9.5, 11.5)
    planes = np.arange(low[axis] + 0.5, high[axis])
    sections = [box_section(axis, at, low, high) for at in planes]
    mask, codes, _ = fill(sections, policy=FillPolicy(parallel=parallel))
    expected = np.zeros(GRID.shape, dtype=bool)
    expected[5:12, 3:10, 4:13] = True
    np.testing.assert_array_equal(mask, expected)
    assert codes == ([] if axis == 2 else ["contour_in_other_planes"])


def test_sparse_sagittal_planes_stand_for_half_their_step():
    sections = [box_section(0, at, (3.5, 2.5, 4.5), (12.5, 9.5, 11.5)) for at in (4, 7, 10)]
    mask, _, findings = fill(sections)
    assert mask.any(axis=(0, 1)).nonzero()[0].tolist() == list(range(3, 12))
    assert "stands for 1.5 mm" in findings[0].message


def ball_sections(centre, radius, normal, heights):
    helper = np.eye(3)[np.argmin(np.abs(normal))]
    u = np.cross(helper, normal)
    u /= np.linalg.norm(u)
    v = np.cross(normal, u)
    turns = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    for height in heights:
        size = np.sqrt(radius**2 - height**2)
        yield centre + height * normal + size * (np.outer(np.cos(turns), u) + np.outer(np.sin(turns), v))


def test_oblique_sections_of_a_ball():
    centre, radius = GRID.to_patient((11.2, 9.1, 7.7)), 9.0
    normal = np.array([0.6, 0.48, 0.64])
    mask, codes, _ = fill(list(ball_sections(centre, radius, normal, np.arange(-8.75, 9, 0.5))))
    indices = np.stack(np.meshgrid(*map(np.arange, GRID.size), indexing="ij"), axis=-1)
    distance = np.linalg.norm(GRID.to_patient(indices) - centre, axis=-1).transpose(2, 1, 0)
    assert codes == ["contour_in_other_planes"]
    assert mask[distance < radius - 0.6].all()
    assert not mask[distance > radius + 0.6].any()


def test_a_warped_contour_is_left_out_and_one_outside_is_told():
    section = box_section(0, 4, (3.5, 2.5, 4.5), (12.5, 9.5, 11.5))
    warped = section + np.array([[0, 0, 0], [3, 0, 0], [0, 0, 0], [0, 0, 0]])
    far = box_section(0, 5, (3.5, -9, 4.5), (12.5, 9.5, 11.5))
    _, codes, _ = fill([section, far, warped])
    assert codes == ["contour_not_planar", "contour_in_other_planes", "contour_outside_image"]
    assert fill([section * [1, 0, 0]])[1] == ["contour_outside_image"]  # a line, below the image


def circle(x, y, z, radius, grid=GRID):
    turns = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    centre = grid.to_patient((x, y, z))
    return centre + radius * np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)


def disc(x, y, z, radius):
    return fill([circle(x, y, z, radius)])[0][z]


def test_between_two_circles_the_radius_changes_evenly():
    mask, codes, findings = fill([circle(11, 9, 2, 4.0), circle(11, 9, 6, 8.0)], policy=INTERPOLATE)
    assert codes == ["contour_interpolated"]
    assert findings[0].numbers == {"roi": "r", "slices": 3}
    for z, radius in ((2, 4), (3, 5), (4, 6), (5, 7), (6, 8)):
        expected = disc(11, 9, z, radius)
        edge = disc(11, 9, z, radius + 0.02) & ~disc(11, 9, z, radius - 0.02)
        np.testing.assert_array_equal(mask[z][~edge], expected[~edge])
    assert not mask[:2].any()
    assert not mask[7:].any()


def test_slices_that_have_contours_are_not_touched_by_interpolation():
    dense = [circle(11 + 0.3 * k, 9, 2 + k, 4.0 + k % 3) for k in range(8)]
    np.testing.assert_array_equal(fill(dense, policy=INTERPOLATE)[0], fill(dense)[0])
    assert fill(dense, policy=INTERPOLATE)[1] == []


def test_one_missing_plane_is_interpolated_and_two_bodies_stay_apart():
    kept = [circle(11, 9, z, 5.2) for z in (2, 3, 5, 6, 11, 12)]
    mask, codes, _ = fill(kept, policy=INTERPOLATE)
    assert codes == ["contour_interpolated"]
    assert mask.any(axis=(1, 2)).nonzero()[0].tolist() == [2, 3, 4, 5, 6, 11, 12]
    np.testing.assert_array_equal(mask[4], mask[3])
    assert fill(kept)[1] == []


def test_planes_far_apart_are_found():
    sparse = [circle(11, 9, z, 5.0) for z in (2, 5, 8)]
    mask, codes, findings = fill(sparse)
    assert codes == ["contours_sparse"]
    assert findings[0].numbers == {"roi": "r", "slices": 4}
    assert mask.any(axis=(1, 2)).nonzero()[0].tolist() == [2, 5, 8]
    assert fill(sparse, policy=INTERPOLATE)[0].any(axis=(1, 2)).sum() == 7


def test_shares_add_up_to_the_area():
    share, codes, _ = fill([circle(11.3, 9.2, z, 5.3) for z in (2, 3)], dtype=np.float32)
    x, y, _ = circle(11.3, 9.2, 2, 5.3).T
    area = 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))
    np.testing.assert_allclose(share.sum(axis=(1, 2))[2:4] * 1.5, area, rtol=1e-5)
    assert codes == []
