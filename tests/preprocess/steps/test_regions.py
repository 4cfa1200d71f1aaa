"""Classes out of regions, judged by sets of voxels."""

import numpy as np

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import SelectRois
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((4, 3, 2))


def case_with(*names):
    """Region k holds voxel k only."""
    array = np.zeros((len(names), 24), bool)
    array[np.arange(len(names)), np.arange(len(names))] = True
    mask = Mask(array.reshape(-1, *GRID.shape), GRID, names)
    return Case(sample_id="s", patient_id="p", images={"CT": Volume(np.zeros(GRID.shape), GRID)}, mask=mask)


def voxels(case, name):
    return set(np.flatnonzero(case.mask[name]).tolist())


def codes(case):
    return [finding.code for finding in case.all_findings()]


def test_a_class_is_the_union_of_what_matches():
    case = SelectRois(classes={"tumour": ("gtv.*",), "lung": ("lung",)})(case_with("GTV-1", "Lung", "gtv 2", "cord"))
    assert case.mask.names == ("tumour", "lung")
    assert (voxels(case, "tumour"), voxels(case, "lung")) == ({0, 2}, {1})
    assert codes(case) == ["roi_matches_several"]
    assert case.provenance[-1]["taken"] == {"tumour": ["GTV-1", "gtv 2"], "lung": ["Lung"]}


def test_first_takes_the_earliest_pattern():
    case = SelectRois(classes={"tumour": ("gtv 2", "gtv.*")}, several="first")(case_with("GTV-1", "gtv 2"))
    assert voxels(case, "tumour") == {1}
    assert codes(case) == []


def test_a_name_that_the_file_has_twice_counts_with_both():
    assert voxels(SelectRois(classes={"a": ("x",)})(case_with("x", "y", "x")), "a") == {0, 2}


def test_classes_may_share_a_region():
    case = SelectRois(classes={"a": ("x",), "b": ("x", "y")})(case_with("x", "y"))
    assert (voxels(case, "a"), voxels(case, "b")) == ({0}, {0, 1})


def test_a_class_without_a_match_is_empty_and_says_what_there_is():
    case = SelectRois(classes={"a": ("x",), "b": ("z.*",)})(case_with("x", "y"))
    assert voxels(case, "b") == set()
    (finding,) = case.all_findings()
    assert finding.code == "roi_matches_nothing"
    assert finding.message == "class b (z.*) matches no ROI; there are: x, y"
    assert finding.numbers == {"class": "b", "rois": ["x", "y"]}


def test_no_region_at_all():
    case = SelectRois(classes={"a": ("x",)})(case_with())
    assert case.mask.array.shape == (1, *GRID.shape)
    assert codes(case) == ["roi_matches_nothing"]


def test_a_case_without_a_mask_passes():
    case = Case(sample_id="s", patient_id="p", images={})
    assert SelectRois(classes={"a": ("x",)})(case).mask is None


def test_a_region_that_two_classes_take_is_in_both_and_told():
    case = case_with("lung_l", "lung_r")
    found = SelectRois(classes={"lungs": ("lung.*",), "left": ("lung_l",)})(case)
    told = {finding.code: dict(finding.numbers) for finding in found.mask.findings}
    assert told["roi_in_several_classes"] == {"roi": "lung_l", "classes": ["lungs", "left"]}
    np.testing.assert_array_equal(found.mask["left"], case.mask["lung_l"])
    np.testing.assert_array_equal(found.mask["lungs"], case.mask["lung_l"] | case.mask["lung_r"])
