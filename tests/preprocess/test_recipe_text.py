"""Lines and places in the text of a recipe; most of it is in test_recipe.py, through the errors."""

import pytest

from medimagenet.errors import RecipeError
from medimagenet.preprocess.recipe import Recipe
from medimagenet.preprocess.recipe_text import parse, unknown


def test_values_are_what_yaml_says():
    document = parse("a: {b: [1, two]}", "x")
    assert document.values == {"a": {"b": [1, "two"]}}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: 2\na: 3", 3), ("a:\n  b: 1\n  b: 2", 3), ("a: [{b: 1,\n b: 2}]", 2)],
)
def test_a_key_twice_is_refused_at_any_depth(text, line):
    with pytest.raises(RecipeError, match=f"^x, line {line}: '.' is there twice"):
        parse(text, "x")


def test_an_alias_may_stand_twice():
    assert parse("a: &one {b: 1}\nc: *one\nd: *one", "x").values["d"] == {"b": 1}


def test_an_alias_of_itself_ends_in_an_error():
    with pytest.raises(RecipeError, match="modalities"):
        Recipe.from_yaml("name: a\nmodalities: &m [CT, *m]")


def test_objects_are_not_made_from_text():
    with pytest.raises(RecipeError, match="line 1: not YAML: could not determine a constructor"):
        parse("a: !!python/object/apply:os.getcwd []", "x")


def test_unknown_names_the_closest():
    assert unknown("Spacng", ["name", "Spacing"]) == "'Spacng', did you mean 'Spacing'? known: name, Spacing"
    assert unknown("zzz", ["name", "Spacing"]) == "'zzz'; known: name, Spacing"


def test_without_a_text_there_is_no_line():
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"name": "a", "modalities": ["CT"], "spacing": [1, 1, 0]})
    assert str(caught.value) == "recipe, spacing.2 is 0: Input should be greater than 0"


def test_long_values_are_cut():
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"name": "a", "modalities": ["x" * 500], "label": "y" * 500})
    assert len(str(caught.value)) < 1500
