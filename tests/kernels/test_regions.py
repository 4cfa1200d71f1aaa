"""Boxes and statistics of labels against NumPy, scipy.ndimage and SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from medimagenet.kernels.regions import bounding_box, label_statistics

SHAPE = (7, 11, 13)


def blobs(dtype=np.uint8, shape=SHAPE, labels=5):
    """Smooth regions 0 to `labels` - 1, not all of them certain to occur."""
    noise = ndimage.gaussian_filter(np.random.default_rng(7).normal(size=shape), 1.2)
    return np.digitize(noise, np.quantile(noise, np.linspace(0, 1, labels + 1)[1:-1])).astype(dtype)


def intensities(dtype, shape=SHAPE):
    return np.random.default_rng(8).integers(0, 120, shape).astype(dtype) * (1 if np.dtype(dtype).kind != "f" else 1.37)


TYPES = [(np.uint8, np.uint8), (np.uint8, np.float32), (np.uint16, np.int16), (np.uint16, np.float64)]


@pytest.mark.parametrize(("label_type", "image_type"), TYPES)
def test_each_label_is_as_simpleitk_and_scipy_see_it(label_type, image_type):
    labels, image = blobs(label_type), intensities(image_type).astype(image_type)
    labels[labels == 3] = 200 if label_type == np.uint8 else 40_000
    found = label_statistics(labels, image)
    judge = sitk.LabelStatisticsImageFilter()
    judge.Execute(sitk.GetImageFromArray(image), sitk.GetImageFromArray(labels))
    assert set(found) == set(judge.GetLabels()) - {0}
    for label, one in found.items():
        x0, x1, y0, y1, z0, z1 = judge.GetBoundingBox(label)
        assert (one.start, one.stop) == ((z0, y0, x0), (z1 + 1, y1 + 1, x1 + 1))
        assert (one.voxels, one.not_finite) == (judge.GetCount(label), 0)
        assert (one.minimum, one.maximum) == (judge.GetMinimum(label), judge.GetMaximum(label))
        assert one.mean == pytest.approx(judge.GetMean(label), rel=1e-12)
        assert one.std == pytest.approx(ndimage.standard_deviation(image.astype(float), labels, label), rel=1e-12)
        assert one.centroid == pytest.approx(ndimage.center_of_mass(labels == label), rel=1e-12)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 3)))
def test_serial_and_parallel_are_the_same_and_boxes_those_of_scipy(labels):
    image = np.random.default_rng(labels.size).normal(size=labels.shape).astype(np.float32)
    found = label_statistics(labels, image)
    assert found == label_statistics(labels, image, parallel=True)
    boxes = ndimage.find_objects(labels)
    expected = {k + 1: tuple((s.start, s.stop) for s in box) for k, box in enumerate(boxes) if box is not None}
    assert {label: tuple(zip(one.start, one.stop, strict=True)) for label, one in found.items()} == expected


def test_more_slices_than_tables_and_many_labels():
    labels, image = blobs(np.uint16, (150, 6, 9), 40), intensities(np.float32, (150, 6, 9)).astype(np.float32)
    labels[labels > 20] += 20_000  # fewer tables
    found = label_statistics(labels, image, parallel=True)
    assert found == label_statistics(labels, image)
    for label, one in found.items():
        taken = image[labels == label].astype(np.float64)
        assert (one.voxels, one.mean, one.std) == pytest.approx((len(taken), taken.mean(), taken.std()), rel=1e-12)


def test_a_spread_far_from_zero_is_not_lost():
    image = 1e9 + np.random.default_rng(3).normal(size=(70, 5, 8))
    found = label_statistics(np.ones(image.shape, bool), image)[1]
    assert found.std == pytest.approx(image.std(), rel=1e-7)  # a mean has no more digits
    assert found.mean == pytest.approx(image.mean(), rel=1e-15)


def test_what_is_not_finite_is_counted_and_left_out():
    labels = np.array([[[1, 1, 1, 2, 2, 0]]], np.uint8)
    image = np.array([[[np.nan, 2, 4, np.inf, -np.inf, np.nan]]], np.float32)
    found = label_statistics(labels, image)
    assert found[1][4:] == (1, 2.0, 4.0, 3.0, 1.0)
    assert found[2].not_finite == found[2].voxels == 2
    assert np.isnan(found[2][5:]).all()


def test_without_an_image_and_without_a_label():
    one = label_statistics(np.array([[[False, True, True]]]))[1]
    assert one[:5] == (2, (0, 0, 1), (1, 1, 3), (0.0, 0.0, 1.5), 0)
    assert np.isnan(one[5:]).all()
    assert label_statistics(np.zeros((2, 3, 4), np.uint8)) == {}
    assert label_statistics(np.zeros((0, 3, 4), np.uint8)) == {}


def test_any_order_in_memory():
    labels, image = blobs().transpose(2, 0, 1), intensities(np.int16).transpose(2, 0, 1)
    assert label_statistics(labels, image) == label_statistics(labels.copy(), image.copy())


@settings(deadline=None)
@given(hnp.arrays(np.int8, st.tuples(*[st.integers(1, 5)] * 4), elements=st.integers(-1, 0)))
def test_a_box_is_that_of_all_nonzero_voxels(voxels):
    at = np.argwhere(voxels.any(axis=0))
    expected = (tuple(at.min(axis=0)), tuple(at.max(axis=0) + 1)) if len(at) else None
    assert bounding_box(voxels) == expected


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64, np.float16, np.float32, np.float64])
def test_boxes_of_any_type(dtype):
    voxels = np.zeros((4, 5, 6), dtype)
    assert bounding_box(voxels) is None
    voxels[1, 2, 3] = voxels[3, 1, 5] = np.nan if np.dtype(dtype).kind == "f" else 1
    assert bounding_box(voxels) == bounding_box(voxels[None]) == ((1, 1, 3), (4, 3, 6))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"labels must be \(Z, Y, X\) of bool, uint8 or uint16, got int16 \(2, 2, 2\)"):
        label_statistics(np.zeros((2, 2, 2), np.int16))
    with pytest.raises(ValueError, match=r"image must be \(2, 2, 2\) of real numbers, got float32 \(2, 2, 3\)"):
        label_statistics(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        bounding_box(np.zeros((4, 5)))
