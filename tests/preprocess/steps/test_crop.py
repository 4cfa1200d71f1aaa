"""Cropping, judged by where the kept voxels were."""

import numpy as np
import pytest

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import CropForeground, CropMask, crop_box
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((10, 9, 8), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0))


def case_with(*points, value=500):
    """Air, with some voxels (x, y, z) set in the image and the mask."""
    array = np.full(GRID.shape, -1000, np.int16)
    region = np.zeros((2, *GRID.shape), bool)
    for number, (x, y, z) in enumerate(points):
        array[z, y, x] = value
        region[number % 2, z, y, x] = True
    pet = Volume(np.arange(array.size, dtype=np.float32).reshape(array.shape), GRID)
    images = {"CT": Volume(array, GRID, "HU"), "PT": pet}
    return Case(sample_id="s", patient_id="p", images=images, mask=Mask(region, GRID, ("a", "b")))


def check_kept(case, kept, start, size):
    assert crop_box(kept.provenance) == (start, size)
    for name, image in kept.images.items():
        assert image.grid == GRID.crop(start, size)
        assert image.array.flags.c_contiguous
        for z, y, x in np.ndindex(image.grid.shape):
            i, j, k = np.rint(GRID.to_index(image.grid.to_patient((x, y, z)))).astype(int)
            assert image.array[z, y, x] == case.images[name].array[k, j, i]
    assert kept.mask.grid == GRID.crop(start, size)
    assert kept.mask.array.sum() == case.mask.array.sum()


def test_foreground_is_the_box_of_all_voxels_above():
    case = case_with((2, 3, 1), (6, 4, 5))
    check_kept(case, CropForeground(threshold=-500)(case), (2, 3, 1), (5, 2, 5))


def test_the_threshold_itself_is_not_above():
    case = case_with((2, 3, 1), value=-500)
    kept = CropForeground(threshold=-500)(case)
    assert [finding.code for finding in kept.findings] == ["empty_crop"]
    assert kept.images == case.images
    assert crop_box(kept.provenance) is None


@pytest.mark.parametrize(
    ("margin_mm", "start", "size"),
    [
        (0, (2, 3, 1), (5, 2, 5)),
        (1, (1, 2, 0), (7, 4, 7)),  # rounded up to whole voxels of 1, 2 and 3 mm
        (2.5, (0, 1, 0), (10, 6, 7)),
        (1000, (0, 0, 0), (10, 9, 8)),
    ],
)
def test_mask_is_the_box_of_all_classes_and_a_margin(margin_mm, start, size):
    case = case_with((2, 3, 1), (6, 4, 5))
    check_kept(case, CropMask(margin_mm=margin_mm)(case), start, size)


def test_nothing_to_crop_by_keeps_everything():
    case = case_with()
    kept = CropMask()(case)
    assert [finding.code for finding in kept.findings] == ["empty_crop"]
    assert kept.images == case.images


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="-1"):
        CropMask(margin_mm=-1)
    with pytest.raises(ValueError, match="nan"):
        CropForeground(threshold=float("nan"))
    case = case_with((1, 1, 1))
    other = Volume(np.zeros((2, 2, 2)), Grid((2, 2, 2)))
    astray = Case(sample_id="s", patient_id="p", images={**case.images, "MR": other})
    with pytest.raises(ValueError, match="must be on the leading grid"):
        CropForeground(threshold=0)(astray)
