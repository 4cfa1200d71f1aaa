"""Explanations against samples that are made by hand."""

import pytest

from medimagenet.findings import Finding
from medimagenet.index import Index, explain_samples, find_samples


@pytest.fixture
def index(make_record, make_object):
    """A CT with two structure sets, plan and dose; an MR of its frame with an RTSTRUCT; a CT alone; a stray dose."""
    return Index.from_records(
        [
            make_record("ct", "CT", "1.2", n_instances=50),
            make_object("rs", "RTSTRUCT", series=["1.2"], roi_names=("a", "b")),
            make_object("rs small", "RTSTRUCT", series=["1.2"], roi_names=("a",)),
            make_object("rp", "RTPLAN", series=["2.rs"], instances=["3.rs"]),
            make_object("rd", "RTDOSE", series=["2.rp"], instances=["3.rp"]),
            make_record("mr", "MR", "1.3"),
            make_object("rs of mr", "RTSTRUCT", series=["1.3"]),
            make_record("ct alone", "CT", "1.4", PatientID="q", FrameOfReferenceUID="1.8"),
            make_object("rd stray", "RTDOSE", instances=["3.8"], PatientID="q", FrameOfReferenceUID="1.9"),
        ]
    )


def test_each_series_of_the_modalities_has_its_reason(index):
    explained = {each.key: each for each in explain_samples(index, "CT,RTSTRUCT,RTDOSE")}
    (sample,) = find_samples(index, "CT,RTSTRUCT,RTDOSE").samples
    assert {key: each.outcome for key, each in explained.items()} == {
        "ct": "leads",
        "rs": "taken",
        "rs small": "not taken",
        "rs of mr": "not taken",
        "rd": "taken",
        "ct alone": "in none",
        "rd stray": "in none",
    }
    reasons = {key: each.reason for key, each in explained.items()}
    assert reasons["ct"] == "has RTSTRUCT, RTDOSE"
    assert reasons["rs"] == "refers to the CT"
    assert reasons["rd"] == "refers to the RTPLAN, which refers to the RTSTRUCT, which refers to the CT"
    assert reasons["rs small"].startswith("the RTSTRUCT 2.rs was taken, which stands first")
    assert reasons["rs of mr"] == "belongs to other images of the frame of reference; the RTSTRUCT 2.rs was taken"
    assert reasons["ct alone"] == "no RTSTRUCT refers to the CT; no RTDOSE refers to the CT"
    assert reasons["rd stray"] == "the images of the RTDOSE are not in the index, and no CT has its frame of reference"
    assert explained["rd"].samples == (sample.sample_id,)
    assert explained["rd stray"].samples == ()


def test_bonds_of_images(make_record, make_object):
    records = [
        make_record("ct", "CT", "1.2"),
        make_record("pt", "PT", "1.3"),
        make_record("mr", "MR", "1.4", FrameOfReferenceUID="1.8"),
        make_object("reg", "REG", series=["1.2", "1.4"]),
        make_object("rs", "RTSTRUCT", series=["9"]),
    ]
    reasons = {each.key: each.reason for each in explain_samples(Index.from_records(records), "CT,PT,MR,RTSTRUCT")}
    assert reasons["pt"] == "same patient and frame of reference as the CT"
    assert reasons["mr"] == "a REG leads from its frame of reference to that of the CT"
    assert reasons["rs"] == "its own images are not in the index; same frame of reference as the CT"
    assert {each.reason for each in explain_samples(Index.from_records(records), "CT")} == {
        "nothing else was asked for"
    }


@pytest.fixture
def public(make_record, make_object):
    """A public CT, PET, RTSTRUCT and RTDOSE as the index has them without side indices; and the user's own CT."""

    def of(**values):
        values = {"referenced_series": None, "referenced_instances": None} | values
        return Index.from_records(
            [
                make_record("ct", "CT", "1.2", source="idc", FrameOfReferenceUID=None),
                make_record("pt", "PT", "1.3", source="idc", FrameOfReferenceUID=None),
                make_object("rs", "RTSTRUCT", source="idc", FrameOfReferenceUID=None, **values),
                make_object("rd", "RTDOSE", source="idc", FrameOfReferenceUID=None, referenced_series=None),
                make_record("own ct", "CT", "1.4", PatientID="q", FrameOfReferenceUID=None),
            ]
        )

    return of


def test_what_the_public_index_does_not_tell_is_unknown_and_not_absent(public):
    explained = {each.key: each.reason for each in explain_samples(public(), "CT,RTSTRUCT,RTDOSE,PT")}
    unknown = "what public RTSTRUCT refer to is unknown: it is in the side index rtstruct_index"
    assert explained["rs"].startswith(unknown)
    assert '"medimagenet update --side rtstruct_index" fetches it' in explained["rs"]
    assert explained["ct"].startswith(unknown)
    dose = "what public RTDOSE refer to is in no index of IDC: download, then index"
    frame = "the frame of reference, by which public images are joined, is in no index of IDC: download, then index"
    assert explained["ct"].endswith(f"; {dose}; {frame}")
    assert (explained["rd"], explained["pt"]) == (dose, frame)
    assert explained["own ct"].startswith(
        "no RTSTRUCT refers to the CT; no RTDOSE refers to the CT; the CT has no Frame"
    )


def test_what_a_side_index_told_is_known(public):
    reasons = {each.key: each.reason for each in explain_samples(public(referenced_series=("9",)), "CT,RTSTRUCT")}
    assert reasons["ct"] == "no RTSTRUCT refers to the CT"
    assert reasons["rs"] == "the images of the RTSTRUCT are not in the index, and no CT has its frame of reference"
    outcomes = {each.key: each.outcome for each in explain_samples(public(referenced_series=("1.2",)), "CT,RTSTRUCT")}
    assert (outcomes["ct"], outcomes["rs"]) == ("leads", "taken")


def test_what_contradicts_a_bond_is_told_with_it(make_record, make_object):
    mismatch = Finding(code="reference_mismatch", message="what it refers to has another patient")
    records = [
        make_record("ct", "CT", "1.2"),
        make_object("rs", "RTSTRUCT", series=["1.2"], PatientID="q", findings=(mismatch,)),
    ]
    reasons = {each.key: each.reason for each in explain_samples(Index.from_records(records), "CT,RTSTRUCT")}
    assert reasons == {"ct": "has RTSTRUCT", "rs": "refers to the CT; but what it refers to has another patient"}
