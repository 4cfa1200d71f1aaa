r"""Resample volumes by nearest neighbour, linear or cubic B-spline interpolation.

Arrays are (Z, Y, X), matrices and offsets are in the same order, z first. Output voxel ``o`` takes the value at the
continuous input index ``offset + matrix @ o``; the centre of input voxel k is at index k. Along each axis an input of
n voxels covers ``-0.5 <= index < n - 0.5`` (the extent of its voxels, as in ITK)::

    voxel        0       1              n-1
              |--o--|--o--|-- ... --|--o--|
    index   -0.5      0.5                n-0.5

Inside, and within half a voxel of the border, the nearest edge voxel is continued. Outside, `border` says what comes:
``"edge"`` continues the edge voxel, ``"constant"`` writes `fill`, ``"reflect"`` mirrors the volume at the outer faces
of its edge voxels (d c b a | a b c d | d c b a), again and again, as scipy.ndimage's mode of that name.

Linear interpolation of whole numbers is rounded half to even and saturated to the range of the type; it is computed
in float32 where that holds every value of the type (8 and 16 bit, float32), else in float64. Nearest takes
``floor(index + 0.5)``: a tie goes to the higher index, as in ITK. The value between a and b is ``a + w (b - a)``: a
constant comes out exactly, and nan reaches every voxel that it is a neighbour of, also at w = 0. Cubic goes through
the voxels up to rounding, and may go beyond their lowest and highest value (`medimagenet.kernels.spline`).
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import separable, spline, spline_windows, taps
from ._jit import kernel, parallel_kernel, prange
from .borders import (
    BORDERS,
    AxisTable,
    Border,
    axis_tables,
    border_code,
    columns_inside,
    folded,
    is_inside,
    nearest_index,
    split_index,
    voxels_clamped,
    voxels_reflected,
    within,
)
from .intensity import count_not_finite

Interpolation = Literal["linear", "nearest", "cubic"]

Voxels = NDArray[Any]
Floats = NDArray[np.float32] | NDArray[np.float64]

ALIGNED_VOXELS = 1e-4
"""A matrix counts as diagonal when leaving out the rest moves no output voxel by more than this, in input voxels."""
_EXACT_IN_FLOAT32 = (np.uint8, np.int8, np.uint16, np.int16, np.float32)


def resample(
    source: NDArray[Any],
    matrix: ArrayLike,
    offset: ArrayLike,
    shape: tuple[int, int, int],
    *,
    interpolation: Interpolation = "linear",
    border: Border = "edge",
    fill: float = 0.0,
    antialias: bool = False,
    parallel: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Resample a volume onto the grid that a matrix and an offset describe.

    Parameters
    ----------
    source : (Z, Y, X), any real type; bool is taken as 0 and 1, so linear gives "above one half"
    matrix : (3, 3), input voxels per output voxel, z first; a diagonal one takes the faster, separable way
    offset : (3,), input index of output voxel 0, z first
    shape : (Z, Y, X) of the output
    interpolation : "linear", "nearest" or "cubic" (the spline through the voxels)
    border : what lies beyond the voxels of the source: its "edge", the "constant" `fill`, or what they "reflect"
    antialias : filter first along axes whose voxels become larger (`medimagenet.kernels.taps`); with cubic and with
        oblique maps that takes a volume of the size of `source` in float
    parallel : use all threads of numba; off where the caller has threads or processes of its own
    out : (Z, Y, X), C-contiguous, of the type of `source`
        Array to write into, which may not overlap `source`: new memory costs about as much as the interpolation.

    Returns
    -------
    (Z, Y, X), of the type of `source`; `out` where it was given.

    Raises
    ------
    ValueError
        `source` is not three-dimensional, holds no voxel or is of a type without an order; matrix or offset are of
        another shape or not finite; `shape` has an axis below 1; `fill` does not fit the type; `border` or
        `interpolation` is none of those named; nearest is to be filtered first, which would mix labels;
        `out` is of another shape or type, not C-contiguous, or overlaps `source`;
        interpolation is cubic and `source` has voxels that are nan or infinite: they would reach all others.
    """
    voxels = checked(source, shape, fill)
    matrix, offset = checked_map(matrix, offset)
    _check_choices(interpolation, border, antialias)
    result = np.empty(shape, dtype=source.dtype) if out is None else _checked_out(out, source, shape)
    out = result.view(voxels.dtype)
    value, rule = voxels.dtype.type(fill), _cast_rule(source.dtype)
    sigmas = [taps.sigma_of(step) for step in np.linalg.norm(matrix, axis=1)] if antialias else [0.0] * 3
    if any(sigmas):
        if interpolation == "linear" and is_diagonal(matrix, shape):
            _run_weighted(voxels, matrix, offset, sigmas, out, border, value, rule, parallel)
            return result
        voxels = _filtered(voxels, sigmas, border, parallel)
    if interpolation == "cubic":
        _run_cubic(voxels, matrix, offset, out, border, value, rule, parallel)
    elif is_diagonal(matrix, shape):
        axes = axis_tables(voxels.shape, matrix, offset, shape, border)
        _run_separable(voxels, out, axes, interpolation, value, rule, parallel)
    elif interpolation == "nearest":
        affine_nearest = _affine_nearest_parallel if parallel else _affine_nearest
        affine_nearest(voxels, matrix, offset, border_code(border), value, out)
    else:
        affine_linear = _affine_linear_parallel if parallel else _affine_linear
        affine_linear(voxels, matrix, offset, border_code(border), value, *rule, out)
    return result


def weighted_sums(
    source: NDArray[Any],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    border: Border,
    fill: float,
    parallel: bool = False,
) -> NDArray[np.float32]:
    """As `resample`, linear and filtered first, in float32 whatever the type of `source`."""
    sigmas = [taps.sigma_of(step) for step in np.linalg.norm(matrix, axis=1)]
    out = np.empty(shape, dtype=np.float32)
    rule = _cast_rule(out.dtype)
    if is_diagonal(matrix, shape):
        _run_weighted(source, matrix, offset, sigmas, out, border, np.float32(fill), rule, parallel)
    else:
        filtered = _filtered(source, sigmas, border, parallel)
        affine_linear = _affine_linear_parallel if parallel else _affine_linear
        affine_linear(filtered, matrix, offset, border_code(border), np.float32(fill), *rule, out)
    return out


def _check_choices(interpolation: Interpolation, border: Border, antialias: bool) -> None:
    if interpolation not in ("linear", "nearest", "cubic"):
        raise ValueError(f'interpolation must be "linear", "nearest" or "cubic", got {interpolation!r}')
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}, got {border!r}")
    if antialias and interpolation == "nearest":
        raise ValueError("antialias averages voxels, which nearest never does: choose linear, or resample_labels")


def is_diagonal(matrix: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether leaving out all but the diagonal moves no voxel of the output by more than `ALIGNED_VOXELS`."""
    rest = np.abs(matrix - np.diag(matrix.diagonal()))
    return bool((rest @ (np.asarray(shape) - 1.0)).max() <= ALIGNED_VOXELS)


def checked(source: NDArray[Any], shape: tuple[int, int, int], fill: float) -> NDArray[Any]:
    """The source as kernels take it, bool as uint8; ValueError as `resample` says."""
    if source.ndim != 3 or source.size == 0:
        raise ValueError(f"source must be (Z, Y, X) with at least one voxel, got shape {source.shape}")
    if source.dtype.kind not in "buif" or source.dtype == np.float16:
        raise ValueError(f"source must be bool, integer, float32 or float64, got {source.dtype}")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape must be (Z, Y, X) with at least one voxel, got {shape}")
    voxels = np.ascontiguousarray(source)
    voxels = voxels.view(np.uint8) if voxels.dtype == np.bool_ else voxels
    if voxels.dtype.kind in "ui" and not np.iinfo(voxels.dtype).min <= fill <= np.iinfo(voxels.dtype).max:
        raise ValueError(f"fill {fill} does not fit {voxels.dtype}")
    return voxels


def _checked_out(out: NDArray[Any], source: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    if out.shape != tuple(shape) or out.dtype != source.dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"out must be C-contiguous {source.dtype} of shape {tuple(shape)}, got {out.dtype} {out.shape} "
            f"with strides {out.strides}"
        )
    if np.may_share_memory(out, source):
        raise ValueError(f"out {out.shape} overlaps source {source.shape} in memory")
    return out


def checked_map(matrix: ArrayLike, offset: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64; ValueError as `resample` says."""
    m, o = np.ascontiguousarray(matrix, dtype=np.float64), np.ascontiguousarray(offset, dtype=np.float64)
    if m.shape != (3, 3) or o.shape != (3,) or not (np.isfinite(m).all() and np.isfinite(o).all()):
        raise ValueError(f"matrix must be (3, 3) and offset (3,), all finite, got {m.tolist()} and {o.tolist()}")
    return m, o


def _work_type(dtype: np.dtype[Any]) -> type[np.float32] | type[np.float64]:
    return np.float32 if dtype in _EXACT_IN_FLOAT32 else np.float64


def _cast_rule(dtype: np.dtype[Any]) -> tuple[bool, Any, Any]:
    """Whether to round, and the lowest and highest value, in the type that interpolation works in."""
    work = _work_type(dtype)
    if dtype.kind == "f":
        return False, work(-np.inf), work(np.inf)
    if dtype.kind == "b":
        return True, np.float32(0), np.float32(1)
    limits = np.iinfo(dtype)
    high = work(limits.max)
    if int(high) > limits.max:  # 2^63 - 1 rounds up to a float that no longer fits
        high = np.nextafter(high, work(0))
    return True, work(limits.min), high


def _run_separable(
    source: NDArray[Any],
    out: NDArray[Any],
    axes: list[AxisTable],
    interpolation: Interpolation,
    fill: Any,
    rule: tuple[bool, Any, Any],
    parallel: bool,
) -> None:
    z, y, x = axes
    inside = np.array([z.inside, y.inside, x.inside])
    if (inside[:, 0] == inside[:, 1]).any():
        out[...] = fill
        return
    if interpolation == "nearest":
        copy = separable.nearest_parallel if parallel else separable.nearest
        copy(source, z.nearest, y.nearest, x.nearest.astype(np.uint32), inside, fill, out)
        return
    work = _work_type(source.dtype)
    weights = [axis.weight.astype(work) for axis in axes]
    linear = separable.linear_parallel if parallel else separable.linear
    linear(source, z.below, y.below, x.below.astype(np.uint32), *weights, inside, fill, *rule, out)


def _run_cubic(
    source: Voxels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    out: Voxels,
    border: Border,
    fill: Any,
    rule: tuple[bool, Any, Any],
    parallel: bool,
) -> None:
    not_finite = count_not_finite(source)
    if not_finite:
        raise ValueError(f"cubic interpolation needs finite voxels, {not_finite} of {source.size} are nan or infinite")
    work = _work_type(source.dtype)
    if not is_diagonal(matrix, out.shape):
        coefficients = spline.coefficients(source, work, parallel=parallel)
        affine = spline.affine_cubic_parallel if parallel else spline.affine_cubic
        affine(coefficients, matrix, offset, border_code(border), fill, rule[0], float(rule[1]), float(rule[2]), out)
        return
    maps = zip(source.shape, offset, matrix.diagonal(), out.shape, strict=True)
    indices = [(n, start + step * np.arange(count)) for n, start, step, count in maps]
    inside = np.array([columns_inside(n, index, border) for n, index in indices])
    if (inside[:, 0] == inside[:, 1]).any():
        out[...] = fill
        return
    z, y, x = (spline.spline_axis(n, within(n, index, border)) for n, index in indices)
    columns = slice(*inside[2])
    x = spline.SplineAxis(x.taps[columns], x.below[columns], x.weights[columns])
    spline_windows.interpolate(source, work, (z, y, x), inside, fill, rule, out, parallel=parallel)


def _run_weighted(
    source: Voxels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    sigmas: list[float],
    out: Voxels,
    border: Border,
    fill: Any,
    rule: tuple[bool, Any, Any],
    parallel: bool,
) -> None:
    """Filter and linear interpolation in one, axes aligned."""
    maps = zip(source.shape, offset, matrix.diagonal(), out.shape, strict=True)
    indices = [(n, start + step * np.arange(count)) for n, start, step, count in maps]
    inside = np.array([columns_inside(n, index, border) for n, index in indices])
    if (inside[:, 0] == inside[:, 1]).any():
        out[...] = fill
        return
    place = voxels_reflected if border == "reflect" else voxels_clamped
    places = [
        (n, np.clip(within(n, index, border), 0, n - 1), sigma)
        for (n, index), sigma in zip(indices, sigmas, strict=True)
    ]
    z, y, x = (taps.axis_taps(n, index, sigma, place) for n, index, sigma in places)
    columns, work = slice(*inside[2]), _work_type(out.dtype)
    xs = np.ascontiguousarray(x.voxel[columns].T)
    weights = z.weight.astype(work), y.weight.astype(work), np.ascontiguousarray(x.weight[columns].T, dtype=work)
    weighted = taps.weighted_parallel if parallel else taps.weighted
    weighted(source, z.voxel, y.voxel, xs, *weights, inside, fill, *rule, out)


def _filtered(source: Voxels, sigmas: list[float], border: Border, parallel: bool) -> Voxels:
    """The volume after the filter alone, in the type that interpolation works in."""
    out = np.empty(source.shape, dtype=_work_type(source.dtype))
    continued: Border = "reflect" if border == "reflect" else "edge"
    rule = _cast_rule(out.dtype)
    _run_weighted(source, np.eye(3), np.zeros(3), sigmas, out, continued, out.dtype.type(0), rule, parallel)
    return out


@kernel
def _cast(value: Any, rounds: bool, low: Any, high: Any) -> Any:
    """Round half to even and saturate; nan becomes `low`. A float passes as it is."""
    if rounds:
        value = np.rint(value)
        value = value if value > low else low
        value = value if value < high else high
    return value


@kernel
def _trilinear(source: Voxels, z: float, y: float, x: float) -> float:
    """Value between eight voxels, in float64."""
    z0, z1, wz = split_index(z, source.shape[0])
    y0, y1, wy = split_index(y, source.shape[1])
    x0, x1, wx = split_index(x, source.shape[2])
    a, b = float(source[z0, y0, x0]), float(source[z0, y1, x0])
    c, d = float(source[z1, y0, x0]), float(source[z1, y1, x0])
    a += wx * (source[z0, y0, x1] - a)
    b += wx * (source[z0, y1, x1] - b)
    c += wx * (source[z1, y0, x1] - c)
    d += wx * (source[z1, y1, x1] - d)
    a += wy * (b - a)
    c += wy * (d - c)
    return a + wz * (c - a)


def _affine_nearest_body(
    source: Voxels, matrix: NDArray[np.float64], offset: NDArray[np.float64], border: int, fill: Any, out: Voxels
) -> None:
    """Nearest voxel under any affine map."""
    nz, ny, nx = source.shape
    for oz in prange(out.shape[0]):
        for oy in range(out.shape[1]):
            base = offset + matrix[:, 0] * oz + matrix[:, 1] * oy
            for ox in range(out.shape[2]):
                z, y, x = base[0] + matrix[0, 2] * ox, base[1] + matrix[1, 2] * ox, base[2] + matrix[2, 2] * ox
                if border == 1 and not is_inside(z, y, x, source):
                    out[oz, oy, ox] = fill
                    continue
                if border == 2:
                    z, y, x = folded(z, nz), folded(y, ny), folded(x, nx)
                out[oz, oy, ox] = source[nearest_index(z, nz), nearest_index(y, ny), nearest_index(x, nx)]


def _affine_linear_body(
    source: Voxels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    border: int,
    fill: Any,
    rounds: bool,
    low: Any,
    high: Any,
    out: Voxels,
) -> None:
    """Trilinear interpolation under any affine map."""
    nz, ny, nx = source.shape
    for oz in prange(out.shape[0]):
        for oy in range(out.shape[1]):
            base = offset + matrix[:, 0] * oz + matrix[:, 1] * oy
            for ox in range(out.shape[2]):
                z, y, x = base[0] + matrix[0, 2] * ox, base[1] + matrix[1, 2] * ox, base[2] + matrix[2, 2] * ox
                if border == 1 and not is_inside(z, y, x, source):
                    out[oz, oy, ox] = fill
                    continue
                if border == 2:
                    z, y, x = folded(z, nz), folded(y, ny), folded(x, nx)
                out[oz, oy, ox] = _cast(_trilinear(source, z, y, x), rounds, float(low), float(high))


Loop = Callable[..., None]
_affine_nearest: Loop = kernel(_affine_nearest_body)
_affine_nearest_parallel: Loop = parallel_kernel(_affine_nearest_body)
_affine_linear: Loop = kernel(_affine_linear_body)
_affine_linear_parallel: Loop = parallel_kernel(_affine_linear_body)
