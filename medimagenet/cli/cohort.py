"""`medimagenet cohort`: what a question would bring, and under which terms."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import check_cohort
from ..preprocess import Recipe
from . import filters as options
from .output import JsonFlag, human_bytes, plural, to_json, write_json, write_line, write_table, wrong_usage

MOST_NAMES = 10  # ROI names that no pattern takes


def command(
    indexes: options.Indexes = None,
    modalities: Annotated[
        str | None, typer.Option(help="What a sample must have, the leading one first; else the recipe's.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", "-r", help="Its ROI patterns are tried.")] = None,
    public: options.Public = False,
    collection: options.Collection = None,
    cancer: options.Cancer = None,
    sex: options.Sex = None,
    license: options.License = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a cohort before a byte is downloaded: patients, samples, bytes, licences, ROI names.

    Counted are the studies that have all of the modalities.
    """
    wanted = None if recipe is None else Recipe.load(recipe)
    asked = modalities or (wanted and list(wanted.modalities))
    if not asked:
        raise typer.BadParameter("say --modalities, such as CT,RTSTRUCT, or give a --recipe")
    given = {"collection": collection, "cancer": cancer, "sex": sex, "license": license}
    filters: dict[str, Any] = {name: value for name, value in given.items() if value}
    with wrong_usage():
        found = options.open_indexes(indexes, public=public).search(**filters)
        cohort = check_cohort(found, asked, rois=wanted.rois if wanted else None)
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
    for sentence in cohort["unknown"]:
        write_line(f"unknown: {sentence}")


def _render_rois(rois: dict[str, Any]) -> None:
    write_line(f"{rois['matching']} of {plural(rois['annotations'], 'annotation')} have a ROI for every class")
    for name, count in rois["unused"][:MOST_NAMES]:
        write_line(f"  no pattern takes {name} ({count})")
