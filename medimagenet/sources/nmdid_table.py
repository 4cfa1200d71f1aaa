"""The table of metadata that a user of the New Mexico Decedent Image Database has exported: a row per decedent."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import SourceError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_CASE = re.compile(r"(?:case-)?(\d{6})(?:\.0)?", re.I)
_SEX = re.compile(r"sex|gender", re.I)
_AGE = re.compile(r"age", re.I)
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}

Table = Mapping[str, Mapping[str, str]]
"""Case, six digits -> its values by column; empty ones left out."""


def is_table(path: Path) -> bool:
    """Whether a file, by its suffix, may be such a table."""
    return path.suffix.lower() in (*SEPARATORS, ".xlsx", ".xls")


def read_table(path: Path | str) -> Table | None:
    """Read a table; None where no column of it names cases.

    Raises
    ------
    SourceError
        It is a workbook, no text, or has two rows of one case that differ.
    """
    path = Path(path)
    if path.suffix.lower() not in SEPARATORS:
        raise SourceError(f"{path.name} is a workbook: save its sheet as CSV beside it, and remove it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name} cannot be read as UTF-8 text: save it as CSV in UTF-8") from error
    rows = list(csv.DictReader(text.splitlines(), delimiter=SEPARATORS[path.suffix.lower()]))
    column = _case_column(rows)
    if column is None:
        return None
    found: dict[str, Mapping[str, str]] = {}
    for row in rows:
        match = _CASE.fullmatch((row[column] or "").strip())
        if match is None:
            continue
        values = {
            name: value.strip() for name, value in row.items() if name and isinstance(value, str) and value.strip()
        }
        if found.setdefault(match[1], values) != values:
            raise SourceError(f"{path.name} has two rows of one case that differ: correct it")
    return found


def sex_of(values: Mapping[str, str]) -> str | None:
    """PatientSex (0010,0040) of a decedent: M, F or O."""
    return next((_SEXES.get(value.lower()) for name, value in values.items() if _SEX.fullmatch(name.strip())), None)


def age_of(values: Mapping[str, str]) -> str | None:
    """PatientAge (0010,1010) of a decedent, such as 045Y, of a column whose name begins with "age"."""
    for name, value in values.items():
        number = re.fullmatch(r"(\d{1,3})(?:\.\d+)?", value)
        if _AGE.match(name.strip()) and number:
            return f"{int(number[1]):03d}Y"
    return None


def _case_column(rows: list[dict[str, str]]) -> str | None:
    """The column of which all values are cases; of several the one whose name says so."""
    names = [name for name in (rows[0] if rows else {}) if name]
    fitting = [name for name in names if _all_cases([row.get(name) or "" for row in rows])]
    named = [name for name in fitting if re.search(r"case|id\b|_id", name, re.I)]
    return next(iter(named or fitting), None)


def _all_cases(values: list[str]) -> bool:
    filled = [value.strip() for value in values if value.strip()]
    return bool(filled) and all(_CASE.fullmatch(value) for value in filled)
