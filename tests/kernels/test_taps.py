"""Anti-aliased resampling against scipy's Gaussian filter followed by exact linear interpolation, and laws."""

from math import log, sqrt

import numpy as np
import pytest
from scipy import ndimage

from medimagenet.kernels.resample import resample
from medimagenet.kernels.taps import CUT_OFF, axis_taps, gaussian, sigma_of

SHAPE = (9, 22, 31)
STEPS = np.array([1.0, 2.3, 3.5])
COARSE = (9, 10, 9)


def noise(dtype=np.float32, shape=SHAPE):
    return np.random.default_rng(7).normal(0, 300, shape).astype(dtype)


def by_scipy(volume, matrix, offset, shape, mode):
    sigmas = [sigma_of(step) for step in np.linalg.norm(matrix, axis=1)]
    filtered = volume.astype(np.float64)
    for axis, sigma in enumerate(sigmas):
        radius = len(gaussian(sigma)) // 2
        filtered = ndimage.gaussian_filter1d(filtered, max(sigma, 1e-12), axis, mode=mode, radius=radius)
    return ndimage.affine_transform(filtered, matrix, offset, output_shape=shape, order=1, mode=mode)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("reflect", "reflect")])
def test_filter_and_interpolation_in_one_are_scipys_one_after_the_other(border, mode, parallel):
    offset = np.array([0.0, -0.4, 1.2])
    found = resample(noise(), np.diag(STEPS), offset, COARSE, antialias=True, border=border, parallel=parallel)
    np.testing.assert_allclose(found, by_scipy(noise(), np.diag(STEPS), offset, COARSE, mode), atol=2e-3)


def test_oblique_maps_are_filtered_first():
    angle = np.deg2rad(20)
    matrix = np.diag([1.0, 2.0, 2.5]) @ np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    offset, shape = np.array([0.0, 4.0, 2.0]), (9, 7, 8)
    found = resample(noise(), matrix, offset, shape, antialias=True)
    np.testing.assert_allclose(found, by_scipy(noise(), matrix, offset, shape, "nearest"), atol=2e-3)


def test_cubic_goes_through_the_filtered_voxels():
    flat = noise(shape=(6, 20, 20))
    kept = resample(flat, np.diag([1.0, 2.0, 2.0]), np.zeros(3), (6, 10, 10), interpolation="cubic", antialias=True)
    expected = by_scipy(flat, np.diag([1.0, 2.0, 2.0]), np.zeros(3), (6, 10, 10), "nearest")
    np.testing.assert_allclose(kept, expected, atol=5e-3)  # indices are whole: both give the filtered voxel


def test_whole_numbers_are_rounded_and_saturated():
    volume = noise(np.int16)
    exact = by_scipy(volume, np.diag(STEPS), np.zeros(3), COARSE, "nearest")
    found = resample(volume, np.diag(STEPS), np.zeros(3), COARSE, antialias=True)
    assert found.dtype == np.int16
    assert np.abs(found - exact).max() <= 0.501


def test_a_constant_comes_out_exactly():
    found = resample(np.full(SHAPE, 0.1, np.float32), np.diag(STEPS), np.zeros(3), COARSE, antialias=True)
    assert (found == np.float32(0.1)).all()


def test_a_ramp_stays_a_ramp_away_from_the_border():
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32), (1, 1, 60))
    found = resample(ramp, np.diag([1.0, 1.0, 3.0]), np.zeros(3), (1, 1, 20), antialias=True)
    np.testing.assert_allclose(found[0, 0, 4:-4], np.arange(20)[4:-4] * 3, atol=1e-4)


def test_the_mass_of_a_blurred_ball_is_kept():
    z, y, x = np.ogrid[:48, :48, :48]
    ball = 1 / (1 + np.exp(2 * (np.sqrt((z - 23.7) ** 2 + (y - 24.1) ** 2 + (x - 23.5) ** 2) - 12)))
    found = resample(ball.astype(np.float32), np.diag([3.0, 3.0, 3.0]), np.ones(3), (16, 16, 16), antialias=True)
    assert found.sum(dtype=np.float64) * 27 == pytest.approx(ball.sum(), rel=5e-4)


def test_what_the_new_grid_cannot_hold_does_not_come_back_as_a_pattern():
    stripes = np.broadcast_to(np.where(np.arange(64) % 2, 1000.0, -1000.0).astype(np.float32), (1, 4, 64))
    coarse = {"matrix": np.diag([1.0, 1.0, 4.0]), "offset": np.zeros(3), "shape": (1, 4, 16)}
    assert np.abs(resample(stripes, **coarse)).max() == 1000
    assert np.abs(resample(stripes, **coarse, antialias=True)[..., 3:-3]).max() < 5


def test_finer_voxels_are_not_filtered():
    fine = {"matrix": np.diag([1.0, 0.5, 0.7]), "offset": np.zeros(3), "shape": (9, 40, 40)}
    np.testing.assert_array_equal(resample(noise(), **fine, antialias=True), resample(noise(), **fine))


def test_nan_stays_where_it_is_seen():
    volume = noise()
    volume[4] = np.nan
    found = resample(volume, np.diag(STEPS), np.zeros(3), COARSE, antialias=True)
    assert np.isnan(found[3:5]).all()  # the neighbour above slice 3, with weight 0
    assert np.isfinite(found[[2, 5]]).all()


def test_labels_are_not_averaged():
    with pytest.raises(ValueError, match="resample_labels"):
        resample(noise(), np.diag(STEPS), np.zeros(3), COARSE, interpolation="nearest", antialias=True)


def test_the_filter_is_that_of_the_paper():
    assert sigma_of(1.0) == 0 == sigma_of(0.5)
    assert sigma_of(-3.0) == sqrt(8) / (2 * sqrt(2 * log(2)))
    weights = gaussian(1.5)
    assert len(weights) == 2 * int(1.5 * CUT_OFF) + 1 and weights.sum() == pytest.approx(1)
    assert weights[6 + 2] / weights[6] == pytest.approx(np.exp(-0.5 * (2 / 1.5) ** 2))
    taps = axis_taps(9, np.array([3.25]), 0.0, lambda index, n: index)
    np.testing.assert_array_equal((taps.voxel[0], taps.weight[0]), ([3, 4], [0.75, 0.25]))
