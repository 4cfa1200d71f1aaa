"""What the files of one patient share, read back with pydicom."""

import re

import pydicom


def headers(truth):
    return [pydicom.dcmread(path, stop_before_pixels=True) for files in truth.paths.values() for path in files]


def test_one_patient_one_study_one_frame_of_reference(oblique):
    for keyword in ("PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert len({str(ds[keyword].value) for ds in headers(oblique) if keyword in ds}) == 1, keyword


def test_uids_are_valid_and_of_one_thing_each(oblique, upright):
    seen = [str(ds.SOPInstanceUID) for truth in (oblique, upright) for ds in headers(truth)]
    assert len(set(seen)) == len(seen)
    assert all(re.fullmatch(r"2\.25\.[1-9][0-9]{1,38}", uid) for uid in seen)
    series = {(str(ds.SeriesInstanceUID), ds.Modality) for ds in headers(oblique)}
    assert len(series) == len({uid for uid, _ in series})
    assert {uid for uid, _ in series} == {uid for uids in oblique.series_uids.values() for uid in uids}


def test_the_bytes_do_not_name_pydicom(oblique):
    for path in (oblique.paths["CT"][0], oblique.paths["RTSTRUCT"][0], oblique.paths["SEG"][0]):
        assert pydicom.dcmread(path).file_meta.ImplementationVersionName == "MEDIMAGENET"
