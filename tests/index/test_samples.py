"""Which series belong together, on records that are made by hand: the truth is what was put in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.findings import Finding
from medimagenet.index import Index, Sample, find_samples
from medimagenet.index.samples import parse_modalities


def keys(sample):
    return {modality: row["key"] for modality, row in sample.series.items()}


def codes(sample):
    return [finding.code for finding in sample.findings]


@pytest.fixture
def sarcoma(make_record, make_object):
    """CT, PT and MR of one frame of reference, each with an RTSTRUCT."""
    return [
        record
        for number, modality in enumerate(("CT", "PT", "MR"))
        for record in (
            make_record(modality, modality, f"1.{number}", f"p/{modality}", n_instances=20),
            make_object(f"rs of {modality}", "RTSTRUCT", place=f"p/{modality}/rs", series=[f"1.{number}"]),
        )
    ]


@pytest.fixture
def radiotherapy(make_record, make_object):
    """CT <- two RTSTRUCT; a plan and a dose for the one with fewer ROIs."""
    return [
        make_record("ct", "CT", "1.2", n_instances=50),
        make_object("rs big", "RTSTRUCT", series=["1.2"], roi_names=("a", "b", "c")),
        make_object("rs planned", "RTSTRUCT", series=["1.2"], roi_names=("a",)),
        make_object("rp", "RTPLAN", series=["2.rs planned"], instances=["3.rs planned"]),
        make_object("rd", "RTDOSE", series=["2.rp"], instances=["3.rp"]),
    ]


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ("CT,RTSTRUCT", {"CT": "CT", "RTSTRUCT": "rs of CT"}),
        ("CT,PT,RTSTRUCT", {"CT": "CT", "PT": "PT", "RTSTRUCT": "rs of CT"}),
        ("RTSTRUCT,CT", None),
        ("PT,CT,RTSTRUCT", {"PT": "PT", "CT": "CT", "RTSTRUCT": "rs of PT"}),
        (["mr", " rtstruct "], {"MR": "MR", "RTSTRUCT": "rs of MR"}),
        ("CT", {"CT": "CT"}),
    ],
)
def test_the_first_modality_leads(sarcoma, modalities, expected):
    index = Index.from_records(sarcoma)
    if expected is None:
        with pytest.raises(ValueError, match=r'leads and must be of images, as in "CT,RTSTRUCT"'):
            find_samples(index, modalities)
        return
    (sample,) = find_samples(index, modalities).samples
    assert isinstance(sample, Sample)
    assert keys(sample) == expected
    assert list(sample.series) == list(expected)


def test_annotations_of_other_images_are_listed(sarcoma):
    (sample,) = find_samples(Index.from_records(sarcoma), "CT,PT,RTSTRUCT").samples
    assert [row["key"] for row in sample.others] == ["rs of MR", "rs of PT"]
    (finding,) = sample.findings
    assert (finding.code, finding.numbers) == ("other_annotation", {"modality": "RTSTRUCT", "others": 2})


def test_dose_goes_with_its_plan_and_its_structures(radiotherapy):
    (sample,) = Index.from_records(radiotherapy).samples("CT,RTSTRUCT,RTPLAN,RTDOSE").samples
    assert keys(sample) == {"CT": "ct", "RTSTRUCT": "rs planned", "RTPLAN": "rp", "RTDOSE": "rd"}
    assert [row["key"] for row in sample.others] == ["rs big"]
    (without_dose,) = find_samples(Index.from_records(radiotherapy), "CT,RTSTRUCT").samples
    assert keys(without_dose)["RTSTRUCT"] == "rs big"
    (dose,) = find_samples(Index.from_records(radiotherapy), "CT,RTDOSE").samples
    assert keys(dose)["RTDOSE"] == "rd"


def test_each_copy_has_its_own_annotation(make_record, make_object):
    trees = {
        tree: [
            make_record(f"ct {tree}", "CT", "1.2", f"{tree}/ct"),
            make_object(f"rs {tree}", "RTSTRUCT", place=f"{tree}/rs", series=["1.2"]),
        ]
        for tree in "ab"
    }
    found = find_samples(Index.from_records(trees["a"] + trees["b"]), "CT,RTSTRUCT")
    assert sorted(tuple(keys(sample).values()) for sample in found.samples) == [("ct a", "rs a"), ("ct b", "rs b")]
    assert len({sample.sample_id for sample in found.samples}) == 2
    lonely = find_samples(Index.from_records([*trees["a"], trees["b"][0]]), "CT,RTSTRUCT")
    assert len(lonely.samples) == 1
    assert lonely.missing == (
        ("ct b", "the RTSTRUCT belongs to another copy of the CT, nearer to it in the folder tree"),
    )


@pytest.mark.parametrize("series", [["1.9"], []])
def test_an_annotation_of_an_absent_series_is_joined_by_frame(make_record, make_object, series):
    records = [make_record("ct", "CT", "1.2"), make_object("rs", "RTSTRUCT", series=series)]
    (sample,) = find_samples(Index.from_records(records), "CT,RTSTRUCT").samples
    assert codes(sample) == ["referenced_by_frame"]
    elsewhere = [records[0], replace(records[1], FrameOfReferenceUID="1.8")]
    assert find_samples(Index.from_records(elsewhere), "CT,RTSTRUCT").samples == ()


def test_reference_before_frame(make_record, make_object):
    records = [
        make_record("ct", "CT", "1.2", "x"),
        make_object("by frame", "RTSTRUCT", place="x", series=["1.9"], roi_names=("a", "b")),
        make_object("direct", "RTSTRUCT", place="y", series=["1.2"]),
    ]
    (sample,) = find_samples(Index.from_records(records), "CT,RTSTRUCT").samples
    assert keys(sample)["RTSTRUCT"] == "direct"
    assert codes(sample) == ["other_annotation"]


def test_a_registration_joins_two_frames_of_reference(make_record, make_object):
    records = [
        make_record("ct", "CT", "1.2"),
        make_record("mr far", "MR", "1.3", FrameOfReferenceUID="1.8", n_instances=99),
        make_object("reg", "REG", series=["1.2", "1.3"]),
        make_record("mr of another", "MR", "1.4", FrameOfReferenceUID="1.8", PatientID="q"),
    ]
    (sample,) = find_samples(Index.from_records(records), "CT,MR").samples
    assert keys(sample) == {"CT": "ct", "MR": "mr far"}
    assert {modality: row["key"] for modality, row in sample.registrations.items()} == {"MR": "reg"}
    assert codes(sample) == ["joined_by_registration"]
    (back,) = find_samples(Index.from_records(records[:3]), "MR,CT").samples
    assert back.registrations["CT"]["key"] == "reg"
    near = make_record("mr near", "MR", "1.5")
    (sample,) = find_samples(Index.from_records([*records, near]), "CT,MR").samples
    assert (keys(sample)["MR"], sample.registrations) == ("mr near", {})
    (stranger,) = find_samples(Index.from_records(records), "CT,PT").missing
    assert stranger.reason == "no PT in the index"
    without = find_samples(
        Index.from_records([records[0], records[1], make_object("reg", "REG", series=["1.2"])]), "CT,MR"
    )
    assert without.missing[0].reason == "no MR has the frame of reference of the CT, and no REG leads to it"


def test_a_flawed_candidate_is_taken_last(make_record, make_object):
    flaw = Finding(code="dangling_reference", message="2 of 5 images are not in the index")
    gap = Finding(code="missing_slices", message="2 slices missing")
    records = [
        make_record("ct", "CT", "1.2", "x"),
        make_object("rs flawed", "RTSTRUCT", place="x", series=["1.2"], roi_names=("a", "b"), findings=(flaw,)),
        make_object("rs", "RTSTRUCT", place="y", series=["1.2"]),
        make_record("pt flawed", "PT", "1.3", "x", n_instances=9, findings=(gap,)),
        make_record("pt", "PT", "1.4", "y"),
    ]
    (sample,) = find_samples(Index.from_records(records), "CT,PT,RTSTRUCT").samples
    assert keys(sample) == {"CT": "ct", "PT": "pt", "RTSTRUCT": "rs"}
    assert codes(sample) == ["other_image", "other_annotation"]


def test_a_leading_series_with_errors_is_still_a_sample(make_record):
    gap = Finding(code="missing_slices", message="2 slices missing")
    (sample,) = find_samples(Index.from_records([make_record("ct", "CT", "1.2", findings=(gap,))]), "CT").samples
    assert [found["code"] for found in sample.series["CT"]["findings"]] == ["missing_slices"]


def test_no_leading_modality(sarcoma):
    found = find_samples(Index.from_records(sarcoma), "US,RTSTRUCT")
    assert found.samples == ()
    assert found.missing == (("index", "no US in the index, which has CT, MR, PT, RTSTRUCT"),)


@given(st.permutations(range(6)))
def test_order_of_rows_does_not_matter(order):
    make = _records()
    assert find_samples(Index.from_records([make[k] for k in order]), "CT,RTSTRUCT") == find_samples(
        Index.from_records(make), "CT,RTSTRUCT"
    )


def _records():
    from medimagenet.sources import SeriesRecord

    common = {"source": "folder", "uri": "/d", "files": ("f",), "n_instances": 1, "size_bytes": 1, "content_hash": "h"}
    images = [
        SeriesRecord(key=f"ct{n}", Modality="CT", SeriesInstanceUID=f"1.{n % 2}", PatientID="p", **common)
        for n in range(3)
    ]
    structs = [
        SeriesRecord(
            key=f"rs{n}",
            Modality="RTSTRUCT",
            SeriesInstanceUID=f"2.{n}",
            SOPInstanceUID=f"3.{n}",
            PatientID="p",
            referenced_series=(f"1.{n % 2}",),
            **common,
        )
        for n in range(3)
    ]
    return [*images, *structs]


def test_every_row_that_was_asked_for_is_in_a_sample_or_missing_with_a_reason(sarcoma, radiotherapy, make_object):
    records = [*sarcoma, make_object("stray", "RTSTRUCT", series=["8.8"], FrameOfReferenceUID="8.9")]
    records += [replace(record, PatientID="q", StudyInstanceUID="5") for record in radiotherapy]
    for modalities in (["CT", "PT", "RTSTRUCT"], ["CT", "RTDOSE"], ["MR", "RTSTRUCT"], ["PT", "CT"]):
        found = find_samples(Index.from_records(records), modalities)
        listed = {row["key"] for sample in found.samples for row in (*sample.series.values(), *sample.others)}
        listed |= {item.key for item in found.missing}
        assert listed >= {record.key for record in records if record.Modality in modalities}
        assert all(item.reason for item in found.missing)


@pytest.mark.parametrize("patient", ["a/b", "../x", "  ", "Müller^Ä", "p" * 300, "con", None, "-", ".hidden"])
def test_sample_ids_are_safe_as_file_names(make_record, patient, tmp_path):
    index = Index.from_records([make_record("ct", "CT", "1.2", PatientID=patient)])
    (sample,) = find_samples(index, "CT").samples
    (tmp_path / sample.sample_id).mkdir()
    assert len(sample.sample_id) <= 64
    assert sample.sample_id.isascii()
    assert not sample.sample_id.startswith((".", "-"))
    assert sample.patient_id == (patient or "")


def test_ids_do_not_depend_on_other_rows(make_record):
    alone = find_samples(Index.from_records([make_record("ct", "CT", "1.2")]), "CT").samples[0]
    both = [make_record("ct", "CT", "1.2"), make_record("b", "CT", "1.3", PatientID="q")]
    assert alone.sample_id in {sample.sample_id for sample in find_samples(Index.from_records(both), "CT").samples}


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ("", "must be names such as"),
        ([], "must be names such as"),
        ("CT,,RTSTRUCT", "must be names such as"),
        ("CT,PET", "DICOM calls it PT"),
        ("CT,CT", "each modality once"),
        ("SEG", "must be of images"),
    ],
)
def test_wrong_modalities(modalities, message):
    with pytest.raises(ValueError, match=message):
        parse_modalities(modalities)
