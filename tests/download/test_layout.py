"""Folders from templates, and names that others wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.download.layout import (
    DEFAULT_TEMPLATE,
    check_template,
    is_uid,
    safe_name,
    safe_path,
    series_folder,
)

ROW = {
    "collection_id": "lung",
    "PatientID": "LUNG1-001",
    "StudyInstanceUID": "1.2.3",
    "Modality": "CT",
    "SeriesInstanceUID": "1.2.3.4",
    "crdc_series_uuid": "uuid",
    "SeriesDescription": None,
}


def test_the_template_of_idc_index():
    assert series_folder(DEFAULT_TEMPLATE, ROW) == "lung/LUNG1-001/1.2.3/CT_1.2.3.4"


@pytest.mark.parametrize(
    ("template", "folder"),
    [
        ("%PatientID", "LUNG1-001"),
        ("data/%Modality-%crdc_series_uuid", "data/CT-uuid"),
        ("%SeriesDescription/%SeriesInstanceUID", "none/1.2.3.4"),
        ("%StudyInstanceUID", "1.2.3"),
    ],
)
def test_variables_are_columns(template, folder):
    check_template(template)
    assert series_folder(template, ROW) == folder


@pytest.mark.parametrize("template", ["", "/abs/%PatientID", "../%PatientID", "a//b", ".medimagenet/%PatientID", "a/."])
def test_templates_that_lead_elsewhere(template):
    with pytest.raises(ValueError, match="must be a relative path"):
        check_template(template)


def test_an_unknown_variable_is_answered_with_the_known():
    with pytest.raises(ValueError, match=r"'%Patient', which is no variable; there are .*%PatientID"):
        check_template("%Patient/%Modality")


def test_values_cannot_lead_out_of_the_folder():
    row = ROW | {"PatientID": "../../etc", "collection_id": "a/b\\c\0", "Modality": "."}
    assert series_folder("%collection_id/%PatientID/%Modality", row) == "a_b_c_/_.._etc/none"


@given(st.text())
def test_a_safe_name_is_one_visible_component(text):
    name = safe_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_+=,@-][A-Za-z0-9._+=,@ -]{0,199}", name)
    assert safe_path(name) == name


@given(st.text())
def test_a_safe_path_stays_below(text):
    try:
        path = safe_path(text)
    except ValueError:
        return
    assert not path.startswith("/") and ".." not in path.split("/") and path


@pytest.mark.parametrize("path", ["", ".", "/a", "../a", "a/../../b", "a\\b", "C:/x", "a\0b", "é" * 150])
def test_paths_that_are_refused(path):
    with pytest.raises(ValueError, match=r"leads out|has a name"):
        safe_path(path)


def test_uids():
    assert [is_uid(text) for text in ("1.2.3", "1", "1..2", "", None, "1.2/3", "1" * 65, "1.2.3\n")] == [
        *(True, True, False, False, False, False, False, False)
    ]
