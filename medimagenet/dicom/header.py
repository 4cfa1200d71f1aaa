"""The header values that decoding needs, by DICOM keyword."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .elements import PIXEL_DATA, Elements, read_elements

TEXT, NAME, WHOLE, DOUBLES = "text", "name", "whole", "doubles"
"""What a value is: text and decimal strings; text in the file's character set; a US or UL; FDs, as a tuple."""

Known = dict[tuple[int, bytes], Any]
"""Values by tag and bytes."""

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
    0x00200052: ("FrameOfReferenceUID", TEXT),
    0x00280002: ("SamplesPerPixel", WHOLE),
    0x00280004: ("PhotometricInterpretation", TEXT),
    0x00280008: ("NumberOfFrames", TEXT),
    0x00280010: ("Rows", WHOLE),
    0x00280011: ("Columns", WHOLE),
    0x00280030: ("PixelSpacing", TEXT),
    0x00280100: ("BitsAllocated", WHOLE),
    0x00280101: ("BitsStored", WHOLE),
    0x00280102: ("HighBit", WHOLE),
    0x00280103: ("PixelRepresentation", WHOLE),
    0x00280120: ("PixelPaddingValue", WHOLE),
    0x00280121: ("PixelPaddingRangeLimit", WHOLE),
    0x00281052: ("RescaleIntercept", TEXT),
    0x00281053: ("RescaleSlope", TEXT),
    0x00281054: ("RescaleType", TEXT),
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


def read_image_header(path: Path, known: Known | None = None) -> ImageHeader:
    """Read what decoding needs of one image file, without its pixels.

    Parameters
    ----------
    known : what was read of other files of the series, filled on the way: most values are the same in all

    Raises
    ------
    DicomError
        The file is not a readable DICOM object.
    """
    elements = read_elements(path, header_only=True)
    offset, length = None, 0
    if elements.of_file and len(elements.table) and elements.table[-1][0] == PIXEL_DATA:
        offset, length = int(elements.table[-1][1]), int(elements.table[-1][2])
    return ImageHeader(path, keyword_values(elements, IMAGE, known), elements.transfer_syntax, offset, length, elements)


def keyword_values(
    elements: Elements, table: Mapping[int, tuple[str, str]], known: Known | None = None
) -> dict[str, Any]:
    """The values of a table's tags (rising) directly in the dataset, by keyword; those absent or empty are left out."""
    values: dict[str, Any] = {}
    for (row, offset, length), (tag, (keyword, kind)) in zip(
        elements.find(_tags(tuple(table))), table.items(), strict=True
    ):
        if row < 0 or not length:
            continue
        if kind == NAME:
            value = elements.name(row)
        else:
            key = tag, elements.data[offset : offset + length]
            value = known.get(key, known) if known is not None else known
            if value is known:
                value = _value(key[1], kind)
                if known is not None:
                    known[key] = value
        if value is not None:
            values[keyword] = value
    return values


def item_values(elements: Elements, table: Mapping[int, tuple[str, str]], item: int) -> dict[str, Any]:
    """As `keyword_values`, of the item of a sequence in row `item`."""
    fields = elements.fields(item)
    found = ((keyword, kind, fields[tag]) for tag, (keyword, kind) in table.items() if tag in fields)
    values = {keyword: _value(elements.value(row), kind) for keyword, kind, row in found if elements.rows[row][2]}
    return {keyword: value for keyword, value in values.items() if value is not None}


@lru_cache(maxsize=64)
def _tags(tags: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(tags, dtype=np.int64)


def _value(raw: bytes, kind: str) -> Any:
    """A value of any kind but `NAME`; None where it is empty."""
    if kind == WHOLE:
        return int.from_bytes(raw, "little")
    if kind == DOUBLES:
        return doubles(raw)
    text = raw.decode("latin-1").strip(" \0")
    return (text.split("\\") if "\\" in text else text) or None


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
