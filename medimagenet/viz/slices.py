"""Slices as radiologists look at them, and which ones to look at.

Arrays are (..., Z, Y, X) whose x, y, z point to L, P, S (`towards_lps` turns any other). What a viewer then sees::

    plane      rows, top to bottom     columns, left to right
    axial      A -> P  (y)             R -> L  (x): the patient's left on the viewer's right
    coronal    S -> I  (z reversed)    R -> L  (x)
    sagittal   S -> I  (z reversed)    A -> P  (y)
"""

from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid, Triple

Scalar = TypeVar("Scalar", bound=np.generic)


class Plane(StrEnum):
    """The three planes of an image, named for a patient who stands upright."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"

    @property
    def axis(self) -> int:
        """Axis of a (Z, Y, X) array along which slices of this plane follow each other."""
        return list(Plane).index(self)

    @property
    def sides(self) -> tuple[str, str]:
        """Letters for the left and the right border of the picture."""
        return ("A", "P") if self is Plane.SAGITTAL else ("R", "L")


def towards_lps(array: NDArray[Scalar], grid: Grid) -> tuple[NDArray[Scalar], Grid]:
    """A view of (..., Z, Y, X) whose x, y, z point to L, P, S, and its grid."""
    axes, flips = grid.axes_towards("LPS")
    lead = array.ndim - 3
    order = [*range(lead), *(lead + 2 - axes[2 - k] for k in range(3))]
    steps = [slice(None, None, -1) if flips[2 - k] else slice(None) for k in range(3)]
    return array.transpose(order)[(..., *steps)], grid.turned(axes, flips)


def take_slice(array: NDArray[Scalar], plane: Plane, index: int) -> NDArray[Scalar]:
    """(..., rows, columns) of one slice, as in the table above. A view.

    Raises
    ------
    IndexError
        There is no slice of that number; negative ones are not counted from the end.
    """
    slices = array.shape[array.ndim - 3 + plane.axis]
    if not 0 <= index < slices:
        raise IndexError(f"no {plane} slice {index}: the array {array.shape} has {slices} of them")
    picture: NDArray[Scalar] = np.moveaxis(array, array.ndim - 3 + plane.axis, 0)[index]
    return picture if plane is Plane.AXIAL else picture[..., ::-1, :]


def pixel_size(plane: Plane, spacing: Triple) -> tuple[float, float]:
    """Height and width of a pixel in mm, from the spacing x, y, z: pictures keep this ratio."""
    x, y, z = spacing
    return {Plane.AXIAL: (y, x), Plane.CORONAL: (z, x), Plane.SAGITTAL: (z, y)}[plane]


def best_slice(masks: NDArray[np.bool_], plane: Plane) -> int:
    """The slice to show: the one that cuts most classes, and of those the one with the largest cross-section.

    Cross-sections are summed relative to the largest of each class, so that a small organ counts as much as a big
    one. The first of equals is taken; without any mask it is the middle one.

    Parameters
    ----------
    masks : (classes, Z, Y, X)
    """
    others = tuple(1 + axis for axis in range(3) if axis != plane.axis)
    areas = np.count_nonzero(masks, axis=others)
    if not areas.any():
        return masks.shape[1 + plane.axis] // 2
    shares = areas / np.maximum(areas.max(axis=1, keepdims=True), 1)
    return int(np.argmax(np.count_nonzero(areas, axis=0) + shares.sum(axis=0) / (len(masks) + 1)))
