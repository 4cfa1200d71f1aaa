"""Merging against NumPy; components against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import LargestComponent, MergeLabels, largest_component
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((6, 5, 4))


def case(seed=0, names=("a", "b")):
    array = np.random.default_rng(seed).random((len(names), *GRID.shape)) > 0.7
    image = Volume(np.zeros(GRID.shape, np.int16), GRID)
    return Case(sample_id="s", patient_id="p", images={"CT": image}, mask=Mask(array, GRID, names))


@given(st.integers(0, 500), st.booleans())
def test_the_largest_component_is_scipys(seed, corners):
    region = np.random.default_rng(seed).random(GRID.shape) > 0.65
    labels, count = ndimage.label(region, np.ones((3, 3, 3)) if corners else None)
    sizes = [np.count_nonzero(labels == k) for k in range(1, count + 1)]
    found = largest_component(region, corners_connect=corners)
    assert np.count_nonzero(found) == max(sizes)
    assert len(np.unique(labels[found])) == 1
    assert not np.any(found & ~region)


def test_nothing_has_no_component():
    assert not largest_component(np.zeros(GRID.shape, np.bool_)).any()


def test_only_the_named_classes_lose_voxels_and_provenance_counts_them():
    before = case(3)
    after = LargestComponent(classes=("b",))(before)
    np.testing.assert_array_equal(after.mask["a"], before.mask["a"])
    removed = np.count_nonzero(before.mask["b"]) - np.count_nonzero(after.mask["b"])
    assert after.provenance[-1]["removed_voxels"] == {"b": removed}
    assert removed > 0


@pytest.mark.parametrize(("keep", "names"), [(True, ("a", "b", "c")), (False, ("c",))])
def test_a_union_becomes_a_new_class(keep, names):
    before = case()
    after = MergeLabels(classes=("a", "b"), into="c", keep=keep)(before)
    assert after.mask.names == names
    np.testing.assert_array_equal(after.mask["c"], before.mask["a"] | before.mask["b"])


def test_a_class_that_is_there_is_added_to_and_keeps_its_place():
    before = case()
    after = MergeLabels(classes=("b",), into="a")(before)
    assert after.mask.names == ("a", "b")
    np.testing.assert_array_equal(after.mask["a"], before.mask["a"] | before.mask["b"])
    np.testing.assert_array_equal(after.mask["b"], before.mask["b"])


def test_a_class_that_is_absent_is_named():
    with pytest.raises(ValueError, match="no class 'x' to merge; there are a, b"):
        MergeLabels(classes=("x",), into="a")(case())
    with pytest.raises(ValueError, match="no class 'x' to keep a part of; there are a, b"):
        LargestComponent(classes=("x",))(case())
