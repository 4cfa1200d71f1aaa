"""Cubic B-splines against scipy and SimpleITK, and by law: through the voxels, constants, cubic polynomials."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config
from scipy import ndimage

from medimagenet.kernels.resample import resample
from medimagenet.kernels.spline import coefficients, spline_axis

SHEAR = np.array([[0.8, 0.1, -0.05], [-0.1, 0.7, 0.2], [0.02, -0.15, 0.9]])
EXAMPLES = 30 if not config.DISABLE_JIT else 4


def volume(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).integers(0, 200 if dtype == np.uint8 else 3000, shape).astype(dtype)


def by_scipy(source, matrix, offset, shape):
    """Inside the voxels' centres, where both mean the same border; nan elsewhere."""
    values = ndimage.affine_transform(source.astype(float), matrix, offset, shape, order=3, mode="mirror")
    index = np.moveaxis(np.indices(shape), 0, -1) @ np.asarray(matrix).T + np.asarray(offset)
    within = ((index >= 0) & (index <= np.array(source.shape) - 1)).all(axis=-1)
    return np.where(within, values, np.nan)


def agree(ours, exact, tolerance):
    within = np.isfinite(exact)
    np.testing.assert_allclose(ours[within], exact[within], rtol=0, atol=tolerance)
    return within.sum()


sizes = st.tuples(*[st.integers(2, 9)] * 3)


@settings(deadline=None, max_examples=EXAMPLES)
@given(sizes, st.integers(0, 9))
def test_coefficients_are_those_of_scipy(shape, seed):
    source = volume(shape, seed=seed)
    exact = ndimage.spline_filter(source, order=3, mode="mirror")
    np.testing.assert_allclose(coefficients(source, np.float64), exact, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=EXAMPLES)
@given(sizes, st.tuples(*[st.floats(0.2, 1.6)] * 3), st.tuples(*[st.floats(0.0, 2.0)] * 3), st.integers(0, 9))
def test_values_agree_with_scipy(shape, steps, offset, seed):
    source, matrix, out = volume(shape, seed=seed), np.diag(steps), (5, 18, 7)
    agree(resample(source, matrix, offset, out, interpolation="cubic"), by_scipy(source, matrix, offset, out), 1e-8)


@pytest.mark.parametrize("matrix", [np.diag([0.5, -0.6, 0.7]), SHEAR], ids=["separable", "affine"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 0.51), (np.int32, 0.5001), (np.float32, 0.01)])
def test_types_are_rounded_and_saturated(matrix, dtype, tolerance):
    source, offset, out = volume((6, 7, 8), dtype), (0.3, 5.1 if matrix[1, 1] < 0 else 0.4, 0.2), (5, 7, 6)
    exact = by_scipy(source, matrix, offset, out)
    if np.dtype(dtype).kind in "ui":
        exact = exact.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    ours = resample(source, matrix, offset, out, interpolation="cubic")
    assert ours.dtype == dtype
    assert agree(ours, exact, tolerance) > 50


def test_simpleitk_agrees_inside():
    """Its filter stops the sum that starts the recursion at a tolerance: up to 1e-6 of the range, here below 0.01."""
    source, steps, shape = volume((12, 14, 16), np.float32), (0.4, 0.7, 0.3), (27, 19, 50)
    image = sitk.GetImageFromArray(source)
    reference = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkFloat32)
    reference.SetSpacing(steps[::-1])
    theirs = sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), sitk.sitkBSpline))
    ours = resample(source, np.diag(steps), np.zeros(3), shape, interpolation="cubic")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.01)


def test_affine_and_separable_are_the_same_spline():
    source, nearly = volume((6, 7, 8)), np.diag([0.7, 0.8, 0.9])
    nearly[0, 2] = 1e-3
    apart = resample(source, nearly, (-1, -1, -1), (9, 10, 11), interpolation="cubic", border="constant", fill=3)
    nearly[0, 2] = 0
    together = resample(source, nearly, (-1, -1, -1), (9, 10, 11), interpolation="cubic", border="constant", fill=3)
    np.testing.assert_array_equal(apart[:, :, 0], together[:, :, 0])
    np.testing.assert_allclose(apart, together, rtol=0, atol=50)


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.tuples(*[st.integers(1, 20)] * 3), st.integers(0, 9))
def test_it_goes_through_the_voxels(shape, seed):
    source = volume(shape, np.int16, seed)
    np.testing.assert_array_equal(resample(source, np.eye(3), np.zeros(3), shape, interpolation="cubic"), source)


@pytest.mark.parametrize("value", [-32768, -1024, 0, 3071, 32767])
def test_a_constant_stays_itself(value):
    source = np.full((3, 20, 5), value, np.int16)
    found = resample(source, np.diag([0.3, 0.7, 0.2]), (-2, -1, -1), (9, 40, 30), interpolation="cubic")
    assert (found == value).all()


def test_a_cubic_polynomial_is_reproduced_far_from_the_border():
    x = np.arange(60.0)
    source = np.broadcast_to((x - 30) ** 3 / 10 + x**2, (2, 2, 60)).copy()
    fine = 20 + np.arange(60) / 3
    found = resample(source, np.diag([1, 1, 1 / 3]), (0, 0, 20), (2, 2, 60), interpolation="cubic")
    np.testing.assert_allclose(found, np.broadcast_to((fine - 30) ** 3 / 10 + fine**2, found.shape), rtol=0, atol=1e-6)


def test_weights_sum_to_one_and_taps_stay_inside():
    for n in (1, 2, 3, 7):
        axis = spline_axis(n, np.linspace(-3, n + 3, 50))
        np.testing.assert_allclose(axis.weights.sum(axis=1), 1, rtol=1e-15)
        assert axis.taps.min() >= 0
        assert axis.taps.max() < n


def test_parallel_is_the_same_as_serial():
    arguments = (volume((5, 7, 20), np.int16), np.diag([0.4, -1.3, 0.7]), (0.3, 5.2, 0.1), (6, 5, 12))
    choice = {"interpolation": "cubic", "border": "constant", "fill": 7}
    np.testing.assert_array_equal(resample(*arguments, **choice), resample(*arguments, **choice, parallel=True))


def test_outside_is_fill():
    source, matrix = volume((4, 4, 4), np.int16), np.eye(3)
    found = resample(source, matrix, (-1, 0, 0), (6, 4, 4), interpolation="cubic", border="constant", fill=-5)
    assert (found[[0, 5]] == -5).all()
    np.testing.assert_array_equal(found[1:5], source)
    far = resample(source, matrix, (50, 0, 0), (2, 4, 4), interpolation="cubic", border="constant", fill=-5)
    assert (far == -5).all()


def test_voxels_that_are_not_finite_are_refused():
    source = np.ones((3, 3, 3), np.float32)
    source[1, 1, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 27"):
        resample(source, np.eye(3), np.zeros(3), (3, 3, 3), interpolation="cubic")


def test_a_mask_stays_a_mask():
    """Between corners the spline goes beyond 1, which no bool may hold."""
    source = np.zeros((6, 6, 6), bool)
    source[2:4, 2:4, 2:4] = True
    steps, shape = np.eye(3) / 3, (16, 16, 16)
    found = resample(source, steps, np.zeros(3), shape, interpolation="cubic")
    exact = by_scipy(source, steps, np.zeros(3), shape)
    assert set(np.unique(found.view(np.uint8))) == {0, 1}
    np.testing.assert_array_equal(found[np.abs(exact - 0.5) > 1e-4], (exact > 0.5)[np.abs(exact - 0.5) > 1e-4])
