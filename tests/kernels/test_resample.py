"""Resampling against SimpleITK and scipy, and by law: constants, ramps, identity, there and back."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medimagenet.kernels.resample import is_diagonal, resample

TYPES = [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]
FILL = 7.0
SHEAR = np.array([[0.8, 0.1, -0.05], [-0.1, 0.7, 0.2], [0.02, -0.15, 0.9]])


def volume(dtype=np.float32, shape=(5, 7, 9), seed=0):
    """Values as far apart as in CT, so that a wrong weight shows."""
    return np.random.default_rng(seed).integers(0, 255 if dtype == np.uint8 else 4000, shape).astype(dtype)


def by_sitk(source, matrix, offset, shape, interpolator, fill=FILL):
    """The same map for SimpleITK: images of spacing 1, an affine transform in x, y, z."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(np.asarray(matrix)[::-1, ::-1].ravel().tolist())
    transform.SetTranslation(np.asarray(offset)[::-1].tolist())
    image = sitk.GetImageFromArray(source.astype(np.float64))
    reference = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkFloat64)
    return sitk.GetArrayFromImage(sitk.Resample(image, reference, transform, interpolator, fill))


def indices(matrix, offset, shape):
    """(Z, Y, X, 3): the input index of every output voxel."""
    return np.moveaxis(np.indices(shape), 0, -1) @ np.asarray(matrix).T + np.asarray(offset)


maps = st.tuples(
    st.tuples(*[st.floats(-2.0, 2.0).filter(lambda step: abs(step) > 0.05)] * 3).map(np.diag) | st.just(SHEAR),
    st.tuples(*[st.floats(-2.0, 6.0)] * 3),
    st.tuples(*[st.integers(1, 6)] * 3),
)


@settings(deadline=None, max_examples=60)
@given(maps, st.integers(0, 5))
def test_linear_agrees_with_simpleitk(case, seed):
    matrix, offset, shape = case
    source = volume(seed=seed)
    ours = resample(source, matrix, offset, shape, border="constant", fill=FILL)
    theirs = by_sitk(source, matrix, offset, shape, sitk.sitkLinear)
    at_border = np.abs(indices(matrix, offset, shape) + 0.5 - np.array([0, 0, 0])) < 1e-6
    at_border |= np.abs(indices(matrix, offset, shape) + 0.5 - np.array(source.shape)) < 1e-6
    inner = ~at_border.any(axis=-1)  # on the border itself one rounding decides between inside and outside
    np.testing.assert_allclose(ours[inner], theirs[inner], rtol=0, atol=1e-3)


@settings(deadline=None, max_examples=60)
@given(maps, st.integers(0, 5))
def test_nearest_agrees_with_simpleitk_but_for_ties(case, seed):
    matrix, offset, shape = case
    source = volume(np.int16, seed=seed)
    ours = resample(source, matrix, offset, shape, interpolation="nearest", border="constant", fill=FILL)
    theirs = by_sitk(source, matrix, offset, shape, sitk.sitkNearestNeighbor)
    halves = indices(matrix, offset, shape) + 0.5
    settled = (np.abs(halves - np.rint(halves)) > 1e-6).all(axis=-1)
    np.testing.assert_array_equal(ours[settled], theirs[settled])


def test_a_tie_goes_to_the_higher_index_as_in_simpleitk():
    source = np.arange(6, dtype=np.int16).reshape(1, 1, 6)
    matrix, offset, shape = np.diag([1, 1, 0.5]), (0, 0, 0), (1, 1, 11)
    ours = resample(source, matrix, offset, shape, interpolation="nearest")
    assert ours.ravel().tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    np.testing.assert_array_equal(ours, by_sitk(source, matrix, offset, shape, sitk.sitkNearestNeighbor))


@pytest.mark.parametrize("matrix", [np.diag([0.5, 1.3, 0.7]), SHEAR], ids=["separable", "affine"])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_continued_edge_agrees_with_scipy(matrix, dtype):
    source, offset, shape = volume(dtype), (-2.0, 1.2, -0.4), (6, 7, 8)
    exact = ndimage.affine_transform(source.astype(np.float64), matrix, offset, shape, order=1, mode="nearest")
    ours = resample(source, matrix, offset, shape)
    assert ours.dtype == dtype
    off = np.abs(ours - exact)
    assert off.max() <= (0.5 + 1e-3 if np.dtype(dtype).kind in "ui" else 1e-3)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("matrix", [np.diag([0.4, -1.3, 0.7]), SHEAR], ids=["separable", "affine"])
def test_parallel_is_the_same_as_serial(matrix, interpolation):
    arguments = (volume(np.int16), matrix, (0.3, 5.2, 0.1), (6, 5, 12))
    choice = {"interpolation": interpolation, "border": "constant", "fill": FILL}
    np.testing.assert_array_equal(resample(*arguments, **choice), resample(*arguments, **choice, parallel=True))


@settings(deadline=None, max_examples=40)
@given(maps, st.integers(-(2**15), 2**15 - 1))
def test_a_constant_stays_exactly_itself(case, value):
    matrix, offset, shape = case
    assert (resample(np.full((3, 4, 5), value, np.int16), matrix, offset, shape) == value).all()
    third = np.float32(value) / np.float32(3)
    assert (resample(np.full((3, 4, 5), third, np.float32), matrix, offset, shape) == third).all()


@settings(deadline=None, max_examples=40)
@given(maps)
def test_a_linear_ramp_stays_a_ramp(case):
    matrix, offset, shape = case
    slopes, size = np.array([30.0, -20.0, 10.0]), (9, 10, 11)
    ramp = (np.moveaxis(np.indices(size), 0, -1) @ slopes).astype(np.float32)
    within = np.clip(indices(matrix, offset, shape), 0, np.array(size) - 1)  # beyond the centres the edge goes on
    np.testing.assert_allclose(resample(ramp, matrix, offset, shape), within @ slopes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [*TYPES, np.bool_])
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_identity_is_identity(dtype, interpolation):
    source = volume(dtype) if dtype != np.bool_ else volume(np.uint8) > 100
    same = resample(source, np.eye(3), np.zeros(3), source.shape, interpolation=interpolation)
    assert same.dtype == dtype
    np.testing.assert_array_equal(same, source)


def test_flips_go_through_the_separable_way():
    source = volume(np.int16)
    flipped = resample(source, np.diag([-1, 1, -1]), (4, 0, 8), source.shape, interpolation="nearest")
    np.testing.assert_array_equal(flipped, source[::-1, :, ::-1])


def test_finer_and_back_is_where_it_began():
    source = volume(np.int16)
    finer = resample(source, np.eye(3) / 3, np.zeros(3), tuple(3 * n - 2 for n in source.shape))
    np.testing.assert_array_equal(resample(finer, np.eye(3) * 3, np.zeros(3), source.shape), source)


@pytest.mark.parametrize("shear", [0.0, 0.01], ids=["separable", "affine"])
def test_halves_are_rounded_to_even(shear):
    source = np.array([[[0, 1, 2, 3, 4]]], dtype=np.int16)
    matrix = np.diag([1.0, 1.0, 1.0])
    matrix[0, 1] = shear
    between = resample(source, matrix, (0, 0, 0.5), (1, 2, 4))[0, 0]
    assert between.tolist() == [0, 2, 2, 4]


def test_linear_on_a_mask_is_above_one_half():
    source = np.array([[[False, True, True, False]]])
    fine = resample(source, np.diag([1, 1, 0.25]), np.zeros(3), (1, 1, 13))
    exact = np.interp(np.arange(13) / 4, np.arange(4), source.ravel().astype(float)) > 0.5
    np.testing.assert_array_equal(fine.ravel(), exact)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("matrix", [np.diag([1, 1, 0.5]), SHEAR], ids=["separable", "affine"])
def test_the_ends_of_a_type_do_not_wrap(dtype, matrix):
    limits = np.iinfo(dtype)
    source = np.array([[[limits.max, limits.max, limits.min, limits.min]]], dtype=dtype)
    found = resample(source, matrix, np.zeros(3), (1, 1, 7)).astype(np.float64).ravel()
    assert (np.diff(found) <= 0).all()  # falls from the highest value to the lowest, a wrap would rise
    assert found[0] == pytest.approx(float(limits.max), rel=1e-15)


def test_nan_reaches_its_neighbours_and_no_further():
    source = np.ones((1, 1, 5), np.float32)
    source[0, 0, 2] = np.nan
    found = resample(source, np.diag([1, 1, 0.5]), np.zeros(3), (1, 1, 9)).ravel()
    assert np.isnan(found).tolist() == [False, False, True, True, True, True, False, False, False]


def test_all_outside_is_all_fill():
    found = resample(volume(np.int16), np.eye(3), (0, 0, 50), (2, 2, 2), border="constant", fill=-1024)
    assert (found == -1024).all()


def test_the_smallest_volume():
    source = np.array([[[5]]], dtype=np.int16)
    assert (resample(source, np.eye(3) / 4, (-1, -1, -1), (9, 9, 9)) == 5).all()


def test_a_view_that_is_not_contiguous():
    source = volume(np.int16)
    turned = source.transpose(2, 0, 1)[::-1]
    matrix, shape = np.diag([0.5, 0.7, 0.9]), (4, 5, 6)
    np.testing.assert_array_equal(
        resample(turned, matrix, np.zeros(3), shape), resample(turned.copy(), matrix, np.zeros(3), shape)
    )


def test_is_diagonal_measures_in_voxels():
    tilted = np.eye(3)
    tilted[0, 2] = 1e-6
    assert is_diagonal(tilted, (10, 10, 100))
    assert not is_diagonal(tilted, (10, 10, 1000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": np.zeros((2, 2))}, r"shape \(2, 2\)"),
        ({"source": np.zeros((0, 2, 2))}, r"shape \(0, 2, 2\)"),
        ({"source": np.zeros((2, 2, 2), complex)}, "complex128"),
        ({"shape": (0, 1, 1)}, r"\(0, 1, 1\)"),
        ({"matrix": np.eye(4)}, "matrix must be"),
        ({"offset": (0, 0, np.nan)}, "nan"),
        ({"out": np.zeros((2, 2, 3), np.float32)}, r"out must be .* float32 of shape \(2, 2, 2\), got .*\(2, 2, 3\)"),
        ({"out": np.zeros((2, 2, 2))}, "got float64"),
        ({"source": np.zeros((2, 2, 2), np.uint8), "fill": -1024}, "-1024 does not fit uint8"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    arguments = {"source": volume(), "matrix": np.eye(3), "offset": np.zeros(3), "shape": (2, 2, 2), **change}
    with pytest.raises(ValueError, match=words):
        resample(**arguments)


def test_the_result_can_be_written_into_an_array_that_is_there():
    source, out = volume(np.int16), np.zeros((4, 5, 6), np.int16)
    arguments = (source, np.diag([0.5, 0.7, 0.9]), np.zeros(3), out.shape)
    assert resample(*arguments, out=out) is out
    np.testing.assert_array_equal(out, resample(*arguments))
    with pytest.raises(ValueError, match="overlaps"):
        resample(source, np.eye(3), np.zeros(3), source.shape, out=source)


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("angle", [0.0, 0.3], ids=["aligned", "oblique"])
def test_reflected_borders_are_those_of_a_padded_volume(interpolation, angle):
    """NumPy's symmetric padding writes out what lies beyond. A spline mirrors its own way, half a voxel inside."""
    volume = np.random.default_rng(8).normal(size=(12, 13, 14)).astype(np.float32)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix, offset, shape = np.diag([0.9, 0.8, 1.1]) @ turn, np.array([-7.21, -8.13, -5.37]), (24, 25, 22)
    found = resample(volume, matrix, offset, shape, interpolation=interpolation, border="reflect")
    padded = np.pad(volume, 36, mode="symmetric")
    expected = resample(padded, matrix, offset + 36, shape, interpolation=interpolation)
    if interpolation != "cubic":
        np.testing.assert_allclose(found, expected, atol=2e-6)
        return
    index = [offset[axis] + (matrix[axis] @ np.indices(shape).reshape(3, -1)).reshape(shape) for axis in range(3)]
    near = [np.mod(i + 0.5, n) for i, n in zip(index, volume.shape, strict=True)]
    middle = np.logical_and.reduce([(i > 4) & (i < n - 4) for i, n in zip(near, volume.shape, strict=True)])
    assert middle.sum() > 100
    np.testing.assert_allclose(found[middle], expected[middle], atol=0.03)


def test_unknown_borders_and_interpolations_are_named():
    volume = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(ValueError, match="'mirror'"):
        resample(volume, np.eye(3), np.zeros(3), (2, 2, 2), border="mirror")
    with pytest.raises(ValueError, match="'lanczos'"):
        resample(volume, np.eye(3), np.zeros(3), (2, 2, 2), interpolation="lanczos")
