"""`medimagenet recipe-schema`: what a recipe may hold, for editors that check and complete YAML."""

from typing import Annotated

import typer

from ..preprocess import Recipe
from .output import write_json


def command(
    as_json: Annotated[bool, typer.Option("--json", help="The schema is JSON with and without it.")] = False,
) -> None:
    """Print the JSON schema of recipes.

    Save it, and begin a recipe with "# yaml-language-server: $schema=recipe.schema.json": editors that know YAML then
    complete its keys and mark what is wrong.
    """
    write_json(Recipe.json_schema())
