"""Findings of voxels and masks."""

import numpy as np
import pytest

from medimagenet.findings import Finding
from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import CheckFinite, CheckMask
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((4, 3, 2))


def case_of(array, mask=None):
    return Case(sample_id="s", patient_id="p", images={"MR": Volume(array, GRID)}, mask=mask)


def mask_of(*regions, findings=()):
    array = np.zeros((len(regions), 24), bool)
    for channel, voxels in zip(array, regions, strict=True):
        channel[list(voxels)] = True
    names = tuple("abc"[: len(regions)])
    return Mask(array.reshape(-1, *GRID.shape), GRID, names, findings=findings)


def findings(case):
    return [(finding.code, dict(finding.numbers)) for finding in case.all_findings()]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted(bad):
    array = np.zeros(GRID.shape, np.float32)
    array[0, 0, :2] = bad
    assert findings(CheckFinite()(case_of(array))) == [("not_finite", {"image": "MR", "voxels": 2})]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_finite_voxels_pass(dtype):
    assert findings(CheckFinite()(case_of(np.ones(GRID.shape, dtype)))) == []


def test_an_empty_class_is_found():
    found = CheckMask()(case_of(np.zeros(GRID.shape), mask_of({1}, set())))
    assert findings(found) == [("empty_mask", {"class": "b"})]


def test_a_class_that_matched_nothing_is_not_found_twice():
    missing = Finding(code="roi_matches_nothing", message="", numbers={"class": "a"})
    found = CheckMask()(case_of(np.zeros(GRID.shape), mask_of(set(), {1}, findings=(missing,))))
    assert findings(found) == [("roi_matches_nothing", {"class": "a"})]


def test_overlaps_are_found_where_a_map_would_lose_them():
    case = case_of(np.zeros(GRID.shape), mask_of({1, 2, 3}, {2, 3, 4}, {3}))
    assert findings(CheckMask(label="map")(case)) == [("overlapping_classes", {"voxels": 2})]
    assert findings(CheckMask(label="channels")(case)) == []


def test_a_case_without_a_mask_passes():
    assert CheckMask(label="map")(case_of(np.zeros(GRID.shape))).mask is None
