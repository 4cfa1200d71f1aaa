"""The reason that is given for each way in which no sample is formed."""

import pytest

from medimagenet.index import Index, find_samples

CASES = {
    "no such modality": ([("ct", "CT", {})], "CT,RTSTRUCT", {"ct": "no RTSTRUCT in the index"}),
    "frame absent": (
        [("ct", "CT", {"frame": None}), ("pt", "PT", {})],
        "CT,PT",
        {
            "ct": "the CT has no FrameOfReferenceUID (0020,0052), by which its PT would be found",
            "pt": "no CT has the frame of reference of the PT",
        },
    ),
    "other frame": (
        [("ct", "CT", {}), ("pt", "PT", {"frame": "1.8"})],
        "CT,PT",
        {
            "ct": "no PT has the frame of reference of the CT",
            "pt": "no CT has the frame of reference of the PT",
        },
    ),
    "image without frame": (
        [("ct", "CT", {}), ("pt", "PT", {"frame": None})],
        "CT,PT",
        {
            "ct": "no PT has the frame of reference of the CT",
            "pt": "the PT has no FrameOfReferenceUID (0020,0052), by which its CT would be found",
        },
    ),
    "belongs to other images": (
        [("ct", "CT", {}), ("mr", "MR", {}), ("rs", "RTSTRUCT", {"of": "mr"})],
        "CT,RTSTRUCT",
        {
            "ct": "the RTSTRUCT of its frame of reference belongs to other images (MR)",
            "rs": "the RTSTRUCT belongs to other images (MR)",
        },
    ),
    "nothing refers": (
        [("ct", "CT", {}), ("rs", "RTSTRUCT", {"of": "gone", "frame": "1.8"})],
        "CT,RTSTRUCT",
        {
            "ct": "no RTSTRUCT refers to the CT",
            "rs": "the images of the RTSTRUCT are not in the index, and no CT has its frame of reference",
        },
    ),
    "another modality lacks": (
        [("ct", "CT", {}), ("rs", "RTSTRUCT", {"of": "ct"}), ("loose", "RTSTRUCT", {"of": "gone"})],
        "CT,PT,RTSTRUCT",
        {
            "ct": "no PT in the index",
            "rs": "the CT that the RTSTRUCT refers to formed no sample",
            "loose": "the CT of its frame of reference formed no sample",
        },
    ),
    "image of a CT without annotation": (
        [("ct", "CT", {}), ("pt", "PT", {})],
        "CT,PT,SEG",
        {"ct": "no SEG in the index", "pt": "the CT of its frame of reference formed no sample"},
    ),
    "two things lack": (
        [("ct", "CT", {}), ("pt", "PT", {"frame": "1.8"})],
        "CT,PT,SEG",
        {
            "ct": "no PT has the frame of reference of the CT; no SEG in the index",
            "pt": "no CT has the frame of reference of the PT",
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_given(make_record, make_object, case):
    rows, modalities, expected = CASES[case]
    records = []
    for key, modality, values in rows:
        fields = {"FrameOfReferenceUID": values.get("frame", "1.7")}
        if "of" in values:
            records.append(make_object(key, modality, series=[f"1.{values['of']}"], **fields))
        else:
            records.append(make_record(key, modality, f"1.{key}", **fields))
    found = find_samples(Index.from_records(records), modalities)
    assert found.samples == ()
    assert dict(found.missing) == expected
