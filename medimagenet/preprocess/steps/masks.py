"""Steps that change the classes of a mask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...volume import Case, Mask
from .step import Stage, recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeLabels:
    """Add classes to another one: their union. A case without a mask passes as it is.

    Raises
    ------
    ValueError
        When called: the mask lacks a class.
    """

    stage: ClassVar[Stage] = "source"

    classes: tuple[str, ...]
    """What is merged."""
    into: str
    """A class that is there and is added to, or a new one behind all others (not in a recipe, whose classes are its
    `rois`)."""
    keep: bool = True
    """Whether the merged classes stay beside it."""

    def __call__(self, case: Case) -> Case:
        """The case with the classes merged."""
        if case.mask is None:
            return recorded(case, self)
        mask = case.mask
        _check_there(self.classes, mask, "merge")
        union = np.logical_or.reduce([mask[name] for name in (*self.classes, *{self.into} & {*mask.names})])
        channels = {name: mask[name] for name in mask.names if self.keep or name not in self.classes}
        channels[self.into] = union
        merged = replace(mask, array=np.stack(list(channels.values())), names=tuple(channels))
        return recorded(case, self, {"voxels": int(np.count_nonzero(union))}, mask=merged)


@dataclass(frozen=True, slots=True, kw_only=True)
class LargestComponent:
    """Keep of each class only its largest connected component; of equal ones the first in the order of voxels.

    Raises
    ------
    ValueError
        When called: the mask lacks a class.
    """

    stage: ClassVar[Stage] = "source"

    classes: tuple[str, ...] | None = None
    """None: all."""
    corners_connect: bool = False
    """Whether voxels that share an edge or a corner are connected, not only those that share a face."""

    def __call__(self, case: Case) -> Case:
        """The case with the components, and in its provenance the voxels removed of each class."""
        if case.mask is None:
            return recorded(case, self)
        mask = case.mask
        wanted = mask.names if self.classes is None else self.classes
        _check_there(wanted, mask, "keep a part of")
        array, removed = mask.array.copy(), {}
        for number, name in enumerate(mask.names):
            if name in wanted:
                array[number] = largest_component(mask.array[number], corners_connect=self.corners_connect)
                removed[name] = int(np.count_nonzero(mask.array[number]) - np.count_nonzero(array[number]))
        figures: Mapping[str, Any] = {"removed_voxels": removed}
        return recorded(case, self, figures, mask=Mask(array, mask.grid, mask.names, mask.metadata, mask.findings))


def _check_there(classes: Sequence[str], mask: Mask, purpose: str) -> None:
    absent = [name for name in classes if name not in mask.names]
    if absent:
        raise ValueError(f"no class {absent[0]!r} to {purpose}; there are {', '.join(mask.names)}")


def largest_component(region: NDArray[np.bool_], *, corners_connect: bool = False) -> NDArray[np.bool_]:
    """The largest connected component of (Z, Y, X); all False where nothing is set."""
    import SimpleITK

    found = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(region.view(np.uint8)), corners_connect)
    labels: NDArray[Any] = SimpleITK.GetArrayViewFromImage(found)
    sizes = np.bincount(labels.reshape(-1))
    if len(sizes) < 2:
        return np.zeros_like(region)
    kept: NDArray[np.bool_] = labels == 1 + int(np.argmax(sizes[1:]))
    return kept
