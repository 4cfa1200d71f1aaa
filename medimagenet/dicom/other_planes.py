"""Contours in parallel planes that are no slices of the image, such as sagittal ones on an axial image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..geometry import Grid
from ..kernels.oblique import fill_oblique
from .interpolation import distinct
from .regions import finding_of

PLANAR_TOLERANCE = 0.1  # of the smallest spacing: how far the vertices of a contour may lie apart along the normal
SAME_PLANE_TOLERANCE = 0.02  # of the smallest spacing

Floats = NDArray[np.float64]


def fill_other_planes(
    name: str,
    polygons: Sequence[Floats],
    grid: Grid,
    channel: NDArray[np.bool_] | NDArray[np.float32],
    *,
    parallel: bool = False,
) -> list[Finding]:
    """Fill contours whose planes are parallel to that of the largest of them; give the findings.

    Each plane stands for half a step between the planes to both sides; one plane alone, for half the spacing of the
    image along the axis that is nearest to its normal.

    Parameters
    ----------
    polygons : each (n >= 3, 3), LPS mm
    channel : (Z, Y, X) of the grid, all zero; voxels inside become 1
    """
    axes = _axes_of_largest(polygons)
    if axes is None:
        return [finding_of("contour_fills_nothing", name, f"has {len(polygons)} contours without area", len(polygons))]
    placed = [points @ axes.T for points in polygons]
    level = _level(placed, grid)
    findings = []
    if len(level) < len(placed):
        count = len(placed) - len(level)
        what = f"has {count} contours that are not planar, or not parallel to the largest, and are left out"
        findings.append(finding_of("contour_not_planar", name, what, count))
    if not level:
        return findings
    filled, step = _fill_level(level, axes, grid, channel, parallel=parallel)
    what = (
        f"has {len(level)} contours in planes that are no slices of the image; "
        f"each stands for {step / 2:.3g} mm to both sides"
    )
    findings.append(finding_of("contour_in_other_planes", name, what, len(level)))
    if not filled:
        what = f"has {len(level)} contours that hold no voxel centre"
        findings.append(finding_of("contour_fills_nothing", name, what, len(level)))
    corners = grid.to_index(np.concatenate(level) @ axes)
    if (corners.min(axis=0) < -0.5).any() or (corners.max(axis=0) > np.array(grid.size) - 0.5).any():
        what = "has contours that reach outside the image and are clipped"
        findings.append(finding_of("contour_outside_image", name, what))
    return findings


def count_parallel(polygons: Sequence[Floats], grid: Grid) -> int:
    """How many contours are planar and parallel to the largest of them; parameters as of `fill_other_planes`."""
    axes = _axes_of_largest(polygons)
    return 0 if axes is None else len(_level([points @ axes.T for points in polygons], grid))


def _level(placed: Sequence[Floats], grid: Grid) -> list[Floats]:
    """Of contours in coordinates u, v, height those that have one height."""
    tolerance = PLANAR_TOLERANCE * min(grid.spacing)
    return [points for points in placed if np.ptp(points[:, 2]) <= tolerance]


def _axes_of_largest(polygons: Sequence[Floats]) -> Floats | None:
    """(3, 3): rows u, v and the normal of the contour of the largest area; None where none has any."""
    normals = np.array([_area_vector(points) for points in polygons])
    sizes = np.linalg.norm(normals, axis=1)
    return _axes(normals[np.argmax(sizes)] / sizes.max()) if sizes.max() > 0 else None


def _fill_level(
    level: Sequence[Floats],
    axes: Floats,
    grid: Grid,
    channel: NDArray[np.bool_] | NDArray[np.float32],
    *,
    parallel: bool,
) -> tuple[int, float]:
    """Fill contours given in coordinates u, v, height; give the number of voxels and the step between planes, mm."""
    heights = np.array([points[:, 2].mean() for points in level])
    order = np.argsort(heights, kind="stable")
    planes = distinct(heights, SAME_PLANE_TOLERANCE * min(grid.spacing))
    step = float(np.median(np.diff(planes))) if len(planes) > 1 else _spacing_along(axes[2], grid)
    plane_of = np.searchsorted(planes, heights[order], side="right") - 1
    sorted_level = [level[k] for k in order]
    affine = axes @ grid.affine[:3]
    mask = np.zeros(grid.shape, dtype=np.bool_)
    filled = fill_oblique(
        np.concatenate([points[:, :2] for points in sorted_level]),
        np.cumsum([0, *map(len, sorted_level)]),
        np.searchsorted(plane_of, np.arange(len(planes) + 1)),
        planes,
        0.5 * step,
        affine,
        mask,
        parallel=parallel,
    )
    channel[mask] = 1
    return filled, step


def _area_vector(points: Floats) -> Floats:
    """Along the normal of a polygon, as long as its area (Newell)."""
    around = points - points[0]
    vector: Floats = 0.5 * np.cross(around, np.roll(around, -1, axis=0)).sum(axis=0)
    return vector


def _axes(normal: Floats) -> Floats:
    """(3, 3): rows u, v and the normal, orthonormal."""
    helper = np.eye(3)[np.argmin(np.abs(normal))]
    u = np.cross(helper, normal)
    u /= np.linalg.norm(u)
    return np.array([u, np.cross(normal, u), normal])


def _spacing_along(normal: Floats, grid: Grid) -> float:
    return grid.spacing[int(np.argmax(np.abs(normal @ np.asarray(grid.direction))))]
