"""Contours in planes that are no slices: bodies whose truth is known."""

import numpy as np
import pytest

from medimagenet.dicom.contours import Contour, Roi, fill_rois
from medimagenet.dicom.regions import FillPolicy
from medimagenet.geometry import Grid

GRID = Grid((24, 20, 16), (1.0, 1.5, 2.0), (-10.0, -20.0, 100.0))
NEAREST = FillPolicy()


def fill(contours, policy=NEAREST):
    mask = np.zeros((1, *GRID.shape), dtype=bool)
    findings = fill_rois([Roi(1, "r", tuple(map(Contour, contours)))], GRID, mask, policy)
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
