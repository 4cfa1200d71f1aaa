"""A step of one's own, and what every step leaves behind."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

import medimagenet.preprocess.steps as steps
from medimagenet.geometry import Grid
from medimagenet.preprocess.recipe import Window
from medimagenet.preprocess.steps.step import leading, recorded
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((4, 4, 4))


def case():
    image = Volume(np.arange(64, dtype=np.int16).reshape(GRID.shape), GRID)
    mask = Mask(image.array[None] > 20, GRID, ("a",))
    return Case(sample_id="s", patient_id="p", images={"CT": image, "MR": image}, mask=mask)


ALL = [
    steps.CheckFinite(),
    steps.CheckMask(label="map"),
    steps.CropBody(threshold=10),
    steps.CropForeground(threshold=10),
    steps.CropNonzero(),
    steps.CropMask(margin_mm=1),
    steps.Normalize(image="CT", rule=Window(kind="window", low=0, high=1)),
    steps.Orient(orientation="RAS"),
    steps.Resample(spacing=(None, 2.0, 0.5)),
    steps.ResampleTo(image="MR"),
    steps.SelectRois(classes={"b": ("a",)}),
]


@pytest.mark.parametrize("step", ALL, ids=lambda step: type(step).__name__)
def test_every_step_records_itself_and_changes_nothing_it_was_given(step):
    before = case()
    copy = before.images["CT"].array.copy()
    after = step(before)
    assert len(after.provenance) == len(before.provenance) + 1 == 1
    assert after.provenance[0]["step"] == type(step).__name__
    assert json.loads(json.dumps(after.provenance[0])) == after.provenance[0]  # JSON values only
    np.testing.assert_array_equal(before.images["CT"].array, copy)
    assert type(step).__dataclass_params__.frozen


def test_every_step_that_recipes_have_no_name_for_is_listed_here():
    """Those that they name are tested with their settings."""
    is_step = {name for name in steps.__all__ if getattr(getattr(steps, name), "__dataclass_params__", None)}
    assert is_step - set(steps.STEPS) == {type(step).__name__ for step in ALL}


def test_a_step_of_ones_own():
    @dataclass(frozen=True)
    class Double:
        """Twice the values."""

        factor: tuple[float, ...] = (2.0,)

        def __call__(self, given):
            images = {n: replace(image, array=image.array * 2) for n, image in given.images.items()}
            return recorded(given, self, images=images)

    step: steps.Step = Double()
    found = step(case())
    assert found.images["CT"].array.max() == 126
    assert found.provenance == ({"step": "Double", "factor": [2.0]},)


def test_a_case_without_an_image_is_named():
    with pytest.raises(ValueError, match="case 's' has no image"):
        leading(replace(case(), images={}))
