"""Headers of SEG that are written here, with what they say in every place where the standard lets them say it."""

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medimagenet.dicom.elements import read_elements
from medimagenet.dicom.seg_header import (
    PER_FRAME,
    SEGMENTS,
    SEQUENCES,
    SHARED,
    frame_findings,
    read_frame_segments,
    read_planes,
    read_segment_list,
)
from medimagenet.errors import DicomError


def item(**values):
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def code(value, **more):
    return item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=f"meaning of {value}", **more)


POSITION = {"PlanePositionSequence": [item(ImagePositionPatient=[1, 2, 3])]}
ORIENTATION = {"PlaneOrientationSequence": [item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])]}
MEASURES = {"PixelMeasuresSequence": [item(PixelSpacing=[0.5, 0.25], SliceThickness=4)]}
SEGMENT = {"SegmentIdentificationSequence": [item(ReferencedSegmentNumber=2)]}


@pytest.fixture(params=[ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def header(tmp_path, request):
    """Write a header; give its elements, the functional groups of the frames, and the shared one."""

    def write(frames=(), shared=None, segments=()):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = request.param
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
        dataset.SegmentSequence = list(segments)
        dataset.PerFrameFunctionalGroupsSequence = [item(**groups) for groups in frames]
        if shared is not None:
            dataset.SharedFunctionalGroupsSequence = [item(**shared)]
        path = tmp_path / "seg.dcm"
        dataset.save_as(path, enforce_file_format=True)
        elements = read_elements(path, header_only=True, sequences=SEQUENCES)
        fields = elements.fields()
        common = elements.items(fields.get(SHARED))
        return elements, elements.items(fields[PER_FRAME]), common[0] if common else None, fields[SEGMENTS]

    return write


def test_groups_are_those_of_the_frame_before_those_of_all(header):
    other = {"PixelMeasuresSequence": [item(PixelSpacing=[2, 3], SpacingBetweenSlices=-5)]}
    elements, groups, shared, _ = header(
        [{**POSITION, **SEGMENT}, {**POSITION, **SEGMENT, **other}], {**ORIENTATION, **MEASURES}
    )
    places = read_planes(elements, groups, shared)
    np.testing.assert_array_equal(places.origins, [[1, 2, 3]] * 2)
    np.testing.assert_array_equal(places.steps[0], [[0, 0], [0.25, 0], [0, -0.5]])
    np.testing.assert_array_equal(places.steps[1], [[0, 0], [3, 0], [0, -2]])
    assert places.thickness == 4
    assert read_frame_segments(elements, groups, shared) == (2, 2)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([{**ORIENTATION, **MEASURES}], r"frame 0 has no place in the patient: \(0020,9113\) is absent"),
        ([{**POSITION, **MEASURES}], r"frame 0 has no place in the patient: \(0020,9116\) is absent"),
        ([{**POSITION, **ORIENTATION, "PixelMeasuresSequence": [item(PixelSpacing=[1])]}], "frame 0 has no place"),
    ],
)
def test_a_frame_without_place_is_named(header, frames, message):
    elements, groups, shared, _ = header(frames)
    with pytest.raises(DicomError, match=message):
        read_planes(elements, groups, shared)
    with pytest.raises(DicomError, match=r"frame 0 does not say which segment it shows: \(0062,000A\) is absent"):
        read_frame_segments(elements, groups, shared)


def test_what_segments_are(header):
    segments = [
        item(
            SegmentNumber=1,
            SegmentLabel="GTV",
            SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=[code("1")],
            SegmentedPropertyTypeCodeSequence=[code("2", SegmentedPropertyTypeModifierCodeSequence=[code("3")])],
            AnatomicRegionSequence=[item(LongCodeValue="4" * 20, CodingSchemeDesignator="X", CodeMeaning="m")],
        ),
        item(SegmentNumber=5, SegmentLabel="GTV"),
        item(SegmentNumber=6),
    ]
    elements, _, _, sequence = header(segments=segments)
    names, described = read_segment_list(elements, sequence)
    assert names == {"GTV": 1, "GTV (segment 5)": 5, "segment 6": 6}
    assert described[0] == {
        "name": "GTV",
        "number": 1,
        "label": "GTV",
        "algorithm_type": "MANUAL",
        "category": {"value": "1", "scheme": "SCT", "meaning": "meaning of 1"},
        "type": {"value": "2", "scheme": "SCT", "meaning": "meaning of 2"},
        "type_modifier": {"value": "3", "scheme": "SCT", "meaning": "meaning of 3"},
        "anatomic_region": {"value": "4" * 20, "scheme": "X", "meaning": "m"},
    }
    assert described[1] == {"name": "GTV (segment 5)", "number": 5, "label": "GTV"}


def test_contradictions():
    assert frame_findings(3, 3, (1, 2, 1), (1, 2)) == []
    codes = [(finding.code, finding.numbers) for finding in frame_findings(4, 3, (1, 7, 7), (1, 2))]
    assert codes == [
        ("segment_frames_unmatched", {"described": 4, "frames": 3}),
        ("segment_frame_unknown", {"frames": 2, "segments": 1}),
    ]
