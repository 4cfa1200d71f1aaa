"""`medimagenet recipe-schema`, and that the published file is what it prints."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from medimagenet.errors import RecipeError
from medimagenet.preprocess import Recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted(ROOT.glob("recipes/*/recipe.yaml"))


def test_the_published_schema_is_that_of_this_version(call):
    published = json.loads((ROOT / "docs" / "recipe.schema.json").read_text())
    assert call("recipe-schema").document == published == Recipe.json_schema()
    jsonschema.Draft202012Validator.check_schema(published)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.parent.name)
def test_our_recipes_meet_it(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), Recipe.json_schema())


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("{name: a, modalities: [CT]}", True),
        ("{name: a, modalities: [CT, SEG], rois: {gtv: 'GTV.*'}, spacing: [1, 1, null]}", True),
        ("{name: a, modalities: [MR], steps: [{step: N4BiasCorrection, shrink: 2}]}", True),
        ("{name: a, modalities: [CT], crop: {kind: body, margin_mm: 5}}", True),
        ("{name: a, modalities: [CT], spacng: [1, 1, 1]}", False),
        ("{name: a, modalities: [CT], crop: {kind: magic}}", False),
        ("{name: a, modalities: [CT], spacing: [0, 1, 1]}", False),
        ("{modalities: [CT]}", False),
    ],
)
def test_it_says_what_the_recipe_itself_says(text, is_right):
    validator = jsonschema.Draft202012Validator(Recipe.json_schema())
    assert validator.is_valid(yaml.safe_load(text)) == is_right
    if is_right:
        Recipe.from_yaml(text)
    else:
        with pytest.raises(RecipeError):
            Recipe.from_yaml(text)
