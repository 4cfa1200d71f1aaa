"""What `medimagenet collections --tcia` prints: TCIA's own catalogue, also of what the public index does not have."""

import difflib
from dataclasses import asdict

import typer

from ..sources.tcia_collections import tcia_catalogue
from ..sources.tcia_kept import Catalogue, TciaCollection
from .output import plural, write_json, write_line, write_table

_WIDTH = 40  # characters of a list in a table


def show_catalogue(name: str | None, *, refresh: bool, as_json: bool) -> None:
    """Print the table of all, or what is told of one.

    Raises
    ------
    SourceError
        It is not in the cache and cannot be fetched.
    typer.BadParameter
        There is no collection of that name.
    """
    catalogue = tcia_catalogue(refresh=refresh)
    if name is not None:
        found = catalogue.find(name)
        if not found:
            raise typer.BadParameter(_unknown(catalogue, name))
        documents = [asdict(one) for one in found]
        write_json({"fetched": catalogue.fetched, "collections": documents}) if as_json else _show(found)
    elif as_json:
        write_json(asdict(catalogue))
    else:
        _table(catalogue)


def _unknown(catalogue: Catalogue, name: str) -> str:
    known = [one.short_title for one in catalogue.collections]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {len(known)}"
    return f"TCIA has no collection {name!r}: {hint} (--update asks TCIA for the newest)"


def _table(catalogue: Catalogue) -> None:
    shown = [one for one in catalogue.collections if not one.hidden]
    write_table(
        ["collection", "kind", "cancer types", "subjects", "licences", "access"],
        [
            [
                one.short_title,
                one.kind.replace("_", " "),
                _short(one.cancer_types),
                one.subjects,
                _short([license or "unknown" for license in one.licenses]),
                ", ".join(one.access),
            ]
            for one in shown
        ],
    )
    write_line()
    write_line(f"{plural(len(shown), 'collection')}, as TCIA told on {catalogue.fetched}; --update asks again")


def _short(names: list[str] | tuple[str, ...]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _show(found: tuple[TciaCollection, ...]) -> None:
    for one in found:
        write_line(one.title or one.short_title)
        if one.summary:
            write_line(one.summary)
        write_line()
        lines = {
            "collection": one.short_title,
            "kind": one.kind.replace("_", " "),
            "cancer types": ", ".join(one.cancer_types),
            "locations": ", ".join(one.locations),
            "species": ", ".join(one.species),
            "data": ", ".join(one.data_types),
            "subjects": one.subjects,
            "licences": ", ".join(license or "unknown" for license in one.licenses),
            "access": ", ".join(one.access),
            "updated": one.updated,
            "page": one.link,
            "DOI": one.doi and f"https://doi.org/{one.doi}",
        }
        for label, value in lines.items():
            if value not in (None, ""):
                write_line(f"{label:>14}  {value}")
        for citation in one.citations:
            write_line(f"{'cite':>14}  {citation}")
        write_line()
