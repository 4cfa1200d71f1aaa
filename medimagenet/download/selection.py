"""Lists of series in files that others wrote: manifests of TCIA and of IDC, tables of UIDs."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError
from ..index import Index
from ..index.rows import quoted
from ..sources.tcia_manifest import SEPARATORS, read_manifest
from ..sources.workbook import WORKBOOK

LISTS = (".tcia", ".s5cmd", ".csv", ".tsv", ".txt", WORKBOOK)
"""Endings of files that `select_series` reads; others are indexes."""

_UUID = re.compile(r"s3://[^/\s]+/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?=[/*\s\"']|$)")


_PREFERRED = """
WITH asked AS (SELECT * FROM series WHERE {asked})
SELECT * FROM asked WHERE source <> 'tcia' OR SeriesInstanceUID NOT IN (
    SELECT SeriesInstanceUID FROM asked WHERE source = 'idc')
ORDER BY source, key
"""
"""IDC's copy of a series where both have it: object by object, with checksums, and TCIA asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesList:
    """The series that a file asks for, each once, in its order."""

    series_uids: tuple[str, ...] = ()
    crdc_series_uuids: tuple[str, ...] = ()


def select_series(index: Index, path: Path | str) -> Index:
    """The series of an index that a file lists.

    Parameters
    ----------
    index
        In which they are looked up, such as the public one.
    path
        A ``.tcia`` manifest, an s5cmd manifest of IDC (``cp s3://bucket/uuid/* .``), a table with a column
        SeriesInstanceUID or crdc_series_uuid, or text with a UID per line.

    Raises
    ------
    SourceError
        The file cannot be read, lists nothing, or lists series that the index does not have.
    """
    asked = read_list(path)
    columns = {"SeriesInstanceUID": asked.series_uids, "crdc_series_uuid": asked.crdc_series_uuids}
    parts = [f"{name} IN ({', '.join(map(quoted, uids))})" for name, uids in columns.items() if uids]
    found = Index(index.sql(_PREFERRED.format(asked=" OR ".join(parts))))
    for name, uids in columns.items():
        there = {value for (value,) in found.fetch(f"SELECT DISTINCT {name} FROM series")} if uids else set()
        missing = [uid for uid in uids if uid not in there]
        if missing:
            raise SourceError(
                f"{len(missing)} of {len(uids)} series of {path} are not in the index, such as {name} {missing[0]}: "
                f'try "medimagenet update", or give an index that has them beside --public, such as '
                f'"medimagenet index tcia:{path} -o X.parquet" makes of what TCIA still has'
            )
    return found


def read_list(path: Path | str) -> SeriesList:
    """The series that a file lists.

    Raises
    ------
    SourceError
        The file cannot be read, lists no series, or lists something else.
    """
    path = Path(path)
    if path.suffix.lower() in (".tcia", WORKBOOK):
        return SeriesList(series_uids=tuple(read_manifest(path)))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise SourceError(f"list of series {path} cannot be read: {reason}") from error
    uuids = _uuids(text, SEPARATORS.get(path.suffix.lower()))
    return SeriesList(crdc_series_uuids=uuids) if uuids else SeriesList(series_uids=tuple(read_manifest(path)))


def _uuids(text: str, separator: str | None) -> tuple[str, ...]:
    """crdc_series_uuids of commands of s5cmd, or of a table's column of this name."""
    if separator is not None:
        rows = csv.DictReader(io.StringIO(text), delimiter=separator)
        return _once(row.get("crdc_series_uuid") or "" for row in rows)
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return _once(match[1] for line in lines for match in _UUID.finditer(line))


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
