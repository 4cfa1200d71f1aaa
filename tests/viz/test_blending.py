"""Colour is where the mask is, and nowhere else; read back from a file by Pillow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import ndimage

from medimagenet.viz.blending import class_colors, outline, overlay, window


def coloured(picture):
    return np.ptp(picture.astype(int), axis=-1) > 0


shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def slices_with_masks(draw):
    rows, columns = draw(shapes)
    classes = draw(st.integers(0, 9))
    grey = draw(arrays.arrays(np.uint8, (rows, columns)))
    return grey, draw(arrays.arrays(np.bool_, (classes, rows, columns)))


@settings(deadline=None)
@given(slices_with_masks(), st.floats(0.1, 1), st.floats(0.1, 1))
def test_coloured_pixels_are_exactly_the_masks(drawn, fill, edge):
    grey, masks = drawn
    picture = overlay(grey, masks, class_colors(len(masks)), fill=fill, edge=edge)
    np.testing.assert_array_equal(coloured(picture), masks.any(axis=0))
    np.testing.assert_array_equal(picture[~masks.any(axis=0)], np.repeat(grey[~masks.any(axis=0), None], 3, axis=1))


def test_also_in_the_file(tmp_path):
    rows, columns = np.mgrid[:64, :48]
    mask = (rows - 30) ** 2 + (columns - 20) ** 2 < 15**2
    grey = np.random.default_rng(0).integers(0, 256, mask.shape).astype(np.uint8)
    Image.fromarray(overlay(grey, mask[None], class_colors(1))).save(tmp_path / "slice.png")
    read = np.asarray(Image.open(tmp_path / "slice.png"))
    np.testing.assert_array_equal(coloured(read), mask)


def test_every_class_has_its_colour_and_the_later_one_is_on_top():
    grey = np.zeros((1, 3), dtype=np.uint8)
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], dtype=bool)
    picture = overlay(grey, masks, class_colors(2), fill=1.0, edge=1.0)
    np.testing.assert_array_equal(picture[0], class_colors(2)[[0, 1, 1]])


@settings(deadline=None)
@given(shapes.flatmap(lambda shape: arrays.arrays(np.bool_, shape)))
def test_outline_is_the_mask_without_its_erosion(mask):
    np.testing.assert_array_equal(outline(mask), mask & ~ndimage.binary_erosion(mask, border_value=0))


def test_colours_are_far_from_grey_and_from_each_other():
    colors = class_colors(20).astype(int)
    assert np.ptp(colors, axis=1).min() > 90
    distances = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(20, dtype=int)
    assert distances.min() > 25
    np.testing.assert_array_equal(class_colors(3), class_colors(20)[:3])


def test_window_is_linear_between_its_ends():
    values = np.arange(-30, 600)
    np.testing.assert_array_equal(window(values, 0, 510), np.clip(np.rint(values / 2), 0, 255))
    np.testing.assert_array_equal(window([-np.inf, np.nan, -160, 240, 5000], -160, 240), [0, 0, 0, 255, 255])


def test_what_does_not_fit_is_named():
    grey = np.zeros((4, 5), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"masks \(1, 5, 4\).*slice of shape \(4, 5\)"):
        overlay(grey, np.zeros((1, 5, 4), dtype=bool), class_colors(1))
    with pytest.raises(ValueError, match="fill=0"):
        overlay(grey, np.zeros((1, 4, 5), dtype=bool), class_colors(1), fill=0)
    with pytest.raises(ValueError, match="low=5, high=5"):
        window([1.0], 5, 5)
