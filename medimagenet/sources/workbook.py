"""Workbooks (XLSX) in which archives keep lists and tables. Read by openpyxl, which is optional."""

import zipfile
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import SourceError

WORKBOOK = ".xlsx"

_MOST_BYTES = 512 * 2**20  # unpacked: a million rows of a list take less, and a bomb takes more


def read_sheet(path: Path | str) -> list[list[str]]:
    """Rows of the first sheet, the header among them, each cell as text: empty ones as empty, 3.0 as 3.

    Raises
    ------
    MissingPackageError
        openpyxl is not installed.
    SourceError
        The file is missing, no workbook, damaged, or unpacks to more than 512 MiB.
    """
    path = Path(path)
    openpyxl = require("openpyxl", extra="xlsx")
    try:
        with zipfile.ZipFile(path) as package:
            size = sum(member.file_size for member in package.infolist())
        if size > _MOST_BYTES:
            raise SourceError(f"{path} unpacks to {size:,} bytes: no list of series is as long; save its sheet as CSV")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            return [[_text(cell) for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        finally:
            book.close()
    except FileNotFoundError as error:
        raise SourceError(f"no workbook at {path}: check the path") from error
    except SourceError:
        raise
    except Exception as error:  # what openpyxl and the parsers below it raise of a damaged file is of many kinds
        raise SourceError(
            f"{path} is no workbook, or damaged ({type(error).__name__}): save its sheet as CSV"
        ) from error


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
