"""`medimagenet collections`: what there is, and under which terms."""

import importlib
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..index import list_collections
from .filters import Public, open_indexes
from .output import JsonFlag, human_bytes, plural, write_json, write_line, write_note, write_table, wrong_usage


class Action(StrEnum):
    """What is shown."""

    LIST = "list"
    SHOW = "show"


def command(
    action: Annotated[Action, typer.Argument(help="A table of all, or one of them.")] = Action.LIST,
    name: Annotated[str | None, typer.Argument(help="Which one to show.", metavar="[NAME]")] = None,
    index: Annotated[
        list[Path] | None, typer.Option(help="Your own index in place of the public one.", metavar="X.parquet")
    ] = None,
    public: Public = False,
    tcia: Annotated[
        bool, typer.Option("--tcia", help="TCIA's own catalogue instead; asked for once, then kept.")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="Ask TCIA again.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the largest: size, series, patients.", metavar="Y.png")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the collections of the public index, or show what is in one, its terms and how to cite it.

    `medimagenet collections show nsclc_radiomics` shows one.
    """
    if (action is Action.SHOW) != (name is not None):
        raise typer.BadParameter("say which: medimagenet collections show NAME")
    if update and not tcia:
        raise typer.BadParameter('--update goes with --tcia; "medimagenet update" is for the public index')
    if tcia:
        catalogue = importlib.import_module(
            ".catalogue", __package__
        )  # with the HTTP client, which others need not load
        catalogue.show_catalogue(name, refresh=update, as_json=as_json)
        return
    with wrong_usage():
        opened = open_indexes(index, public=public)
        found = list_collections(opened if name is None else opened.search(collection=name))
    if plot is not None:
        plots = importlib.import_module("...index.plots", __name__)  # with matplotlib
        with wrong_usage():
            plots.plot_collections(found, plot)
        write_note(f"picture in {plot}")
    if name is None:
        documents = [asdict(item) for item in found]
        write_json({"collections": documents}) if as_json else _table(documents)
    else:
        document = asdict(found[0])
        write_json(document) if as_json else _show(document)


def _table(documents: list[dict[str, Any]]) -> None:
    write_table(
        ["collection", "cancer types", "patients", "series", "size", "modalities", "licences", "commercial"],
        [
            [
                item["collection_id"],
                _short(item["cancer_types"]),
                item["patients"],
                item["series"],
                human_bytes(item["size_bytes"]),
                " ".join(item["modalities"]),
                _licenses(item),
                "yes" if item["commercial"] else "no",
            ]
            for item in documents
        ],
    )
    write_line()
    total = sum(item["size_bytes"] for item in documents)
    write_line(f"{plural(len(documents), 'collection')}, {human_bytes(total)}; no in the last column: not all of it")


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= 40 else f"{text[:37]}..."


def _licenses(item: dict[str, Any]) -> str:
    return ", ".join(license or "unknown" for license in item["licenses"])


def _show(item: dict[str, Any]) -> None:
    write_line(item["title"] or item["collection_id"])
    if item["description"]:
        write_line(item["description"])
    write_line()
    lines = {
        "collection": item["collection_id"],
        "cancer types": item["cancer_types"],
        "locations": item["locations"],
        "species": item["species"],
        "patients": item["patients"],
        "studies": item["studies"],
        "series": item["series"],
        "instances": item["instances"],
        "size": human_bytes(item["size_bytes"]),
        "modalities": ", ".join(item["modalities"]),
        "licences": _licenses(item),
        "commercial use": "allowed" if item["commercial"] else "not allowed, or not known to be, for all of it",
    }
    for label, value in lines.items():
        if value is not None:
            write_line(f"{label:>14}  {value}")
    for source in item["sources"]:
        write_line()
        write_line(f"{source['kind'].replace('_', ' ')}: {source['title']} ({source['license']})")
        write_line(f"  https://doi.org/{source['doi']}")
        write_line(f"  cite: {source['citation']}")
