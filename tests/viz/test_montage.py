"""What a person sees in the PNG, read back by Pillow: the mask's voxels in colour, the ratio in mm, the same bytes."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from medimagenet.geometry import Grid
from medimagenet.viz.montage import Row, case_tiles, comparison_tiles, layout, value_range, write_montage
from medimagenet.viz.slices import Plane, best_slice, take_slice, towards_lps

GRID = Grid((40, 30, 12), (1.0, 1.5, 4.0))


def phantom():
    z, y, x = np.mgrid[:12, :30, :40]
    image = np.random.default_rng(0).integers(-200, 300, GRID.shape).astype(np.int16)
    organ = ((x - 12) / 8) ** 2 + ((y - 14) / 7) ** 2 + ((z - 5) / 4) ** 2 < 1
    speck = np.zeros(GRID.shape, dtype=bool)
    speck[5, 20, 33] = True  # one voxel
    return image, np.stack([organ, speck])


def pictures_of(path, rows):
    figure = np.asarray(Image.open(path).convert("RGB")).astype(int)
    boxes, _ = layout(rows)
    return [
        [figure[box.top : box.top + box.height, box.left : box.left + box.width] for box in placed] for placed in boxes
    ]


def coloured(picture):
    return np.ptp(picture, axis=-1) > 0


def shrunk(picture, shape):
    """The pixel in the middle of each of `shape` fields."""
    rows = ((np.arange(shape[0]) + 0.5) * picture.shape[0] / shape[0]).astype(int)
    columns = ((np.arange(shape[1]) + 0.5) * picture.shape[1] / shape[1]).astype(int)
    return picture[np.ix_(rows, columns)]


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
def test_coloured_pixels_of_the_file_are_the_masks_voxels(tmp_path, orientation):
    image, masks = phantom()
    axes, flips = GRID.axes_towards(orientation)
    grid = GRID.turned(axes, flips)
    order = [2 - axes[2 - k] for k in range(3)]
    turn = (..., *(slice(None, None, -1 if flips[2 - k] else 1) for k in range(3)))
    tiles = case_tiles(
        image.transpose(order)[turn], grid, masks.transpose(0, *(1 + axis for axis in order))[turn], limits=(-200, 300)
    )
    rows = [Row("a sample", tiles)]
    write_montage(tmp_path / "montage.png", rows, ["organ", "speck"])
    for plane, picture in zip(Plane, pictures_of(tmp_path / "montage.png", rows)[0], strict=True):
        expected = take_slice(masks.any(axis=0), plane, best_slice(masks, plane))
        assert expected.any()
        np.testing.assert_array_equal(shrunk(coloured(picture), expected.shape), expected)
        share = coloured(picture).mean() / expected.mean()  # nothing coloured between the middles either
        assert abs(share - 1) < 0.05


def test_ratio_in_mm(tmp_path):
    image, masks = phantom()
    rows = [Row("a sample", case_tiles(image, GRID, masks))]
    write_montage(tmp_path / "montage.png", rows, ["organ", "speck"])
    ratios = [picture.shape[1] / picture.shape[0] for picture in pictures_of(tmp_path / "montage.png", rows)[0]]
    np.testing.assert_allclose(ratios, [40 / 45, 40 / 48, 45 / 48], rtol=0.01)


def test_comparison_shows_one_slice_three_times(tmp_path):
    image, masks = phantom()
    prediction = np.roll(masks, 2, axis=3)
    rows = [Row("a sample", comparison_tiles(image, GRID, masks, prediction))]
    write_montage(tmp_path / "montage.png", rows, ["organ", "speck"])
    plain, truth, guess = pictures_of(tmp_path / "montage.png", rows)[0]
    index = best_slice(masks, Plane.AXIAL)
    assert not coloured(plain).any()
    np.testing.assert_array_equal(shrunk(coloured(truth), (30, 40)), masks[:, index].any(axis=0))
    np.testing.assert_array_equal(shrunk(coloured(guess), (30, 40)), prediction[:, index].any(axis=0))


def test_same_input_same_bytes_and_nothing_left_beside(tmp_path):
    image, masks = phantom()
    rows = [Row("a $ample_1", case_tiles(image, GRID, masks))] * 2
    for name in ("one.png", "two.png"):
        write_montage(tmp_path / name, rows, [f"a class with a long name {k}" for k in range(2)])
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_pyplot_is_not_touched(tmp_path):
    code = (
        "import sys, numpy as np; from pathlib import Path; from medimagenet.geometry import Grid; "
        "from medimagenet.viz import *; "
        "t = case_tiles(np.zeros((2, 3, 4)), Grid((4, 3, 2)), np.ones((1, 2, 3, 4), bool)); "
        f"write_montage(Path({str(tmp_path / 'm.png')!r}), [Row('s', t)], ['c']); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_large_slices_lose_no_pixel():
    image = np.zeros((2, 700, 512), dtype=np.int16)
    boxes, _ = layout([Row("s", case_tiles(image, Grid((512, 700, 2)), np.zeros((0, 2, 700, 512), dtype=bool)))])
    assert (boxes[0][0].height, boxes[0][0].width) == (700, 512)


def test_value_range_of_odd_images():
    assert value_range(np.full((2, 2, 2), np.nan)) == (0.0, 1.0)
    assert value_range(np.full((2, 2, 2), 7)) == (6.5, 7.5)
    low, high = value_range(np.concatenate([np.arange(1000.0), [np.inf]]))
    assert 0 < low < 20 and 980 < high < 999


def test_nothing_to_show():
    with pytest.raises(ValueError, match="at least one picture"):
        layout([])
    assert towards_lps(np.zeros(GRID.shape), GRID)[1] == GRID
