"""Headers that are whole as bytes and absurd as values: Hypothesis puts them together, and makes failures small."""

import time

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

RATE = 40  # examples per second at most
NUMBERS = ("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "0", "-1", "1.5", "", "abc", "65536", "4294967296")
TEXTS = st.one_of(
    st.sampled_from(NUMBERS),
    st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=7).map("\\".join),
    st.text("0123456789.-+eE\\ ", max_size=40),
)
KEYWORDS = {
    "series": (
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "NumberOfFrames"),
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
        *("RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "Modality", "InstanceNumber", "SeriesInstanceUID"),
    ),
    "rtstruct": (
        *("ContourData", "ContourGeometricType", "NumberOfContourPoints", "ReferencedROINumber", "ROINumber"),
        *("ROIName", "ReferencedFrameOfReferenceUID", "SeriesInstanceUID", "ContourSequence", "ROIContourSequence"),
    ),
    "dose": (
        *("GridFrameOffsetVector", "DoseGridScaling", "DoseUnits", "DoseType", "DoseSummationType", "NumberOfFrames"),
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "SOPClassUID"),
    ),
    "registration": (
        *("FrameOfReferenceUID", "FrameOfReferenceTransformationMatrix", "RegistrationSequence"),
        *("MatrixRegistrationSequence", "MatrixSequence", "FrameOfReferenceTransformationMatrixType", "Modality"),
    ),
    "seg": (
        *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "SegmentNumber", "ReferencedSegmentNumber"),
        *(
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PixelSpacing",
            "SegmentationType",
            "MaximumFractionalValue",
        ),
        *("SliceThickness", "SegmentLabel", "PerFrameFunctionalGroupsSequence", "SegmentSequence"),
    ),
}
SYNTAXES = (pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian)
KINDS = {"series": "CT", "rtstruct": "RTSTRUCT", "seg": "SEG", "dose": "RTDOSE", "registration": "REG"}


def edits(check):
    """Edits: keyword, which of its occurrences, the VR it is written with, its new value; None deletes it."""
    values = st.one_of(
        st.tuples(st.just("LT"), TEXTS),
        st.tuples(st.just("US"), st.sampled_from((0, 1, 2, 7, 255, 32768, 65535))),
        st.tuples(st.just("FD"), st.floats()),
        st.just((None, None)),
    )
    edit = st.tuples(st.sampled_from(KEYWORDS[check]), st.integers(0, 20), values)
    return st.lists(edit, min_size=1, max_size=3)


def _holders(ds: Dataset, keyword: str) -> list[Dataset]:
    """The data sets, nested ones too, that have an element."""
    inner = [item for element in ds if element.VR == "SQ" for item in element.value]
    return [*([ds] if keyword in ds else []), *(found for item in inner for found in _holders(item, keyword))]


def _edit(ds: Dataset, changes) -> None:
    for keyword, occurrence, (vr, value) in changes:
        holders = _holders(ds, keyword)
        if not holders:
            continue
        holder = holders[occurrence % len(holders)]
        if vr is None:
            del holder[keyword]
        else:
            holder[keyword] = DataElement(pydicom.tag.Tag(keyword), vr, value)


@pytest.mark.parametrize("check", KEYWORDS)
def test_absurd_values(check, sound, guard, budget, tmp_path):
    files = sound[KINDS[check]]
    found = guard.check(check, files, files, timeout=300)
    assert not found, f"sound files: {found}"
    ends, has_failed = time.monotonic() + budget.seconds, []

    @seed(budget.seed)
    @settings(
        max_examples=max(1, int(RATE * budget.seconds)),
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(edits(check), st.booleans(), st.booleans(), st.integers(0, 5))
    def holds(changes, is_implicit, in_all, chosen):
        if time.monotonic() > ends and not has_failed:
            return
        damaged = []
        for number, path in enumerate(files):
            target = tmp_path / f"{number:03d}"
            damaged.append(target)
            with config.disable_value_validation():
                ds = pydicom.dcmread(path)
                if in_all or number == chosen % len(files):
                    _edit(ds, changes)
                ds.file_meta.TransferSyntaxUID = SYNTAXES[is_implicit]
                pydicom.dcmwrite(target, ds, implicit_vr=is_implicit, little_endian=True)
        found = guard.check(check, damaged, files)
        has_failed.extend([True] if found else [])
        assert not found, f"{check}: {found}"

    holds()
