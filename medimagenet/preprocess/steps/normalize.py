"""The step that says how training wants the values of an image."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...findings import Finding
from ...kernels.intensity import percentiles, statistics
from ...volume import Case, Mask, Normalization, Volume
from ..sections import DatasetScale, Percentile, Scale, Unchanged, Window, ZScore
from .step import image_of, recorded, with_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalize:
    """Set the constants of `Volume.normalization`; the voxels stay as they are, a CT stays int16.

    An image whose voxels are all equal has nothing to divide by: it is shifted only, with the finding
    `constant_image`.

    Raises
    ------
    ValueError
        When called: there is no such image, or the rule is for the mask and there is none on its grid.
    """

    image: str
    """Name of the image, such as "CT"."""
    rule: Unchanged | Window | ZScore | Percentile | Scale | DatasetScale
    """From the recipe; statistics are over the image's own voxels, nan and infinite ones left out."""

    def __call__(self, case: Case) -> Case:
        """The case with the constants set."""
        image = self._normalized(image_of(case, self.image), case.mask)
        constants = None if image.normalization is None else image.normalization.to_dict()
        return recorded(case, self, {"constants": constants}, images={**case.images, self.image: image})

    def _normalized(self, image: Volume, mask: Mask | None) -> Volume:
        rule = self.rule
        if isinstance(rule, ZScore):
            return _by_zscore(image, rule, _mask_of(image, mask, rule.region))
        if isinstance(rule, Percentile):
            return _by_percentile(image, rule, _mask_of(image, mask, rule.region))
        return replace(image, normalization=_constants(rule))


def _constants(rule: Unchanged | Window | Scale | DatasetScale) -> Normalization | None:
    """Of a rule that needs no voxel."""
    if isinstance(rule, Unchanged):
        return None
    if isinstance(rule, Window):
        return Normalization(low=rule.low, high=rule.high, subtract=rule.low, divide=rule.high - rule.low)
    if isinstance(rule, DatasetScale):
        return Normalization(low=rule.low, high=rule.high, subtract=rule.mean, divide=rule.std)
    return Normalization(subtract=rule.subtract, divide=rule.divide)


def _mask_of(image: Volume, mask: Mask | None, region: str) -> NDArray[np.bool_] | None:
    """The voxels of all classes, in the shape of the image; None where the rule looks at others.

    Raises
    ------
    ValueError
        The rule is for the classes, and there is no mask on the grid of the image.
    """
    if region != "mask":
        return None
    if mask is None or not mask.grid.is_close(image.grid):
        raise ValueError(f"normalizing over the mask needs one on the grid of the image, {image.grid}")
    return np.ascontiguousarray(np.broadcast_to(mask.array.any(axis=0), image.array.shape))


def _by_zscore(image: Volume, rule: ZScore, mask: NDArray[np.bool_] | None) -> Volume:
    found = statistics(image.array, mask=mask, nonzero=rule.region == "nonzero")
    if found.voxels == 0 or found.std == 0:
        return _shifted(image, found.mean if found.voxels else 0.0, rule.region)
    return replace(image, normalization=Normalization(subtract=found.mean, divide=found.std))


def _by_percentile(image: Volume, rule: Percentile, mask: NDArray[np.bool_] | None) -> Volume:
    ranks = [rule.lower, rule.upper]
    low, high = percentiles(image.array, ranks, mask=mask, nonzero=rule.region == "nonzero")
    if not low < high:
        return _shifted(image, 0.0 if low != low else low, rule.region)
    return replace(image, normalization=Normalization(low=low, high=high, subtract=low, divide=high - low))


def _shifted(image: Volume, value: float, region: str) -> Volume:
    which = {"nonzero": "nonzero voxels", "mask": "voxels of the classes"}.get(region, "voxels")
    finding = Finding(
        code="constant_image",
        message=f"the {which} that normalization is computed from do not vary (value {value:g}): only shifted by it",
        numbers={"value": value, "region": region},
    )
    return with_findings(replace(image, normalization=Normalization(subtract=value)), finding)
