"""The tags against pydicom's dictionary, and against what a scan promises."""

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag

from medimagenet.dicom.instance import SCAN_KEYWORDS
from medimagenet.dicom.nested import OTHER_KEYWORDS, REFERENCE_KEYWORDS
from medimagenet.dicom.wanted import ELEMENTS, REFERENCES, ROI_NAME, SEGMENT_LABEL, TRACER


@pytest.mark.parametrize("table", [ELEMENTS, REFERENCES, ROI_NAME, SEGMENT_LABEL, TRACER])
def test_keywords_and_vrs_are_those_of_the_dictionary(table):
    assert dict(table) == {tag: (keyword_for_tag(tag), dictionary_VR(tag)) for tag in table}


def test_all_that_a_scan_reads_is_wanted_in_the_order_of_files():
    scanned = {*SCAN_KEYWORDS, *REFERENCE_KEYWORDS, *OTHER_KEYWORDS, "TransferSyntaxUID", "SpecificCharacterSet"}
    assert {keyword for keyword, _ in ELEMENTS.values()} == scanned
    assert list(ELEMENTS) == sorted(ELEMENTS)
