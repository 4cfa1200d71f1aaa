"""What a scan gives of one DICOM file: its header as plain values, or what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..findings import Finding

HASH_LENGTH = 32  # hex digits: 128 bits tell any two headers of a collection apart

SCAN_KEYWORDS = (
    # who, what, when
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("PatientID", "PatientSex", "PatientAge", "PatientWeight", "PatientSize"),
    *("StudyDate", "StudyDescription", "SeriesDate", "SeriesTime", "SeriesNumber", "SeriesDescription"),
    *("BodyPartExamined", "Manufacturer", "ManufacturerModelName", "ImageType"),
    *("InstanceNumber", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
    *("TemporalPositionIdentifier", "EchoNumbers", "TriggerTime"),
    # where
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("GantryDetectorTilt", "Rows", "Columns", "NumberOfFrames", "GridFrameOffsetVector"),
    # what the pixels mean
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "LossyImageCompression", "Units", "DecayCorrection", "CorrectedImage"),
    *("DoseUnits", "DoseType", "DoseSummationType", "DoseGridScaling", "SegmentationType"),
)
"""DICOM keywords that a scan reads. `TransferSyntaxUID` comes from the file meta information in addition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceHeader:
    """The header of one readable DICOM file."""

    file: str
    """Its path, as text: a `Path` for each of a million files takes as long as reading them."""
    size_bytes: int
    header_hash: str
    """SHA-256 of the bytes before the pixel data, 32 hex digits; of the whole file where there are no pixel data."""
    has_pixels: bool
    values: Mapping[str, Any]
    """Plain Python values (str, int, float, list) by DICOM keyword of `SCAN_KEYWORDS`, absent where absent or empty.
    Beside them `TransferSyntaxUID` and, from sequences, `ReferencedSeriesUIDs`, `ReferencedSOPInstanceUIDs`,
    `ReferencedFrameOfReferenceUIDs`, `ROINames`, `SegmentLabels` and the tracer's keywords."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.file)

    def text(self, keyword: str) -> str:
        """A value as text, empty where absent."""
        return text_of(self.values.get(keyword, ""))

    def texts(self, keyword: str) -> list[str]:
        """A value as a list of texts, empty where absent."""
        value = self.values.get(keyword, [])
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]

    @property
    def sop_instance_uid(self) -> str:
        """SOP Instance UID (0008,0018), empty where absent."""
        return self.text("SOPInstanceUID")

    @property
    def series_uid(self) -> str:
        """Series Instance UID (0020,000E)."""
        return self.text("SeriesInstanceUID")

    @property
    def modality(self) -> str:
        """Modality (0008,0060), empty where absent."""
        return self.text("Modality")


def text_of(value: Any) -> str:
    """A value as text; of several as DICOM writes them."""
    if isinstance(value, str):
        return value
    return "\\".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file that is in no series, and why."""

    path: Path
    finding: Finding
