"""What compressed frames say of themselves: how many there are, and of which size.

Decoders make room for the size that is stated before they read a pixel. A damaged header can ask for any, so what it
says is compared with what the frames say, from their first bytes (JPEG: ISO 10918-1 B.2.2, JPEG-LS: ISO 14495-1 C.2.2,
JPEG 2000: ISO 15444-1 A.5.1, RLE: DICOM PS3.5 annex G).
"""

from collections.abc import Mapping
from typing import Any, BinaryIO

from ..errors import DicomError
from ..findings import Finding
from .extent import Fragment, fragments

RLE = "1.2.840.10008.1.2.5"
RLE_GROWTH = 64  # PackBits makes at most 128 bytes of two
START_BYTES = 4096  # of a frame: its size comes after its tables at most

_JPEG, _JPEG_2000 = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"
_BOXES = b"\0\0\0\x0cjP  "  # a JPEG 2000 file around the codestream
_SIZES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Markers of frame headers: baseline to lossless JPEG, and JPEG-LS; three of the numbers are of tables."""


def stated_size(start: bytes) -> tuple[int, int] | None:
    """Rows and columns of the frame that begins like this; None where it begins with none, or does not tell."""
    if start.startswith(_JPEG):
        return _jpeg_size(start)
    if start.startswith((_JPEG_2000, _BOXES)):
        at = start.find(_JPEG_2000) + 8
        if at >= 8 and at + 16 <= len(start):
            x, y, x0, y0 = (int.from_bytes(start[at + 4 * k :][:4], "big") for k in range(4))
            return y - y0, x - x0
    return None


def _jpeg_size(start: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(start) and start[at] == 0xFF:
        marker = start[at + 1]
        if marker in _SIZES:
            rows, columns = (int.from_bytes(start[at + k : at + k + 2], "big") for k in (5, 7))
            return (rows, columns) if rows else None  # 0: stated behind the first scan
        at += 1 if marker == 0xFF else 2 + int.from_bytes(start[at + 2 : at + 4], "big")
    return None


def is_start(start: bytes) -> bool:
    """Whether a frame begins here, of the encodings that say so."""
    return start.startswith((_JPEG, _JPEG_2000, _BOXES))


def surplus_length(stream: BinaryIO, start: int, size: int, n_frames: int) -> int:
    """Bytes of the frames beyond those that the header counts; 0 where the encoding does not tell where they begin."""
    parts = fragments(stream, start, size)[1:]
    firsts = [k for k, part in enumerate(parts) if is_start(_start_of(stream, part))]
    return sum(part.length for part in parts[firsts[n_frames] :]) if len(firsts) > n_frames else 0


def check_frames(name: str, stream: BinaryIO, start: int, size: int, syntax: str, values: Mapping[str, Any]) -> None:
    """Compare encapsulated frames (PS3.5 A.4) with the header that describes them. No pixel is decoded.

    Parameters
    ----------
    name : of the file, for errors
    start, size : bytes, of `stream`
        Where the value of PixelData begins, and where the stream ends.
    values : by DICOM keyword
        The header.

    Raises
    ------
    DicomError
        A frame has another size than the header states, or cannot have as many pixels.
    """
    rows, columns = int(values.get("Rows") or 0), int(values.get("Columns") or 0)
    needed = rows * columns * int(values.get("BitsAllocated") or 8) // 8
    for part in fragments(stream, start, size)[1:]:  # the first is the offset table
        if syntax == RLE and needed > RLE_GROWTH * part.length:
            raise _unlike(name, f"a frame of {part.length} bytes of RLE", rows, columns)
        stated = None if syntax == RLE else stated_size(_start_of(stream, part))
        if stated not in (None, (rows, columns)):
            raise _unlike(name, f"a compressed frame of {stated[0]} x {stated[1]} pixels", rows, columns)


def _start_of(stream: BinaryIO, part: Fragment) -> bytes:
    stream.seek(part.start)
    return stream.read(min(START_BYTES, part.length))


def _unlike(name: str, found: str, rows: int, columns: int) -> DicomError:
    message = f"{name} holds {found}, its Rows (0028,0010) and Columns (0028,0011) say {rows} x {columns}"
    return DicomError(message, [Finding(code="not_decodable", message=message)])
