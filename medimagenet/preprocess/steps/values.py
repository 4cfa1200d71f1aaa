"""Steps that change the values of an image by numbers of its own, of a data set, or of the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...kernels.intensity import percentiles
from ...volume import Case, Volume
from .step import Stage, image_of, not_applied, recorded

LANDMARKS = (1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0)
"""Percentiles of Nyúl's method (Nyúl, Udupa, Zhang, IEEE TMI 19:143, 2000): the deciles, and the ends of the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPercentile:
    """Clip the voxels to two percentiles of the image's own; unlike the rule of `Normalize` this changes them.

    Raises
    ------
    ValueError
        Not ``0 <= lower < upper <= 100``; when called: there is no such image.
    """

    stage: ClassVar[Stage] = "final"

    image: str
    lower: float = 0.5
    upper: float = 99.5
    nonzero: bool = False
    """Percentiles are over the voxels that are not exactly zero."""

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"needs 0 <= lower < upper <= 100, got {self.lower} and {self.upper}")

    def __call__(self, case: Case) -> Case:
        """The clipped case; the provenance has the values."""
        image = image_of(case, self.image)
        low, high = percentiles(image.array, [self.lower, self.upper], nonzero=self.nonzero)
        if not isfinite(low):
            return not_applied(case, self, self.image, "has no voxel to take percentiles from")
        bounds = _bounds(image.array, low, high)
        clipped = np.clip(image.array, *bounds)
        figures = {"low": float(bounds[0]), "high": float(bounds[1])}
        return recorded(case, self, figures, images={**case.images, self.image: image.with_array(clipped)})


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramMatch:
    """Bring the histogram of an image onto that of a data set by landmarks (Nyúl et al. 2000); gives float32.

    Between landmarks the map is linear, beyond them it goes on with the slope of the nearest piece.

    Raises
    ------
    ValueError
        The landmarks are not two or more rising values, or not as many as the percentiles; when called: no such image.
    """

    stage: ClassVar[Stage] = "final"

    image: str
    landmarks: tuple[float, ...]
    """Values that the percentiles shall have, as `fit_landmarks` finds them from a data set."""
    percentiles: tuple[float, ...] = LANDMARKS
    above: float | None = None
    """Only voxels above this value are looked at: the head, not the air around it. None looks at all."""

    def __post_init__(self) -> None:
        if len(self.landmarks) != len(self.percentiles) or len(self.landmarks) < 2:
            raise ValueError(f"needs a landmark per percentile, got {len(self.landmarks)} and {len(self.percentiles)}")
        if not all(a < b for values in (self.landmarks, self.percentiles) for a, b in pairwise(values)):
            raise ValueError(f"landmarks and percentiles must rise, got {self.landmarks} at {self.percentiles}")

    def __call__(self, case: Case) -> Case:
        """The matched case; the provenance has the landmarks that the image had."""
        image = image_of(case, self.image)
        own = _landmarks(image, self.percentiles, self.above)
        if own is None or not (np.diff(own) > 0).all():
            return not_applied(case, self, self.image, f"has no {len(self.percentiles)} different percentiles")
        figures = {"own_landmarks": own}
        matched = _piecewise(image.array, np.asarray(own), np.asarray(self.landmarks))
        return recorded(case, self, figures, images={**case.images, self.image: image.with_array(matched)})


def fit_landmarks(
    images: Sequence[Volume],
    *,
    low: float = 0.0,
    high: float = 100.0,
    ranks: Sequence[float] = LANDMARKS,
    above: float | None = None,
) -> tuple[float, ...]:
    """Landmarks of a data set for `HistogramMatch`: the mean over images, each first scaled to the range low..high.

    Raises
    ------
    ValueError
        No image, or one whose percentiles do not differ.
    """
    if not images:
        raise ValueError("landmarks need at least one image, got none")
    scaled = []
    for number, image in enumerate(images):
        own = _landmarks(image, ranks, above)
        if own is None or not own[-1] > own[0]:
            raise ValueError(f"image {number} of {len(images)} has percentiles {own}: they must differ")
        scaled.append(low + (np.asarray(own) - own[0]) * (high - low) / (own[-1] - own[0]))
    return tuple(np.mean(scaled, axis=0).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Suv:
    """Body-weight SUV in g/ml from activity in Bq/ml, by numbers that are given; gives float32.

    PET from DICOM is SUV when it is decoded; this is for NIfTI, which cannot say what was injected.

    Raises
    ------
    ValueError
        A number is not positive; when called: no such image, or one in another unit than Bq/ml.
    """

    stage: ClassVar[Stage] = "source"

    weight_kg: float
    injected_bq: float
    """At the time of injection."""
    minutes: float
    """From injection to the time that the images are corrected to; 0 where that is the injection."""
    half_life_min: float = 109.77
    """Of the tracer: fluorine-18 where not given."""
    image: str = "PT"

    def __post_init__(self) -> None:
        numbers = (self.weight_kg, self.injected_bq, self.half_life_min)
        if not all(isfinite(each) and each > 0 for each in numbers) or not 0 <= self.minutes < 1e5:
            raise ValueError(f"weight, activity and half-life must be positive, minutes not negative, got {self}")

    def __call__(self, case: Case) -> Case:
        """The case with the image in SUV; one that is in SUV already stays."""
        image = image_of(case, self.image)
        if image.unit == "SUVbw g/ml":
            return recorded(case, self, {"factor": 1.0})
        if image.unit not in (None, "Bq/ml"):
            raise ValueError(f"image {self.image} must be in Bq/ml, it is in {image.unit}")
        left = self.injected_bq * np.exp(-log(2) * self.minutes / self.half_life_min)
        factor = float(1000 * self.weight_kg / left)
        values = (image.array * factor).astype(np.float32)
        scaled = Volume(values, image.grid, "SUVbw g/ml", image.metadata, image.findings)
        return recorded(case, self, {"factor": factor}, images={**case.images, self.image: scaled})


def _bounds(array: NDArray[Any], low: float, high: float) -> tuple[Any, Any]:
    """The limits in the image's own type: whole numbers that enclose no more than the percentiles do."""
    if array.dtype.kind in "iu":
        return array.dtype.type(np.ceil(low)), array.dtype.type(max(np.ceil(low), np.floor(high)))
    return array.dtype.type(low), array.dtype.type(high)


def _landmarks(image: Volume, ranks: Sequence[float], above: float | None) -> list[float] | None:
    chosen = None if above is None else np.ascontiguousarray(image.array > above)
    found = percentiles(image.array, list(ranks), mask=chosen)
    return found if all(map(isfinite, found)) else None


def _piecewise(array: NDArray[Any], own: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float32]:
    inside = np.interp(array, own, wanted)
    slopes = np.diff(wanted) / np.diff(own)
    inside += np.minimum(array - own[0], 0) * slopes[0] + np.maximum(array - own[-1], 0) * slopes[-1]
    return inside.astype(np.float32)
