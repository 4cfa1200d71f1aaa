"""JPEG lossless (ISO 10918-1 annex H), as CT and MR have it: grey, one scan, Huffman coding, any selection value.

Python parses the markers, one compiled call without Python's lock decodes the scan: threads share the cores, where
decoders of pydicom's plugins need processes. Most differences, code and extra bits, are one look into a table. What is
not as usual, or damaged, is left to pydicom's decoders, which read it or say what is wrong.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import kernel
from .header import ImageHeader
from .pixels import stored_dtype

SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70))
"""JPEG lossless, and JPEG lossless of the first selection value."""

_PEEK = 12  # bits: 16 KiB of table stay in the first cache, and 98 of 100 differences of a CT are no longer
_LONGEST_CODE, _MOST_CATEGORIES = 16, 17
_SOI, _DHT, _SOF3, _SOS, _DRI, _EOI = 0xD8, 0xC4, 0xC3, 0xDA, 0xDD, 0xD9
_SPARE = 16  # bytes behind the scan: the decoder reads ahead of the bits it takes by up to 11

Codes = tuple[NDArray[np.int64], NDArray[np.int64]]


class _Scan(NamedTuple):
    """What the markers before a scan say."""

    start: int
    """Where its entropy-coded bytes begin."""
    precision: int
    """Bits of a sample."""
    rows: int
    columns: int
    predictor: int
    shift: int
    """Low bits that were left out (point transform)."""
    codes: Codes
    """Number of codes of each length from 1 on, and the categories in the order of their codes."""


def is_for_lossless(header: ImageHeader) -> bool:
    """Whether an instance is of a kind that `decode_lossless` mostly reads."""
    return header.transfer_syntax in SYNTAXES and header.pixel_offset is not None


def decode_lossless(header: ImageHeader, frames: Sequence[Sequence[bytes]]) -> NDArray[Any] | None:
    """Stored values (frames, rows, columns); None where something is unusual or damaged.

    Parameters
    ----------
    frames : per frame its parts
    """
    dtype = stored_dtype(header)
    stored = np.empty((len(frames), header.values["Rows"], header.values["Columns"]), dtype=f"u{dtype.itemsize}")
    bits = header.values.get("BitsStored", 8 * dtype.itemsize)
    if dtype.itemsize > 2:
        return None
    if not all(_decode_frame(b"".join(parts), out, bits) for parts, out in zip(frames, stored, strict=True)):
        return None
    stored = stored.view(dtype)
    unused = 8 * dtype.itemsize - bits
    return stored << unused >> unused if unused else stored


def _decode_frame(data: bytes, out: NDArray[Any], bits: int) -> bool:
    scan = _parse(data)
    if scan is None or (scan.rows, scan.columns) != out.shape or not bits <= scan.precision <= 8 * out.itemsize:
        return False
    counts, categories = scan.codes
    source = np.frombuffer(data, dtype=np.uint8)
    bytes_of_scan = np.empty(len(data) - scan.start + _SPARE, dtype=np.uint8)
    length = _without_stuffing(source, scan.start, bytes_of_scan)
    if length < 0:
        return False
    table = np.zeros((1 << _PEEK, 2), dtype=np.int32)
    _fill_table(counts, categories, table)
    first = 1 << (scan.precision - scan.shift - 1)
    done = _decode_scan(bytes_of_scan, length, table, counts, categories, scan.predictor, first, scan.shift, out)
    return bool(done)


def _parse(data: bytes) -> _Scan | None:
    """The markers up to the scan (B.2); None where one is not as usual."""
    if data[:2] != bytes((0xFF, _SOI)):
        return None
    tables: dict[int, Codes] = {}
    frame: tuple[int, ...] | None = None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if marker == _DHT:
            if not _read_tables(body, tables):
                return None
        elif marker == _SOF3 and len(body) == 9 and body[5] == 1:
            frame = body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[6]
        elif marker == _SOS:
            return _scan_of(body, end, frame, tables)
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE or (marker == _DRI and body == b"\0\0")):
            return None
        at = end
    return None


def _scan_of(body: bytes, start: int, frame: tuple[int, ...] | None, tables: dict[int, Codes]) -> _Scan | None:
    if frame is None or len(body) != 6 or body[0] != 1 or body[1] != frame[3] or body[2] >> 4 not in tables:
        return None
    precision, rows, columns, _ = frame
    predictor, shift = body[3], body[5]
    if not (2 <= precision <= 16 and 1 <= predictor <= 7 and shift < precision and body[4] == 0):
        return None
    return _Scan(start, precision, rows, columns, predictor, shift, tables[body[2] >> 4])


def _read_tables(body: bytes, tables: dict[int, Codes]) -> bool:
    """Huffman tables (B.2.4.2); False where one is no table of differences."""
    at = 0
    while at < len(body):
        counts = np.frombuffer(body[at + 1 : at + 1 + _LONGEST_CODE], dtype=np.uint8).astype(np.int64)
        n_codes = int(counts.sum())
        categories = np.frombuffer(body[at + 17 : at + 17 + n_codes], dtype=np.uint8).astype(np.int64)
        room = int((counts << np.arange(15, 15 - len(counts), -1)).sum()) if len(counts) == _LONGEST_CODE else 0
        if not 0 < room <= 1 << _LONGEST_CODE or len(categories) != n_codes or categories.max() >= _MOST_CATEGORIES:
            return False
        tables[body[at] & 15] = counts, categories
        at += 1 + _LONGEST_CODE + n_codes
    return True


@kernel
def _without_stuffing(source: NDArray[np.uint8], start: int, out: NDArray[np.uint8]) -> int:
    """Copy a scan without the zeros behind its bytes 255; its length, or -1 where another marker than its end comes."""
    n = 0
    k = start
    size = source.size
    while k < size:
        value = source[k]
        k += 1
        if value == 255:
            while k < size and source[k] == 255:  # a marker may have any number of them in front
                k += 1
            if k >= size or source[k] == _EOI:
                break
            if source[k] != 0:
                return -1
            k += 1
        out[n] = value
        n += 1
    out[n : n + _SPARE] = 0
    return n


@kernel
def _fill_table(counts: NDArray[np.int64], categories: NDArray[np.int64], table: NDArray[np.int32]) -> None:
    """Per `_PEEK` bits: how many of them are a difference, and which; 0 bits where they are too few."""
    code, which = 0, 0
    for length in range(1, _PEEK + 1):
        for _ in range(counts[length - 1]):
            category = categories[which]
            extra = category if category < 16 else 0
            rest = _PEEK - length - extra
            if rest >= 0:
                for value in range(1 << extra):
                    first = ((code << extra) | value) << rest
                    table[first : first + (1 << rest), 0] = length + extra
                    table[first : first + (1 << rest), 1] = _difference(value, category)
            code, which = code + 1, which + 1
        code <<= 1


@kernel
def _difference(value: int, category: int) -> int:
    """A difference from its extra bits (H.1.2.2)."""
    if category == 0:
        return 0
    if category == 16:
        return 32768
    return value if value >= 1 << (category - 1) else value - (1 << category) + 1


@kernel
def _read_slowly(window: int, counts: NDArray[np.int64], categories: NDArray[np.int64]) -> tuple[int, int]:
    """Bits and value of the difference at the top of 32 bits; 0 bits where no code begins so."""
    code, which = 0, 0
    for length in range(1, _LONGEST_CODE + 1):
        here = (window >> (32 - length)) - code
        if here < counts[length - 1]:
            category = categories[which + here]
            extra = category if category < 16 else 0
            value = (window >> (32 - length - extra)) & ((1 << extra) - 1)
            return length + extra, _difference(value, category)
        code = (code + counts[length - 1]) << 1
        which += counts[length - 1]
    return 0, 0


@kernel
def _decode_scan(
    data: NDArray[np.uint8],
    length: int,
    table: NDArray[np.int32],
    counts: NDArray[np.int64],
    categories: NDArray[np.int64],
    predictor: int,
    first: int,
    shift: int,
    out: NDArray[Any],
) -> bool:
    """Fill `out` (rows, columns); False where the scan ends before, or holds what is no code."""
    rows, columns = out.shape
    line = np.zeros((2, columns + 1), dtype=np.int64)  # this row and the one above, from 1 on
    window, held, at = np.uint64(0), 0, 0
    for row in range(rows):
        above, here = line[(row + 1) & 1], line[row & 1]
        for column in range(1, columns + 1):
            if held < 32:
                if at > length + 8:
                    return False
                four = np.uint64(data[at]) << np.uint64(24) | np.uint64(data[at + 1]) << np.uint64(16)
                four |= np.uint64(data[at + 2]) << np.uint64(8) | np.uint64(data[at + 3])
                window = window << np.uint64(32) | four
                held += 32
                at += 4
            peek = np.int64(window >> np.uint64(held - _PEEK) & np.uint64((1 << _PEEK) - 1))
            taken, difference = int(table[peek, 0]), int(table[peek, 1])
            if taken == 0:
                top: Any = np.int64(window >> np.uint64(held - 32) & np.uint64(0xFFFFFFFF))
                taken, difference = _read_slowly(top, counts, categories)
                if taken == 0:
                    return False
            held -= taken
            if column == 1:
                guess = first if row == 0 else above[1]
            elif row == 0 or predictor == 1:
                guess = here[column - 1]
            else:
                guess = _predicted(predictor, here[column - 1], above[column], above[column - 1])
            here[column] = (guess + difference) & 0xFFFF
            out[row, column - 1] = here[column] << shift
    return 8 * at - held <= 8 * length


@kernel
def _predicted(predictor: int, left: int, above: int, corner: int) -> int:
    """The guess of a selection value from 2 on (table H.1)."""
    if predictor == 2:
        return above
    if predictor == 3:
        return corner
    if predictor == 4:
        return left + above - corner
    if predictor == 5:
        return left + ((above - corner) >> 1)
    if predictor == 6:
        return above + ((left - corner) >> 1)
    return (left + above) >> 1
