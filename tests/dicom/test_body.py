"""Sizes of the body: published values, and what every formula must obey."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.body import SIZES, body_size
from medimagenet.errors import DicomError


@given(st.sampled_from(sorted(SIZES)), st.floats(45, 110), st.floats(1.5, 2.0), st.sampled_from("MF"))
def test_sizes_are_those_of_bodies(kind, weight, height, sex):
    size = body_size(kind, {"PatientWeight": weight, "PatientSize": height, "PatientSex": sex})
    if kind == "suvbsa":
        assert 13_000 < size < 25_000  # cm2
    elif kind != "suvibw":  # an ideal weight may be above the actual one
        assert 0.3 * weight < size / 1000 <= weight * (1 + 1e-12)


def test_du_bois_surface_of_the_reference_man():
    values = {"PatientWeight": "70", "PatientSize": "1.70"}
    assert body_size("suvbsa", values) == pytest.approx(1.81e4, rel=0.005)  # ICRP 23: 1.8 m2


def test_a_body_that_a_formula_does_not_fit():
    with pytest.raises(DicomError, match="too small for the weight"):
        body_size("suvlbm_james", {"PatientWeight": "400", "PatientSize": "1.0", "PatientSex": "M"})
