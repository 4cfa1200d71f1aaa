"""The data elements of a DICOM file as a table of offsets, by a compiled walk over its bytes (DICOM PS3.5 section 7).

Where pydicom makes an object of every element, the walk makes a row of four numbers, and only the values that are
asked for are decoded: a structure set of a thousand contours is open in a few milliseconds. The walk knows little
endian with explicit or implicit VR, which is nearly every file; anything else (big endian, deflated, no preamble, a
header that breaks the rules) is read by pydicom and rewritten in memory as explicit little endian, so that there is
one form to decode.
"""

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from ..errors import DicomError
from ..kernels._jit import kernel
from .decimals import parse_decimals

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom", "charset", "filebase", "filewriter")  # slow, and plain series do without

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

TRANSFER_SYNTAX = 0x00020010
CHARACTER_SET = 0x00080005
PIXEL_DATA = 0x7FE00010
SUPERSETS_OF_ASCII = ("ISO_IR 6", "ISO_IR 100", "ISO_IR 192")  # with no escape to another
ROOT = -1  # the row that stands for the dataset itself

HEADER_BYTES = 16 * 1024  # holds the header of nearly every image; more is read where it does not
PREAMBLE = 132
UNDEFINED = 0xFFFFFFFF
MAX_DEPTH = 64

# Sequences that are entered; others of defined length are stepped over in one go.
SEQUENCES = np.array(
    [
        0x00540016,  # RadiopharmaceuticalInformationSequence
        0x30060010,  # ReferencedFrameOfReferenceSequence
        0x30060012,  # RTReferencedStudySequence
        0x30060014,  # RTReferencedSeriesSequence
        0x30060020,  # StructureSetROISequence
        0x30060039,  # ROIContourSequence
        0x30060040,  # ContourSequence
    ],
    dtype=np.int64,
)

ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG_VRS = tuple((ord(vr[0]), ord(vr[1:] or "\0")) for vr in ("O", "SQ", "UC", "UN", "UR", "UT", "UV", "SV"))  # O: all

_OWNER, _END, _SEQUENCE, _NAMED = 0, 1, 2, 3  # columns of the stack of open containers
_DONE, _CUT, _ODD = 0, 1, 2  # how a walk ends: at the end, at the end of the bytes given, at something unexpected


@dataclass(frozen=True)
class Elements:
    """The elements of one file, in the order of the file."""

    path: Path
    data: bytes
    """The bytes that offsets refer to."""
    table: NDArray[np.int64] | list[list[int]]
    """Per element: tag, offset of the value, its length (-1: undefined), row after the last one inside it."""
    transfer_syntax: str
    of_file: bool
    """Whether offsets are those of the file; not so where pydicom had to rewrite it."""

    @cached_property
    def rows(self) -> list[list[int]]:
        """`table` as lists; of most images it is never asked for."""
        return self.table.tolist() if isinstance(self.table, np.ndarray) else self.table

    def find(self, tags: NDArray[np.int64]) -> list[list[int]]:
        """Row, offset and length of those elements directly in the dataset whose tags (rising) are asked for; row -1
        where there is none."""
        found = np.full((len(tags), 3), ROOT, dtype=np.int64)
        _find(np.asarray(self.table, dtype=np.int64).reshape(-1, 4), tags, found)
        return found.tolist()

    def fields(self, inside: int = ROOT) -> dict[int, int]:
        """Tag to row of the elements directly in the dataset (`ROOT`) or in the item of row `inside`."""
        found = {}
        row, stop = inside + 1, len(self.rows) if inside == ROOT else self.rows[inside][3]
        while row < stop:
            element = self.rows[row]
            found[element[0]] = row
            row = element[3]
        return found

    def items(self, sequence: int | None) -> list[int]:
        """Rows of the items of the sequence in row `sequence`; none where there is no such sequence."""
        found = []
        if sequence is not None:
            row, stop = sequence + 1, self.rows[sequence][3]
            while row < stop:
                found.append(row)
                row = self.rows[row][3]
        return found

    def value(self, row: int) -> bytes:
        """The bytes of an element's value."""
        _, offset, length, _ = self.rows[row]
        return self.data[offset : offset + length]

    def text(self, row: int | None) -> str | None:
        """The value as text of the default repertoire, without padding; None where `row` is None or it is empty."""
        if row is None:
            return None
        return self.value(row).decode("latin-1").strip(" \0") or None

    def name(self, row: int | None) -> str | None:
        """As `text`, in the file's own character set: for names that people typed."""
        if row is None:
            return None
        declared = self.text(self.fields().get(CHARACTER_SET))
        if (declared is None or declared in SUPERSETS_OF_ASCII) and self._is_plain(row):
            return self.text(row)
        try:
            encodings = pydicom.charset.convert_encodings(declared.split("\\") if declared else None)
            decoded: str = pydicom.charset.decode_bytes(self.value(row), encodings, set())
        except (LookupError, ValueError):  # a character set that does not exist, or cannot even be a name
            decoded = self.value(row).decode("utf-8", errors="replace")
        return decoded.strip(" \0") or None

    def _is_plain(self, row: int) -> bool:
        value = self.value(row)
        return value.isascii() and b"\x1b" not in value

    def number(self, row: int | None) -> int | None:
        """The value as one unsigned whole number of 16 or 32 bits (US, UL).

        Raises
        ------
        DicomError
            It is longer than that.
        """
        if row is None:
            return None
        tag, _, length, _ = self.rows[row]
        if length > 4:
            raise DicomError(
                f"{self.path.name} has ({tag >> 16:04X},{tag & 0xFFFF:04X}) of {length} bytes, not one number of 2 or 4"
            )
        return int.from_bytes(self.value(row), "little")

    def decimals(self, row: int) -> NDArray[np.float64]:
        """The value as decimal strings (DS), (n,).

        Raises
        ------
        DicomError
            One of them is not a finite number.
        """
        _, offset, length, _ = self.rows[row]
        numbers = np.empty(length // 2 + 1)
        count = parse_decimals(np.frombuffer(self.data, dtype=np.uint8), offset, offset + length, numbers)
        if count >= 0:
            return numbers[:count]
        return _parse_slowly(self.value(row), offset, self.path)


def read_elements(path: Path, *, header_only: bool = False, sequences: NDArray[np.int64] = SEQUENCES) -> Elements:
    """The elements of a file.

    Parameters
    ----------
    header_only : read no more than is needed to reach PixelData (7FE0,0010), whose row is then the last one
    sequences : tags of the sequences whose items are wanted

    Raises
    ------
    DicomError
        The file cannot be opened, or is not DICOM.
    """
    try:
        with path.open("rb", buffering=0) as file:
            data = file.read(HEADER_BYTES) if header_only else file.read()
            elements, reached = _walk_bytes(path, data, sequences)
            if elements is None and reached == _CUT and header_only:
                elements, _ = _walk_bytes(path, data + file.read(), sequences)
    except OSError as error:
        raise DicomError(f"cannot read {path.name}: {error.strerror}") from error
    return elements if elements is not None else _through_pydicom(path, sequences)


def read_dataset(path: Path, *, stop_before_pixels: bool = False) -> "pydicom.Dataset":
    """The file as a pydicom dataset, with or without preamble.

    Raises
    ------
    DicomError
        The file cannot be opened, or is not DICOM.
    """
    try:
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=stop_before_pixels)
    except OSError as error:
        raise DicomError(f"cannot read {path.name}: {error.strerror or error}") from error
    except Exception as error:  # pydicom raises whatever the bytes lead it into
        raise DicomError(f"{path.name} is not a readable DICOM file: {error}") from error
    if "SOPClassUID" not in dataset:
        raise DicomError(f"{path.name} is not a DICOM file: it has no SOPClassUID (0008,0016)")
    return dataset


def _walk_bytes(path: Path, data: bytes, sequences: NDArray[np.int64]) -> tuple[Elements | None, int]:
    """Elements of the file, None where this walk cannot read it, and how the walk ended."""
    if data[128:PREAMBLE] != b"DICM":
        return None, _ODD
    array = np.frombuffer(data, dtype=np.uint8)
    rows = np.empty((len(data) // 8 + 1, 4), dtype=np.int64)
    count, start, reached = _walk(array, PREAMBLE, True, 2, sequences, rows)
    syntax = _syntax_in(data, rows[:count])
    if reached != _DONE or syntax is None or syntax in (DEFLATED, BIG_ENDIAN):
        return None, reached if reached == _CUT else _ODD
    count, _, reached = _walk(array, start, syntax != IMPLICIT_LITTLE, 0xFFFF, sequences, rows)
    if reached != _DONE:
        return None, reached
    return Elements(path, data, rows[:count].copy(), syntax, True), reached


def _syntax_in(data: bytes, meta: NDArray[np.int64]) -> str | None:
    """The transfer syntax that the rows of the file meta information name."""
    for tag, offset, length, _ in reversed(meta.tolist()):
        if tag == TRANSFER_SYNTAX:
            return data[offset : offset + length].decode("latin-1").strip(" \0") or None
    return None


def _through_pydicom(path: Path, sequences: NDArray[np.int64]) -> Elements:
    """The elements of a file that the walk cannot read. Its pixels stay where they are."""
    dataset = read_dataset(path, stop_before_pixels=True)
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", IMPLICIT_LITTLE))
    buffer = io.BytesIO()
    try:
        dataset.decode()
        target = pydicom.filebase.DicomIO(buffer)
        target.is_implicit_VR, target.is_little_endian = False, True
        pydicom.filewriter.write_dataset(target, dataset)
    except Exception as error:  # values that break their VR's rules raise whatever they meet
        raise DicomError(f"{path.name} has a header that cannot be read: {error}") from error
    data = buffer.getvalue()
    rows = np.empty((len(data) // 8 + 1, 4), dtype=np.int64)
    count, _, reached = _walk(np.frombuffer(data, dtype=np.uint8), 0, True, 0xFFFF, sequences, rows)
    if reached != _DONE:
        raise DicomError(f"{path.name} has a header that breaks off after {count} elements")
    return Elements(path, data, rows[:count].copy(), syntax, False)


def _parse_slowly(value: bytes, offset: int, path: Path) -> NDArray[np.float64]:
    try:
        parts = value.rstrip(b" \0").removesuffix(b"\\").split(b"\\")
        numbers = np.array([float(part.strip(b" \0")) for part in parts])
    except ValueError as error:
        raise DicomError(f"{path.name} has a value at byte {offset} that is not decimal strings: {error}") from error
    if not np.isfinite(numbers).all():
        raise DicomError(f"{path.name} has a number at byte {offset} that is not finite")
    return numbers


@kernel
def _find(table: NDArray[np.int64], tags: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Of an element that is there twice the last counts, as in `Elements.fields`."""
    row = 0
    while row < len(table):
        at = np.searchsorted(tags, table[row, 0])
        if at < len(tags) and tags[at] == table[row, 0]:
            found[at, 0], found[at, 1], found[at, 2] = row, table[row, 1], table[row, 2]
        row = table[row, 3]


@kernel
def _walk(
    data: NDArray[np.uint8],
    start: int,
    explicit: bool,
    last_group: int,
    sequences: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Fill `rows`; give their number, the position after the last element, and how the walk ended.

    A stack of the containers that are open holds, per level: its row, where it ends (undefined: beyond the data),
    whether it is a sequence, whether its elements name their VR (inside UN they do not, PS3.5 6.2.2 note 2).
    """
    stack = np.zeros((MAX_DEPTH, 4), dtype=np.int64)
    stack[0, _END], stack[0, _NAMED] = len(data), explicit
    depth, count, at = 0, 0, start
    while True:
        depth = _close_ended(at, depth, count, stack, rows)
        if depth == 0 and at >= len(data):
            return count, at, _DONE
        if at + 8 > len(data):
            return count, at, _CUT
        tag = _whole(data, at, 2) << 16 | _whole(data, at + 2, 2)
        if depth == 0 and tag >> 16 > last_group:
            return count, at, _DONE
        head, length, is_sequence = _element_head(data, at, tag, stack[depth, _NAMED])
        if head <= 0 or depth + 1 >= MAX_DEPTH or count >= len(rows) or not _belongs(tag, depth, stack):
            return count, at, _CUT if head == 0 else _ODD
        at += head
        if tag in (END_OF_ITEM, END_OF_SEQUENCE):
            rows[stack[depth, _OWNER], 3] = count
            depth -= 1
            continue
        rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = tag, at, length, count + 1
        count += 1
        if depth == 0 and tag == PIXEL_DATA:
            rows[count - 1, 2] = -1 if length == UNDEFINED else length
            return count, at, _DONE
        if tag == ITEM or length == UNDEFINED or _is_entered(tag, is_sequence, stack[depth, _NAMED], sequences):
            depth += 1
            stack[depth, _OWNER] = count - 1
            stack[depth, _END] = np.int64(1) << 62 if length == UNDEFINED else at + length
            stack[depth, _SEQUENCE] = tag != ITEM
            stack[depth, _NAMED] = stack[depth - 1, _NAMED] and (tag == ITEM or is_sequence)
        else:
            at += length
            if at > len(data):
                return count, at, _CUT


@kernel
def _close_ended(at: int, depth: int, count: int, stack: NDArray[np.int64], rows: NDArray[np.int64]) -> int:
    """Close the containers of defined length that end here; give the depth that remains."""
    while depth > 0 and at >= stack[depth, _END]:
        rows[stack[depth, _OWNER], 3] = count
        depth -= 1
    return depth


@kernel
def _whole(data: NDArray[np.uint8], at: int, size: int) -> int:
    """Little-endian unsigned whole number of `size` bytes."""
    value = 0
    for k in range(size):
        value |= int(np.int64(data[at + k])) << (8 * k)
    return value


@kernel
def _belongs(tag: int, depth: int, stack: NDArray[np.int64]) -> bool:
    """Whether an element may stand here: items and ends of sequences in sequences, all others elsewhere."""
    in_sequence = stack[depth, _SEQUENCE] != 0
    if tag == END_OF_ITEM:
        return depth > 0 and not in_sequence
    return in_sequence == (tag in (ITEM, END_OF_SEQUENCE))


@kernel
def _is_entered(tag: int, is_sequence: bool, named: int, sequences: NDArray[np.int64]) -> bool:
    """Whether an element of defined length is one of the sequences that are entered."""
    if is_sequence or not named:
        for known in sequences:
            if tag == known:
                return True
    return False


@kernel
def _element_head(data: NDArray[np.uint8], at: int, tag: int, named: int) -> tuple[int, int, bool]:
    """Length of an element's head (0: cut off, -1: not one), of its value, whether its VR is SQ (PS3.5 7.1)."""
    if tag >> 16 == 0xFFFE or not named:
        return 8, _whole(data, at + 4, 4), False
    first, second = data[at + 4], data[at + 5]
    if not (65 <= first <= 90 and 65 <= second <= 90):
        return -1, 0, False
    for long_first, long_second in LONG_VRS:
        if first == long_first and (second == long_second or long_second == 0):
            if at + 12 > len(data):
                return 0, 0, False
            return 12, _whole(data, at + 8, 4), first == 83 and second == 81
    return 8, _whole(data, at + 6, 2), False
