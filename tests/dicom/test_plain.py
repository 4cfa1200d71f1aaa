"""DECODERS against pydicom's conversion of the same bytes."""

import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import decode_bytes, python_encoding
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.tag import Tag

from medimagenet.dicom import plain
from medimagenet.dicom.plain import CODECS, DECODERS, OddValueError, codec_of, one_text
from medimagenet.dicom.thorough import _plain

TAGS = {"UI": 0x0020000E, "CS": 0x00080008, "LO": 0x00100020, "DS": 0x00200032, "IS": 0x00200013, "US": 0x00280010}
TAGS |= {"TM": 0x00080032, "DA": 0x00080020, "AS": 0x00101010}


def judged(vr, raw, encoding):
    element = RawDataElement(Tag(TAGS[vr]), vr, len(raw), raw, 0, False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _plain(convert_raw_data_element(element, encoding=encoding).value)


numbers = st.lists(st.sampled_from([b"1", b"-0.50", b" 1e-3 ", b"+7.", b".5", b"", b" ", b"x", b"1_0", b"\0"]))
texts = st.lists(st.sampled_from([b"a", b" ", b"A B", b"\\", b"\0", b"\xe4", b"\n", b"1.2.3", b"12"])).map(b"".join)


@given(st.sampled_from(sorted(TAGS)), numbers.map(b"\\".join) | texts | st.binary(min_size=2, max_size=2))
@example("DS", b"-1024.000000\\0.1\\100 ")
@example("IS", b"0012 ")
@example("UI", b"1.2.840.10008.1.2\0")
def test_values_are_those_of_pydicom(vr, raw):
    if not raw:
        return
    try:
        value = DECODERS[vr](raw, "latin_1")
    except OddValueError:
        return
    assert value == judged(vr, raw, ["latin_1"])


def test_regular_values_are_taken():
    assert DECODERS["DS"](b"1.5\\-2\\3e2 ", "ascii") == [1.5, -2.0, 300.0]
    assert DECODERS["IS"](b" -12 ", "ascii") == -12
    assert DECODERS["US"](b"\x00\x02", "ascii") == 512
    assert DECODERS["CS"](b"ORIGINAL\\PRIMARY ", "ascii") == ["ORIGINAL", "PRIMARY"]
    assert DECODERS["LO"](b"M\xc3\xbcller", "utf_8") == "Müller"


@pytest.mark.parametrize(
    ("vr", "raw"), [("DS", b"nan"), ("IS", b"1.0"), ("US", b"\1\0\2\0"), ("CS", b"\xe4"), ("LO", b"\x1b$B")]
)
def test_odd_values_are_left_to_pydicom(vr, raw):
    with pytest.raises(OddValueError):
        DECODERS[vr](raw, "ascii")


@pytest.mark.parametrize("name", [name for name in CODECS if name])
def test_character_sets_are_those_of_pydicom(name):
    for raw in (bytes([byte]) for byte in range(0xA1, 0x100)):
        try:
            expected = raw.decode(CODECS[name])
        except UnicodeDecodeError:
            continue
        if name != "ISO_IR 6":
            assert decode_bytes(raw, [python_encoding[name]], set()) == expected
    assert codec_of(name.encode()) == CODECS[name]


@pytest.mark.parametrize("raw", [b"ISO 2022 IR 87", b"\\ISO 2022 IR 87", b"LATIN1"])
def test_character_sets_that_switch_are_left_to_pydicom(raw):
    with pytest.raises(OddValueError):
        codec_of(raw)


def test_one_text():
    assert (one_text(b"a b \0"), one_text(b"")) == ("a b", "")
    for raw in (b"a\\b", b" a", b"a\nb"):
        with pytest.raises(OddValueError):
            one_text(raw)


def test_a_uid_with_a_space_inside_is_not_two():
    assert plain.uid_texts(["1.2", "1.3"]) == ["1.2", "1.3"]
    with pytest.raises(plain.OddValueError):
        plain.uid_texts(["1.2 3"])
