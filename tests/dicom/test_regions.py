"""Names made unique, and what all kinds of regions offer."""

from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.regions import finding_of, unique_name
from medimagenet.dicom.rtstruct import StructureSet
from medimagenet.dicom.seg import Segmentation


@given(st.lists(st.sampled_from(("A", "A (ROI 7)", "A (ROI 7, 2)", "B", "")), max_size=9))
def test_names_are_each_there_once_and_free_ones_are_kept(labels):
    taken = []
    for label in labels:
        name = unique_name(label, "ROI 7", taken)
        assert (name == label) == (label not in taken)
        assert name.startswith(label)
        taken.append(name)
    assert len(set(taken)) == len(labels)


def test_a_finding_says_which_region_and_how_many():
    finding = finding_of("contour_not_closed", "GTV", "has 2 points", 2)
    assert (finding.message, finding.numbers) == ("region 'GTV' has 2 points", {"roi": "GTV", "contours": 2})
    assert finding_of("roi_without_contours", "GTV", "has none").numbers == {"roi": "GTV"}


def test_both_kinds_offer_the_same():
    offered = {"names", "labels", "metadata", "findings", "referenced_series", "frames_of_reference", "region_frames"}
    for kind in (StructureSet, Segmentation):
        assert offered | {"own_grid", "fill_all"} <= set(dir(kind))
