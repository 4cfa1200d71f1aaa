"""Licences as TCIA writes them: their short names, and who may have the data (sources.md, 1.0 and 1.8)."""

import re
from enum import StrEnum

CONTROLLED_ACCESS = "https://www.cancerimagingarchive.net/nih-controlled-data-access-policy/"
"""Where TCIA says how to apply for what it no longer hosts."""


class Access(StrEnum):
    """Who may have the data of a series."""

    OPEN = "open"
    NONCOMMERCIAL = "open, not for commercial use"
    CONTROLLED = "controlled"
    """Only whoever was approved: never fetched from here."""
    UNKNOWN = "unknown"


_CONTROLLED = re.compile(
    r"controlled|\brestricted\b|data usage agreement|data use agreement|dbgap|\blimited access\b", re.I
)
_CREATIVE = re.compile(r"creative ?commons|^\s*cc[ -]?(by|0)\b", re.I)
_VERSION = re.compile(r"\b(\d\.\d)\b")
_PARTS = (
    ("NC", re.compile(r"non[ -]?commercial|\bnc\b", re.I)),
    ("SA", re.compile(r"share[ -]?alike|\bsa\b", re.I)),
    ("ND", re.compile(r"no[ -]?deriv|\bnd\b", re.I)),
)
_ADDRESS = re.compile(r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero)/(\d\.\d))", re.I)


def short_license(name: str | None, address: str | None = None) -> str | None:
    """The short name: ``Creative Commons Attribution 3.0 Unported License`` is CC BY 3.0.

    Words that are of no Creative Commons licence stay as they are. Where there is no name, the address tells it.
    """
    text = " ".join((name or "").split())
    if not text:
        return _from_address(address)
    if not _CREATIVE.search(text):
        return text
    words = text.replace("-", " ")
    version = _VERSION.search(text)
    if re.search(r"\bcc ?0\b|\bzero\b|public domain", words, re.I):
        kind = "CC0"
    elif re.search(r"attribution|\bby\b", words, re.I):
        kind = "-".join(["CC BY", *(part for part, pattern in _PARTS if pattern.search(words))])
    else:
        return text
    return f"{kind} {version[1]}" if version else kind


def licenses_disagree(name: str | None, address: str | None) -> bool:
    """Whether a licence's name and its address tell of two Creative Commons licences."""
    one, other = short_license(name), _from_address(address)
    return bool(one and other and one.startswith("CC") and one != other)


def access_of(license_name: str | None) -> Access:
    """Who may have data under a licence. Any Creative Commons text is open; words of control are not, whatever else."""
    text = license_name or ""
    if _CREATIVE.search(text) or text.startswith("CC"):
        return Access.NONCOMMERCIAL if _PARTS[0][1].search(text.replace("-", " ")) else Access.OPEN
    if _CONTROLLED.search(text):
        return Access.CONTROLLED
    if _PARTS[0][1].search(text):
        return Access.NONCOMMERCIAL
    return Access.UNKNOWN


def _from_address(address: str | None) -> str | None:
    found = _ADDRESS.search(address or "")
    if not found:
        return None
    return f"CC {found[1].upper()} {found[2]}" if found[1] else f"CC0 {found[4]}"
