"""Contours of regions, and the voxels of a grid that lie inside them.

A voxel belongs to a region when its centre lies inside, by the even-odd rule over all contours that the region has in
that plane: nested contours and key-holes stay holes. Vertices are never rounded. Where planes are slices of the grid:

- ``between="nearest"``: a contour goes to the slice that its plane is nearest to, within half a slice step; of several
  planes that share a slice the nearest one counts. Planes half-way between two slices all go to the upper one: rounding
  each by itself would put two planes into one slice and none into the next.
- ``between="interpolate"``: slices that no contour plane meets, between two planes no farther apart than twice what is
  usual in the region, take the shape half-way: the signed distances to the outlines of both neighbours, weighted by
  how near each is, are at least 0 (shape-based interpolation: Raya and Udupa, IEEE Trans Med Imaging 9:32, 1990). The
  two outermost planes reach half a slice step further, as with "nearest".

Where most contours of a region are in other parallel planes than the slices (sagittal ones on an axial image, planes
tilted by a degree), each plane stands for half a step between the planes to both sides (`other_planes`).

A contour that is in the file twice would cancel itself: it counts once. Contours of a region that cross in one plane
leave what both hold empty. Both are findings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..geometry import Grid
from ..kernels.coverage import cover_planes
from ..kernels.rasterize import fill_regions
from .coplanar import count_crossings, repeated_contours
from .interpolation import SAME_PLANE_TOLERANCE, SliceBetween, fill_between, slices_between
from .other_planes import count_parallel, fill_other_planes
from .regions import Channels, FillPolicy, finding_of

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")  # an absent type is taken as the one that nearly all have
PLANAR_TOLERANCE = 0.1  # of a slice step: how far the vertices of a contour may lie apart along the normal
PLACE_TOLERANCE = 0.1  # of a slice step: a contour plane farther from its slice is a finding (PET: 0.012 is usual)
SPARSE_STEP = 1.05  # slice steps between contour planes: from here on some slices between them stay empty throughout

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One contour of a region."""

    points: NDArray[np.float64]
    """(n, 3), LPS mm."""
    geometric_type: str = "CLOSED_PLANAR"
    """Contour Geometric Type (3006,0042); empty where the file has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Roi:
    """One region of a structure set."""

    number: int
    """ROI Number (3006,0022), which contours refer to."""
    name: str
    """ROI Name (3006,0026); "ROI 7" where it is empty, "GTV (ROI 7)" where an earlier one has the same."""
    contours: tuple[Contour, ...]
    frame_of_reference: str | None = None
    """Referenced Frame of Reference UID (3006,0024)."""
    label: str = ""
    """ROI Name as the file has it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """The contours of one region that lie in slices and are filled, and what is unusual about the others."""

    roi: Roi
    vertices: Floats
    """(n, 2), index coordinates x, y."""
    lengths: Whole
    planes: Whole
    """Per contour its slice."""
    outside: NDArray[np.bool_]
    """Per contour whether it reaches out of its slice."""
    findings: list[Finding]
    too_few: int = 0
    """Contours of less than three vertices."""


@dataclass(frozen=True, slots=True, eq=False)
class _Closed:
    """The closed contours of a region in index coordinates of a grid."""

    vertices: Floats
    """(n, 3): x, y, z."""
    lengths: Whole
    low: Floats
    """(contours, 3)."""
    high: Floats
    heights: Floats
    """(contours,): mean z."""

    @property
    def is_level(self) -> NDArray[np.bool_]:
        """Whether a contour lies in one slice, or parallel to it."""
        return self.high[:, 2] - self.low[:, 2] <= PLANAR_TOLERANCE

    @property
    def is_polygon(self) -> NDArray[np.bool_]:
        return self.lengths >= 3


def fill_rois(rois: Sequence[Roi], grid: Grid, channels: Channels, policy: FillPolicy) -> list[Finding]:
    """Fill regions into channels, in place: each into its own, all in one call of the kernel.

    Parameters
    ----------
    channels : (regions, Z, Y, X) of `grid`, all zero
        float32 gets the share of each voxel's area that lies inside.

    Returns
    -------
    findings : what is unusual about the contours; a region without usable contours leaves its channel empty
    """
    placed = [_place(roi, grid, channel, policy) for roi, channel in zip(rois, channels, strict=True)]
    counts: Sequence[Whole | None]
    if channels.dtype == np.bool_:
        counts = _fill(placed, channels.view(np.bool_), policy.parallel)
    else:
        counts = [None] * len(placed)
        for part, channel in zip(placed, channels.view(np.float32), strict=True):
            if len(part.planes):
                cover_planes(part.vertices, _starts(part.lengths), part.planes, channel, parallel=policy.parallel)
    return _all_findings(placed, counts, grid)


def fill_packed(rois: Sequence[Roi], grid: Grid, *, parallel: bool = False) -> tuple[NDArray[np.uint8], list[Finding]]:
    """Fill regions into one bit each: an eighth of the memory of channels. Slices take the nearest plane.

    Returns
    -------
    packed : (bytes, Z, Y, X)
        Region k is bit ``k % 8`` of byte ``k // 8`` (`medimagenet.kernels.rasterize.unpack_region`).
    findings
    """
    packed = np.zeros((-(-len(rois) // 8), *grid.shape), dtype=np.uint8)
    scratch = np.zeros(grid.shape, dtype=np.bool_)
    placed = []
    for number, roi in enumerate(rois):
        placed.append(_place(roi, grid, scratch, FillPolicy(parallel=parallel)))
        if not len(placed[-1].planes):  # contours in other planes are in the scratch already
            packed[number // 8] |= scratch.view(np.uint8) << np.uint8(number % 8)
            scratch[:] = False
    counts = _fill(placed, packed, parallel)
    return packed, _all_findings(placed, counts, grid)


def _fill(
    placed: Sequence[_Placed], out: NDArray[np.bool_] | NDArray[np.uint8], parallel: bool
) -> list[NDArray[np.int64]]:
    """Fill the contours of all regions; give per region the number of voxels inside each contour."""
    if not placed:
        return []
    vertices = np.concatenate([part.vertices for part in placed])
    lengths = np.concatenate([part.lengths for part in placed])
    planes = np.concatenate([part.planes for part in placed])
    regions = np.repeat(np.arange(len(placed)), [len(part.planes) for part in placed])
    counts = fill_regions(vertices, _starts(lengths), planes, regions, out, parallel=parallel)
    return np.split(counts, np.cumsum([len(part.planes) for part in placed])[:-1])


def _starts(lengths: Whole) -> Whole:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def _place(roi: Roi, grid: Grid, channel: NDArray[np.bool_] | NDArray[np.float32], policy: FillPolicy) -> _Placed:
    """Find the slices of a region's contours; what does not lie in slices is filled here."""
    findings = []
    if not roi.contours:
        findings.append(finding_of("roi_without_contours", roi.name, "has no contours"))
    polygons: Sequence[Floats] = [each.points for each in roi.contours if each.geometric_type in CLOSED]
    if (count := len(polygons)) < len(roi.contours):
        others = sorted({contour.geometric_type for contour in roi.contours} - set(CLOSED))
        what = f"has {len(roi.contours) - count} contours of type {', '.join(others)}"
        findings.append(finding_of("contour_not_closed", roi.name, what, len(roi.contours) - count))
    if not polygons:
        return _nothing(roi, findings)
    polygons, closed = _once_each(polygons, grid)
    if (again := count - len(polygons)) > 0:
        findings.append(
            finding_of("contour_repeated", roi.name, f"has {again} contours twice: each counts once", again)
        )
    if not closed.is_level[closed.is_polygon].all():
        usable = [points for points in polygons if len(points) >= 3]
        if count_parallel(usable, grid) > np.count_nonzero(closed.is_level & closed.is_polygon):
            findings += fill_other_planes(roi.name, usable, grid, channel, parallel=policy.parallel)
            return _nothing(roi, findings, len(polygons) - len(usable))
    return _place_level(roi, closed, grid, channel, policy, findings)


def _once_each(polygons: Sequence[Floats], grid: Grid) -> tuple[Sequence[Floats], _Closed]:
    """The contours without those that are there twice."""
    closed = _closed(polygons, grid)
    again = repeated_contours(closed.vertices, closed.lengths, closed.low, closed.high)
    if not again.any():
        return polygons, closed
    kept = [points for points, is_again in zip(polygons, again, strict=True) if not is_again]
    return kept, _closed(kept, grid)


def _nothing(roi: Roi, findings: list[Finding], too_few: int = 0) -> _Placed:
    none = np.empty(0, dtype=np.int64)
    return _Placed(roi, np.empty((0, 2)), none, none, np.empty(0, dtype=np.bool_), findings, too_few)


def _closed(polygons: Sequence[Floats], grid: Grid) -> _Closed:
    lengths = np.array([len(points) for points in polygons])
    vertices = grid.to_index(np.concatenate(polygons))
    firsts = _starts(lengths)[:-1]
    low, high = np.minimum.reduceat(vertices, firsts), np.maximum.reduceat(vertices, firsts)
    return _Closed(vertices, lengths, low, high, np.add.reduceat(vertices[:, 2], firsts) / lengths)


def _place_level(
    roi: Roi,
    closed: _Closed,
    grid: Grid,
    channel: NDArray[np.bool_] | NDArray[np.float32],
    policy: FillPolicy,
    findings: list[Finding],
) -> _Placed:
    """Contours that are parallel to the slices."""
    slices = np.floor(closed.heights + 0.5 + SAME_PLANE_TOLERANCE)
    level = closed.is_level
    in_image = (slices >= 0) & (slices < grid.shape[0])
    placed = level & in_image
    nearest = placed & _in_nearest_plane(closed.heights, slices)
    used = nearest & closed.is_polygon
    between = slices_between(closed.heights[level & closed.is_polygon], grid.shape[0])
    if policy.between == "interpolate":
        filled_between = np.isin(slices, [part.number for part in between])
        placed, nearest, used = placed & ~filled_between, nearest & ~filled_between, used & ~filled_between
        findings += _interpolate(roi, closed, between, grid, channel, policy.parallel)
    else:
        empty = {part.number for part in between} - set(slices[used].astype(int).tolist())
        findings += _sparse_findings(roi, closed.heights[level & closed.is_polygon], len(empty))
    edge = np.array(grid.size[:2]) - 0.5  # x, y of the outer edge of the outermost voxels
    outside = (closed.low[used, :2].min(axis=1) < -0.5) | (closed.high[used, :2] > edge).any(axis=1)
    beyond = int(np.count_nonzero(outside)) + int(np.count_nonzero(level & ~in_image))
    findings += _place_findings(roi, closed, np.abs(closed.heights - slices), placed, nearest, beyond)
    return _Placed(
        roi,
        np.ascontiguousarray(closed.vertices[np.repeat(used, closed.lengths), :2]),
        closed.lengths[used],
        slices[used].astype(np.int64),
        outside,
        findings,
        int(np.count_nonzero(~closed.is_polygon)),
    )


def _interpolate(
    roi: Roi,
    closed: _Closed,
    between: Sequence[SliceBetween],
    grid: Grid,
    channel: NDArray[np.bool_] | NDArray[np.float32],
    parallel: bool,
) -> list[Finding]:
    """Fill the slices that lie between contour planes."""
    if not between:
        return []
    use = closed.is_level & closed.is_polygon
    vertices = closed.vertices[np.repeat(use, closed.lengths), :2] * grid.spacing[:2]  # mm
    polygons = np.split(vertices, np.cumsum(closed.lengths[use])[:-1])
    fill_between(polygons, closed.heights[use], between, grid.spacing[:2], channel, parallel=parallel)
    what = f"takes {len(between)} slices from the contours above and below, having none of its own there"
    return [finding_of("contour_interpolated", roi.name, what, len(between), "slices")]


def _sparse_findings(roi: Roi, heights: Floats, empty: int) -> list[Finding]:
    """Slices between contour planes that the nearest plane leaves empty: throughout, or where a plane is missing."""
    if not empty:
        return []
    steps = np.diff(np.unique(heights))
    step = float(np.median(steps[steps > SAME_PLANE_TOLERANCE]))
    stay = f'{empty} slices between them stay empty (between="interpolate" fills them)'
    if step > SPARSE_STEP:
        what = f"has contour planes {step:.3g} slices apart: {stay}"
        return [finding_of("contours_sparse", roi.name, what, empty, "slices")]
    what = f"has contour planes that are farther apart than others: {stay}"
    return [finding_of("contour_plane_missing", roi.name, what, empty, "slices")]


def _place_findings(
    roi: Roi, closed: _Closed, offsets: Floats, placed: NDArray[np.bool_], nearest: NDArray[np.bool_], outside: int
) -> list[Finding]:
    """What is unusual about the places of contours; `offsets` is how far each is from its slice, in slice steps."""
    sloping = int(np.count_nonzero(~closed.is_level))
    far = offsets[placed & (offsets > PLACE_TOLERANCE)]
    left_out = int(np.count_nonzero(placed & ~nearest))
    totals = (
        ("contour_not_planar", sloping, "that are not parallel to the slices, as others are, and are left out"),
        ("contour_outside_image", outside, "that reach outside the image and are clipped"),
        (
            "contour_between_slices",
            len(far) + left_out,
            f"in planes up to {far.max(initial=0):.2g} of a slice step from their slice; "
            f"{left_out} of them left out because another plane is nearer",
        ),
    )
    return [finding_of(code, roi.name, f"has {n} contours {text}", n) for code, n, text in totals if n]


def _all_findings(placed: Sequence[_Placed], counts: Sequence[Whole | None], grid: Grid) -> list[Finding]:
    """Findings of regions, now that it is known how many voxels each contour holds (None where it is not)."""
    findings = []
    for part, inside in zip(placed, counts, strict=True):
        findings += part.findings
        crossings = count_crossings(part.vertices, part.lengths, part.planes, grid.shape[1:], inside)
        if crossings:
            what = f"has {crossings} pairs of contours in one plane that cross: what both hold is outside (even-odd)"
            findings.append(finding_of("contours_cross", part.roi.name, what, crossings, "pairs"))
        empty = part.too_few + (0 if inside is None else int(np.count_nonzero((inside == 0) & ~part.outside)))
        if empty:
            what = f"has {empty} contours that hold no voxel centre"
            findings.append(finding_of("contour_fills_nothing", part.roi.name, what, empty))
    return findings


def _in_nearest_plane(heights: Floats, slices: Floats) -> NDArray[np.bool_]:
    """Of contours in several planes that share a nearest slice, those in the plane nearest to it.

    Contours drawn more densely than the slices would otherwise cancel one another under the even-odd rule.
    """
    distance = np.abs(heights - slices)
    order = np.lexsort((heights, distance, slices))
    first = np.r_[True, np.diff(slices[order]) != 0]
    leader = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    is_near = np.empty(len(heights), dtype=bool)
    is_near[order] = np.abs(heights[order] - heights[leader]) <= SAME_PLANE_TOLERANCE
    return is_near
