"""The step that says how training wants the values of an image."""

from dataclasses import dataclass, replace

from ...findings import Finding
from ...kernels.intensity import percentiles, statistics
from ...volume import Case, Normalization, Volume
from ..recipe import Percentile, Scale, Unchanged, Window, ZScore
from .step import recorded, with_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalize:
    """Set the constants of `Volume.normalization`; the voxels stay as they are, a CT stays int16.

    An image whose voxels are all equal has nothing to divide by: it is shifted only, with the finding
    `constant_image`.

    Raises
    ------
    ValueError
        When called: there is no such image.
    """

    image: str
    """Name of the image, such as "CT"."""
    rule: Unchanged | Window | ZScore | Percentile | Scale
    """From the recipe; statistics are over the image's own voxels, nan and infinite ones left out."""

    def __call__(self, case: Case) -> Case:
        """The case with the constants set."""
        if self.image not in case.images:
            raise ValueError(f"no image {self.image!r}; there are {', '.join(case.images)}")
        image = self._normalized(case.images[self.image])
        constants = None if image.normalization is None else image.normalization.to_dict()
        return recorded(case, self, {"constants": constants}, images={**case.images, self.image: image})

    def _normalized(self, image: Volume) -> Volume:
        rule = self.rule
        if isinstance(rule, Unchanged):
            return replace(image, normalization=None)
        if isinstance(rule, Window):
            constants = Normalization(low=rule.low, high=rule.high, subtract=rule.low, divide=rule.high - rule.low)
            return replace(image, normalization=constants)
        if isinstance(rule, Scale):
            return replace(image, normalization=Normalization(subtract=rule.subtract, divide=rule.divide))
        return _by_zscore(image, rule) if isinstance(rule, ZScore) else _by_percentile(image, rule)


def _by_zscore(image: Volume, rule: ZScore) -> Volume:
    found = statistics(image.array, nonzero=rule.region == "nonzero")
    if found.voxels == 0 or found.std == 0:
        return _shifted(image, found.mean if found.voxels else 0.0, rule.region)
    return replace(image, normalization=Normalization(subtract=found.mean, divide=found.std))


def _by_percentile(image: Volume, rule: Percentile) -> Volume:
    low, high = percentiles(image.array, [rule.lower, rule.upper], nonzero=rule.region == "nonzero")
    if not low < high:
        return _shifted(image, 0.0 if low != low else low, rule.region)
    return replace(image, normalization=Normalization(low=low, high=high, subtract=low, divide=high - low))


def _shifted(image: Volume, value: float, region: str) -> Volume:
    which = "nonzero voxels" if region == "nonzero" else "voxels"
    finding = Finding(
        code="constant_image",
        message=f"the {which} that normalization is computed from do not vary (value {value:g}): only shifted by it",
        numbers={"value": value, "region": region},
    )
    return with_findings(replace(image, normalization=Normalization(subtract=value)), finding)
