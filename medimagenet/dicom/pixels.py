"""Pixels: from the bytes of an instance to stored values, and from stored values to HU, activity or what MR gives.

Uncompressed little-endian pixels are read from the file straight into their place in the volume; everything else
goes through pydicom's decoders and their plugins (JPEG, JPEG-LS, JPEG 2000, RLE, big endian, deflated).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import pydicom
from numpy.typing import DTypeLike, NDArray
from pydicom.pixels import get_decoder

from ..errors import DicomError
from .elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, read_dataset
from .header import ImageHeader

NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE)
LOSSY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 100, 101, 102, 103, 104, 105, 106, 112, 203))
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
INT16 = np.iinfo(np.int16)


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality rescale of one slice (PS3.3 C.11.1): value = stored x slope + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

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
    slope = _decimal(header, "RescaleSlope", 1.0)
    if slope == 0.0:
        raise DicomError(f"{header.name} has RescaleSlope (0028,1053) 0: all its values are lost")
    return Rescale(slope, _decimal(header, "RescaleIntercept", 0.0))


def is_lossy(header: ImageHeader) -> bool:
    """Whether the pixels have been through lossy compression at some time."""
    return header.values.get("LossyImageCompression") == "01" or header.transfer_syntax in LOSSY


def stored_dtype(header: ImageHeader) -> np.dtype[Any]:
    """The type of stored values, by BitsAllocated (0028,0100) and PixelRepresentation (0028,0103).

    Raises
    ------
    DicomError
        The image is in colour, or its values have not 8, 16 or 32 bits.
    """
    values = header.values
    photometric = values.get("PhotometricInterpretation")
    if values.get("SamplesPerPixel", 1) != 1 or photometric not in MONOCHROME:
        samples = values.get("SamplesPerPixel", 1)
        raise DicomError(f"{header.name} is not a grey image: {samples} samples per pixel, {photometric}")
    bits = values.get("BitsAllocated")
    if bits not in (8, 16, 32):
        raise DicomError(f"{header.name} has BitsAllocated (0028,0100) {bits}: 8, 16 and 32 can be read")
    return np.dtype(f"{'i' if values.get('PixelRepresentation') == 1 else 'u'}{bits // 8}")


def read_stored(header: ImageHeader, out: NDArray[Any]) -> None:
    """Read the stored values of one slice into `out`, (rows, columns), C-contiguous, of the slice's own type.

    Raises
    ------
    DicomError
        The pixels are absent, cut short or cannot be decoded.
    """
    if header.pixel_offset is None or header.transfer_syntax not in NATIVE:
        frame = decode_frames(read_dataset(header.path), header.name)
        if frame.shape != out.shape:
            raise DicomError(f"{header.name} decodes to an array {frame.shape}, its header says {out.shape}")
        out[...] = frame
    else:
        _read_native(header, out)
    unused = 8 * out.itemsize - header.values.get("BitsStored", 8 * out.itemsize)
    if unused > 0 and header.transfer_syntax in NATIVE:  # overlays once lived there; the sign must reach the top
        out <<= unused
        out >>= unused


def value_dtype(headers: Sequence[ImageHeader], rescales: Sequence[Rescale], modality: str | None) -> np.dtype[Any]:
    """The type that holds the values of a series exactly if whole, without regard to what they are.

    PET is float32. Values that no slice rescales keep their stored type. Whole HU are int16 wherever they fit, which
    `read_values` finds out. All else is float32.
    """
    stored = {stored_dtype(header) for header in headers}
    if modality == "PT" or len(stored) > 1:
        return np.dtype(np.float32)
    only = stored.pop()
    if all(rescale.is_identity for rescale in rescales) and (modality != "CT" or only == np.int16):
        return only
    return np.dtype(np.int16 if all(rescale.is_whole for rescale in rescales) else np.float32)


def read_values(
    headers: Sequence[ImageHeader], rescales: Sequence[Rescale], dtype: DTypeLike, *, factor: float = 1.0
) -> NDArray[Any]:
    """The values of slices in the order given, (Z, Y, X).

    Parameters
    ----------
    dtype : as `value_dtype` gives it; int16 becomes float32 where a value does not fit
    factor : what rescaled values are multiplied by (PET); the products are float64 until the last rounding
    """
    first = headers[0].values
    volume = np.empty((len(headers), first["Rows"], first["Columns"]), dtype=dtype)
    for plane, header, rescale in zip(volume, headers, rescales, strict=True):
        if not _fill_slice(header, rescale, factor, plane):
            return read_values(headers, rescales, np.float32, factor=factor)
    return volume


def _fill_slice(header: ImageHeader, rescale: Rescale, factor: float, plane: NDArray[Any]) -> bool:
    """Fill one slice of the volume; False where whole values do not fit it."""
    dtype = stored_dtype(header)
    if dtype.itemsize == plane.itemsize and plane.dtype.kind in "iu":
        stored = plane.view(dtype)  # the bytes get their place at once and are changed there
    else:
        stored = np.empty(plane.shape, dtype=dtype)
    read_stored(header, stored)
    if plane.dtype.kind == "f":
        values = stored * (rescale.slope * factor)
        values += rescale.intercept * factor
        plane[...] = values
        return True
    if stored.dtype == plane.dtype and rescale.is_identity:
        return True
    ends = [int(end) * int(rescale.slope) + int(rescale.intercept) for end in (stored.min(), stored.max())]
    if min(ends) < INT16.min or max(ends) > INT16.max:
        return False
    _rescale_whole(stored, rescale, plane)
    return True


def _rescale_whole(stored: NDArray[Any], rescale: Rescale, plane: NDArray[Any]) -> None:
    """Whole numbers modulo 2^16: the results are known to fit, whatever happens on the way."""
    with np.errstate(over="ignore"):
        if not np.shares_memory(stored, plane):
            plane[...] = stored.astype(np.int16)
        if rescale.slope != 1.0:
            plane *= np.array(int(rescale.slope)).astype(np.int16)
        plane += np.array(int(rescale.intercept)).astype(np.int16)


def _read_native(header: ImageHeader, out: NDArray[Any]) -> None:
    if header.pixel_length < out.nbytes:
        raise DicomError(
            f"{header.name} has {max(header.pixel_length, 0)} bytes of PixelData (7FE0,0010), its {out.shape[0]} x "
            f"{out.shape[1]} pixels need {out.nbytes}"
        )
    target = out.data.cast("B")
    done = 0
    with header.path.open("rb", buffering=0) as file:
        while done < out.nbytes:
            count = os.preadv(file.fileno(), [target[done:]], (header.pixel_offset or 0) + done)
            if not count:
                raise DicomError(f"{header.name} is cut short: {done} of {out.nbytes} bytes of pixels are there")
            done += count


def decode_frames(dataset: pydicom.Dataset, name: str) -> NDArray[Any]:
    """Stored values of all frames through pydicom's decoders: (rows, columns), or (frames, rows, columns).

    Raises
    ------
    DicomError
        There are no pixels, or no decoder reads them.
    """
    if "PixelData" not in dataset:
        raise DicomError(f"{name} has no PixelData (7FE0,0010)")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    try:
        if syntax is None:
            syntax = _syntax_of(*dataset.original_encoding)
            dataset.file_meta.TransferSyntaxUID = syntax
        array, _ = get_decoder(syntax).as_array(dataset, raw=True)
    except Exception as error:  # each decoder raises its own
        raise DicomError(f"{name}: pixels of transfer syntax {syntax} cannot be decoded: {error}") from error
    return array


def _syntax_of(implicit: bool | None, little: bool | None) -> str:
    if not little:
        return "1.2.840.10008.1.2.2"
    return IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE


def _decimal(header: ImageHeader, keyword: str, default: float) -> float:
    values: Mapping[str, Any] = header.values
    try:
        number = float(values.get(keyword, default))
    except (TypeError, ValueError) as error:
        raise DicomError(f"{header.name} has {keyword} {values[keyword]!r}, not a number") from error
    if not isfinite(number):
        raise DicomError(f"{header.name} has {keyword} {number}, not a finite number")
    return number
