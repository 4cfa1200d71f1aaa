"""Recipe: what a user writes to turn a selection of series into a store, checked before any work begins.

Lengths are mm and in x, y, z order; intensities are in the unit of the image (HU, SUVbw g/ml, Gy). A recipe is
plain data: it comes from YAML, goes into the store as JSON, and its hash says whether a sample must be made again.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from ..errors import RecipeError
from ..findings import FIXABLE, SEVERITY, SKIPPED, Finding, Severity
from ..rois import Several, check_pattern
from .recipe_text import WITHIN, Document, parse, unknown
from .sections import SPLITS as SPLITS
from .sections import BodyCrop as BodyCrop
from .sections import Crop as Crop
from .sections import DatasetScale as DatasetScale
from .sections import ForegroundCrop as ForegroundCrop
from .sections import ImageRecipe as ImageRecipe
from .sections import MaskCrop as MaskCrop
from .sections import MaskInterpolation as MaskInterpolation
from .sections import NoCrop as NoCrop
from .sections import NonzeroCrop as NonzeroCrop
from .sections import Percentile as Percentile
from .sections import Positive as Positive
from .sections import Rule as Rule
from .sections import Scale as Scale
from .sections import Section as Section
from .sections import SplitRecipe as SplitRecipe
from .sections import StepRecipe as StepRecipe
from .sections import StoreRecipe as StoreRecipe
from .sections import TargetsRecipe as TargetsRecipe
from .sections import Unchanged as Unchanged
from .sections import Window as Window
from .sections import ZScore as ZScore

PREPROCESS_VERSION = 2
"""Raised by whoever changes what a step writes: it is part of every recipe's hash. 2: z-scores of float images are
summed in another order."""

IMAGE_MODALITIES = ("CT", "MR", "PT", "RTDOSE")
ANNOTATION_MODALITIES = ("RTSTRUCT", "SEG")
MODALITIES = IMAGE_MODALITIES + ANNOTATION_MODALITIES
MISSING_CLASS = "roi_matches_nothing"
MISSING_TARGET = "target_missing"
LATER_KEYS: Mapping[tuple[str, ...], Any] = {
    ("split", "stratify"): "none",
    ("split", "folds"): 0,
    ("steps",): [],
    ("antialias",): False,
    ("between",): "nearest",
    ("off_grid",): "fail",
    ("targets",): None,
    ("query",): None,
    ("store", "form"): None,
    ("store", "max_file_bytes"): None,
}
"""Keys that recipes of the first version did not have, with their defaults."""

Action = Literal["keep", "skip", "fail"]
"""What a finding does to its sample: nothing, leave it out and report it, stop the whole run."""
Policy = Literal["keep", "skip", "fail", "fix"]
"""What a recipe says for a code: an action, or to repair the series while it is decoded (`findings.FIXABLE`)."""
_STRICTNESS: tuple[Action, ...] = ("keep", "skip", "fail")
_ON_MISSING: Mapping[str, Action] = {"skip": "skip", "empty": "keep", "fail": "fail"}


def _check_pattern(pattern: str) -> str:
    check_pattern(pattern)
    return pattern


def _check_code(code: str) -> str:
    if code not in SEVERITY:
        raise ValueError(f"unknown finding {unknown(code, sorted(SEVERITY))}")
    if code == MISSING_CLASS:
        raise ValueError(f"what {MISSING_CLASS} does is said by on_missing_class, not here")
    if code == MISSING_TARGET:
        raise ValueError(f"what {MISSING_TARGET} does is said by targets.missing, not here")
    return code


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""Regular expression that matches a whole ROI name, or ``tg263:NAME`` (`medimagenet.rois`)."""
Code = Annotated[str, AfterValidator(_check_code)]
"""A key of `findings.SEVERITY`."""


class Recipe(Section):
    """What goes into a store and how: the file behind ``medimagenet compile --recipe``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    description: str = ""
    modalities: tuple[str, ...]
    """Those that a sample must have. The first is the leading image: its grid is the sample's."""
    query: Annotated[str, Field(min_length=1)] | None = None
    """Condition in SQL that the leading series must meet, over the columns of the index: ``n_instances > 60 AND
    collection_id = 'lung1'``. Series that do not are reported as not formed."""
    rois: dict[str, tuple[Pattern, ...]] = Field(default_factory=dict, validate_default=True)
    """Per class the patterns of ROI names that belong to it (`medimagenet.rois`). The order is that of the channels."""
    several: Several = "merge"
    """When one class matches several ROIs: their union, or the one that the earliest pattern matches."""
    on_missing_class: Literal["skip", "empty", "fail"] = "skip"
    """When a class matches no ROI of a sample: leave the sample out, keep it with an empty class, or stop."""
    between: Literal["nearest", "interpolate"] = "nearest"
    """RTSTRUCT: what slices between contour planes take: the nearest plane within half a slice, or shapes between."""
    off_grid: Literal["fail", "nearest"] = "fail"
    """SEG whose frames do not lie on the leading image's voxels: leave the sample out, or take the nearest voxel."""
    label: Literal["channels", "map"] = "channels"
    """One channel per class, or one map in which the class written later in `rois` wins where classes overlap."""
    spacing: tuple[Positive | None, Positive | None, Positive | None] | None = None
    """Target spacing x, y, z, mm; null keeps that axis (or, for the whole, every axis) as it is."""
    orientation: Literal["LPS"] = "LPS"
    """Where the stored x, y, z point to, by the nearest axes."""
    images: dict[str, ImageRecipe] = Field(default_factory=dict, validate_default=True)
    """Per image modality; a modality left out gets the defaults."""
    mask_interpolation: MaskInterpolation = "nearest"
    """Nearest voxel; linear per class and then above one half: smoother borders; or, of a label map, the class with the
    largest share of the surroundings."""
    antialias: bool = False
    """Where voxels become larger, filter images first: what the new grid cannot hold is averaged instead of picked."""
    crop: Crop = Field(default=NoCrop(), validate_default=True)
    steps: tuple[StepRecipe, ...] = ()
    """Further steps, in their order, such as {step: N4BiasCorrection, image: MR, shrink: 4}."""
    findings: dict[Code, Policy] = Field(default_factory=dict)
    """Per finding code what it does; without an entry errors and several channels skip the sample, all others keep it.
    "fix" straightens a tilted gantry by resampling and interpolates missing slices; the finding then skips nothing."""
    split: SplitRecipe = SplitRecipe()
    targets: TargetsRecipe | None = None
    """A table of numbers for regression or classification."""
    store: StoreRecipe = StoreRecipe()
    _folder: Path = PrivateAttr(default=Path())

    @field_validator("modalities", mode="after")
    @classmethod
    def _check_modalities(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        for modality in modalities:
            if modality not in MODALITIES:
                raise ValueError(f"unknown modality {unknown(modality, MODALITIES)}")
        if len(set(modalities)) != len(modalities):
            raise ValueError("a modality is named twice")
        if not modalities or modalities[0] not in IMAGE_MODALITIES:
            raise ValueError(f"the first modality leads and must be an image: one of {', '.join(IMAGE_MODALITIES)}")
        return modalities

    @field_validator("rois", mode="before")
    @classmethod
    def _wrap_single_patterns(cls, rois: Any) -> Any:
        if not isinstance(rois, Mapping):
            return rois
        return {name: (patterns,) if isinstance(patterns, str) else patterns for name, patterns in rois.items()}

    @field_validator("rois", mode="after")
    @classmethod
    def _check_rois(cls, rois: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        _check_classes(rois)
        modalities = info.data.get("modalities")
        if modalities is not None:
            _check_annotation(modalities, rois)
        return rois

    @field_validator("findings", mode="after")
    @classmethod
    def _check_fixes(cls, findings: dict[str, Policy]) -> dict[str, Policy]:
        for code, policy in findings.items():
            if policy == "fix" and code not in FIXABLE:
                raise ValueError(
                    f"{code} cannot be fixed, only {' and '.join(sorted(FIXABLE))}: say keep, skip or fail"
                )
        return findings

    @field_validator("spacing", mode="before")
    @classmethod
    def _check_spacing(cls, spacing: Any) -> Any:
        if spacing is not None and (not isinstance(spacing, list | tuple) or len(spacing) != 3):
            raise ValueError("must be three lengths [x, y, z] in mm; null for an axis that stays as it is")
        return spacing

    @field_validator("mask_interpolation", mode="after")
    @classmethod
    def _check_mask_interpolation(cls, chosen: MaskInterpolation, info: ValidationInfo) -> MaskInterpolation:
        if chosen == "largest" and info.data.get("label") == "channels":
            raise ValueError("largest gives each voxel one class, which label: channels does not: say label: map")
        return chosen

    @field_validator("images", mode="after")
    @classmethod
    def _fill_images(cls, images: dict[str, ImageRecipe], info: ValidationInfo) -> dict[str, ImageRecipe]:
        modalities = info.data.get("modalities")
        if modalities is None:
            return images
        known = [modality for modality in modalities if modality in IMAGE_MODALITIES]
        for modality in images:
            if modality not in known:
                raise ValueError(f"settings for an image not in modalities: {unknown(modality, known)}")
            if getattr(images[modality].normalize, "region", None) == "mask" and not info.data.get("rois", True):
                raise ValueError(f"normalize of {modality} over the region mask needs classes: say rois")
            _check_own_grid(modality, images[modality], leading=known[0])
        return {modality: images.get(modality, ImageRecipe()) for modality in known}

    @field_validator("crop", mode="after")
    @classmethod
    def _check_crop(cls, crop: Crop, info: ValidationInfo) -> Any:
        if crop.kind == "mask" and not info.data.get("rois", True):
            raise ValueError("kind mask needs an annotation: name RTSTRUCT or SEG in modalities, and rois")
        return crop

    @field_validator("steps", mode="after")
    @classmethod
    def _check_steps(cls, steps: tuple[StepRecipe, ...], info: ValidationInfo) -> tuple[StepRecipe, ...]:
        modalities, rois = info.data.get("modalities"), info.data.get("rois")
        if modalities is None or rois is None:
            return steps
        settings = info.data.get("images", {})
        is_own = {modality for modality, image in settings.items() if image.grid == "own"}
        images = [modality for modality in modalities if modality in IMAGE_MODALITIES and modality not in is_own]
        for number, each in enumerate(steps):
            wrong = each.mismatch(images, list(rois))
            if wrong:
                raise PydanticCustomError("value_error", "{message}", {"message": wrong, WITHIN: (number,)})
        return steps

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the label's channels."""
        return tuple(self.rois)

    @property
    def image_modalities(self) -> tuple[str, ...]:
        """Modalities that are images, the leading one first."""
        return tuple(modality for modality in self.modalities if modality in IMAGE_MODALITIES)

    @property
    def own_grids(self) -> tuple[str, ...]:
        """Image modalities that stay on their own grid."""
        return tuple(modality for modality in self.image_modalities if self.images[modality].grid == "own")

    @property
    def annotation_modalities(self) -> tuple[str, ...]:
        """Modalities that masks come from."""
        return tuple(modality for modality in self.modalities if modality in ANNOTATION_MODALITIES)

    def action_for(self, code: str) -> Action:
        """What a finding of this code does to its sample."""
        if code == MISSING_CLASS:
            return _ON_MISSING[self.on_missing_class]
        if code == MISSING_TARGET:
            return "keep" if self.targets is None else _ON_MISSING[self.targets.missing]
        is_skipped = SEVERITY[code] is Severity.ERROR or code in SKIPPED
        policy = self.findings.get(code, "skip" if is_skipped else "keep")
        return "keep" if policy == "fix" else policy

    @property
    def fixes(self) -> tuple[str, ...]:
        """Codes of the findings that decoding repairs, sorted."""
        return tuple(sorted(code for code, policy in self.findings.items() if policy == "fix"))

    def action(self, findings: Iterable[Finding]) -> Action:
        """The strictest of what these findings do: fail before skip before keep."""
        return max((self.action_for(finding.code) for finding in findings), key=_STRICTNESS.index, default="keep")

    @property
    def target_table(self) -> Path | None:
        """Where the table of targets is: beside the recipe's file where its path is not absolute."""
        return None if self.targets is None else self._folder / self.targets.table

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of everything that changes what is stored, and of `PREPROCESS_VERSION`.

        Name and description change nothing. The order of the classes does: it is that of the channels.
        """
        content = self.to_dict()
        for label in ("name", "description"):
            del content[label]
        for place in ("form", "max_file_bytes"):  # the same samples, kept otherwise
            content["store"].pop(place, None)
        content["rois"] = list(self.rois.items())
        if self.steps:  # a step's author raises its version when what it does changes
            content["step_versions"] = [getattr(each.build(), "version", 0) for each in self.steps]
        text = json.dumps({"recipe": content, "version": PREPROCESS_VERSION}, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The whole recipe as JSON values, defaults written out.

        Keys that came after the first stores are left out while they have their defaults: a recipe that says nothing
        of them keeps its hash, and a store that is compiled again its bytes.
        """
        content = self.model_dump(mode="json")
        for *path, key in LATER_KEYS:
            section = content
            for part in path:
                section = section[part]
            if section[key] == LATER_KEYS[(*path, key)]:
                del section[key]
        for image in content["images"].values():
            if image["grid"] == "common":
                del image["grid"]
        return content

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that these values describe.

        Raises
        ------
        RecipeError
            With every mistake: key, value and what is known instead.
        """
        return cls._checked(Document("recipe", values, None))

    @classmethod
    def from_yaml(cls, text: str, *, source: str = "recipe") -> Self:
        """The recipe of a YAML text; `source` names it in errors.

        Raises
        ------
        RecipeError
            With every mistake: line, key, value and what is known instead.
        """
        return cls._checked(parse(text, source))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recipe from a YAML file (JSON is YAML too).

        Raises
        ------
        RecipeError
            The file cannot be read, is not YAML, or is not a recipe; with file, line, key and value.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {path} cannot be read: {error}") from error
        recipe = cls.from_yaml(text, source=str(path))
        if recipe.targets is not None:
            recipe._folder = Path(path).parent
        return recipe

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON schema (draft 2020-12) of the file, for editors and other programs."""
        schema = cls.model_json_schema()
        rois = schema["properties"]["rois"]
        rois["additionalProperties"] = {"anyOf": [rois["additionalProperties"], {"type": "string"}]}
        schema["$defs"]["StepRecipe"] = StepRecipe.json_schema()
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    @classmethod
    def _checked(cls, document: Document) -> Self:
        try:
            return cls.model_validate(document.values)
        except ValidationError as error:
            raise RecipeError(document.explain(error)) from error


def _check_own_grid(modality: str, image: ImageRecipe, *, leading: str) -> None:
    if image.grid == "own" and modality == leading:
        raise ValueError(f"{modality} leads: its grid is the sample's, which is grid: common")
    if image.grid == "own" and getattr(image.normalize, "region", None) == "mask":
        raise ValueError(f"normalize of {modality} over the region mask needs grid: common, that of the mask")


def _check_classes(rois: Mapping[str, tuple[str, ...]]) -> None:
    seen: dict[str, str] = {}
    for name, patterns in rois.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(f"class {name!r} must be letters, digits, _ and - (it names an array in the store)")
        if name.lower() in seen:
            raise ValueError(f"class {name!r} is there twice, the other is {seen[name.lower()]!r}")
        if not patterns:
            raise ValueError(f"class {name!r} has no pattern and would match nothing")
        seen[name.lower()] = name
    if len(seen) > 255:
        raise ValueError(f"a label holds 255 classes, got {len(seen)}")


def _check_annotation(modalities: tuple[str, ...], rois: Mapping[str, tuple[str, ...]]) -> None:
    annotations = [modality for modality in modalities if modality in ANNOTATION_MODALITIES]
    if annotations and not rois:
        raise ValueError(f"{annotations[0]} is in modalities, so rois must say which ROI names make which class")
    if rois and not annotations:
        raise ValueError(f"rois need an annotation: add one of {', '.join(ANNOTATION_MODALITIES)} to modalities")
