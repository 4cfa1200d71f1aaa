"""What only the whole index tells, on records that are made by hand."""

import pytest

from medimagenet.index.links import link_records


def codes(records):
    return [[finding.code for finding in record.findings] for record in link_records(records)]


def test_sound_rows_are_left_alone(make_record, make_object):
    records = [make_record("ct", "CT", "1.2"), make_object("rs", "RTSTRUCT", series=["1.2"])]
    assert link_records(records) == records


def test_a_series_in_two_places(make_record):
    first, second = link_records([make_record("a", "CT", "1.2", "x"), make_record("b", "CT", "1.2", "y")])
    for record in (first, second):
        (finding,) = record.findings
        assert (finding.code, finding.numbers["rows"]) == ("repeated_uid", 2)
        assert finding.numbers["differ_in"] == ["place", "content"]


@pytest.mark.parametrize(
    ("field", "what"), [("TransferSyntaxUID", "encoding"), ("PatientID", "patient"), ("SOPClassUID", "SOP class")]
)
def test_the_difference_is_named(make_record, field, what):
    records = [make_record(key, "CT", "1.2", content_hash="same", **{field: key}) for key in ("a", "b")]
    assert link_records(records)[0].findings[0].numbers["differ_in"] == [what]


def test_several_objects_of_one_series_are_sound_and_one_object_twice_is_not(make_object):
    one, two = (make_object(key, "RTSTRUCT", series=["2.one"]) for key in ("one", "two"))
    two = type(two)(**{name: getattr(two, name) for name in two.__slots__} | {"SeriesInstanceUID": "2.one"})
    assert codes([one, two]) == [[], []]
    again = make_object("one", "RTSTRUCT", series=["2.one"], place="again")
    assert codes([one, again]) == [["repeated_uid"], ["repeated_uid"]]


def test_two_modalities_of_one_uid(make_record):
    assert codes([make_record("a", "CT", "1.2"), make_record("b", "PT", "1.2")]) == [["mixed_modality"]] * 2


def test_a_series_that_is_absent(make_record, make_object):
    _, struct = link_records([make_record("ct", "CT", "1.2"), make_object("rs", "RTSTRUCT", series=["1.2", "1.9"])])
    (finding,) = struct.findings
    assert (finding.code, finding.numbers) == ("dangling_reference", {"absent": 1, "of": 2})


def test_an_object_that_is_absent(make_object):
    plan = make_object("rp", "RTPLAN", instances=["3.rs"])
    assert codes([plan]) == [["dangling_reference"]]
    assert codes([plan, make_object("rs", "RTSTRUCT", series=["2.rp"])]) == [[], []]


@pytest.mark.parametrize(("modality", "expected"), [("SEG", ["no_reference"]), ("SR", []), ("RTIMAGE", [])])
def test_no_reference_matters_to_annotations(make_object, modality, expected):
    assert codes([make_object("x", modality)]) == [expected]


def test_references_to_somebody_elses_objects(make_record, make_object):
    plan = make_object("rp", "RTPLAN", PatientID="p")
    records = [
        make_record("ct", "CT", "1.2", PatientID="q", FrameOfReferenceUID="1.8"),
        plan,
        make_object("rs", "RTSTRUCT", series=["1.2"]),
        make_object("seg", "SEG", series=["1.2"], PatientID="q"),
        make_object("rd", "RTDOSE", instances=["3.rp"]),
    ]
    found = {record.key: record.findings for record in link_records(records)}
    assert [(f.code, f.numbers) for f in found["rs"]] == [("reference_mismatch", {"differ_in": ["patient"]})]
    assert [(f.code, f.numbers) for f in found["seg"]] == [
        ("reference_mismatch", {"differ_in": ["frame of reference"]})
    ]
    assert found["rd"] == ()


def test_a_reference_that_one_of_two_rows_fits_is_sound(make_record, make_object):
    records = [
        make_record("mine", "CT", "1.2", "x"),
        make_record("other", "CT", "1.2", "y", PatientID="q"),
        make_object("rs", "RTSTRUCT", series=["1.2"]),
    ]
    assert codes(records)[2] == []


def test_a_registration_of_an_absent_series(make_record, make_object):
    assert codes([make_record("ct", "CT", "1.2"), make_object("reg", "REG", series=["1.2", "1.9"])]) == [
        [],
        ["dangling_reference"],
    ]
