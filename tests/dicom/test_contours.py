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
    _, codes, findings = fill(kept)
    assert codes == ["contour_plane_missing"]
    assert findings[0].numbers == {"roi": "r", "slices": 1}  # and none of the wide gap between the two bodies


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


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.005])
@pytest.mark.parametrize("turned", [False, True])
def test_planes_half_way_between_slices_leave_none_empty(noise, turned):
    grid = GRID.turned((0, 1, 2), (False, False, turned))
    heights = np.arange(2, 10) + 0.5 + noise * np.random.default_rng(0).uniform(-1, 1, 8)
    mask, codes, findings = fill([circle(11, 9, z, 5.0, grid) for z in heights], grid)
    assert mask.any(axis=(1, 2)).nonzero()[0].tolist() == list(range(3, 11))
    assert codes == ["contour_between_slices"]
    assert findings[0].numbers["contours"] == 8  # none of them left out


@pytest.mark.parametrize("step", [1.25, 1.5, 1.75])
def test_planes_a_little_farther_apart_than_slices_are_found(step):
    mask, codes, findings = fill([circle(11, 9, 2 + step * k, 5.0) for k in range(7)])
    filled = mask.any(axis=(1, 2)).nonzero()[0]
    assert codes[0] == "contours_sparse"
    assert findings[0].numbers["slices"] == filled[-1] - filled[0] + 1 - len(filled) > 0


def test_a_contour_that_is_there_twice_does_not_cancel_itself():
    contours = [circle(11, 9, z, 5.0) for z in (2, 3, 4)]
    expected = fill(contours)[0]
    for copy in (contours[1], np.roll(contours[1], 7, axis=0)[::-1], np.vstack([contours[1], contours[1][:1]])):
        mask, codes, findings = fill([*contours, copy])
        np.testing.assert_array_equal(mask, expected)
        assert (codes, findings[0].numbers) == (["contour_repeated"], {"roi": "r", "contours": 1})


@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_contours_that_cross_are_found(dtype):
    one, other = circle(9, 9, 3, 5.2), circle(13, 9, 3, 5.2)
    mask, codes, findings = fill([one, other], dtype=dtype)
    assert (codes, findings[0].numbers) == (["contours_cross"], {"roi": "r", "pairs": 1})
    if dtype is bool:
        np.testing.assert_array_equal(mask, fill([one])[0] ^ fill([other])[0])
    assert fill([one, circle(9, 9, 3, 2.2), circle(17, 9, 3, 1.1)], dtype=dtype)[1] == []


@pytest.mark.parametrize("degrees", [0.5, 1.0, 2.0, 5.0, 20.0])
def test_planes_that_are_tilted_a_little_keep_the_whole_body(degrees):
    """A ball of contours about the middle of the grid: of large ones the slope shows, of small ones it does not."""
    angle, centre = np.deg2rad(degrees), GRID.to_patient((11, 9, 7))
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    radii = np.sqrt(81 - (2.0 * np.arange(-4, 5)) ** 2)
    contours = [circle(11, 9, 7 + k, radius) for k, radius in zip(range(-4, 5), radii, strict=True)]
    mask, codes, _ = fill([(points - centre) @ turn.T + centre for points in contours])
    assert codes in ([], ["contour_in_other_planes"])
    z, y, x = np.indices(GRID.shape)
    distance = np.linalg.norm(GRID.to_patient(np.stack([x, y, z], axis=-1)) - centre, axis=-1)
    assert mask[distance < 7.5].all()
    assert not mask[distance > 10.5].any()
