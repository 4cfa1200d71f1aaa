r"""Bytes of a value to plain Python, for values that are as their VR says (DICOM PS3.5 6.2).

Gives what pydicom gives, as text, int, float or a list of these; None where the value is empty. Whatever is not
plainly regular raises `OddValueError`, and pydicom is asked: trailing bytes, numbers with letters, character sets that
switch. So a rule here may be too strict, never too lax.
"""

import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Plain = str | int | float | list[Any] | None

CODECS: Mapping[str, str] = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 192": "utf_8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
"""Specific Character Set (0008,0005) -> Python's name, for those that stay the same through a value."""

_PADDING = b" \0"
_NUMBER = rb" *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})? *"
_is_text = re.compile(rb"[ -~]*").fullmatch
_is_text_of_set = re.compile(rb"[ -~\x80-\xff]*").fullmatch
_UID_LETTERS = f"{string.digits}{string.ascii_letters}.".encode()
_is_decimals = re.compile(_NUMBER + rb"(?:\\" + _NUMBER + rb")*").fullmatch
_is_integer = re.compile(rb" *[+-]?\d{1,9} *").fullmatch


class OddValueError(ValueError):
    """A value that only pydicom should judge."""


def _text(raw: bytes, codec: str) -> Plain:
    raw = raw.rstrip(_PADDING)
    if not _is_text(raw):
        raise OddValueError
    return _parted(raw.decode("ascii"))


def _name(raw: bytes, codec: str) -> Plain:
    """Text in the character set of the file."""
    raw = raw.rstrip(_PADDING)
    if _is_text(raw):
        return _parted(raw.decode("ascii"))
    if not _is_text_of_set(raw):
        raise OddValueError
    try:
        return _parted(raw.decode(codec))
    except UnicodeDecodeError as error:
        raise OddValueError from error


def _parted(text: str) -> Plain:
    if "\\" not in text:
        return text.strip() or None
    items = [item.strip() for item in text.split("\\")]
    return items if any(items) else None


def _decimals(raw: bytes, codec: str) -> Plain:
    raw = raw.rstrip(_PADDING)
    if not raw:
        return None
    if not _is_decimals(raw):
        raise OddValueError
    return [float(item) for item in raw.split(b"\\")] if b"\\" in raw else float(raw)


def _integer(raw: bytes, codec: str) -> Plain:
    raw = raw.rstrip(_PADDING)
    if not raw:
        return None
    if not _is_integer(raw):
        raise OddValueError
    return int(raw)


def _short(raw: bytes, codec: str) -> Plain:
    if len(raw) != 2:
        raise OddValueError
    return raw[0] | raw[1] << 8


def one_text(raw: bytes, codec: str = "ascii") -> str:
    """A value that must be one text, in the character set `codec`; empty where it is.

    Raises
    ------
    OddValueError
        It is several, or pads in front, or is not regular.
    """
    value = _name(raw, codec)
    if isinstance(value, list) or raw.startswith(b" "):
        raise OddValueError
    return str(value or "")


def uid_texts(uids: Iterable[str]) -> list[str]:
    """Several UIDs, each without its padding and not empty, as they are.

    Raises
    ------
    OddValueError
        One of them has other characters than digits, letters and points, such as a space inside.
    """
    given = list(uids)
    others = "\n".join(given).encode("ascii", "replace").translate(None, _UID_LETTERS)
    if len(others) != len(given) - 1 or others.strip(b"\n"):
        raise OddValueError
    return given


def codec_of(raw: bytes) -> str:
    """Python's name of the character set that a Specific Character Set (0008,0005) names.

    Raises
    ------
    OddValueError
        It is one that switches, or an unknown one.
    """
    name = one_text(raw)
    if name not in CODECS:
        raise OddValueError
    return CODECS[name]


DECODERS: Mapping[str, Callable[[bytes, str], Plain]] = {
    **dict.fromkeys(("UI", "CS", "AS", "DA", "TM", "DT"), _text),
    "LO": _name,
    "DS": _decimals,
    "IS": _integer,
    "US": _short,
}
"""VR -> function of a value's bytes, not empty, and the Python codec of the file's character set."""
