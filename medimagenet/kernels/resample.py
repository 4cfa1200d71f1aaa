r"""Resample volumes by nearest neighbour, linear or cubic B-spline interpolation.

Arrays are (Z, Y, X), matrices and offsets are in the same order, z first. Output voxel ``o`` takes the value at the
continuous input index ``offset + matrix @ o``; the centre of input voxel k is at index k. Along each axis an input of
n voxels covers ``-0.5 <= index < n - 0.5`` (the extent of its voxels, as in ITK)::

    voxel        0       1              n-1
              |--o--|--o--|-- ... --|--o--|
    index   -0.5      0.5                n-0.5

Inside, and within half a voxel of the border, the nearest edge voxel is continued. Outside, `border` says what comes:
``"edge"`` continues the edge voxel, ``"constant"`` writes `fill`.

Linear interpolation of whole numbers is rounded half to even and saturated to the range of the type; it is computed
in float32 where that holds every value of the type (8 and 16 bit, float32), else in float64. Nearest takes
``floor(index + 0.5)``: a tie goes to the higher index, as in ITK. The value between a and b is ``a + w (b - a)``: a
constant comes out exactly, and nan reaches every voxel that it is a neighbour of, also at w = 0. Cubic goes through
the voxels up to rounding, and may go beyond their lowest and highest value (`medimagenet.kernels.spline`).
"""

from collections.abc import Callable
from math import floor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import separable, spline
from ._jit import kernel, parallel_kernel, prange
from .intensity import count_not_finite

Interpolation = Literal["linear", "nearest", "cubic"]
Border = Literal["edge", "constant"]

Voxels = NDArray[Any]
Indices = NDArray[np.int64]
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
    border : what lies beyond the voxels of the source: its "edge" or the "constant" `fill`
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
        another shape or not finite; `shape` has an axis below 1; `fill` does not fit the type;
        `out` is of another shape or type, not C-contiguous, or overlaps `source`;
        interpolation is cubic and `source` has voxels that are nan or infinite: they would reach all others.
    """
    voxels = _checked(source, shape, fill)
    matrix, offset = _checked_map(matrix, offset)
    result = np.empty(shape, dtype=source.dtype) if out is None else _checked_out(out, source, shape)
    out = result.view(voxels.dtype)
    constant = border == "constant"
    value = voxels.dtype.type(fill)
    if interpolation == "cubic":
        _run_cubic(voxels, matrix, offset, out, constant, value, _cast_rule(source.dtype), parallel)
    elif is_diagonal(matrix, shape):
        maps = zip(voxels.shape, offset, matrix.diagonal(), shape, strict=True)
        axes = [_axis_table(n, start, step, count, constant) for n, start, step, count in maps]
        _run_separable(voxels, out, axes, interpolation, value, parallel)
    elif interpolation == "nearest":
        affine_nearest = _affine_nearest_parallel if parallel else _affine_nearest
        affine_nearest(voxels, matrix, offset, constant, value, out)
    else:
        affine_linear = _affine_linear_parallel if parallel else _affine_linear
        affine_linear(voxels, matrix, offset, constant, value, *_cast_rule(voxels.dtype), out)
    return result


def is_diagonal(matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> bool:
    """Whether leaving out all but the diagonal moves no voxel of the output by more than `ALIGNED_VOXELS`."""
    rest = np.abs(matrix - np.diag(matrix.diagonal()))
    return bool((rest @ (np.asarray(shape) - 1.0)).max() <= ALIGNED_VOXELS)


def _checked(source: NDArray[Any], shape: tuple[int, int, int], fill: float) -> NDArray[Any]:
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


def _checked_map(matrix: ArrayLike, offset: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


class _AxisTable(NamedTuple):
    """Where each output voxel of one axis takes its value from."""

    below: Indices
    """Lower neighbour; the upper one is the next voxel, or the same at the end."""
    weight: NDArray[np.float64]
    """Share of the upper neighbour, 0 to 1."""
    nearest: Indices
    inside: tuple[int, int]
    """First and one past the last output voxel that lies within the source; all where the border is continued."""


def _axis_table(n: int, offset: float, step: float, count: int, constant: bool) -> _AxisTable:
    index: NDArray[np.float64] = offset + step * np.arange(count, dtype=np.float64)
    clamped = np.clip(index, 0, n - 1)
    below = np.minimum(np.floor(clamped), max(n - 2, 0)).astype(np.int64)
    nearest = np.clip(np.floor(index + 0.5), 0, n - 1).astype(np.int64)
    return _AxisTable(below, clamped - below, nearest, _inside(n, index, constant))


def _inside(n: int, index: NDArray[np.float64], constant: bool) -> tuple[int, int]:
    if not constant:
        return 0, len(index)
    within = np.flatnonzero((index >= -0.5) & (index < n - 0.5))
    return (int(within[0]), int(within[-1]) + 1) if len(within) else (0, 0)


def _run_separable(
    source: NDArray[Any],
    out: NDArray[Any],
    axes: list[_AxisTable],
    interpolation: Interpolation,
    fill: Any,
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
    rule = _cast_rule(source.dtype)
    linear(source, z.below, y.below, x.below.astype(np.uint32), *weights, inside, fill, *rule, out)


def _run_cubic(
    source: Voxels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    out: Voxels,
    constant: bool,
    fill: Any,
    rule: tuple[bool, Any, Any],
    parallel: bool,
) -> None:
    not_finite = count_not_finite(source)
    if not_finite:
        raise ValueError(f"cubic interpolation needs finite voxels, {not_finite} of {source.size} are nan or infinite")
    work = _work_type(source.dtype)
    coefficients = spline.coefficients(source, work, parallel=parallel)
    if not is_diagonal(matrix, out.shape):
        affine = spline.affine_cubic_parallel if parallel else spline.affine_cubic
        affine(coefficients, matrix, offset, constant, fill, rule[0], float(rule[1]), float(rule[2]), out)
        return
    maps = zip(source.shape, offset, matrix.diagonal(), out.shape, strict=True)
    indices = [(n, start + step * np.arange(count)) for n, start, step, count in maps]
    inside = np.array([_inside(n, index, constant) for n, index in indices])
    if (inside[:, 0] == inside[:, 1]).any():
        out[...] = fill
        return
    z, y, x = (spline.spline_axis(n, index) for n, index in indices)
    columns = slice(*inside[2])
    weights_x = np.ascontiguousarray(x.weights[columns].T, dtype=work)
    weights = z.weights.astype(work), y.weights.astype(work), weights_x
    cubic = spline.cubic_parallel if parallel else spline.cubic
    cubic(coefficients, z.taps, y.taps, x.below[columns].astype(np.uint32), *weights, inside, fill, *rule, out)


@kernel
def _cast(value: Any, rounds: bool, low: Any, high: Any) -> Any:
    """Round half to even and saturate; nan becomes `low`. A float passes as it is."""
    if rounds:
        value = np.rint(value)
        value = value if value > low else low
        value = value if value < high else high
    return value


@kernel
def _is_inside(z: float, y: float, x: float, source: Voxels) -> bool:
    """Whether an index lies within the voxels of the source."""
    return -0.5 <= z < source.shape[0] - 0.5 and -0.5 <= y < source.shape[1] - 0.5 and -0.5 <= x < source.shape[2] - 0.5


@kernel
def _nearest_index(index: float, n: int) -> int:
    """floor(index + 0.5), within 0..n-1."""
    return min(max(floor(index + 0.5), 0), n - 1)


@kernel
def _split_index(index: float, n: int) -> tuple[int, int, float]:
    """Lower neighbour, upper neighbour and weight of the upper one, all within 0..n-1."""
    clamped = min(max(index, 0.0), n - 1.0)
    below = floor(clamped)
    return below, min(below + 1, n - 1), clamped - below


@kernel
def _trilinear(source: Voxels, z: float, y: float, x: float) -> float:
    """Value between eight voxels, in float64."""
    z0, z1, wz = _split_index(z, source.shape[0])
    y0, y1, wy = _split_index(y, source.shape[1])
    x0, x1, wx = _split_index(x, source.shape[2])
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
    source: Voxels, matrix: NDArray[np.float64], offset: NDArray[np.float64], constant: bool, fill: Any, out: Voxels
) -> None:
    """Nearest voxel under any affine map."""
    nz, ny, nx = source.shape
    for oz in prange(out.shape[0]):
        for oy in range(out.shape[1]):
            base = offset + matrix[:, 0] * oz + matrix[:, 1] * oy
            for ox in range(out.shape[2]):
                z, y, x = base[0] + matrix[0, 2] * ox, base[1] + matrix[1, 2] * ox, base[2] + matrix[2, 2] * ox
                if constant and not _is_inside(z, y, x, source):
                    out[oz, oy, ox] = fill
                else:
                    out[oz, oy, ox] = source[_nearest_index(z, nz), _nearest_index(y, ny), _nearest_index(x, nx)]


def _affine_linear_body(
    source: Voxels,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    constant: bool,
    fill: Any,
    rounds: bool,
    low: Any,
    high: Any,
    out: Voxels,
) -> None:
    """Trilinear interpolation under any affine map."""
    for oz in prange(out.shape[0]):
        for oy in range(out.shape[1]):
            base = offset + matrix[:, 0] * oz + matrix[:, 1] * oy
            for ox in range(out.shape[2]):
                z, y, x = base[0] + matrix[0, 2] * ox, base[1] + matrix[1, 2] * ox, base[2] + matrix[2, 2] * ox
                if constant and not _is_inside(z, y, x, source):
                    out[oz, oy, ox] = fill
                else:
                    out[oz, oy, ox] = _cast(_trilinear(source, z, y, x), rounds, float(low), float(high))


Loop = Callable[..., None]
_affine_nearest: Loop = kernel(_affine_nearest_body)
_affine_nearest_parallel: Loop = parallel_kernel(_affine_nearest_body)
_affine_linear: Loop = kernel(_affine_linear_body)
_affine_linear_parallel: Loop = parallel_kernel(_affine_linear_body)
