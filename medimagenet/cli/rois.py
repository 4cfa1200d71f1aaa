"""`medimagenet rois`: which names regions have over a cohort, and what a recipe would take of them."""

from pathlib import Path
from typing import Annotated

import typer

from ..index import RoiTable, count_rois, open_index
from ..preprocess import Recipe
from .output import JsonFlag, plural, write_json, write_line, write_table


def command(
    index: Annotated[Path, typer.Argument(help="Index that `medimagenet index` wrote.", metavar="X.parquet")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", "-r", help="Show what the classes of this recipe would take.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the names of regions in RTSTRUCT and SEG, most frequent first, with what they mean in TG-263.

    With a recipe only the objects of its samples are counted, and each class says of how many it takes one region,
    several, or none.
    """
    opened = open_index(index)
    if recipe is None:
        table = count_rois(opened)
    else:
        read = Recipe.load(recipe)
        table = count_rois(opened, read.rois, several=read.several, modalities=read.modalities)
    if as_json:
        write_json(table)
    else:
        _render(table, with_recipe=recipe is not None)


def _render(table: RoiTable, *, with_recipe: bool) -> None:
    columns = ["region", "objects", "patients", "TG-263", "modalities", *(["taken by"] if with_recipe else [])]
    rows = [
        [
            roi.name or "(no name)",
            roi.series,
            roi.patients,
            roi.tg263 or "",
            ", ".join(roi.modalities),
            *([", ".join(roi.taken_by)] if with_recipe else []),
        ]
        for roi in table.rois
    ]
    if rows:
        write_table(columns, rows)
        write_line()
    write_line(f"{plural(len(table.rois), 'name')} in {plural(table.objects, 'object')}")
    for sentence in table.unknown:
        write_line(f"Not counted: {sentence}")
    if table.classes:
        write_line()
        write_table(
            ["class", "one region", "several", "none", "names"],
            [[each.label, each.once, each.several, each.nothing, ", ".join(each.names)] for each in table.classes],
        )
    twice = [roi for roi in table.rois if len(roi.taken_by) > 1]
    if twice:
        write_line(f"Taken by more than one class: {', '.join(repr(roi.name) for roi in twice)}")
