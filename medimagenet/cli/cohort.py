"""`medimagenet cohort`: what a question would bring, and under which terms."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import check_cohort
from ..preprocess import Recipe
from . import filters as options
from .output import JsonFlag, human_bytes, plural, to_json, write_json, write_line, write_table, wrong_usage

MOST_NAMES = 10  # ROI names that no pattern takes
_OF_ALL = ("collection", "cancer", "license")


def command(
    indexes: options.Indexes = None,
    modalities: Annotated[
        str | None, typer.Option(help="What a sample must have, the leading one first; else the recipe's.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", "-r", help="Its ROI patterns are tried.")] = None,
    public: options.Public = False,
    collection: options.Collection = None,
    cancer: options.Cancer = None,
    license: options.License = None,
    body_part: options.BodyPart = None,
    sex: options.Sex = None,
    age: options.Age = None,
    manufacturer: options.Manufacturer = None,
    slice_thickness: options.SliceThickness = None,
    min_slices: options.MinSlices = None,
    text: options.Words = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a cohort before a byte is downloaded: patients, samples, bytes, licences, ROI names.

    Counted are the studies that have all of the modalities. Collection, cancer and license are asked of every series,
    the other filters of the images.
    """
    given = {name: value for name, value in locals().items() if name in options.FILTERS and value not in (None, [])}
    wanted = None if recipe is None else Recipe.load(recipe)
    asked = modalities or (wanted and list(wanted.modalities))
    if not asked:
        raise typer.BadParameter("say --modalities, such as CT,RTSTRUCT, or give a --recipe")
    of_all: Any = {name: value for name, value in given.items() if name in _OF_ALL}
    of_images: Any = {name: value for name, value in given.items() if name not in _OF_ALL}
    with wrong_usage():
        found = options.open_indexes(indexes, public=public).search(**of_all)
        cohort = check_cohort(found, asked, rois=wanted.rois if wanted else None, images=of_images)
    document = to_json(cohort)
    write_json(document) if as_json else _render(document)


def _render(cohort: dict[str, Any]) -> None:
    names = ", ".join(cohort["modalities"])
    write_table(
        ["modalities", "patients", "studies"],
        [["+".join(item["modalities"]), item["patients"], item["studies"]] for item in cohort["modality_sets"]],
    )
    write_line()
    studies = f"{plural(cohort['patients'], 'patient')}, {cohort['studies']} studies"
    write_line(f"with {names}: {studies}, {plural(cohort['series'], 'series')}, {human_bytes(cohort['size_bytes'])}")
    if cohort["samples"] is not None:
        write_line(plural(cohort["samples"], "sample"))
    if cohort["volumes"] is not None:
        write_line(f"{plural(cohort['volumes'], 'image series')} with regular slices")
    for item in cohort["licenses"]:
        write_line(f"{plural(item['series'], 'series')} under {item['license'] or 'unknown licence'}")
    if cohort["series"]:
        allowed = "allowed" if cohort["commercial"] else "not allowed, or not known to be, for all of it"
        write_line(f"commercial use: {allowed}")
    if cohort["rois"]:
        _render_rois(cohort["rois"])
    if cohort["pet"]:
        pet = cohort["pet"]
        untold = f", {pet['untold']} cannot be told" if pet["untold"] else ""
        write_line(f"{pet['ready']} of {pet['series']} PET series can be given as SUV{untold}")
    for sentence in cohort["unknown"]:
        write_line(f"unknown: {sentence}")


def _render_rois(rois: dict[str, Any]) -> None:
    write_line(f"{rois['matching']} of {plural(rois['annotations'], 'annotation')} have a ROI for every class")
    for name, count in rois["unused"][:MOST_NAMES]:
        write_line(f"  no pattern takes {name} ({count})")
