"""Names of regions counted over records that are made by hand."""

import pytest

from medimagenet.index import Index, count_rois


@pytest.fixture
def index(make_record, make_object):
    """Two patients with a CT and an RTSTRUCT each, a SEG of the second, and an RTSTRUCT without images."""
    return Index.from_records(
        [
            make_record("ct 1", "CT", "1.1", PatientID="p1"),
            make_record("ct 2", "CT", "1.2", PatientID="p2"),
            make_object("rs 1", "RTSTRUCT", series=["1.1"], PatientID="p1", roi_names=("GTV-1", "Lung-Left", "GTV-2")),
            make_object("rs 2", "RTSTRUCT", series=["1.2"], PatientID="p2", roi_names=("GTV-1", "Heart")),
            make_object("seg", "SEG", series=["1.2"], PatientID="p2", roi_names=("Heart",)),
            make_object(
                "stray", "RTSTRUCT", series=["8"], FrameOfReferenceUID="9", PatientID="p3", roi_names=("Heart",)
            ),
        ]
    )


def test_names_are_counted_by_object_and_patient(index):
    table = count_rois(index)
    assert table.objects == 4
    assert [(roi.name, roi.series, roi.patients, roi.modalities, roi.tg263) for roi in table.rois] == [
        ("Heart", 3, 2, ("RTSTRUCT", "SEG"), "Heart"),
        ("GTV-1", 2, 2, ("RTSTRUCT",), "GTV"),
        ("GTV-2", 1, 1, ("RTSTRUCT",), "GTV"),
        ("Lung-Left", 1, 1, ("RTSTRUCT",), "Lung_L"),
    ]
    assert table.classes == ()


def test_what_classes_take_of_the_objects_of_samples(index):
    classes = {"tumour": ["gtv.*"], "first": ["gtv-1"], "heart": ["tg263:Heart"]}
    table = count_rois(index, classes, modalities="CT,RTSTRUCT")
    assert table.objects == 2
    found = {each.label: (each.once, each.several, each.nothing, each.names) for each in table.classes}
    assert found == {
        "tumour": (1, 1, 0, ("GTV-1", "GTV-2")),
        "first": (2, 0, 0, ("GTV-1",)),
        "heart": (1, 0, 1, ("Heart",)),
    }
    assert {roi.name: roi.taken_by for roi in table.rois} == {
        "GTV-1": ("tumour", "first"),
        "GTV-2": ("tumour",),
        "Heart": ("heart",),
        "Lung-Left": (),
    }
    first = count_rois(index, classes, several="first", modalities=["CT", "RTSTRUCT"])
    assert first.classes[0].several == 0


def test_no_object_names_regions(make_record):
    assert count_rois(Index.from_records([make_record("ct", "CT", "1.2")])).rois == ()


def test_names_of_public_objects_that_the_index_does_not_have_are_no_names(make_object):
    def index(**values):
        values = {"roi_names": None} | values
        seg = make_object("seg", "SEG", source="idc", roi_names=("Liver",))
        return Index.from_records([seg, make_object("rs", "RTSTRUCT", source="idc", **values)])

    table = count_rois(index(), {"liver": ["liver"]})
    assert (table.objects, [roi.name for roi in table.rois]) == (1, ["Liver"])
    assert (table.classes[0].once, table.classes[0].nothing) == (1, 0)
    (sentence,) = table.unknown
    assert sentence.startswith("the names of 1 public RTSTRUCT are in the side index rtstruct_index")
    assert "medimagenet update --side rtstruct_index" in sentence
    assert count_rois(index(roi_names=("GTV",))).unknown == ()


def test_regions_that_share_a_name_are_several(make_object):
    index = Index.from_records([make_object("rs", "RTSTRUCT", roi_names=("GTV", "GTV", "Heart"))])
    (taken,) = count_rois(index, {"tumour": ["gtv"]}).classes
    assert (taken.once, taken.several, taken.nothing, taken.names) == (0, 1, 0, ("GTV",))
    (first,) = count_rois(index, {"tumour": ["gtv"]}, several="first").classes
    assert (first.once, first.several) == (1, 0)
