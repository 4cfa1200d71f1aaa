"""Recipe: what a user writes to turn a selection of series into a store, checked before any work begins.

Lengths are mm and in x, y, z order; intensities are in the unit of the image (HU, SUVbw g/ml, Gy). A recipe is
plain data: it comes from YAML, goes into the store as JSON, and its hash says whether a sample must be made again.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..errors import RecipeError
from ..findings import FIXABLE, SEVERITY, SKIPPED, Finding, Severity
from ..rois import Several, check_pattern
from . import _recipe_text

PREPROCESS_VERSION = 2
"""Raised by whoever changes what a step writes: it is part of every recipe's hash. 2: z-scores of float images are
summed in another order."""

IMAGE_MODALITIES = ("CT", "MR", "PT", "RTDOSE")
ANNOTATION_MODALITIES = ("RTSTRUCT", "SEG")
MODALITIES = IMAGE_MODALITIES + ANNOTATION_MODALITIES
MISSING_CLASS = "roi_matches_nothing"
MISSING_TARGET = "target_missing"
SPLITS = ("train", "val", "test")
LATER_KEYS: Mapping[tuple[str, ...], Any] = {
    ("split", "stratify"): "none",
    ("split", "folds"): 0,
    ("steps",): [],
    ("antialias",): False,
    ("between",): "nearest",
    ("off_grid",): "fail",
    ("targets",): None,
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
        raise ValueError(f"unknown finding {_recipe_text.unknown(code, sorted(SEVERITY))}")
    if code == MISSING_CLASS:
        raise ValueError(f"what {MISSING_CLASS} does is said by on_missing_class, not here")
    if code == MISSING_TARGET:
        raise ValueError(f"what {MISSING_TARGET} does is said by targets.missing, not here")
    return code


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""Regular expression that matches a whole ROI name, or ``tg263:NAME`` (`medimagenet.rois`)."""
Code = Annotated[str, AfterValidator(_check_code)]
"""A key of `findings.SEVERITY`."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]
Region = Literal["all", "nonzero"]
"""Voxels that statistics are taken over: all of them, or those that are not exactly zero."""


class _Section(BaseModel):
    """Part of a recipe: cannot change, and knows no key that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        known = list(cls.model_fields)
        unknown = [key for key in values if key not in known] if isinstance(values, Mapping) else []
        if unknown:
            raise PydanticCustomError("unknown_key", "unknown key", {"keys": unknown, "known": known})
        return values


class Unchanged(_Section):
    """Values are handed out as they are stored."""

    kind: Literal["none"] = "none"


class Window(_Section):
    """Clip to ``low..high`` and map that to 0..1."""

    kind: Literal["window"]
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low={self.low}, high={self.high}")
        return self


class ZScore(_Section):
    """Subtract the mean and divide by the standard deviation (of the population) of the image's own voxels."""

    kind: Literal["zscore"]
    region: Region = "all"


class Percentile(_Section):
    """Clip to two percentiles of the image's own voxels and map those to 0..1."""

    kind: Literal["percentile"]
    lower: Percent = 0.5
    upper: Percent = 99.5
    region: Region = "all"

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got lower={self.lower}, upper={self.upper}")
        return self


class Scale(_Section):
    """Subtract one constant and divide by another: ``(value - subtract) / divide``."""

    kind: Literal["scale"]
    subtract: Finite = 0.0
    divide: Positive = 1.0


Rule = Annotated[Unchanged | Window | ZScore | Percentile | Scale, Field(discriminator="kind")]


MaskInterpolation = Literal["nearest", "linear", "largest"]


class ImageRecipe(_Section):
    """What happens to the images of one modality."""

    interpolation: Literal["linear", "nearest", "cubic"] = "linear"
    """Cubic: B-spline through the voxels, which may go beyond their range; linear where voxels are nan or infinite."""
    normalize: Rule = Unchanged()
    """Constants of this go beside the voxels and are applied when patches are read."""


class NoCrop(_Section):
    """The whole image is kept."""

    kind: Literal["none"] = "none"


class ForegroundCrop(_Section):
    """Keep the box of all voxels of the leading image above a threshold, in the image's unit."""

    kind: Literal["foreground"]
    threshold: Finite


class MaskCrop(_Section):
    """Keep the box of all classes together, and a margin around it."""

    kind: Literal["mask"]
    margin_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class BodyCrop(_Section):
    """Keep the box of the body, the largest connected part of the leading image above a threshold, and a margin."""

    kind: Literal["body"]
    threshold: Finite = -300.0
    """In the image's unit; the default is between air and fat on CT."""
    margin_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class NonzeroCrop(_Section):
    """Keep the box of all voxels of the leading image that are not exactly zero, and a margin."""

    kind: Literal["nonzero"]
    margin_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


Crop = Annotated[NoCrop | ForegroundCrop | MaskCrop | BodyCrop | NonzeroCrop, Field(discriminator="kind")]


class StepRecipe(BaseModel):
    """A further step: its name, its settings, and where it is applied."""

    model_config = ConfigDict(frozen=True, extra="allow")

    step: str
    """A name of `medimagenet.preprocess.steps.STEPS`, or package.module:Class for a step of your own."""
    at: Literal["source", "grid", "final"] | None = None
    """On the source's grid; on the target grid before the crop; after the crop. By default where the step says."""

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        self.build()
        return self

    def build(self) -> Any:
        """The step itself.

        Raises
        ------
        ValueError
            There is no such step, or its settings are wrong.
        """
        registry = importlib.import_module(f"{__package__}.steps.registry")  # steps take their rules from here
        return registry.build_step(self.step, self.model_extra or {})


def _shares_of_folds(folds: int, test: Any) -> dict[str, float]:
    """Shares of train and val where one of the folds is val."""
    left = 1.0 - test if isinstance(test, int | float) else 1.0
    return {"train": left * (folds - 1) / folds, "val": left / folds, "test": test}


class SplitRecipe(_Section):
    """Share of the patients in each split. Where one share is given, those left out are 0."""

    train: Annotated[float, Field(ge=0, le=1)] = 0.7
    val: Annotated[float, Field(ge=0, le=1)] = 0.2
    test: Annotated[float, Field(ge=0, le=1)] = 0.1
    seed: int = 0
    stratify: Literal["none", "collection", "label"] = "none"
    """So that every split has its part of each collection, or of each set of classes that patients have."""
    folds: Annotated[int, Field(ge=0, le=100)] = 0
    """Of a cross-validation: all patients but the test share are dealt into so many. Fold 0 is the split "val", the
    others are "train"; the store's column `fold` says which. train and val need not be given."""

    @model_validator(mode="before")
    @classmethod
    def _absent_is_zero(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("folds"), int) and values["folds"] > 1:
            return {**_shares_of_folds(values["folds"], values.get("test", 0.0)), **values}
        if isinstance(values, Mapping) and any(name in values for name in SPLITS):
            return {**dict.fromkeys(SPLITS, 0.0), **values}
        return values

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"train + val + test must be 1, got {self.train} + {self.val} + {self.test} = {round(total, 9)}"
            )
        return self

    @model_validator(mode="after")
    def _check_folds(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds must be 0 for none, or at least 2, got 1")
        wanted = _shares_of_folds(self.folds, self.test) if self.folds else {"train": self.train, "val": self.val}
        if any(abs(getattr(self, name) - share) > 1e-6 for name, share in wanted.items()):
            raise ValueError(
                f"with {self.folds} folds only test is to be given: a fold has {wanted['val']:.6g} of the patients, "
                f"got train={self.train}, val={self.val}"
            )
        return self


class TargetsRecipe(_Section):
    """Numbers per sample or patient, stored with the samples: what regression and classification learn."""

    table: str
    """CSV or Parquet file; a path that is not absolute begins at the recipe's folder."""
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    """Of the table: those that are stored."""
    key: str | None = None
    """Its column that says which patient or sample a row is of. By default sample_id, patient_id or PatientID."""
    by: Literal["sample", "patient"] | None = None
    """What `key` names: samples where it is sample_id, else patients, by their original PatientID."""
    classes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Per column of text its values in the order 0, 1, 2, ...: a classification target."""
    missing: Literal["skip", "empty", "fail"] = "fail"
    """When a sample has no value: leave it out and report it, keep it without (a nan), or stop before the work."""


class StoreRecipe(_Section):
    """How the store is laid out."""

    chunk: Annotated[int, Field(ge=8, le=256)] = 32
    """Edge of a chunk, the unit of reading, in voxels."""
    codec: Literal["blosc-lz4", "blosc-zstd", "none"] = "blosc-lz4"
    max_foreground: Annotated[int, Field(ge=0)] = 10_000
    """Voxel coordinates kept per class for class-balanced sampling."""
    form: Literal["zarr", "hdf5"] | None = None
    """A Zarr folder, or HDF5 files; by default HDF5 where the store is called *.h5. The samples are the same."""
    max_file_bytes: Annotated[int, Field(ge=1)] | None = None
    """In the HDF5 form: several files, none larger than this unless it holds a single sample."""


class Recipe(_Section):
    """What goes into a store and how: the file behind ``medimagenet compile --recipe``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    description: str = ""
    modalities: tuple[str, ...]
    """Those that a sample must have. The first is the leading image: its grid is the sample's."""
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
                raise ValueError(f"unknown modality {_recipe_text.unknown(modality, MODALITIES)}")
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
                raise ValueError(f"settings for an image not in modalities: {_recipe_text.unknown(modality, known)}")
        return {modality: images.get(modality, ImageRecipe()) for modality in known}

    @field_validator("crop", mode="after")
    @classmethod
    def _check_crop(cls, crop: Crop, info: ValidationInfo) -> Any:
        if crop.kind == "mask" and not info.data.get("rois", True):
            raise ValueError("kind mask needs an annotation: name RTSTRUCT or SEG in modalities, and rois")
        return crop

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the label's channels."""
        return tuple(self.rois)

    @property
    def image_modalities(self) -> tuple[str, ...]:
        """Modalities that are images, the leading one first."""
        return tuple(modality for modality in self.modalities if modality in IMAGE_MODALITIES)

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
        return content

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that these values describe.

        Raises
        ------
        RecipeError
            With every mistake: key, value and what is known instead.
        """
        return cls._checked(_recipe_text.Document("recipe", values, None))

    @classmethod
    def from_yaml(cls, text: str, *, source: str = "recipe") -> Self:
        """The recipe of a YAML text; `source` names it in errors.

        Raises
        ------
        RecipeError
            With every mistake: line, key, value and what is known instead.
        """
        return cls._checked(_recipe_text.parse(text, source))

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
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

    @classmethod
    def _checked(cls, document: "_recipe_text.Document") -> Self:
        try:
            return cls.model_validate(document.values)
        except ValidationError as error:
            raise RecipeError(document.explain(error)) from error


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
