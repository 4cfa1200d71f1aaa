"""The one order in which a recipe's steps are applied."""

from dataclasses import replace

from ..volume import Case
from .recipe import Crop, ForegroundCrop, MaskCrop, Recipe
from .steps import CheckFinite, CheckMask, CropForeground, CropMask, Normalize, Orient, Resample, ResampleTo, SelectRois
from .steps.step import Step


def preprocess(case: Case, recipe: Recipe) -> Case:
    """Bring a case into the form that the recipe describes.

    Parameters
    ----------
    case : images by modality, the mask with the regions of its file

    Returns
    -------
    The images of the recipe, all on the grid of the leading one, voxels in their own type, `normalization` set; the
    mask on that grid, one channel per class; findings; and the steps with the values they used. Whether the findings
    let the sample pass is `Recipe.action`.

    Raises
    ------
    ValueError
        An image of the recipe is not in the case.
    RecipeError
        The recipe's spacing would need a grid of more voxels than are allowed.
    """
    missing = [modality for modality in recipe.image_modalities if modality not in case.images]
    if missing:
        raise ValueError(f"recipe {recipe.name!r} needs {', '.join(missing)}; the case has {', '.join(case.images)}")
    case = replace(case, images={modality: case.images[modality] for modality in recipe.image_modalities})
    for step in steps_of(recipe):
        case = step(case)
    return case


def steps_of(recipe: Recipe) -> tuple[Step, ...]:
    """The steps of a recipe, in the order they are applied.

    Classes are selected first, so that only they are resampled; statistics are taken last, from the voxels that stay.
    """
    first, *others = recipe.image_modalities
    steps: list[Step] = [CheckFinite()]
    if recipe.rois:
        steps.append(SelectRois(classes=recipe.rois, several=recipe.several))
    steps.append(Orient(orientation=recipe.orientation))
    if recipe.spacing is not None:
        interpolation = recipe.images[first].interpolation
        steps.append(
            Resample(spacing=recipe.spacing, interpolation=interpolation, mask_interpolation=recipe.mask_interpolation)
        )
    steps += [ResampleTo(image=name, interpolation=recipe.images[name].interpolation) for name in others]
    steps += _crop_steps(recipe.crop)
    if recipe.rois:
        steps.append(CheckMask(label=recipe.label))
    steps += [Normalize(image=name, rule=recipe.images[name].normalize) for name in recipe.image_modalities]
    return tuple(steps)


def _crop_steps(crop: Crop) -> list[Step]:
    if isinstance(crop, ForegroundCrop):
        return [CropForeground(threshold=crop.threshold)]
    return [CropMask(margin_mm=crop.margin_mm)] if isinstance(crop, MaskCrop) else []
