"""Pixels: from the bytes of an instance to stored values, and from stored values to HU, activity or what MR gives.

How pixels become an array is in `decode`; here is what a header says of them, and the way through pydicom's decoders.
"""

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from ..errors import DicomError
from ..findings import Finding
from .codestream import RLE, check_frames, is_start, surplus_length
from .elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, PIXEL_DATA, UNDEFINED
from .extent import fragments
from .header import ImageHeader

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom", "pixels", "filereader")  # slow, and plain series do without

NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE)
LOSSY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 100, 101, 102, 103, 104, 105, 106, 112, 203))
FASTEST = {"1.2.840.10008.1.2.4.80": "pyjpegls", "1.2.840.10008.1.2.4.81": "pyjpegls"}
"""Transfer syntax -> the plugin that comes first; pydicom itself tries one of a fourth of its speed before it."""
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
INT16 = np.iinfo(np.int16)
_ITEM, _END_OF_SEQUENCE = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_DECODED = (
    *("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
"""What decoders look at."""


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality rescale of one slice (PS3.3 C.11.1): value = stored x slope + intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    kind: str = ""
    """Rescale Type (0028,1054), what the values then are; empty where it is not stated."""

    @property
    def is_identity(self) -> bool:
        """Whether stored values are the values."""
        return self.slope == 1.0 and self.intercept == 0.0

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole numbers."""
        return self.slope.is_integer() and self.intercept.is_integer()


def rescale_of(header: ImageHeader) -> Rescale:
    """The rescale of one slice, the identity where it has none.

    Raises
    ------
    DicomError
        RescaleSlope (0028,1053) or RescaleIntercept (0028,1052) is not a finite number, or the slope is zero.
    """
    return rescale_from(header.name, header.values)


def rescale_from(name: str, values: Mapping[str, Any]) -> Rescale:
    """As `rescale_of`, from values by keyword; `name` is the file's, for errors."""
    slope = finite(name, values, "RescaleSlope", 1.0)
    if slope == 0.0:
        raise DicomError(f"{name} has RescaleSlope (0028,1053) 0: all its values are lost")
    return Rescale(slope, finite(name, values, "RescaleIntercept", 0.0), str(values.get("RescaleType", "")))


def is_lossy(header: ImageHeader) -> bool:
    """Whether the pixels have been through lossy compression at some time."""
    return header.values.get("LossyImageCompression") == "01" or header.transfer_syntax in LOSSY


def padding_value(header: ImageHeader, rescale: Rescale, keyword: str = "PixelPaddingValue") -> float | None:
    """What Pixel Padding Value (0028,0120), which stands for no measurement, is after the rescale; None: not stated.

    Pixel Padding Range Limit (0028,0121), up to which values are padding as well, is written in the same way: 16 bits,
    signed where the pixels are (PS3.3 C.7.5.1.1.2).
    """
    stored = header.values.get(keyword)
    if stored is None:
        return None
    is_negative = header.values.get("PixelRepresentation") == 1 and stored >= 1 << 15
    return float((stored - (1 << 16) if is_negative else stored) * rescale.slope + rescale.intercept)


def stored_dtype(header: ImageHeader) -> np.dtype[Any]:
    """The type of stored values, by BitsAllocated (0028,0100) and PixelRepresentation (0028,0103).

    Raises
    ------
    DicomError
        The image is in colour, its values have not 8, 16 or 32 bits, or it states more bits stored than there are.
    """
    values = header.values
    photometric = values.get("PhotometricInterpretation")
    if values.get("SamplesPerPixel", 1) != 1 or photometric not in MONOCHROME:
        samples = values.get("SamplesPerPixel", 1)
        raise DicomError(f"{header.name} is not a grey image: {samples} samples per pixel, {photometric}")
    bits = values.get("BitsAllocated")
    if bits not in (8, 16, 32):
        raise DicomError(f"{header.name} has BitsAllocated (0028,0100) {bits}: 8, 16 and 32 can be read")
    stored = values.get("BitsStored", bits)
    if not 0 < stored <= bits:
        raise DicomError(f"{header.name} has BitsStored (0028,0101) {stored} of BitsAllocated (0028,0100) {bits}")
    return np.dtype(f"{'i' if values.get('PixelRepresentation') == 1 else 'u'}{bits // 8}")


def surplus_bytes(header: ImageHeader) -> int:
    """Bytes of PixelData beyond those of the frames that the header counts, a byte that makes them even set aside."""
    values = header.values
    text = str(values.get("NumberOfFrames", 1))
    n_frames = int(text) if text.isdecimal() else 1
    length = header.pixel_length
    if header.pixel_offset is None:
        length = next((count for count in pixel_lengths(header.path) if count != UNDEFINED), 0)
    if length >= 0:
        needed = n_frames * values["Rows"] * values["Columns"] * stored_dtype(header).itemsize
        return max(0, length - needed - needed % 2)
    with header.path.open("rb") as file:
        return surplus_length(file, header.pixel_offset or 0, header.path.stat().st_size, n_frames)


def pixel_lengths(path: Path) -> list[int]:
    """Bytes of every PixelData (7FE0,0010) of a file that only pydicom reads; 2**32 - 1 where its end is marked."""
    lengths: list[int] = []

    def note(tag: int, _: str | None, length: int) -> bool:
        lengths.extend([length] * (tag == PIXEL_DATA))
        return False

    with suppress(Exception), path.open("rb") as file:  # what is wrong with the file, decoding says
        pydicom.filereader.read_partial(file, stop_when=note, force=True, specific_tags=["SOPClassUID"])
    return lengths


def check_once(path: Path) -> None:
    """Refuse a file that only pydicom reads if its pixels are there twice.

    Raises
    ------
    DicomError
        They are.
    """
    if len(pixel_lengths(path)) > 1:
        raise repeated_error(path.name)


def repeated_error(name: str) -> DicomError:
    """Of a file whose pixels are there twice: pydicom takes the last of two elements of one tag, others the first."""
    message = f"{name} has PixelData (7FE0,0010) twice: nothing says which are the image's"
    return DicomError(message, [Finding(code="pixel_data_repeated", message=message)])


def frame_parts(header: ImageHeader, numbers: Sequence[int]) -> list[list[bytes]] | None:
    """The parts of some frames of a compressed instance; None where it is not plain which part is of which frame."""
    with header.path.open("rb") as file:
        parts = fragments(file, header.pixel_offset or 0, os.fstat(file.fileno()).st_size)[1:]
        n_frames = int(header.values.get("NumberOfFrames", 1))
        if n_frames != len(parts) and (n_frames > 1 or header.transfer_syntax == RLE):
            return None
        wanted = parts if n_frames == 1 else [parts[number] for number in numbers]
        found = [os.pread(file.fileno(), part.length, part.start) for part in wanted]
    if n_frames > 1:
        return [[part] for part in found]
    return [found] if sum(map(is_start, found)) <= 1 else None


def encapsulated_dataset(header: ImageHeader, frames: Sequence[Sequence[bytes]]) -> "pydicom.Dataset":
    """Frames of an instance, with no more than decoders look at: pydicom takes long to read all else."""
    values = {**header.values, "NumberOfFrames": len(frames)}
    parts = (b"", *(part for frame in frames for part in frame))  # the first is an offset table, which may be empty
    data = b"".join(_ITEM + len(part).to_bytes(4, "little") + part for part in parts)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(header.transfer_syntax)
    for keyword in _DECODED:
        if keyword in values:
            setattr(dataset, keyword, values[keyword])
    dataset.add_new(PIXEL_DATA, "OB", data + _END_OF_SEQUENCE)
    dataset["PixelData"].is_undefined_length = True
    return dataset


def decode_frames(dataset: "pydicom.Dataset", name: str) -> NDArray[Any]:
    """Stored values of all frames through pydicom's decoders: (rows, columns), or (frames, rows, columns).

    Raises
    ------
    DicomError
        There are no pixels, or no decoder reads them.
    """
    if "PixelData" not in dataset:
        message = f"{name} has no PixelData (7FE0,0010)"
        raise DicomError(message, [Finding(code="no_pixel_data", message=message)])
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    try:
        if syntax is None:
            syntax = _syntax_of(*dataset.original_encoding)
            dataset.file_meta.TransferSyntaxUID = syntax
        return _decode(pydicom.pixels.get_decoder(syntax), dataset, name)
    except DicomError:
        raise
    except Exception as error:  # each decoder raises its own
        message = f"{name}: pixels of transfer syntax {_named(syntax)} cannot be decoded: {error}"
        raise DicomError(
            message, [Finding(code="not_decodable", message=message, numbers={"syntax": str(syntax)})]
        ) from error


def _decode(decoder: "pydicom.pixels.decoders.base.Decoder", dataset: "pydicom.Dataset", name: str) -> NDArray[Any]:
    if decoder.is_encapsulated:
        data = dataset.PixelData
        values = {keyword: dataset.get(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")}
        check_frames(name, io.BytesIO(data), 0, len(data), decoder.UID, values)
    plugin = FASTEST.get(decoder.UID)
    if plugin in decoder.available_plugins:
        with suppress(Exception):  # what it cannot read, another may, or says why not
            return decoder.as_array(dataset, raw=True, decoding_plugin=plugin)[0]
    return decoder.as_array(dataset, raw=True)[0]


def _named(syntax: str | None) -> str:
    """A transfer syntax by its name and UID."""
    name = pydicom.uid.UID(str(syntax)).name if syntax else "none"  # of several values pydicom makes a list
    return name if name == syntax else f"{name} ({syntax})"


def _syntax_of(implicit: bool | None, little: bool | None) -> str:
    if not little:
        return "1.2.840.10008.1.2.2"
    return IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE


def finite(name: str, values: Mapping[str, Any], keyword: str, default: float) -> float:
    """A number of a header; `default` where it is absent.

    Raises
    ------
    DicomError
        It is not a finite number.
    """
    try:
        number = float(values.get(keyword, default))
    except (TypeError, ValueError) as error:
        raise DicomError(f"{name} has {keyword} {values[keyword]!r}, not a number") from error
    if not isfinite(number):
        raise DicomError(f"{name} has {keyword} {number}, not a finite number")
    return number
