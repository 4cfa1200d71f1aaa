"""Back to the patient: exact where voxels were only moved, by SimpleITK's resampling where they were made anew."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.geometry import Grid
from medimagenet.store import open_store
from medimagenet.store.patient import to_patient
from medimagenet.volume import Volume

SOURCE = Grid((9, 8, 7), (0.9, 1.1, 2.5), (-40.0, 12.5, -100.0), ((0, 0, 1), (1, 0, 0), (0, -1, 0)))
CLASSES = ("a", "b")


@settings(max_examples=30)
@given(
    st.sampled_from(["LPS", "RAS", "SPL", "ILA"]),
    st.tuples(*[st.integers(-2, 3)] * 3),
    st.tuples(*[st.integers(3, 9)] * 3),
    st.integers(0, 99),
)
def test_a_turn_and_a_crop_are_undone_exactly(orientation, start, size, seed):
    """Each source voxel has the value of the stored voxel at the same place, and nothing where there is none."""
    grid = SOURCE.turned(*SOURCE.axes_towards(orientation)).crop(start, size)
    stored = np.random.default_rng(seed).random((2, *grid.shape)) > 0.5
    found = to_patient(stored, grid, SOURCE, CLASSES)
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in SOURCE.size], indexing="ij"), -1)
    there = np.rint(grid.to_index(SOURCE.to_patient(indices))).astype(int)
    inside = ((there >= 0) & (there < grid.size)).all(-1)
    x, y, z = np.moveaxis(np.where(inside[..., None], there, 0), -1, 0)
    wanted = (stored[:, z, y, x] & inside).transpose(0, 3, 2, 1)
    np.testing.assert_array_equal(found.array, wanted)
    assert found.grid == SOURCE
    assert found.names == CLASSES


def test_resampled_labels_come_back_as_simpleitk_has_them():
    upright = SOURCE.turned(*SOURCE.axes_towards("LPS"))
    grid = upright.with_spacing((1.3, 1.9, 0.7))
    stored = (np.random.default_rng(0).random((2, *grid.shape)) > 0.5).astype(np.uint8)
    found = to_patient(stored, grid, SOURCE, CLASSES)
    reference = Volume(np.zeros(SOURCE.shape, np.uint8), SOURCE).to_sitk()
    differing = 0
    for channel, mask in zip(stored, found.array, strict=True):
        source = Volume(channel, grid).to_sitk()
        wanted = SimpleITK.Resample(source, reference, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
        differing += np.count_nonzero(SimpleITK.GetArrayFromImage(wanted) != mask)
    assert differing <= 0.01 * found.array.size  # ties


def test_a_map_and_channels_say_the_same():
    labels = np.random.default_rng(1).integers(0, 3, SOURCE.shape).astype(np.uint8)
    channels = np.stack([labels == 1, labels == 2])
    for prediction in (channels, channels.astype(np.uint8), np.where(channels, 0.9, 0.2).astype(np.float32)):
        np.testing.assert_array_equal(to_patient(prediction, SOURCE, SOURCE, CLASSES).array, channels)
    np.testing.assert_array_equal(to_patient(labels, SOURCE, SOURCE, CLASSES).array, channels)


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (np.zeros((2, 2, 2), np.uint8), r"shape \(7, 8, 9\) of its grid, got \(2, 2, 2\)"),
        (np.full(SOURCE.shape, 3, np.uint8), "from 0 to 2"),
        (np.zeros(SOURCE.shape, np.float32), "whole numbers"),
        (np.zeros((3, *SOURCE.shape), bool), "3 channels, the store 2 classes"),
    ],
)
def test_what_does_not_fit_is_told(prediction, words):
    with pytest.raises(ValueError, match=words):
        to_patient(prediction, SOURCE, SOURCE, CLASSES)


def test_a_store_without_source_grids_says_so(small_store):
    store = open_store(small_store)
    with pytest.raises(ValueError, match="does not know the grid of its scan"):
        store.to_patient("s00", store.array("s00", "label").read())
