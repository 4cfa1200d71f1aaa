"""Matching of region names: examples that a person decides, and laws."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.rois import check_pattern, match_rois, tg263_name, tg263_names

NAMES = ["GTV-1", "Lung-Left", "Lung-Right", "Spinal-Cord", "GTV_Mass", "Heart"]
names = st.lists(st.text("ab_-L R1", max_size=5), max_size=6)


def test_a_pattern_must_match_the_whole_name():
    assert match_rois(NAMES, {"tumour": ["gtv"]}).classes == {"tumour": ()}
    assert match_rois(NAMES, {"tumour": ["gtv.*"]}).classes == {"tumour": ("GTV-1", "GTV_Mass")}


def test_letter_case_and_outer_blanks_are_ignored():
    assert match_rois(["  gTv-1 "], {"tumour": ["GTV-1"]}).classes == {"tumour": ("  gTv-1 ",)}


def test_patterns_are_tried_in_their_order():
    wanted = {"tumour": ["gtv_.*", "gtv.*"]}
    assert match_rois(NAMES, wanted).classes == {"tumour": ("GTV_Mass", "GTV-1")}
    assert match_rois(NAMES, wanted, several="first").classes == {"tumour": ("GTV_Mass",)}


def test_classes_that_match_nothing_are_missing_and_the_rest_unused():
    match = match_rois(NAMES, {"lungs": ["lung-.*"], "liver": ["liver"], "heart": ["heart"]})
    assert match.missing == ("liver",)
    assert match.unused == ("GTV-1", "Spinal-Cord", "GTV_Mass")


def test_a_region_may_belong_to_two_classes():
    match = match_rois(NAMES, {"organ": ["heart|lung.*"], "heart": ["heart"]})
    assert "Heart" in match.classes["organ"]
    assert match.classes["heart"] == ("Heart",)


def test_a_repeated_name_is_taken_once():
    assert match_rois(["GTV", "GTV"], {"t": ["gtv", "g.*"]}).classes == {"t": ("GTV",)}
    assert match_rois(["X", "X"], {"t": ["gtv"]}).unused == ("X",)


def test_a_pattern_that_is_none_names_class_and_pattern():
    with pytest.raises(ValueError, match=r"'gtv\(' of class 'tumour': not a regular"):
        match_rois(NAMES, {"tumour": ["gtv("]})


@given(names)
def test_a_name_matches_itself_escaped(given_names):
    for name in given_names:
        assert name in match_rois(given_names, {"it": [re.escape(name.strip())]}).classes["it"]


@given(names)
def test_every_name_is_taken_or_unused(given_names):
    match = match_rois(given_names, {"a": ["a.*"], "l": [".*l.*"]})
    taken = {name for group in match.classes.values() for name in group}
    assert taken | set(match.unused) == set(given_names)
    assert not taken & set(match.unused)


@given(names)
def test_first_is_the_first_of_merge(given_names):
    patterns = {"a": ["a.*", ".*"]}
    merged = match_rois(given_names, patterns).classes["a"]
    assert match_rois(given_names, patterns, several="first").classes["a"] == merged[:1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Lung_L", "Lung_L"),
        ("Lung-Left", "Lung_L"),
        ("LT LUNG", "Lung_L"),
        ("LungRight", "Lung_R"),
        ("RLung", "Lung_R"),
        ("parotidleft", "Parotid_L"),
        ("PAROTID GLAND RT", "Parotid_R"),
        ("Lungs", "Lungs"),
        ("lung total", "Lungs"),
        ("Spinal-Cord", "SpinalCord"),
        ("SPINAL CORD", "SpinalCord"),
        ("Oesophagus", "Esophagus"),
        ("small_bowel", "Bowel_Small"),
        ("Optic Nerve L", "OpticNrv_L"),
        ("Left femoral head", "Femur_Head_L"),
        ("Rückenmark", None),
        ("GTV-1", "GTV"),
        ("GTVp", "GTVp"),
        ("PTV 70 Gy", "PTV"),
        ("IGTV", "IGTV"),
        ("Lung", None),
        ("Lung left right", None),
        ("Heart PRV", None),
        ("SpinalCord_PRV05", None),
        ("Lungs-GTV", None),
        ("PTV minus GTV", None),
        ("GTV_Mass_CT", None),
        ("Renal", None),
        ("", None),
        ("12", None),
    ],
)
def test_spellings_of_structures(name, expected):
    assert tg263_name(name) == expected


def test_the_vocabulary_knows_its_own_names_and_keeps_to_the_standards_form():
    names = tg263_names()
    assert len(names) > 150
    for name in names:
        assert tg263_name(name) == name
        assert re.fullmatch(r"[A-Z][A-Za-z]*(_[A-Z][A-Za-z]*)*", name)
        assert len(name) <= 16  # as TG-263 demands, for planning systems that hold no more


def test_structures_of_the_vocabulary_as_patterns():
    names = ["GTV-1", "GTVn", "Lung-Left", "Lung-Right", "Spinal-Cord"]
    wanted = {"tumour": ["tg263:GTV"], "lungs": ["tg263:Lung_L", "tg263:Lung_R"], "cord": ["tg263:SpinalCord"]}
    assert match_rois(names, wanted).classes == {
        "tumour": ("GTV-1", "GTVn"),
        "lungs": ("Lung-Left", "Lung-Right"),
        "cord": ("Spinal-Cord",),
    }


def test_a_structure_that_is_none_names_those_nearby():
    with pytest.raises(ValueError, match=r"'Lung_left' is no structure of the TG-263 vocabulary; did you mean Lung_L"):
        check_pattern("tg263:Lung_left")
    with pytest.raises(ValueError, match=r"of class 'a': 'Xyz' is no structure"):
        match_rois([], {"a": ["tg263:Xyz"]})
