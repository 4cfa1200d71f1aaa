"""Manifests: lists of series that TCIA's programs read and write (sources.md, 1.6).

A ``.tcia`` file has six lines of settings, then a SeriesInstanceUID per line. The newer Data Retriever takes tables
(CSV, TSV, XLSX), whose header chooses the route: SeriesInstanceUIDs, addresses, or identifiers of files under
controlled access.
"""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import SourceError
from .workbook import WORKBOOK, read_sheet

SEPARATORS = {".csv": ",", ".tsv": "\t"}
MANIFEST_SUFFIXES = (".tcia", *SEPARATORS, WORKBOOK)

_UID = re.compile(r"\b\d+(?:\.\d+)+\b")
_SETTING = re.compile(r"\s*(?!ListOfSeries)[A-Za-z]\w*\s*=")  # its server may be an address that looks like a UID
_COMMENT = ("#", ";")
_SERIES_COLUMNS = ("seriesinstanceuid", "series uid", "series instance uid", "seriesuid")
_ADDRESS_COLUMNS = ("imageurl", "wsiimage_url")
_CONTROLLED_COLUMNS = ("drs_uri", "file id", "file_id")

_HEAD = """downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId={name}
manifestVersion=3.0
ListOfSeriesToDownload=
"""


def read_manifest(path: Path | str) -> list[str]:
    """SeriesInstanceUIDs of a manifest, each once, in their order.

    Raises
    ------
    SourceError
        It is missing, no text, names no series, or is a table of another route than SeriesInstanceUIDs.
    MissingPackageError
        It is a workbook, and openpyxl is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == WORKBOOK:
        uids = _from_table(path, read_sheet(path))
    elif suffix in SEPARATORS:
        uids = _from_table(path, list(csv.reader(_read(path).splitlines(), delimiter=SEPARATORS[suffix])))
    else:
        uids = _from_lines(_read(path))
    if not uids:
        raise SourceError(f"{path} names no series: there is no SeriesInstanceUID in it")
    return uids


def write_manifest(path: Path | str, uids: Iterable[str]) -> int:
    """Write a ``.tcia`` file, or a table by its suffix, whole or not at all; gives how many series it names.

    The same series give the same bytes, but for the name of the file, which is in a ``.tcia``.

    Raises
    ------
    SourceError
        There is no series to name, the folder does not exist, or the disk is full.
    """
    path = Path(path)
    each = list(dict.fromkeys(uids))
    if not each:
        raise SourceError(f"no series to write into {path}")
    head = "SeriesInstanceUID\n" if path.suffix.lower() in SEPARATORS else _HEAD.format(name=path.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(head + "".join(f"{uid}\n" for uid in each))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise SourceError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return len(each)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SourceError(f"no manifest at {path}: check the path") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text, and no manifest") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def _from_lines(text: str) -> list[str]:
    """By the look of a UID: settings, comments and a stray ``Series ID`` are passed over."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(_COMMENT)]
    found = [uid for line in lines if not _SETTING.match(line) for uid in _uids(line)]
    return list(dict.fromkeys(found))


def _uids(text: str) -> list[str]:
    return [uid for uid in _UID.findall(text) if 10 <= len(uid) <= 64]


def _from_table(path: Path, rows: list[list[str]]) -> list[str]:
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _SERIES_COLUMNS if name in header), None)
    if column is not None:
        cells = (row[column] for row in rows[1:] if len(row) > column)
        return list(dict.fromkeys(uid for cell in cells for uid in _uids(cell)))
    if any(name in header for name in _CONTROLLED_COLUMNS):
        raise SourceError(
            f"{path} lists files under controlled access ({', '.join(header[:4])}, ...): they are not fetched from "
            "here; use the tools of the data commons that approved you"
        )
    if any(name in header for name in _ADDRESS_COLUMNS):
        raise SourceError(
            f"{path} lists addresses of files, not series: write them as an archive manifest, and index that"
        )
    raise SourceError(f"{path} has no column SeriesInstanceUID or Series UID; its columns are {', '.join(header)}")
