"""Whether a file holds all the bytes that its header promises. Pixel data are measured, never read."""

import os
from collections.abc import Mapping
from math import ceil
from typing import Any, BinaryIO, NamedTuple

UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float Pixel Data, Double Float Pixel Data, Pixel Data: what a header scan stops at."""

_ITEM = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0"
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_SIZES = ("Rows", "Columns", "BitsAllocated")
SIZING_KEYWORDS = ("PhotometricInterpretation", "SamplesPerPixel", "NumberOfFrames", *_SIZES)
"""What `native_length` looks at."""

_SUBSAMPLED = ("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420")


class Fragment(NamedTuple):
    """An item of encapsulated pixel data."""

    start: int
    """Where its value begins, bytes."""
    length: int
    """Of its value, bytes; less than it says where the file ends before."""


def fragments(stream: BinaryIO, start: int, size: int) -> list[Fragment]:
    """The items of encapsulated pixel data (DICOM PS3.5 A.4), the offset table first, as far as they go."""
    found = []
    position = start
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(8)
        if head[:4] != _ITEM:
            break
        length = int.from_bytes(head[4:], "little")
        position += 8 + length
        found.append(Fragment(position - length, min(length, size - position + length)))
    return found


def is_repeated(stream: BinaryIO, start: int, length: int, size: int) -> bool:
    """Whether another Pixel Data element follows the one whose value begins at `start`, in a file of `size` bytes.

    `length` is negative for encapsulated pixel data.
    """
    end = start + length
    if length < 0:
        parts = fragments(stream, start, size)
        end = 8 + (parts[-1].start + parts[-1].length if parts else start)  # behind the delimiter
    if end + 4 > size:
        return False
    stream.seek(end)
    return stream.read(4) == _PIXEL_DATA


def missing_pixels(stream: BinaryIO, start: int, length: int, values: Mapping[str, Any]) -> str | None:
    """Say which pixel bytes are missing, None where all are there.

    Parameters
    ----------
    stream
        The open file.
    start : bytes
        Where the value of the pixel data element begins.
    length : bytes
        What the element says, `UNDEFINED_LENGTH` for encapsulated pixel data (DICOM PS3.5 A.4).
    values : by DICOM keyword
        The header.
    """
    size = os.fstat(stream.fileno()).st_size
    if length == UNDEFINED_LENGTH:
        return _missing_fragments(stream, start, size, int(_number(values.get("NumberOfFrames")) or 1))
    return missing_native_pixels(size, start, length, values)


def missing_native_pixels(size: int, start: int, length: int, values: Mapping[str, Any]) -> str | None:
    """As `missing_pixels`, for pixel data that are not encapsulated, in a file of `size` bytes."""
    if start + length > size:
        return f"the header promises {length} bytes of pixel data, the file ends after {size - start}"
    expected = native_length(values)
    if expected is not None and length < expected:
        return f"the image takes {expected} bytes of pixel data, the element holds {length}"
    return None


def _missing_fragments(stream: BinaryIO, start: int, size: int, n_frames: int) -> str | None:
    """Walk the items of encapsulated pixel data: offset table, fragments, delimiter."""
    position, n_items = start, 0
    while position + 8 <= size:
        stream.seek(position)
        head = stream.read(8)
        if head[:4] == _DELIMITER:
            return None
        if head[:4] != _ITEM:
            return f"encapsulated pixel data has no item at byte {position}"
        position += 8 + int.from_bytes(head[4:], "little")
        n_items += position <= size
    n_fragments = max(0, n_items - 1)  # the first item is the offset table
    if position == size and n_fragments >= n_frames:
        return None  # only the closing delimiter is missing: every frame is there
    return f"encapsulated pixel data ends after {n_fragments} whole fragments of {n_frames} frames"


def native_length(values: Mapping[str, Any]) -> int | None:
    """Bytes that the image takes uncompressed, None where the header does not tell."""
    if values.get("PhotometricInterpretation") in _SUBSAMPLED:
        return None
    bits = values.get("SamplesPerPixel", 1), values.get("NumberOfFrames", 1), *map(values.get, _SIZES)
    product: float = 1
    for number in bits:
        if not number or not isinstance(number, int | float):
            return None
        product *= number
    return ceil(product / 8)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
