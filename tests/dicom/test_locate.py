"""The compiled walk on bytes written by hand (DICOM PS3.5 7.1, 7.5), and on those cut at every place."""

import numpy as np
import pytest

from medimagenet.dicom.locate import ABSENT, CUT, DONE, ODD, gather, scan_header, vr_number

WANTED = np.array([(0x00020010, vr_number("UI")), (0x00080060, vr_number("CS")), (0x00200013, vr_number("IS"))])
UNDEFINED = b"\xff\xff\xff\xff"


def element(group, number, vr, value):
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr.encode()
    long = vr in ("SQ", "OB", "OW", "UN")
    return head + (b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")) + value


def item(*elements):
    value = b"".join(elements)
    return b"\xfe\xff\x00\xe0" + len(value).to_bytes(4, "little") + value


def file_of(*elements):
    return bytes(128) + b"DICM" + element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0") + b"".join(elements)


def scan(raw, size=None):
    found = np.empty((3, 2), dtype=np.int64)
    data = np.frombuffer(raw, dtype=np.uint8)
    outcome = scan_header(data, len(raw) if size is None else size, WANTED, found)
    return outcome, [raw[start:stop] if stop != ABSENT else None for start, stop in found.tolist()]


MODALITY = element(8, 0x60, "CS", b"CT")
NUMBER = element(0x20, 0x13, "IS", b"12")
PIXELS = element(0x7FE0, 0x10, "OW", b"\1\2")


def test_values_and_pixels_are_found():
    raw = file_of(MODALITY, NUMBER, PIXELS)
    outcome, values = scan(raw)
    assert outcome == (DONE, 1, raw.index(PIXELS), len(raw) - 2, 2)
    assert values == [b"1.2.840.10008.1.2.1\0", b"CT", b"12"]


def test_a_file_may_end_without_pixels():
    outcome, values = scan(file_of(MODALITY))
    assert (outcome[0], outcome[2], values[1:]) == (DONE, ABSENT, [b"CT", None])


def test_no_cut_is_taken_for_whole():
    raw = file_of(MODALITY, NUMBER, PIXELS)
    for length in range(140, raw.index(PIXELS) + 8):
        assert scan(raw[:length], size=len(raw))[0][0] == CUT
    whole = {len(file_of(MODALITY)), len(file_of(MODALITY, NUMBER))}
    for length in range(140, raw.index(PIXELS) + 8):
        status = scan(raw[:length])[0][0]
        assert (status == DONE) == (length in whole), length


@pytest.mark.parametrize(
    "elements",
    [
        (NUMBER, MODALITY),  # tags fall
        (MODALITY, MODALITY),  # twice
        (element(8, 0x60, "LO", b"CT"),),  # another VR
        (element(8, 0x60, "XX", b"CT"),),  # no VR
        (element(8, 0x60, "UN", b"CT"),),
        (b"\x08\x00\x00\x90UN\0\0" + UNDEFINED,),
        (b"\xfe\xff\x00\xe0\0\0\0\0",),
    ],
)
def test_what_is_odd_is_said(elements):
    assert scan(file_of(*elements))[0][0] == ODD


@pytest.mark.parametrize("inner", [b"", item(NUMBER), item(element(8, 0x1140, "SQ", item(NUMBER)))])
def test_sequences_of_undefined_length_are_stepped_over(inner):
    ends = b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    open_item = b"\xfe\xff\x00\xe0" + UNDEFINED + NUMBER + ends[0]
    sequence = b"\x08\x00\x15\x11SQ\0\0" + UNDEFINED + inner + open_item + ends[1]
    outcome, values = scan(file_of(MODALITY, sequence, NUMBER))
    assert (outcome[0], values[1:]) == (DONE, [b"CT", b"12"])


def test_gather_counts_items_and_leaves_deeper_elements():
    deeper = element(0x20, 0x13, "IS", b"99")
    value = item(NUMBER) + item() + item(element(8, 0x1140, "SQ", item(deeper)), element(0x20, 0x13, "IS", b"14"))
    raw = element(8, 0x1115, "SQ", value)
    rows = np.empty((len(raw), 4), dtype=np.int64)
    data = np.frombuffer(raw, dtype=np.uint8)
    count, items = gather(data, 12, len(raw), True, WANTED[2:], False, rows)
    assert items == 3
    assert [(row[0], raw[row[2] : row[3]]) for row in rows[:count].tolist()] == [(0, b"12"), (2, b"14")]
    count, _ = gather(data, 12, len(raw), True, WANTED[2:], True, rows)
    assert [raw[row[2] : row[3]] for row in rows[:count].tolist()] == [b"12", b"99", b"14"]


def test_gather_gives_up_on_an_item_that_is_too_long():
    raw = element(8, 0x1115, "SQ", b"\xfe\xff\x00\xe0\xff\0\0\0" + NUMBER)
    rows = np.empty((len(raw), 4), dtype=np.int64)
    assert gather(np.frombuffer(raw, dtype=np.uint8), 12, len(raw), True, WANTED, True, rows)[0] == ABSENT
