"""Steps that change nothing and say what is unusual."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...findings import Finding
from ...kernels.intensity import count_not_finite
from ...volume import Case, Mask, Volume
from .step import recorded, with_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinite:
    """Voxels that are nan or infinite are the finding `not_finite` of their image, which it gets once."""

    def __call__(self, case: Case) -> Case:
        """The case with the findings."""
        images = {name: _checked(name, image) for name, image in case.images.items()}
        return recorded(case, self, images=images)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMask:
    """Classes that have regions but no voxel are `empty_mask`; overlaps that a map would lose `overlapping_classes`."""

    label: Literal["channels", "map"] = "channels"
    """Overlaps matter for a map only, where the later class wins."""

    def __call__(self, case: Case) -> Case:
        """The case with the findings."""
        if case.mask is None:
            return recorded(case, self)
        findings = [*_empty(case.mask), *(_overlaps(case.mask) if self.label == "map" else [])]
        return recorded(case, self, mask=replace(case.mask, findings=(*case.mask.findings, *findings)))


def _checked(name: str, image: Volume) -> Volume:
    known = any(finding.code == "not_finite" for finding in image.findings)
    count = 0 if known else count_not_finite(image.array)
    if count == 0:
        return image
    finding = Finding(
        code="not_finite",
        message=f"{count} of {image.array.size} voxels of the {name} image are nan or infinite",
        numbers={"image": name, "voxels": count},
    )
    return with_findings(image, finding)


def _empty(mask: Mask) -> list[Finding]:
    unmatched = {finding.numbers.get("class") for finding in mask.findings if finding.code == "roi_matches_nothing"}
    return [
        Finding(
            code="empty_mask",
            message=f"class {name} has no voxel on the grid of {mask.grid.size} voxels of {mask.grid.spacing} mm",
            numbers={"class": name},
        )
        for name, channel in zip(mask.names, mask.array, strict=True)
        if name not in unmatched and not np.any(channel)
    ]


def _overlaps(mask: Mask) -> list[Finding]:
    count = mask.overlap_voxels()
    if count == 0:
        return []
    message = f"{count} voxels belong to more than one of {', '.join(mask.names)}: in the map the later class has them"
    return [Finding(code="overlapping_classes", message=message, numbers={"voxels": count})]
