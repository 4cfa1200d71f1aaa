"""Find the elements that a header scan wants, by a compiled walk over the bytes of a file (DICOM PS3.5 section 7).

The walk knows explicit and implicit little endian behind a preamble, and rules that nearly every file keeps: tags
rise, every VR is one that the standard knows, only sequences have no length. At the first thing that is not so it
gives up, and pydicom reads the file: what is odd is decided in one place. Nothing is decoded here.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import kernel

DONE, CUT, ODD = 0, 1, 2  # how a walk ends: as it should, at the end of the bytes given, at something for pydicom
UNDEFINED = 0xFFFFFFFF
ABSENT = -1
MAX_DEPTH = 32

PREAMBLE = 132
TRANSFER_SYNTAX = 0x00020010
IMPLICIT_LENGTH = 17  # of "1.2.840.10008.1.2"; every other transfer syntax is longer
FIRST_PIXELS, LAST_PIXELS = 0x7FE00008, 0x7FE00010  # Float, Double Float and Pixel Data; nothing else is between
ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
ITEM_GROUP = 0xFFFE
INSTANCE, SERIES_OF_STUDY = 0x00081155, 0x30060014  # ReferencedSOPInstanceUID, RTReferencedSeriesSequence

# Without VRs only a dictionary tells a sequence. These are inside those that name references; others are for pydicom.
_SEQUENCES = np.array(
    [
        0x00081115,  # ReferencedSeriesSequence
        0x00081140,  # ReferencedImageSequence
        0x0008114A,  # ReferencedInstanceSequence
        0x00081199,  # ReferencedSOPSequence
        0x00700309,  # MatrixRegistrationSequence
        0x0070030A,  # MatrixSequence
        0x30060012,  # RTReferencedStudySequence
        0x30060014,  # RTReferencedSeriesSequence
        0x30060016,  # ContourImageSequence
    ],
    dtype=np.int64,
)

_LIMIT, _OPEN, _LAST, _INSTANCE = range(4)  # of a container: its end, has it no length, last tag, row of its instance

_SHORT = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"
_LONG = "OB OD OF OL OV OW SV UC UR UT UV"
_NO_VR, _SHORT_VR, _LONG_VR, _SEQUENCE_VR, _UNKNOWN_VR = range(5)


def vr_number(vr: str) -> int:
    """A VR as the number that two letters in a file make."""
    return ord(vr[0]) | ord(vr[1]) << 8


def _vr_kinds() -> NDArray[np.uint8]:
    """What follows a VR in a file, by letter and letter (PS3.5 7.1.2)."""
    kinds = np.zeros((26, 26), dtype=np.uint8)
    named = {"SQ": _SEQUENCE_VR, "UN": _UNKNOWN_VR}
    named |= dict.fromkeys(_SHORT.split(), _SHORT_VR) | dict.fromkeys(_LONG.split(), _LONG_VR)
    for vr, kind in named.items():
        kinds[ord(vr[0]) - 65, ord(vr[1]) - 65] = kind
    return kinds


_VR_KINDS = _vr_kinds()


@kernel
def scan_header(
    data: NDArray[np.uint8], size: int, wanted: NDArray[np.int64], found: NDArray[np.int64]
) -> tuple[int, int, int, int, int]:
    """Find the wanted elements of a file.

    Parameters
    ----------
    data
        The first bytes of the file, more than a preamble.
    size : bytes
        Of the whole file.
    wanted : (slots, 2)
        Tag and VR number of each slot, tags rising, the first TransferSyntaxUID (0002,0010).
    found : (slots, 2), out
        Where each value begins and ends in `data`; end `ABSENT` where there is no such element.

    Returns
    -------
    outcome : how the walk ended; whether VRs are explicit; where the pixel data element begins (`ABSENT`: there is
        none), where its value begins, its length
    """
    found[:] = ABSENT
    start, length = _walk_meta(data, found)
    if start < 0:
        return -start, 0, ABSENT, 0, 0
    explicit = length != IMPLICIT_LENGTH
    status, pixels, value, pixel_length = _walk_header(data, start, explicit, wanted, found)
    if status == CUT and len(data) == size:
        status = DONE if pixels == size else ODD
        pixels = ABSENT
    return status, int(explicit), pixels, value, pixel_length


@kernel
def _walk_meta(data: NDArray[np.uint8], found: NDArray[np.int64]) -> tuple[int, int]:
    """Where the data set begins behind the file meta information (negative status: nowhere), length of its syntax."""
    at, last, text = PREAMBLE, 0x0001FFFF, 0
    while at + 8 <= len(data):
        tag = _tag(data, at)
        if tag >> 16 != 2:
            return (at, text) if text else (-ODD, 0)
        head, length, _ = _element(data, at, True)
        if head <= 0 or length == UNDEFINED or tag <= last:
            return -(CUT if head == 0 else ODD), 0
        last = tag
        value = at + head
        at = value + length
        if tag == TRANSFER_SYNTAX and at <= len(data):
            found[0, 0], found[0, 1] = value, at
            text = length
            while text > 0 and (data[value + text - 1] == 0 or data[value + text - 1] == 32):
                text -= 1
    return -CUT, 0


@kernel
def _walk_header(
    data: NDArray[np.uint8], start: int, explicit: bool, wanted: NDArray[np.int64], found: NDArray[np.int64]
) -> tuple[int, int, int, int]:
    """Status, and position, value and length of the pixel data. Where the status is `CUT`: position it came to."""
    at, last, slot = start, 0x0002FFFF, 1
    if not explicit and start + 6 <= len(data) and _is_letter(data[start + 4]) and _is_letter(data[start + 5]):
        return ODD, ABSENT, 0, 0  # explicit after all: pydicom decides
    while at + 8 <= len(data):
        tag = _tag(data, at)
        head, length, kind = _element(data, at, explicit)
        if head <= 0 or tag <= last or tag >> 16 == ITEM_GROUP:
            return (CUT if head == 0 else ODD), ABSENT, 0, 0
        if FIRST_PIXELS <= tag <= LAST_PIXELS:
            return DONE, at, at + head, length
        stop = _end_of_value(data, at + head, length, kind, explicit)
        if stop < 0:
            return -stop, ABSENT, 0, 0
        while slot < len(wanted) and wanted[slot, 0] < tag:
            slot += 1
        if slot < len(wanted) and wanted[slot, 0] == tag:
            if explicit and _word(data, at + 4) != wanted[slot, 1]:
                return ODD, ABSENT, 0, 0
            found[slot, 0], found[slot, 1] = at + head, stop
        at, last = stop, tag
    return CUT, at, 0, 0


@kernel
def _end_of_value(data: NDArray[np.uint8], value: int, length: int, kind: int, explicit: bool) -> int:
    """Where a value ends, which may be behind the data; a negative status where that cannot be told."""
    if length != UNDEFINED:
        return value + length
    if explicit and kind != _SEQUENCE_VR:
        return -ODD
    return _skip_sequence(data, value, explicit)


@kernel
def _skip_sequence(data: NDArray[np.uint8], start: int, explicit: bool) -> int:
    """End of a sequence of undefined length, delimiter included; negative status where it has none.

    Only containers without a length are entered, and they alternate: at odd depth is a sequence, at even an item.
    """
    at, depth = start, 1
    while at + 8 <= len(data):
        tag = _tag(data, at)
        head, length, kind = _element(data, at, explicit)
        if head <= 0:
            return -(CUT if head == 0 else ODD)
        at += head
        if tag in (END_OF_ITEM, END_OF_SEQUENCE):
            if (tag == END_OF_SEQUENCE) != (depth % 2 == 1):
                return -ODD
            depth -= 1
            if depth == 0:
                return at
        elif (tag == ITEM) != (depth % 2 == 1):
            return -ODD
        elif length != UNDEFINED:
            at += length
        elif tag == ITEM or kind == _SEQUENCE_VR or not explicit:
            depth += 1
        else:
            return -ODD
    return -CUT


@kernel
def gather(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    explicit: bool,
    wanted: NDArray[np.int64],
    deep: bool,
    rows: NDArray[np.int64],
) -> tuple[int, int]:
    """Find wanted elements in the items of one sequence.

    Parameters
    ----------
    start, stop
        Where the value of the sequence begins and ends, its delimiter included.
    wanted : (n, 2)
        Tag and VR number.
    deep
        Whether to look into sequences inside the items. Then a ReferencedSOPInstanceUID beside an
        RTReferencedSeriesSequence is left out: it is that of the study, not of an object.
    rows : (at least one per 8 bytes, 4), out
        Item of the sequence, index of the wanted element (`ABSENT`: left out), where its value begins and ends.

    Returns
    -------
    numbers : of rows, and of items; rows `ABSENT` where something is for pydicom
    """
    stack = np.zeros((MAX_DEPTH, 4), dtype=np.int64)  # of the containers that are open: sequence, item, sequence, ...
    stack[0, _LIMIT], stack[0, _OPEN] = stop, long_at(data, start - 4) == UNDEFINED
    at, depth, count, items = start, 0, 0, 0
    while True:
        depth = _close_full(at, depth, stack)
        if depth < 0:
            return count, items
        if at + 8 > stack[depth, _LIMIT]:
            return ABSENT, 0
        tag = _tag(data, at)
        head, length, kind = _element(data, at, explicit)
        end = stack[depth, _LIMIT] if length == UNDEFINED else at + head + length
        if head <= 0 or end > stack[depth, _LIMIT] or not _may_stand(tag, depth, stack):
            return ABSENT, 0
        if tag in (END_OF_ITEM, END_OF_SEQUENCE):
            at, depth = at + 8, depth - 1
            continue
        if tag != ITEM:
            if tag <= stack[depth, _LAST] or _is_odd(data, at, head, end, length, kind, explicit, deep):
                return ABSENT, 0
            count = _note(data, at, end, head, explicit, wanted, deep, depth, items, stack, rows, count)
            if count == ABSENT:
                return ABSENT, 0
        at += head
        if tag == ITEM or length == UNDEFINED or (deep and _is_sequence(tag, kind, explicit)):
            depth += 1
            stack[depth, _LIMIT], stack[depth, _OPEN] = end, length == UNDEFINED
            stack[depth, _LAST], stack[depth, _INSTANCE] = ABSENT, ABSENT
            items += depth == 1
        else:
            at = end


@kernel
def _close_full(at: int, depth: int, stack: NDArray[np.int64]) -> int:
    """Close the containers of defined length that end here; give the depth that remains."""
    while depth >= 0 and at == stack[depth, _LIMIT] and not stack[depth, _OPEN]:
        depth -= 1
    return depth


@kernel
def _may_stand(tag: int, depth: int, stack: NDArray[np.int64]) -> bool:
    """Whether an element may stand here: items and ends of sequences in sequences, all others elsewhere."""
    if tag in (END_OF_ITEM, END_OF_SEQUENCE) and not stack[depth, _OPEN]:
        return False
    return depth + 1 < MAX_DEPTH and (depth % 2 == 0) == (tag in (ITEM, END_OF_SEQUENCE))


@kernel
def _note(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    head: int,
    explicit: bool,
    wanted: NDArray[np.int64],
    deep: bool,
    depth: int,
    items: int,
    stack: NDArray[np.int64],
    rows: NDArray[np.int64],
    count: int,
) -> int:
    """Write the row of an element that is wanted; give the number of rows, `ABSENT` where its VR is not its own."""
    tag = _tag(data, at)
    stack[depth, _LAST] = tag
    if deep and tag == SERIES_OF_STUDY and stack[depth, _INSTANCE] != ABSENT:
        rows[stack[depth, _INSTANCE], 1] = ABSENT
    for which in range(len(wanted)):
        if wanted[which, 0] == tag and (deep or depth == 1):
            if explicit and _word(data, at + 4) != wanted[which, 1]:
                return ABSENT
            rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = items - 1, which, at + head, end
            if tag == INSTANCE:
                stack[depth, _INSTANCE] = count
            return count + 1
    return count


@kernel
def _is_odd(
    data: NDArray[np.uint8], at: int, head: int, end: int, length: int, kind: int, explicit: bool, deep: bool
) -> bool:
    """Whether an element of an item is one that only pydicom should judge."""
    if explicit:
        return (length == UNDEFINED and kind != _SEQUENCE_VR) or (deep and kind == _UNKNOWN_VR)
    looks_like_sequence = length == UNDEFINED or (length >= 8 and end <= len(data) and _tag(data, at + head) == ITEM)
    return deep and looks_like_sequence and not _is_sequence(_tag(data, at), kind, explicit)


@kernel
def _is_sequence(tag: int, kind: int, explicit: bool) -> bool:
    """Whether an element is a sequence, as far as is known without a dictionary."""
    return kind == _SEQUENCE_VR if explicit else bool(np.any(tag == _SEQUENCES))


@kernel
def _is_letter(byte: int) -> bool:
    return 65 <= byte <= 90


@kernel
def _word(data: NDArray[np.uint8], at: int) -> int:
    return int(np.int64(data[at]) | np.int64(data[at + 1]) << 8)


@kernel
def long_at(data: NDArray[np.uint8], at: int) -> int:
    """Four bytes, the lowest first."""
    return _word(data, at) | _word(data, at + 2) << 16


@kernel
def _tag(data: NDArray[np.uint8], at: int) -> int:
    return _word(data, at) << 16 | _word(data, at + 2)


@kernel
def _element(data: NDArray[np.uint8], at: int, explicit: bool) -> tuple[int, int, int]:
    """Bytes of an element's head (0: cut off, -1: not one), length of its value, kind of its VR."""
    if not explicit or _word(data, at) == ITEM_GROUP:
        return 8, long_at(data, at + 4), _NO_VR
    first, second = data[at + 4], data[at + 5]
    kind = _NO_VR
    if _is_letter(first) and _is_letter(second):
        kind = int(_VR_KINDS[first - 65, second - 65])
    if kind == _NO_VR:
        return -1, 0, kind
    if kind == _SHORT_VR:
        return 8, _word(data, at + 6), kind
    if at + 12 > len(data):
        return 0, 0, kind
    return 12, long_at(data, at + 8), kind
