"""Repaired stacks against SimpleITK, which carries a shear in its direction, and against slices that were taken out."""

import numpy as np
import pytest
import SimpleITK

from medimagenet.dicom import read_series
from medimagenet.dicom.header import read_image_header
from medimagenet.errors import GeometryError


def smooth(shape, seed=0):
    z, y, x = np.meshgrid(*(np.linspace(0, 3, n) for n in shape), indexing="ij")
    return (1000 * np.sin(x + seed) * np.cos(y) + 300 * z).astype(np.int16)


def codes(volume):
    return [finding.code for finding in volume.findings]


@pytest.mark.parametrize("slope", [(0.0, 0.25), (0.0, -0.2), (0.15, 0.1)])
def test_a_tilted_stack_equals_what_simpleitk_resamples(write_series, slope):
    stored, step = smooth((9, 30, 40)), 3.0

    def tilt(dataset, k):
        dataset.ImagePositionPatient = [-10 + slope[0] * step * k, -20 + slope[1] * step * k, step * k]

    volume = read_series(write_series(stored, change=tilt), fix=["gantry_tilt"])
    assert codes(volume) == ["tilt_resampled"]
    assert volume.metadata["repairs"][0]["code"] == "tilt_resampled"
    sheared = SimpleITK.GetImageFromArray(stored.astype(np.float64))
    sheared.SetSpacing((0.75, 0.5, step))
    sheared.SetOrigin((-10, -20, 0))
    sheared.SetDirection((1, 0, slope[0], 0, 1, slope[1], 0, 0, 1))
    judge = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(
            sheared, volume.to_sitk(), SimpleITK.Transform(), SimpleITK.sitkLinear, float(stored.min()),
            SimpleITK.sitkFloat64,
        )
    )  # fmt: skip
    inside = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(
            SimpleITK.Cast(sheared * 0 + 1, SimpleITK.sitkFloat64), volume.to_sitk(), SimpleITK.Transform(),
            SimpleITK.sitkLinear, 0.0, SimpleITK.sitkFloat64,
        )
    ).astype(bool)  # fmt: skip
    assert inside.sum() > 0.95 * stored.size
    np.testing.assert_allclose(volume.array[inside], judge[inside], rtol=0, atol=0.5 + 1e-6)
    assert (volume.array[~inside] == stored.min()).mean() > 0.9


def test_slices_that_lack_lie_between_their_neighbours(write_series):
    whole = smooth((8, 6, 7))
    kept = [0, 1, 2, 4, 7]
    heights = iter(kept)

    def place(dataset, k):
        dataset.ImagePositionPatient = [-10, -20, 3.0 * next(heights)]

    folder = write_series(whole[kept], change=place)
    with pytest.raises(GeometryError, match="missing"):
        read_series(folder, fix=["gantry_tilt"])
    volume = read_series(folder, fix=["missing_slices"])
    assert (volume.array.shape, volume.grid.spacing[2]) == (whole.shape, 3.0)
    np.testing.assert_array_equal(volume.array[kept], whole[kept])
    np.testing.assert_array_equal(volume.array[3], np.rint((whole[2].astype(float) + whole[4]) / 2))
    np.testing.assert_array_equal(volume.array[6], np.rint(whole[4] / 3 + whole[7] * (2 / 3)))
    assert codes(volume) == ["slices_interpolated"]
    assert volume.metadata["repairs"] == [{"code": "slices_interpolated", "slices": [3, 5, 6]}]


def test_too_many_in_a_row_are_not_made_up(write_series):
    heights = iter([0, 1, 2, 7])
    folder = write_series(
        smooth((4, 6, 7)), change=lambda d, k: setattr(d, "ImagePositionPatient", [0, 0, 3.0 * next(heights)])
    )
    with pytest.raises(GeometryError):
        read_series(folder, fix=["missing_slices"])


def test_what_cannot_be_repaired_is_a_wrong_argument(write_series):
    with pytest.raises(ValueError, match="fix takes gantry_tilt, missing_slices, got 'mixed_size'"):
        read_series(write_series(smooth((2, 4, 4))), fix=["mixed_size"])


@pytest.mark.realdata
def test_a_real_tilt(realdata):
    folder = realdata / "oddities" / "gantry_tilt" / "siemens_4slices"
    volume = read_series(folder, fix=["gantry_tilt"])
    assert codes(volume) == ["tilt_resampled"]
    headers = sorted((read_image_header(path) for path in folder.iterdir()), key=lambda h: h.path)
    for header in headers:  # the first voxel of every slice lies inside, on the plane of one of ours
        place = volume.grid.to_index([float(text) for text in header.values["ImagePositionPatient"]])
        assert abs(place[2] - round(place[2])) < 1e-6
        assert (place[:2] >= -1e-6).all()


@pytest.mark.realdata
def test_a_real_gap(realdata):
    folder = realdata / "oddities" / "constructed" / "missing_slices" / "STS_025_CT"
    whole = read_series(realdata / "sts" / "STS_025" / "CT" / "image")
    volume = read_series(folder, fix=["missing_slices"])
    made = volume.metadata["repairs"][0]["slices"]
    there = [k for k in range(len(whole.array)) if k not in made]
    assert volume.grid.is_close(whole.grid)
    np.testing.assert_array_equal(volume.array[there], whole.array[there])
