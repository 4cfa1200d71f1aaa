"""What a header says in its sequences, pulled out flat: references to other objects, ROI names, tracer.

The names made here (`ReferencedSeriesUIDs`, `ROINames`, ...) are keys of `InstanceHeader.values` beside DICOM keywords.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

REFERENCE_KEYWORDS = (
    "ReferencedFrameOfReferenceSequence",  # RTSTRUCT -> images
    "ReferencedSeriesSequence",  # SEG, REG, KO, PR -> images
    "ReferencedStructureSetSequence",  # RTPLAN, RTDOSE -> RTSTRUCT
    "ReferencedRTPlanSequence",  # RTDOSE -> RTPLAN
    "RegistrationSequence",  # REG -> images
    "CurrentRequestedProcedureEvidenceSequence",  # SR, KO -> images
)
"""Sequences that say what an object was made from."""

OTHER_KEYWORDS = ("StructureSetROISequence", "SegmentSequence", "RadiopharmaceuticalInformationSequence")

DEEP_KEYWORDS = {
    "RTSTRUCT": ("ROIContourSequence",),
    "SEG": ("SourceImageSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
}
"""Where the references are of an object whose header names none: long sequences, read only then."""

REFERENCE_NAMES = ("ReferencedSeriesUIDs", "ReferencedSOPInstanceUIDs", "ReferencedFrameOfReferenceUIDs")
"""What flattened references are called."""

_TRACER_KEYWORDS = (
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)
_SERIES = 0x0020000E
_INSTANCE = 0x00081155
_FRAME_OF_REFERENCE = 0x00200052
_UID_TAGS = (_SERIES, _INSTANCE, _FRAME_OF_REFERENCE)


def flatten_references(dataset: "Dataset", keywords: tuple[str, ...] = REFERENCE_KEYWORDS) -> dict[str, list[str]]:
    """Every series, instance and frame of reference that the sequences name, each once, in order.

    Returns
    -------
    references : `ReferencedSeriesUIDs`, `ReferencedSOPInstanceUIDs`, `ReferencedFrameOfReferenceUIDs`
        Only those that are not empty.
    """
    found: dict[int, dict[str, None]] = {_SERIES: {}, _INSTANCE: {}, _FRAME_OF_REFERENCE: {}}
    for keyword in keywords:
        for tag, uid in _walk(dataset.get(keyword) or ()):
            found[tag][uid] = None
    return {name: list(found[tag]) for name, tag in zip(REFERENCE_NAMES, _UID_TAGS, strict=True) if found[tag]}


def _walk(items: Any) -> Iterator[tuple[int, str]]:
    """Tag and UID of every reference in a sequence, at any depth."""
    for item in items:
        names_study = (
            "RTReferencedSeriesSequence" in item
        )  # its own instance UID is that of the study, not of an object
        for element in item:
            if element.VR == "SQ":
                yield from _walk(element.value or ())
            elif element.value and element.tag in _UID_TAGS and not (names_study and element.tag == _INSTANCE):
                yield int(element.tag), str(element.value)


def flatten_names(dataset: "Dataset") -> dict[str, list[str]]:
    """ROI names in the order of StructureSetROISequence, segment labels in that of SegmentSequence."""
    rois = [str(item.get("ROIName") or "") for item in dataset.get("StructureSetROISequence") or ()]
    labels = [str(item.get("SegmentLabel") or "") for item in dataset.get("SegmentSequence") or ()]
    return {name: values for name, values in (("ROINames", rois), ("SegmentLabels", labels)) if values}


def flatten_tracer(dataset: "Dataset") -> Mapping[str, Any]:
    """Dose, half-life and start of the first radiopharmaceutical, as pydicom values."""
    items = dataset.get("RadiopharmaceuticalInformationSequence") or ()
    for item in items:
        return {keyword: item.get(keyword) for keyword in _TRACER_KEYWORDS}
    return {}
