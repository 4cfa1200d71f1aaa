"""The one order in which a recipe's steps are applied."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from ..errors import RecipeError
from ..geometry import Grid
from ..volume import Case, Volume
from .recipe import BodyCrop, Crop, ForegroundCrop, MaskCrop, NonzeroCrop, Recipe
from .steps import (
    CheckFinite,
    CheckMask,
    CropBody,
    CropForeground,
    CropMask,
    CropNonzero,
    Normalize,
    Orient,
    Resample,
    ResampleTo,
    SelectRois,
)
from .steps.registry import stage_of
from .steps.space import refuse_giants
from .steps.step import Stage, Step

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""Types that an image may have after a step: those that a store has."""

StepProgress = Callable[[str, int, int], None]
"""Called with a step's name, how much of it is done, and of how much."""


def preprocess(case: Case, recipe: Recipe, *, progress: StepProgress | None = None) -> Case:
    """Bring a case into the form that the recipe describes.

    Parameters
    ----------
    case : images by modality, the mask with the regions of its file
    progress : told by steps that take long, which are those that have an argument `progress`

    Returns
    -------
    The images of the recipe, on the grid of the leading one but for `Recipe.own_grids`, voxels in their own type,
    `normalization` set; the mask on that grid, one channel per class; findings; and the steps with the values they
    used. Whether the findings let the sample pass is `Recipe.action`.

    Raises
    ------
    ValueError
        An image of the recipe is not in the case.
    RecipeError
        The recipe's spacing would need a grid of more voxels than are allowed (`GridTooLargeError`), or its steps
        change the classes, or give an image a type that no store has.
    """
    missing = [modality for modality in recipe.image_modalities if modality not in case.images]
    if missing:
        raise ValueError(f"recipe {recipe.name!r} needs {', '.join(missing)}; the case has {', '.join(case.images)}")
    every = {modality: case.images[modality] for modality in recipe.image_modalities}
    apart = {modality: every[modality] for modality in recipe.own_grids}
    case = replace(case, images={modality: image for modality, image in every.items() if modality not in apart})
    for step in steps_of(recipe):
        case = _applied(step, case, progress)
    for modality, image in apart.items():
        case = _beside(case, modality, image, recipe)
    case = replace(case, images={modality: case.images[modality] for modality in every})
    if case.mask is not None and recipe.rois and case.mask.names != recipe.classes:
        raise RecipeError(f"recipe {recipe.name!r} has the classes {recipe.classes}, its steps leave {case.mask.names}")
    return case


def _beside(case: Case, modality: str, image: Volume, recipe: Recipe) -> Case:
    """The case with an image that stays on its own grid: turned by whole axes, its constants set."""
    alone = Case(sample_id=case.sample_id, patient_id=case.patient_id, images={modality: image})
    normalize = Normalize(image=modality, rule=recipe.images[modality].normalize)
    for step in (CheckFinite(), Orient(orientation=recipe.orientation), normalize):
        alone = _applied(step, alone, None)
    done = tuple({**entry, "image": modality} for entry in alone.provenance)
    return replace(
        case,
        images={**case.images, **alone.images},
        findings=(*case.findings, *alone.findings),
        provenance=(*case.provenance, *done),
    )


def check_size(grid: Grid, recipe: Recipe) -> None:
    """Refuse a source grid that the recipe's spacing would make too large, before anything is read.

    Raises
    ------
    GridTooLargeError
        With the figures.
    """
    if recipe.spacing is not None:
        turned = grid.turned(*grid.axes_towards(recipe.orientation))
        refuse_giants(turned, turned.with_spacing(recipe.spacing))


def _applied(step: Step, case: Case, progress: StepProgress | None) -> Case:
    name = type(step).__name__
    tells: dict[str, Any] = {}
    if progress is not None and "progress" in inspect.signature(step.__call__).parameters:
        tells["progress"] = partial(progress, name)
    after = step(case, **tells)
    for modality, image in after.images.items():
        if image.array.dtype.name not in DTYPES:
            raise RecipeError(
                f"step {name} gives the image {modality} the type {image.array.dtype}, which no store has: let it give "
                f"one of {', '.join(DTYPES)}"
            )
    return after


def steps_of(recipe: Recipe) -> tuple[Step, ...]:
    """The steps of a recipe, in the order they are applied.

    Classes are selected first, so that only they are resampled; statistics are taken last, from the voxels that stay.
    """
    first, *others = (name for name in recipe.image_modalities if name not in recipe.own_grids)
    steps: list[Step] = [CheckFinite()]
    if recipe.rois:
        steps.append(SelectRois(classes=recipe.rois, several=recipe.several))
    own = [(each.at, each.build()) for each in recipe.steps]
    listed = {stage: [step for at, step in own if (at or stage_of(step)) == stage] for stage in get_args(Stage)}
    steps += listed["source"]
    steps.append(Orient(orientation=recipe.orientation))
    if recipe.spacing is not None:
        steps.append(
            Resample(
                spacing=recipe.spacing,
                interpolation=recipe.images[first].interpolation,
                mask_interpolation=recipe.mask_interpolation,
                antialias=recipe.antialias,
            )
        )
    steps += [
        ResampleTo(image=name, interpolation=recipe.images[name].interpolation, antialias=recipe.antialias)
        for name in others
    ]
    steps += [*listed["grid"], *_crop_steps(recipe.crop), *listed["final"]]
    if recipe.steps:  # which may have divided by zero
        steps.append(CheckFinite())
    if recipe.rois:
        steps.append(CheckMask(label=recipe.label))
    steps += [Normalize(image=name, rule=recipe.images[name].normalize) for name in (first, *others)]
    return tuple(steps)


def _crop_steps(crop: Crop) -> list[Step]:
    if isinstance(crop, ForegroundCrop):
        return [CropForeground(threshold=crop.threshold)]
    if isinstance(crop, BodyCrop):
        return [CropBody(threshold=crop.threshold, margin_mm=crop.margin_mm)]
    if isinstance(crop, NonzeroCrop):
        return [CropNonzero(margin_mm=crop.margin_mm)]
    return [CropMask(margin_mm=crop.margin_mm)] if isinstance(crop, MaskCrop) else []
