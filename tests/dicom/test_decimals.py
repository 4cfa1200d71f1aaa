"""Numbers as Python reads them, bit for bit, or none."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.decimals import ODD, parse_decimals, parse_integer

numerals = st.from_regex(r" {0,2}[+-]?([0-9]{1,18}\.?[0-9]{0,12}|\.[0-9]{1,24}) {0,2}", fullmatch=True)


def parse(parser, raw, room=6):
    numbers = np.full(room, np.nan)
    count = parser(np.frombuffer(b"??" + raw, dtype=np.uint8), 2, 2 + len(raw), numbers)
    return numbers[:count].tolist() if count != ODD else ODD


@given(st.lists(numerals, min_size=1, max_size=6), st.sampled_from(["", " ", "\0"]))
def test_what_python_reads(texts, padding):
    found = parse(parse_decimals, ("\\".join(texts) + padding).encode())
    plain = [float(text) for text in texts]
    assert found == ODD or list(map(repr, found)) == list(map(repr, plain))
    if all(len(text.strip(" +-.0")) <= 15 and text.strip() == text for text in texts):
        assert found != ODD


@given(st.text("0123456789+-. \\eE\0x", max_size=8))
def test_no_more_than_python_reads(text):
    found = parse(parse_decimals, text.encode())
    if found not in (ODD, []):
        assert found == [float(item) for item in text.rstrip(" \0").split("\\")]


@pytest.mark.parametrize(
    "raw", [b"1e3", b"1\\", b"\\1", b"1 2", b"--1", b"-", b".", b"1.2.3", b"9007199254740993", b"1\\2\\3\\4\\5\\6\\7"]
)
def test_what_is_left_to_python(raw):
    assert parse(parse_decimals, raw) == ODD


def test_nothing_and_zeros():
    assert parse(parse_decimals, b"") == parse(parse_decimals, b"  \0") == []
    assert math.copysign(1, parse(parse_decimals, b"-0")[0]) == -1


@pytest.mark.parametrize(
    ("raw", "number"), [(b" 12 ", [12]), (b"-7", [-7]), (b"1.0", ODD), (b"1\\2", ODD), (b"1234567890", ODD), (b"", [])]
)
def test_integers(raw, number):
    assert parse(parse_integer, raw) == number
