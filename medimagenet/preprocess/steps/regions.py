"""The step that makes a recipe's classes out of the regions of a file."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...findings import Finding
from ...rois import RoiMatch, Several, match_rois
from ...volume import Case, Mask
from .step import recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectRois:
    """Make one channel per class: the union of the regions whose names match (`medimagenet.rois`).

    A class that matches nothing becomes an empty channel with the finding `roi_matches_nothing`; whether the sample
    is then used is the recipe's choice (`Recipe.action`). A class that takes several regions is the finding
    `roi_matches_several`, a region that several classes take `roi_in_several_classes`. A case without a mask passes as
    it is.
    """

    classes: Mapping[str, tuple[str, ...]]
    """Per class its patterns; the order is that of the channels."""
    several: Several = "merge"

    def __call__(self, case: Case) -> Case:
        """The case whose mask has the classes as channels."""
        if case.mask is None:
            return recorded(case, self)
        match = match_rois(case.mask.names, self.classes, several=self.several)
        figures = {"taken": {name: list(regions) for name, regions in match.classes.items()}}
        return recorded(case, self, figures, mask=self._select(case.mask, match))

    def _select(self, mask: Mask, match: RoiMatch) -> Mask:
        array = np.zeros((len(self.classes), *mask.grid.shape), dtype=np.bool_)
        for channel, regions in zip(array, match.classes.values(), strict=True):
            for name, region in zip(mask.names, mask.array, strict=True):
                if name in regions:  # a name that the file has twice counts with both
                    channel |= region
        findings = (*mask.findings, *self._missing(mask, match), *_several(match), *_shared(match))
        return Mask(array, mask.grid, tuple(self.classes), mask.metadata, findings)

    def _missing(self, mask: Mask, match: RoiMatch) -> list[Finding]:
        there = f"; there are: {', '.join(mask.names)}" if mask.names else ""
        return [
            Finding(
                code="roi_matches_nothing",
                message=f"class {name} ({', '.join(self.classes[name])}) matches no ROI{there}",
                numbers={"class": name, "rois": list(mask.names)},
            )
            for name in match.missing
        ]


def _several(match: RoiMatch) -> list[Finding]:
    return [
        Finding(
            code="roi_matches_several",
            message=f"class {name} is the union of {len(regions)} ROIs: {', '.join(regions)}",
            numbers={"class": name, "rois": list(regions)},
        )
        for name, regions in match.classes.items()
        if len(regions) > 1
    ]


def _shared(match: RoiMatch) -> list[Finding]:
    takers: dict[str, list[str]] = {}
    for name, regions in match.classes.items():
        for region in regions:
            takers.setdefault(region, []).append(name)
    return [
        Finding(
            code="roi_in_several_classes",
            message=f"ROI {region} is in {len(names)} classes: {', '.join(names)}",
            numbers={"roi": region, "classes": names},
        )
        for region, names in takers.items()
        if len(names) > 1
    ]
