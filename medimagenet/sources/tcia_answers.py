"""What NBIA answers, as rows in one set of words, whichever of its versions was asked (sources.md, 1.2 and 1.3).

Rows keep the keys of version 4 and the values as they came; what the functions below make of a value is for columns.
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import SourceError

Row = dict[str, Any]

_WORDS = 120  # characters of an answer that an error repeats

_KEYS = {
    "PatientId": "PatientID",  # of getPatient; everything else says PatientID
    "Subject ID": "PatientID",
    "Series UID": "SeriesInstanceUID",
    "seriesInstanceUID": "SeriesInstanceUID",
    "Study UID": "StudyInstanceUID",
    "Study Description": "StudyDesc",
    "Study Date": "StudyDate",
    "Series Description": "SeriesDescription",
    "Series Number": "SeriesNumber",
    "Series Date": "SeriesDate",
    "SOP Class UID": "SOPClassUID",
    "Number of Images": "ImageCount",
    "File Size": "FileSize",
    "License Name": "LicenseName",
    "License URL": "LicenseURI",
    "CollectionURI": "DataDescriptionURI",
    "Data Description URI": "DataDescriptionURI",
    "TimeStamp": "MaxSubmissionTimestamp",
    "Date Released": "DateReleased",
    "Protocol Name": "ProtocolName",
    "Body Part Examined": "BodyPartExamined",
    "Annotations Flag": "AnnotationsFlag",
    "Manufacturer Model Name": "ManufacturerModelName",
    "Software Versions": "SoftwareVersions",
    "3rd Party Analysis": "ThirdPartyAnalysis",
    "thirdPartyAnanlysis": "ThirdPartyAnalysis",  # sic
    "Pixel Spacing(mm)- Row": "PixelSpacing(mm)-Row",
    "Slice Thickness(mm)": "SliceThickness(mm)",
    "Project": "Collection",
    "collection": "Collection",
    "authorized": "Authorized",
    "count": "Count",
}
"""Spellings of older versions and of single endpoints -> keys of version 4."""


def read_rows(body: bytes, what: str) -> list[Row]:
    """Rows of a JSON answer. An empty body is how NBIA says that there are none, and ``{}`` is its null.

    Parameters
    ----------
    what
        Was asked, for errors.

    Raises
    ------
    SourceError
        The answer is no array of objects: a sentence, a page, or cut short.
    """
    if not body.strip():
        return []
    try:
        rows = json.loads(body)
    except ValueError as error:
        raise SourceError(f"{what} answered text instead of JSON, or was cut short: {_first_words(body)}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{what} answered JSON that is no array of objects: {_first_words(body)}")
    return [_renamed(row) for row in rows if row]


def read_csv(body: bytes, what: str) -> list[Row]:
    """Rows of a CSV answer; an empty cell is no value.

    Raises
    ------
    SourceError
        The answer is no text, or a page of HTML.
    """
    text = _decoded(body, what)
    if text.lstrip().startswith("<"):
        raise SourceError(f"{what} answered a page instead of CSV: {_first_words(body)}")
    rows = csv.DictReader(io.StringIO(text))
    return [_renamed({name: value for name, value in row.items() if name and value not in (None, "")}) for row in rows]


def _renamed(row: Row) -> Row:
    return {_KEYS.get(name, name): value for name, value in row.items()}


def _decoded(body: bytes, what: str) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{what} answered bytes that are not UTF-8 text") from error


def _first_words(body: bytes) -> str:
    text = " ".join(body[: 4 * _WORDS].decode("utf-8", "replace").split())
    return repr(text[:_WORDS])


def as_text(value: Any) -> str | None:
    """A value as a column holds it: without blanks at its ends, None where there is nothing."""
    text = "" if value is None else str(value).strip()
    return text or None


def as_number(value: Any) -> float | None:
    """A number that comes as one or as text, such as ``27844690`` or ``"1.000000"``; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def as_count(value: Any) -> int | None:
    """A whole number, None where it is none."""
    number = as_number(value)
    return None if number is None or number < 0 else int(number)


def as_series_number(value: Any) -> str | None:
    """SeriesNumber (0020,0011) as DICOM writes it: ``"1.000000"`` is 1. What is no number stays as it is."""
    number = as_number(value)
    return str(int(number)) if number is not None and number.is_integer() else as_text(value)


_DATES = (  # the forms of versions 1 to 4, in the order in which they are tried
    (re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?)?"), (1, 2, 3)),  # lists of v1 and v2
    (re.compile(r"(\d{2})-(\d{2})-(\d{4})"), (3, 1, 2)),  # v4, and getSeriesMetaData of v1
    (re.compile(r"(\d{2})/(\d{2})/(\d{4})"), (3, 1, 2)),
    (re.compile(r"(\d{4})(\d{2})(\d{2})"), (1, 2, 3)),  # DICOM
)


def as_date(value: Any) -> str | None:
    """A date as DICOM writes it, YYYYMMDD. A form that is not known stays as it came."""
    text = as_text(value)
    for pattern, (year, month, day) in _DATES:
        found = pattern.fullmatch(text or "")
        if found:
            return f"{found[year]}{found[month]}{found[day]}"
    return text


def as_doi(value: Any) -> str | None:
    """The DOI of an address such as ``https://doi.org/10.7937/...``; None where it has none. DOIs ignore case."""
    found = re.search(r"10\.\d{4,9}/\S+", str(value or ""))
    return found[0].rstrip(".,;)").lower() if found else None


def collection_key(name: str) -> str:
    """The name of a collection as indexes have it: NSCLC-Radiomics is nsclc_radiomics."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTags:
    """What an annotation says of itself: the rows of getDicomTags, which are of the first image of a series only."""

    sop_instance: str | None = None
    sop_class: str | None = None
    frame_of_reference: str | None = None
    series: tuple[str, ...] = ()
    """SeriesInstanceUIDs that it refers to."""
    names: tuple[str, ...] = ()
    """Of its ROIs or segments."""


_SERIES_UID = "(0020,000E)"
_AFTER = {">>(3006,0014)", ">(0008,114A)"}  # an RTSTRUCT's, the end of a SEG's (sources.md, 1.3)
_OWN = {"(0008,0018)": "sop_instance", "(0008,0016)": "sop_class", "(0020,0052)": "frame_of_reference"}
_NAMES = (">(3006,0026)", ">(0062,0005)")  # ROIName, SegmentLabel
_RT_FRAME = ">(3006,0024)"  # ReferencedFrameOfReferenceUID of the first ROI


def read_tags(rows: Iterable[Row]) -> ObjectTags:
    """Read references and names out of getDicomTags, whose nested elements have one ``>`` per level.

    A SeriesInstanceUID counts below the sequences of references of RTSTRUCT (RTReferencedSeriesSequence) and SEG
    (ReferencedSeriesSequence) only: others are those of the object itself, or of what it was derived from.
    """
    own: dict[str, str] = {}
    series: list[str] = []
    names: list[str] = []
    frame: str | None = None
    referring = False
    for row in rows:
        element, data = str(row.get("element", "")).strip(), as_text(row.get("data"))
        mark = element.lstrip(">")
        if element in _AFTER or element == "(0008,1115)":
            referring = True
        elif element == mark:
            referring = False  # back at the top level
        if data is None:
            continue
        if mark == _SERIES_UID and element != mark and referring:
            series.append(data)
        elif element in _NAMES:
            names.append(data)
        elif element == _RT_FRAME:
            frame = frame or data
        elif element in _OWN:
            own[_OWN[element]] = data
    own.setdefault("frame_of_reference", frame or "")
    return ObjectTags(
        series=tuple(dict.fromkeys(series)),
        names=tuple(names),
        **{name: value or None for name, value in own.items()},
    )
