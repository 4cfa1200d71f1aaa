"""Options that several commands share: which index, and which series of it."""

import time
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from ..download.selection import LISTS, select_series
from ..index import Index, open_index
from ..sources.idc import database_path
from .output import human_bytes, progress_bar, write_note

_SEVERAL = "Several: with commas, or repeat it."

Indexes = Annotated[
    list[Path] | None, typer.Argument(help="Your own indexes; the public index where none.", metavar="[X.parquet]...")
]
Public = Annotated[bool, typer.Option("--public", help="The public index too, beside your own.")]
Modality = Annotated[list[str] | None, typer.Option(help=f"CT, MR, PT, RTSTRUCT, ... {_SEVERAL}")]
Collection = Annotated[list[str] | None, typer.Option(help=f"Collection, such as nsclc_radiomics. {_SEVERAL}")]
BodyPart = Annotated[list[str] | None, typer.Option(help=f"BodyPartExamined. {_SEVERAL}")]
Cancer = Annotated[list[str] | None, typer.Option(help=f"Part of a cancer type of a collection. {_SEVERAL}")]
Sex = Annotated[list[str] | None, typer.Option(help=f"M, F or O. {_SEVERAL}")]
Age = Annotated[tuple[float, float] | None, typer.Option(help="Youngest and oldest, years.")]
Manufacturer = Annotated[list[str] | None, typer.Option(help=f"Part of its name. {_SEVERAL}")]
SliceThickness = Annotated[tuple[float, float] | None, typer.Option(help="Thinnest and thickest, mm.")]
MinSlices = Annotated[int | None, typer.Option(min=0, help="Least number of slices.")]
AnnotatedBy = Annotated[
    list[str] | None, typer.Option(help=f"Images with an RTSTRUCT, SEG, RTDOSE, RTPLAN. {_SEVERAL}")
]
Roi = Annotated[str | None, typer.Option(help="Regular expression that a ROI name matches.")]
License = Annotated[list[str] | None, typer.Option(help=f'Licence, or "commercial": all that allow that. {_SEVERAL}')]
Words = Annotated[str | None, typer.Option(help="Words in descriptions, body part, model or collection.")]


FILTERS = frozenset(
    {
        *("modality", "collection", "body_part", "cancer", "sex", "age", "manufacturer", "slice_thickness"),
        *("min_slices", "annotated_by", "roi", "license", "text"),
    }
)
"""Names of the options that are filters of `Index.search`."""


def open_indexes(paths: list[Path] | None, *, public: bool) -> Index:
    """The indexes that the user names, or the public one, whose first use is told on stderr."""
    with_public = public or not paths
    if not with_public or database_path().is_file():
        return open_index(paths or None, public=with_public)
    start = time.perf_counter()
    write_note(f"first use of the public index: laying it into {database_path()}")
    with progress_bar("public index") as progress:
        opened = open_index(paths or None, public=True, progress=progress)
    size = human_bytes(database_path().stat().st_size)
    write_note(f"done in {time.perf_counter() - start:.1f} s, {size}")
    return opened


def open_selection(paths: list[Path], *, public: bool) -> Index:
    """The series of indexes, or those of lists, which are looked up in the indexes beside them or in the public one."""
    lists = [path for path in paths if path.suffix.lower() in LISTS]
    index = open_indexes([path for path in paths if path not in lists], public=public)
    return Index(pa.concat_tables([select_series(index, path).table for path in lists])) if lists else index
