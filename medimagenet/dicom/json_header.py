"""Headers as DICOMweb gives them (DICOM PS3.18 F: DICOM JSON Model), read like those of files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from .instance import HASH_LENGTH, InstanceHeader
from .thorough import plain_values
from .wanted import ELEMENTS

_AVAILABLE_SYNTAX = "00083002"  # Available Transfer Syntax UID
_PIXELS = ("7FE00008", "7FE00009", "7FE00010")
_ROWS = "00280010"

Document = Mapping[str, Any]
"""One data set: tag in eight hexadecimal digits -> vr and Value."""


def header_from_json(document: Document, path: Path) -> InstanceHeader:
    """The header of one instance, series or study.

    Parameters
    ----------
    document
        What the server says. Elements that cannot be understood are absent from the header.
    path
        What stands for the file that it does not have.
    """
    wanted = {tag: element for tag, element in document.items() if _is_wanted(tag)}
    values = plain_values(_dataset(wanted))
    syntax = _dataset({tag: element for tag, element in document.items() if tag == _AVAILABLE_SYNTAX})
    if syntax:
        values["TransferSyntaxUID"] = str(syntax[0x00083002].value)
    text = json.dumps(wanted, sort_keys=True)
    return InstanceHeader(
        file=str(path),
        size_bytes=0,
        header_hash=hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH],
        has_pixels=any(tag in document for tag in (*_PIXELS, _ROWS)),
        values={keyword: value for keyword, value in values.items() if value not in ("", None)},
    )


def _is_wanted(tag: str) -> bool:
    try:
        return int(tag, 16) in ELEMENTS
    except ValueError:
        return False


def _dataset(document: Document) -> Dataset:
    try:
        return Dataset.from_json(dict(document))
    except Exception:  # pydicom raises nearly anything on values that do not fit: the others stand
        found = Dataset()
        for tag, element in document.items() if len(document) > 1 else ():
            found.update(_dataset({tag: element}))
        return found
