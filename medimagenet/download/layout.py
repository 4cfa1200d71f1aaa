"""Where files belong: folders from a template, and names that come from servers made harmless.

A template is a path of variables and text, as idc-index knows them: ``%collection_id/%PatientID``. Every text column of
an index is a variable.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any

from ..sources.base import SeriesRecord

DEFAULT_TEMPLATE = "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"
"""That of idc-index."""

WORK_FOLDER = ".medimagenet"
"""Below the folder of a download: what is not finished, and the journal of what is."""

_NO_VALUE = "none"  # stands for a value that a series does not have
_LONGEST = 200  # bytes of one name: file systems take 255, and a temporary name is longer
_NOT_VARIABLES = frozenset({"key", "uri", "content_hash", "findings", "files", "checksums"})
_VARIABLES = tuple(
    sorted((field.name for field in fields(SeriesRecord) if field.name not in _NOT_VARIABLES), key=len, reverse=True)
)
_VARIABLE = re.compile(rf"%({'|'.join(_VARIABLES)})")
_HARMFUL = re.compile(r"[^A-Za-z0-9._+=,@ -]")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def check_template(template: str) -> None:
    """Raise unless a template is a relative path of known variables.

    Raises
    ------
    ValueError
        It is absolute, empty, leads out of the folder, or has a variable that is no column of an index.
    """
    unknown = re.findall(r"%\w*", _VARIABLE.sub("", template))
    if unknown:
        known = ", ".join(f"%{name}" for name in sorted(_VARIABLES))
        raise ValueError(f"template {template!r} has {unknown[0]!r}, which is no variable; there are {known}")
    parts = template.split("/")
    if any(part in ("", ".", "..") for part in parts) or parts[0] == WORK_FOLDER:
        raise ValueError(f"template {template!r} must be a relative path such as {DEFAULT_TEMPLATE!r}")


def series_folder(template: str, row: Mapping[str, Any]) -> str:
    """The folder of a series, with forward slashes, below the folder of the download."""

    def value(match: re.Match[str]) -> str:
        found = row.get(match[1])
        return safe_name(str(found)) if found not in (None, "") else _NO_VALUE

    return "/".join(safe_name(_VARIABLE.sub(value, part)) for part in template.split("/"))


def safe_name(name: str) -> str:
    """A file name from a text that others wrote: one path component, not hidden, without odd characters."""
    harmless = _HARMFUL.sub("_", name).strip(" ").lstrip(".")
    return harmless[:_LONGEST].rstrip(" .") or _NO_VALUE


def safe_path(path: str) -> str:
    """A relative path that a server or an archive gave, checked and not repaired.

    Raises
    ------
    ValueError
        It is absolute, leads out of its folder, or has a drive, a backslash or a control character.
    """
    parts = PurePosixPath(path).parts
    outside = path.startswith("/") or ".." in parts or not parts
    odd = "\\" in path or re.match(r"[A-Za-z]:", path) or any(ord(letter) < 32 for letter in path)
    if outside or odd:
        raise ValueError(f"path {path!r} leads out of its folder, or is none")
    if any(len(part.encode()) > _LONGEST for part in parts):
        raise ValueError(f"path {path[:40]!r}... has a name of more than {_LONGEST} bytes")
    return "/".join(parts)


def is_uid(text: str | None) -> bool:
    """Whether a text is a UID (DICOM PS3.5, 9.1), and so a name that a file may have."""
    return text is not None and len(text) <= 64 and _UID.fullmatch(text) is not None
