"""Label maps against the argmax over per-class linear interpolation, computed by scipy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medimagenet.kernels.labels import resample_labels
from medimagenet.kernels.taps import gaussian, sigma_of

MODES = {"edge": "nearest", "reflect": "reflect"}


def blobs(shape=(10, 14, 17), classes=5, dtype=np.uint8):
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(classes, *shape)), (0, 1.5, 1.5, 1.5))
    return smooth.argmax(axis=0).astype(dtype)


def shares(labels, matrix, offset, shape, mode="nearest", sigmas=(0, 0, 0)):
    found = []
    for label in np.unique(labels):
        indicator = (labels == label).astype(np.float64)
        for axis, sigma in enumerate(sigmas):
            radius = len(gaussian(sigma)) // 2
            indicator = ndimage.gaussian_filter1d(indicator, max(sigma, 1e-12), axis, mode=mode, radius=radius)
        found.append(ndimage.affine_transform(indicator, matrix, offset, output_shape=shape, order=1, mode=mode))
    return np.stack(found)


def assert_largest(found, labels, expected, tolerance=1e-9):
    """Where two shares are equal but for rounding, either label is right."""
    known = np.unique(labels)
    assert np.isin(found, known).all()
    taken = np.take_along_axis(expected, np.searchsorted(known, found)[None], axis=0)[0]
    assert (taken >= expected.max(axis=0) - tolerance).all()


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("border", ["edge", "reflect"])
@pytest.mark.parametrize("steps", [(0.4, 0.7, 0.55), (1.0, 2.2, 1.7)])
def test_the_largest_share_wins(steps, border, parallel):
    labels, offset, shape = blobs(), np.array([-1.7, 0.3, -0.2]), (18, 15, 20)
    found = resample_labels(labels, np.diag(steps), offset, shape, border=border, parallel=parallel)
    assert found.dtype == labels.dtype
    assert_largest(found, labels, shares(labels, np.diag(steps), offset, shape, MODES[border]))


@pytest.mark.parametrize("border", ["edge", "reflect"])
def test_under_an_oblique_map(border):
    angle = np.deg2rad(30)
    matrix = np.array([[0.8, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    labels, offset, shape = blobs(), np.array([0.0, 3.0, -2.0]), (11, 13, 15)
    found = resample_labels(labels, matrix, offset, shape, border=border)
    assert_largest(found, labels, shares(labels, matrix, offset, shape, MODES[border]))


def test_of_larger_surroundings():
    labels, steps, shape = blobs(), np.array([1.0, 2.0, 3.0]), (10, 7, 6)
    sigmas = [sigma_of(step) for step in steps]
    found = resample_labels(labels, np.diag(steps), np.zeros(3), shape, antialias=True)
    expected = shares(labels, np.diag(steps), np.zeros(3), shape, sigmas=sigmas)
    assert_largest(found, labels, expected, tolerance=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8))
def test_equal_shares_go_to_the_lower_label(seed, up, count):
    labels = np.random.default_rng(seed).integers(0, 4, (3, 3, 3)).astype(np.uint8)
    matrix, shape = np.diag([0.25 * up] * 3), (count, count, count)  # weights are exact in binary
    found = resample_labels(labels, matrix, np.zeros(3), shape)
    np.testing.assert_array_equal(found, np.unique(labels)[shares(labels, matrix, 0, shape).argmax(axis=0)])


def test_identity_is_identity():
    labels = blobs(dtype=np.uint16)
    np.testing.assert_array_equal(resample_labels(labels, np.eye(3), np.zeros(3), labels.shape), labels)


def test_outside_is_the_constant():
    found = resample_labels(np.ones((3, 3, 3), bool), np.eye(3), np.full(3, -2.0), (5, 5, 5), border="constant")
    assert found.dtype == bool
    assert found[2:, 2:, 2:].all() and found.sum() == 27
    away = resample_labels(blobs(), np.eye(3), np.full(3, 99.0), (2, 2, 2), border="constant", fill=7)
    assert (away == 7).all()


def test_a_small_ball_keeps_its_volume_where_nearest_loses_it():
    z, y, x = np.ogrid[:40, :40, :40]
    volumes = []
    for shift in np.linspace(0, 2, 4):
        ball = ((z - 19 - shift) ** 2 + (y - 20) ** 2 + (x - 20.5) ** 2 <= 5.5**2).astype(np.uint8)
        coarse = resample_labels(ball, np.diag([2.05] * 3), np.zeros(3), (19, 19, 19), antialias=True)
        volumes.append(coarse.sum() * 2.05**3 / ball.sum())
    assert np.mean(volumes) == pytest.approx(1, abs=0.06)


def test_grey_values_are_no_labels():
    with pytest.raises(ValueError, match="float32"):
        resample_labels(np.zeros((2, 2, 2), np.float32), np.eye(3), np.zeros(3), (2, 2, 2))
