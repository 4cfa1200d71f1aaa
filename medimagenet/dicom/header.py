"""The header values that decoding needs, by DICOM keyword."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .elements import PIXEL_DATA, Elements, read_elements

TEXT, NAME, WHOLE, DOUBLES = "text", "name", "whole", "doubles"
"""What a value is: text and decimal strings; text in the file's character set; a US or UL; FDs, as a tuple."""

METADATA: Mapping[int, tuple[str, str]] = {
    0x00080016: ("SOPClassUID", TEXT),
    0x00080020: ("StudyDate", TEXT),
    0x00080021: ("SeriesDate", TEXT),
    0x00080060: ("Modality", TEXT),
    0x00080070: ("Manufacturer", NAME),
    0x0008103E: ("SeriesDescription", NAME),
    0x00081090: ("ManufacturerModelName", NAME),
    0x00100020: ("PatientID", NAME),
    0x00100040: ("PatientSex", TEXT),
    0x00101010: ("PatientAge", TEXT),
    0x00180015: ("BodyPartExamined", TEXT),
    0x0020000D: ("StudyInstanceUID", TEXT),
    0x0020000E: ("SeriesInstanceUID", TEXT),
    0x00200011: ("SeriesNumber", TEXT),
    0x00200052: ("FrameOfReferenceUID", TEXT),
    0x30060002: ("StructureSetLabel", NAME),
}
"""What a volume or a mask keeps of its series."""

IMAGE: Mapping[int, tuple[str, str]] = {
    0x00080008: ("ImageType", TEXT),
    0x00080016: ("SOPClassUID", TEXT),
    0x00080018: ("SOPInstanceUID", TEXT),
    0x00080021: ("SeriesDate", TEXT),
    0x00080022: ("AcquisitionDate", TEXT),
    0x00080031: ("SeriesTime", TEXT),
    0x00080032: ("AcquisitionTime", TEXT),
    0x00080060: ("Modality", TEXT),
    0x00180050: ("SliceThickness", TEXT),
    0x00180088: ("SpacingBetweenSlices", TEXT),
    0x0020000E: ("SeriesInstanceUID", TEXT),
    0x00200013: ("InstanceNumber", TEXT),
    0x00200032: ("ImagePositionPatient", TEXT),
    0x00200037: ("ImageOrientationPatient", TEXT),
    0x00280002: ("SamplesPerPixel", WHOLE),
    0x00280004: ("PhotometricInterpretation", TEXT),
    0x00280008: ("NumberOfFrames", TEXT),
    0x00280010: ("Rows", WHOLE),
    0x00280011: ("Columns", WHOLE),
    0x00280030: ("PixelSpacing", TEXT),
    0x00280100: ("BitsAllocated", WHOLE),
    0x00280101: ("BitsStored", WHOLE),
    0x00280103: ("PixelRepresentation", WHOLE),
    0x00281052: ("RescaleIntercept", TEXT),
    0x00281053: ("RescaleSlope", TEXT),
    0x00282110: ("LossyImageCompression", TEXT),
}
"""What the decoding of one image looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageHeader:
    """Header of one image instance."""

    path: Path
    values: Mapping[str, Any]
    """By keyword: text, a list of texts where there are several, whole numbers; absent and empty ones are left out."""
    transfer_syntax: str
    pixel_offset: int | None
    """Where PixelData (7FE0,0010) begins in the file; None where only pydicom can get at it."""
    pixel_length: int
    """Bytes of PixelData; -1 where it is encapsulated, 0 where there is none or `pixel_offset` is None."""
    elements: Elements

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name


def read_image_header(path: Path) -> ImageHeader:
    """Read what decoding needs of one image file, without its pixels.

    Raises
    ------
    DicomError
        The file is not a readable DICOM object.
    """
    elements = read_elements(path, header_only=True)
    offset, length = None, 0
    if elements.of_file and elements.rows and elements.rows[-1][0] == PIXEL_DATA:
        _, offset, length, _ = elements.rows[-1]
    return ImageHeader(path, keyword_values(elements, IMAGE), elements.transfer_syntax, offset, length, elements)


def keyword_values(elements: Elements, table: Mapping[int, tuple[str, str]], inside: int = -1) -> dict[str, Any]:
    """The values of a table's tags, by keyword; those absent or empty are left out."""
    values: dict[str, Any] = {}
    fields = elements.fields(inside)
    for tag, (keyword, kind) in table.items():
        row = fields.get(tag)
        if row is None or not elements.rows[row][2]:
            continue
        if kind == WHOLE:
            values[keyword] = elements.number(row)
        elif kind == DOUBLES:
            values[keyword] = doubles(elements.value(row))
        elif (text := elements.name(row) if kind == NAME else elements.text(row)) is not None:
            values[keyword] = text.split("\\") if "\\" in text and kind == TEXT else text
    return values


def doubles(raw: bytes) -> tuple[float, ...]:
    """The numbers of an FD value; none where its length is not that of doubles."""
    return tuple(np.frombuffer(raw, dtype="<f8").tolist()) if len(raw) % 8 == 0 else ()


def private_row(elements: Elements, group: int, creator: str, element: int) -> int | None:
    """The row of a private value, found through the block that its creator reserved (PS3.5 7.8.1)."""
    fields = elements.fields()
    for block in range(0x10, 0x100):
        if elements.text(fields.get(group << 16 | block)) == creator:
            return fields.get(group << 16 | block << 8 | element)
    return None
