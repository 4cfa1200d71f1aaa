"""Stacks that form no grid as they are, brought onto one where a recipe asks for it: a tilted gantry, missing slices.

Nothing here happens unless it is asked for by the code of the finding, and what was done stands in the findings and
the metadata of the volume. A tilted stack is sheared: each slice is moved within its plane, by linear interpolation,
to where the straight stack has it; the grid grows so that no voxel is lost, and what no slice covers is filled with
the lowest value of the volume. A missing slice is interpolated linearly between its neighbours.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..findings import FIXABLE, Finding, Severity
from ..geometry import Grid
from ..kernels.resample import resample
from .stack import IN_PLANE_TOLERANCE_MM, MULTIPLE_TOLERANCE, SlicePlane, axes_of, direction_of

FIXES = tuple(sorted(FIXABLE))
MOST_IN_A_ROW = 3  # missing slices: beyond it what is between is a guess
_SHIFT_TOLERANCE = 1e-6  # of a voxel: a slice that moves less stays as it is


@dataclass(frozen=True, slots=True)
class Repair:
    """How slices come onto a grid."""

    grid: Grid
    places: tuple[int, ...]
    """Which slice of the grid each of the given ones is, rising from 0."""
    shifts: tuple[tuple[float, float], ...]
    """Per given slice the index in it, row and column, of the grid's first row and column."""
    findings: tuple[Finding, ...]
    """What was done, in place of the findings that it answers."""


def plan_repair(planes: Sequence[SlicePlane], findings: Sequence[Finding], fix: Collection[str]) -> Repair | None:
    """How to repair a stack; None where something else is wrong with it, or more is missing than can be made up.

    Parameters
    ----------
    planes : of the slices, bottom to top along the normal
    findings : of the stack
    fix : codes of `FIXES` that may be repaired
    """
    errors = {finding.code for finding in findings if finding.severity is Severity.ERROR}
    if not errors or not errors <= set(fix) & set(FIXES):
        return None
    rows, columns, normal = axes_of(planes[0])
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    places = _places(positions @ normal)
    if places is None:
        return None
    first = planes[0]
    offsets = (positions - positions[0]) @ np.column_stack([columns, rows])  # along rows' axis y, then columns' x
    spacing = np.array(first.pixel_spacing or (1.0, 1.0))
    shifts = _straight(offsets) / spacing if "gantry_tilt" in errors else np.zeros_like(offsets)
    low, high = np.floor(shifts.min(axis=0) + 1e-9), np.ceil(shifts.max(axis=0) - 1e-9)
    height = float((positions[-1] - positions[0]) @ normal) / places[-1]
    direction = np.column_stack([rows, columns, normal])
    origin = positions[0] + low[0] * spacing[0] * columns + low[1] * spacing[1] * rows
    n_rows, n_columns = (np.array([first.rows, first.columns]) + high - low).astype(int).tolist()
    grid = Grid(
        (n_columns, n_rows, places[-1] + 1),
        (float(spacing[1]), float(spacing[0]), height),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        direction_of(direction),
    )
    starts = tuple((float(y), float(x)) for y, x in (low - shifts).tolist())
    kept = [finding for finding in findings if finding.code not in errors]
    return Repair(grid, tuple(places), starts, (*kept, *_done(errors, findings, places)))


def apply_repair(repair: Repair, stored: NDArray[Any]) -> NDArray[Any]:
    """The slices (n, Y, X), bottom to top, on the grid of the repair."""
    grid = repair.grid
    fill = float(stored.min())
    volume = np.empty(grid.shape, dtype=stored.dtype)
    for plane, place, (row, column) in zip(stored, repair.places, repair.shifts, strict=True):
        if max(abs(row), abs(column)) < _SHIFT_TOLERANCE and plane.shape == grid.shape[1:]:
            volume[place] = plane
        else:
            shape = (1, grid.shape[1], grid.shape[2])
            moved = resample(plane[None], np.eye(3), (0.0, row, column), shape, border="constant", fill=fill)
            volume[place] = moved[0]
    for below, above in zip(repair.places, repair.places[1:], strict=False):
        for place in range(below + 1, above):
            weight = (place - below) / (above - below)
            volume[place] = _between(volume[below], volume[above], weight)
    return volume


def _between(below: NDArray[Any], above: NDArray[Any], weight: float) -> NDArray[Any]:
    values = below.astype(np.float64) * (1 - weight) + above.astype(np.float64) * weight
    return np.rint(values).astype(below.dtype) if below.dtype.kind in "iu" else values.astype(below.dtype)


def _places(heights: NDArray[np.float64]) -> list[int] | None:
    """Which slice of an even stack each one is; None where the steps are no multiples of one, or too many lack."""
    steps = np.diff(heights)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    multiples = np.round(steps / usual)
    if np.abs(steps - multiples * usual).max() > MULTIPLE_TOLERANCE * usual or multiples.max() - 1 > MOST_IN_A_ROW:
        return None
    return [0, *np.cumsum(multiples).astype(int).tolist()]


def _straight(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Offsets within the plane, mm: those of slices that move along one axis alone stay exactly zero on the other."""
    still = np.abs(offsets).max(axis=0) <= IN_PLANE_TOLERANCE_MM / 2
    return np.where(still, 0.0, offsets)


def _done(errors: Collection[str], findings: Sequence[Finding], places: Sequence[int]) -> list[Finding]:
    done = []
    by_code = {finding.code: finding for finding in findings}
    if "gantry_tilt" in errors:
        angle = by_code["gantry_tilt"].numbers["angle_degrees"]
        message = f"the gantry was tilted by {angle:.3g} degrees: slices were resampled to a straight stack"
        done.append(Finding(code="tilt_resampled", message=message, numbers={"angle_degrees": angle}))
    missing = places[-1] + 1 - len(places)
    if missing:
        made = sorted(set(range(places[-1] + 1)) - set(places))
        message = f"{missing} of {places[-1] + 1} slices were missing and are interpolated between their neighbours"
        done.append(Finding(code="slices_interpolated", message=message, numbers={"slices": made}))
    return done


def provenance(repair: Repair) -> list[dict[str, Any]]:
    """What was done, as JSON values, for the metadata of the volume."""
    return [
        {"code": finding.code, **finding.numbers}
        for finding in repair.findings
        if finding.code in ("tilt_resampled", "slices_interpolated")
    ]
