"""The parts of a recipe by themselves; what a file gives is in test_recipe.py."""

import pytest
from pydantic import ValidationError

from medimagenet.preprocess import recipe, sections
from medimagenet.preprocess.sections import DatasetScale, MaskCrop, Percentile, SplitRecipe, StepRecipe, Window


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Window(kind="window", low=3, high=3), "low must be below high, got low=3.0, high=3.0"),
        (lambda: Percentile(kind="percentile", lower=9, upper=5), "lower must be below upper"),
        (lambda: DatasetScale(kind="dataset", low=5, high=1, mean=0, std=1), "low must be below high"),
        (lambda: DatasetScale(kind="dataset", low=0, high=1, mean=0, std=0), "greater than 0"),
        (lambda: MaskCrop(kind="mask", margin_mm=float("inf")), "finite"),
        (lambda: MaskCrop(kind="mask", margin=1), "unknown key"),
        (lambda: SplitRecipe(folds=1), "at least 2, got 1"),
        (lambda: StepRecipe(step="Magic"), "unknown step 'Magic'"),
    ],
)
def test_wrong_values_are_told(make, words):
    with pytest.raises(ValidationError, match=words):
        make()


def test_parts_cannot_change():
    with pytest.raises(ValidationError, match="frozen"):
        Window(kind="window", low=0, high=1).low = 2


def test_every_part_is_also_where_it_was():
    """Programs of users import them from the recipe's module."""
    names = [name for name, value in vars(sections).items() if getattr(value, "__module__", "") == sections.__name__]
    assert {name for name in names if name[0].isupper() and name != "Checked"} <= set(vars(recipe))


@pytest.mark.parametrize(
    ("step", "classes", "words"),
    [
        ({"step": "Denoise", "image": "MR"}, ["a"], None),
        ({"step": "Denoise", "image": "PT"}, ["a"], "the recipe's images are CT, MR"),
        ({"step": "ToPetGrid"}, ["a"], "for the image 'PT'"),
        ({"step": "LargestComponent", "classes": ["a"]}, [], "the recipe's classes are none"),
        ({"step": "LargestComponent"}, [], None),
    ],
)
def test_a_step_says_whether_it_goes_with_a_recipe(step, classes, words):
    found = StepRecipe(**step).mismatch(["CT", "MR"], classes)
    assert (found is None) if words is None else (words in found)
