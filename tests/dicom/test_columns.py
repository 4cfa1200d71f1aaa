"""A value of many files at once, against `plain`, which reads one after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.columns import MOST_NUMBERS, join_texts, read_numbers
from medimagenet.dicom.decimals import ODD
from medimagenet.dicom.plain import DECODERS, OddValueError


def laid(values):
    """Values one behind the other in a buffer, and where they are."""
    ends = np.cumsum([0, *map(len, values)])
    buffer = np.frombuffer(b"".join(values) + b"?", dtype=np.uint8)
    return buffer, np.column_stack([ends[:-1], ends[1:]]).astype(np.int64)


def one_by_one(values, vr):
    try:
        return [DECODERS[vr](value, "ascii") if value else None for value in values]
    except OddValueError:
        return None


@given(st.lists(st.binary(max_size=3) | st.text("aB. \0\\\n\x7f", max_size=4).map(str.encode), max_size=5))
def test_texts(values):
    found = join_texts(*laid(values))
    expected = one_by_one(values, "LO")
    if found is not None:
        assert [text or None for text in found] == expected
    elif expected is not None:  # another look is taken without need only where there are several, or other letters
        assert any(b"\\" in value or not value.isascii() for value in values)


@pytest.mark.parametrize("vr", ["DS", "IS"])
@given(st.lists(st.text("0189+-. \\e\0", max_size=6).map(str.encode), min_size=1, max_size=5))
def test_numbers(vr, values):
    numbers, counts = read_numbers(*laid(values), is_whole=vr == "IS")
    for value, row, count in zip(values, numbers.tolist(), counts.tolist(), strict=True):
        if count != ODD:
            (plain,) = one_by_one([value], vr)
            assert row[:count] == (plain if isinstance(plain, list) else [] if plain is None else [plain])


def test_more_numbers_than_there_is_room_for():
    assert read_numbers(*laid([b"1\\" * MOST_NUMBERS + b"1"]), is_whole=False)[1].tolist() == [ODD]
