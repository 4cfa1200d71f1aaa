"""Values that are in the way are named by keyword and tag."""

import pydicom.datadict
import pytest

from medimagenet.dicom.pet_values import PET, TRACER, is_positive, not_computable


def test_keywords_are_those_of_the_standard_and_tags_rise():
    for table in (PET, TRACER):
        assert list(table) == sorted(table)
        for tag, (keyword, _) in table.items():
            assert pydicom.datadict.keyword_for_tag(tag) == keyword


@pytest.mark.parametrize(
    ("text", "is_good"), [("1", True), (" 2.5 ", True), ("0", False), ("nan", False), (None, False)]
)
def test_positive(text, is_good):
    assert is_positive(text) == is_good


def test_the_finding_names_the_tag():
    (finding,) = not_computable("PatientWeight", "absent").findings
    assert finding.message == "PET cannot be converted: PatientWeight (0010,1030) is absent"
    assert finding.numbers == {"keyword": "PatientWeight"}
