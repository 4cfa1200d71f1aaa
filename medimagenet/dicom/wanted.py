"""What a header scan looks for: tags with their keywords and VRs (DICOM PS3.6), so that it needs no dictionary."""

from collections.abc import Mapping

ELEMENTS: Mapping[int, tuple[str, str]] = {
    0x00020010: ("TransferSyntaxUID", "UI"),
    0x00080005: ("SpecificCharacterSet", "CS"),
    0x00080008: ("ImageType", "CS"),
    0x00080016: ("SOPClassUID", "UI"),
    0x00080018: ("SOPInstanceUID", "UI"),
    0x00080020: ("StudyDate", "DA"),
    0x00080021: ("SeriesDate", "DA"),
    0x00080022: ("AcquisitionDate", "DA"),
    0x00080023: ("ContentDate", "DA"),
    0x00080031: ("SeriesTime", "TM"),
    0x00080032: ("AcquisitionTime", "TM"),
    0x00080033: ("ContentTime", "TM"),
    0x00080060: ("Modality", "CS"),
    0x00080070: ("Manufacturer", "LO"),
    0x00081030: ("StudyDescription", "LO"),
    0x0008103E: ("SeriesDescription", "LO"),
    0x00081090: ("ManufacturerModelName", "LO"),
    0x00081115: ("ReferencedSeriesSequence", "SQ"),
    0x00100020: ("PatientID", "LO"),
    0x00100040: ("PatientSex", "CS"),
    0x00101010: ("PatientAge", "AS"),
    0x00101020: ("PatientSize", "DS"),
    0x00101030: ("PatientWeight", "DS"),
    0x00180015: ("BodyPartExamined", "CS"),
    0x00180050: ("SliceThickness", "DS"),
    0x00180086: ("EchoNumbers", "IS"),
    0x00180088: ("SpacingBetweenSlices", "DS"),
    0x00181060: ("TriggerTime", "DS"),
    0x00181120: ("GantryDetectorTilt", "DS"),
    0x0020000D: ("StudyInstanceUID", "UI"),
    0x0020000E: ("SeriesInstanceUID", "UI"),
    0x00200011: ("SeriesNumber", "IS"),
    0x00200012: ("AcquisitionNumber", "IS"),
    0x00200013: ("InstanceNumber", "IS"),
    0x00200032: ("ImagePositionPatient", "DS"),
    0x00200037: ("ImageOrientationPatient", "DS"),
    0x00200052: ("FrameOfReferenceUID", "UI"),
    0x00200100: ("TemporalPositionIdentifier", "IS"),
    0x00280002: ("SamplesPerPixel", "US"),
    0x00280004: ("PhotometricInterpretation", "CS"),
    0x00280008: ("NumberOfFrames", "IS"),
    0x00280010: ("Rows", "US"),
    0x00280011: ("Columns", "US"),
    0x00280030: ("PixelSpacing", "DS"),
    0x00280051: ("CorrectedImage", "CS"),
    0x00280100: ("BitsAllocated", "US"),
    0x00280101: ("BitsStored", "US"),
    0x00280103: ("PixelRepresentation", "US"),
    0x00281052: ("RescaleIntercept", "DS"),
    0x00281053: ("RescaleSlope", "DS"),
    0x00282110: ("LossyImageCompression", "CS"),
    0x0040A375: ("CurrentRequestedProcedureEvidenceSequence", "SQ"),
    0x00540016: ("RadiopharmaceuticalInformationSequence", "SQ"),
    0x00541001: ("Units", "CS"),
    0x00541102: ("DecayCorrection", "CS"),
    0x00620001: ("SegmentationType", "CS"),
    0x00620002: ("SegmentSequence", "SQ"),
    0x00700308: ("RegistrationSequence", "SQ"),
    0x30040002: ("DoseUnits", "CS"),
    0x30040004: ("DoseType", "CS"),
    0x3004000A: ("DoseSummationType", "CS"),
    0x3004000C: ("GridFrameOffsetVector", "DS"),
    0x3004000E: ("DoseGridScaling", "DS"),
    0x30060010: ("ReferencedFrameOfReferenceSequence", "SQ"),
    0x30060020: ("StructureSetROISequence", "SQ"),
    0x300C0002: ("ReferencedRTPlanSequence", "SQ"),
    0x300C0060: ("ReferencedStructureSetSequence", "SQ"),
}
"""Tag -> keyword, VR; tags rise."""

REFERENCES: Mapping[int, tuple[str, str]] = {
    0x0020000E: ("SeriesInstanceUID", "UI"),
    0x00081155: ("ReferencedSOPInstanceUID", "UI"),
    0x00200052: ("FrameOfReferenceUID", "UI"),
}
"""What the items of a sequence name that an object was made from."""

_CHARACTERS = {0x00080005: ("SpecificCharacterSet", "CS")}  # an item may have its own
ROI_NAME: Mapping[int, tuple[str, str]] = {**_CHARACTERS, 0x30060026: ("ROIName", "LO")}
SEGMENT_LABEL: Mapping[int, tuple[str, str]] = {**_CHARACTERS, 0x00620005: ("SegmentLabel", "LO")}

TRACER: Mapping[int, tuple[str, str]] = {
    0x00181072: ("RadiopharmaceuticalStartTime", "TM"),
    0x00181074: ("RadionuclideTotalDose", "DS"),
    0x00181075: ("RadionuclideHalfLife", "DS"),
    0x00181078: ("RadiopharmaceuticalStartDateTime", "DT"),
}
