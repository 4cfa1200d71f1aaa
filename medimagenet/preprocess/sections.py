"""The parts of a recipe's file, each checked when it is read. `medimagenet.preprocess.recipe` puts them together.

Lengths are mm and in x, y, z order; intensities are in the unit of the image (HU, SUVbw g/ml, Gy).
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

SPLITS = ("train", "val", "test")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""mm."""
Percent = Annotated[float, Field(ge=0, le=100)]
Region = Literal["all", "nonzero", "mask"]
"""Voxels that statistics are taken over: all of them, those that are not exactly zero, or those of the classes."""


class Section(BaseModel):
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


Checked = TypeVar("Checked", bound=Section)


def _in_order(section: Checked, low: str, high: str) -> Checked:
    """The section itself, where the value of one field is below that of another."""
    first, second = getattr(section, low), getattr(section, high)
    if not first < second:
        raise ValueError(f"{low} must be below {high}, got {low}={first}, {high}={second}")
    return section


class Unchanged(Section):
    """Values are handed out as they are stored."""

    kind: Literal["none"] = "none"


class Window(Section):
    """Clip to ``low..high`` and map that to 0..1."""

    kind: Literal["window"]
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        return _in_order(self, "low", "high")


class ZScore(Section):
    """Subtract the mean and divide by the standard deviation (of the population) of the image's own voxels."""

    kind: Literal["zscore"]
    region: Region = "all"


class Percentile(Section):
    """Clip to two percentiles of the image's own voxels and map those to 0..1."""

    kind: Literal["percentile"]
    lower: Percent = 0.5
    upper: Percent = 99.5
    region: Region = "all"

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        return _in_order(self, "lower", "upper")


class Scale(Section):
    """Subtract one constant and divide by another: ``(value - subtract) / divide``."""

    kind: Literal["scale"]
    subtract: Finite = 0.0
    divide: Positive = 1.0


class DatasetScale(Section):
    """Clip to two values and ``(value - mean) / std``, all of a data set's foreground: nnU-Net's way with CT.

    ``medimagenet inspect STORE --fingerprint`` finds them: percentile_00_5, percentile_99_5, mean and std.
    """

    kind: Literal["dataset"]
    low: Finite
    high: Finite
    mean: Finite
    std: Positive

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        return _in_order(self, "low", "high")


Rule = Annotated[Unchanged | Window | ZScore | Percentile | Scale | DatasetScale, Field(discriminator="kind")]


MaskInterpolation = Literal["nearest", "linear", "largest"]


class ImageRecipe(Section):
    """What happens to the images of one modality."""

    interpolation: Literal["linear", "nearest", "cubic"] = "linear"
    """Cubic: B-spline through the voxels, which may go beyond their range; linear where voxels are nan or infinite."""
    normalize: Rule = Unchanged()
    """Constants of this go beside the voxels and are applied when patches are read."""
    grid: Literal["common", "own"] = "common"
    """That of the leading image, which it is resampled to; or its own, as scanned but turned by whole axes: spacing,
    crop and further steps then leave it alone, and patches are drawn from it by itself."""


class NoCrop(Section):
    """The whole image is kept."""

    kind: Literal["none"] = "none"


class ForegroundCrop(Section):
    """Keep the box of all voxels of the leading image above a threshold, in the image's unit."""

    kind: Literal["foreground"]
    threshold: Finite


class MaskCrop(Section):
    """Keep the box of all classes together, and a margin around it."""

    kind: Literal["mask"]
    margin_mm: Margin = 0.0


class BodyCrop(Section):
    """Keep the box of the body, the largest connected part of the leading image above a threshold, and a margin."""

    kind: Literal["body"]
    threshold: Finite = -300.0
    """In the image's unit; the default is between air and fat on CT."""
    margin_mm: Margin = 0.0


class NonzeroCrop(Section):
    """Keep the box of all voxels of the leading image that are not exactly zero, and a margin."""

    kind: Literal["nonzero"]
    margin_mm: Margin = 0.0


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
        return _registry().build_step(self.step, self.model_extra or {})

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """One form per step of the library with its settings, and one for steps of your own."""
        plain = cls.model_json_schema()
        description, known = plain["description"], plain["properties"]
        forms: list[Any] = [
            {
                "description": words,
                "properties": {"step": {"const": name}, "at": known["at"], **settings},
                "required": ["step", *required],
                "additionalProperties": False,
            }
            for name, words, settings, required in _registry().schemas()
        ]
        own = {"properties": {"step": {"type": "string", "pattern": ":"}, "at": known["at"]}, "required": ["step"]}
        return {"type": "object", "title": "StepRecipe", "description": description, "anyOf": [*forms, own]}

    def mismatch(self, images: Sequence[str], classes: Sequence[str]) -> str | None:
        """Why the step does not go with a recipe of these images and classes; None where it does."""
        found: str | None = _registry().mismatch(self.step, self.build(), images, classes)
        return found


def _registry() -> Any:
    """Loaded when a step is asked for: it loads the compiler, which a recipe without steps does not need."""
    return importlib.import_module(f"{__package__}.steps.registry")


def _shares_of_folds(folds: int, test: Any) -> dict[str, float]:
    """Shares of train and val where one of the folds is val."""
    left = 1.0 - test if isinstance(test, int | float) else 1.0
    return {"train": left * (folds - 1) / folds, "val": left / folds, "test": test}


class SplitRecipe(Section):
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


class TargetsRecipe(Section):
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


class StoreRecipe(Section):
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
