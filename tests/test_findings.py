"""Findings: known codes only, and rows that survive tables."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.findings import SEVERITY, Finding, Severity, worst

numbers = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(st.integers()),
    max_size=4,
)


def findings():
    return st.builds(Finding, code=st.sampled_from(sorted(SEVERITY)), message=st.text(max_size=40), numbers=numbers)


@given(findings())
def test_a_row_gives_the_finding_back(finding):
    assert Finding.from_row(finding.to_row()) == finding


@given(findings())
def test_rows_hold_strings_only_and_their_numbers_are_json(finding):
    row = finding.to_row()
    assert list(row) == ["code", "severity", "message", "numbers"]
    assert all(type(value) is str for value in row.values())
    assert json.loads(row["numbers"]) == finding.numbers


def test_rows_do_not_depend_on_the_order_of_numbers():
    one = Finding(code="missing_slices", message="", numbers={"a": 1, "b": 2})
    other = Finding(code="missing_slices", message="", numbers={"b": 2, "a": 1})
    assert one.to_row() == other.to_row()


def test_an_unknown_code_is_refused_by_name():
    with pytest.raises(ValueError, match="'missing_slice'"):
        Finding(code="missing_slice", message="")


def test_codes_are_snake_case():
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", code) for code in SEVERITY)


def test_severity_comes_from_the_table():
    assert Finding(code="gantry_tilt", message="").severity is Severity.ERROR
    assert Finding(code="contour_fills_nothing", message="").severity is Severity.INFO


@given(st.lists(findings(), max_size=5))
def test_worst_is_the_highest_present(found):
    severities = {finding.severity for finding in found}
    for severity in (Severity.ERROR, Severity.WARNING, Severity.INFO):
        if severity in severities:
            assert worst(found) is severity
            return
    assert worst(found) is None


def test_a_finding_cannot_be_changed():
    with pytest.raises(AttributeError):
        Finding(code="gantry_tilt", message="").message = "other"
