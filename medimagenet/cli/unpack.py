"""`medimagenet unpack`: zips and tars become folders, without trusting what is in them."""

from pathlib import Path
from typing import Annotated

import typer

from ..download.archives import unpack_archives
from .output import JsonFlag, plural, progress_bar, write_json, write_line


def command(
    archives: Annotated[list[Path], typer.Argument(help="Such as case-100010.zip.", metavar="ARCHIVE...")],
    to: Annotated[Path, typer.Option("--to", help="Folder that gets a folder per archive.", metavar="DIR")],
    as_json: JsonFlag = False,
) -> None:
    """Unpack archives that were downloaded by hand, such as the case zips of NMDID.

    Each becomes a folder of its name, whole or not at all; one that is there is passed over. Names that lead elsewhere,
    links, and more than should be in it are errors.
    """
    with progress_bar("unpacking") as progress:
        folders = unpack_archives(archives, to, progress=progress)
    if as_json:
        write_json({"folders": [str(folder) for folder in folders]})
        return
    write_line(f"{plural(len(folders), 'archive')} in {to}")
    write_line(f"next: medimagenet index {to} -o X.parquet (cases of NMDID: nmdid:{to})")
