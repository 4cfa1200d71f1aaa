"""Contours that are not in slices, or too few of them: against bodies whose truth is known."""

import numpy as np

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
