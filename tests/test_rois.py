"""Matching of region names: examples that a person decides, and laws."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.rois import match_rois

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
    with pytest.raises(ValueError, match=r"'gtv\(' of class 'tumour'"):
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
