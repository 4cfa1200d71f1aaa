"""From the stored grid back to the patient's own: a prediction becomes a `Mask` where the scan was."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..geometry import Grid
from ..kernels.resample import resample
from ..volume import Mask

Interpolation = Literal["nearest", "linear"]


def to_patient(
    prediction: NDArray[Any],
    grid: Grid,
    source_grid: Grid,
    classes: Sequence[str],
    *,
    interpolation: Interpolation = "nearest",
) -> Mask:
    """Undo crop, resampling and turning at once: both grids say where their voxels are.

    Parameters
    ----------
    prediction : (Z, Y, X) map of 0 and the values 1, 2, ... of the classes; or (C, Z, Y, X), one channel per class
        Channels are bool or whole numbers, where 0 is outside, or floats, where more than one half is inside.
    grid : of the prediction
    source_grid : of the result
    interpolation : "linear" gives smoother borders where the source is finer: each class by itself, above one half

    Returns
    -------
    mask : (C, Z, Y, X) on `source_grid`; nothing is set where the prediction has no voxel

    Raises
    ------
    ValueError
        The prediction is not on its grid, has another number of channels than there are classes, or values beyond.
    """
    channels = _channels(prediction, grid, len(classes))
    matrix, offset = index_map(grid, source_grid)
    out = np.zeros((len(classes), *source_grid.shape), dtype=np.bool_)
    for channel, place in zip(channels, out, strict=True):
        floats = channel.dtype.kind == "f"
        source = channel.astype(np.float32) if floats or interpolation == "linear" else channel
        result = resample(
            np.ascontiguousarray(source),
            matrix,
            offset,
            source_grid.shape,
            interpolation=interpolation,
            border="constant",
            fill=0,
        )
        place[...] = result > 0.5
    return Mask(out, source_grid, tuple(classes))


def index_map(source: Grid, target: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From indices of `target` to indices of `source`, both (z, y, x): (3, 3) matrix and offset.

    What is within 1e-9 voxels of a whole number is it: a turn and a crop then take voxels from their very places.
    """
    matrix = np.linalg.solve(source.matrix, target.matrix)
    offset = source.to_index(target.origin)
    exact = [np.where(np.abs(part - np.rint(part)) < 1e-9, np.rint(part), part) for part in (matrix, offset)]
    return np.ascontiguousarray(exact[0][::-1, ::-1]), np.ascontiguousarray(exact[1][::-1])


def _channels(prediction: NDArray[Any], grid: Grid, n_classes: int) -> list[NDArray[Any]]:
    if prediction.ndim not in (3, 4) or prediction.shape[-3:] != grid.shape:
        raise ValueError(
            f"prediction must end with the (Z, Y, X) shape {grid.shape} of its grid, got {prediction.shape}"
        )
    if prediction.ndim == 3:
        highest = int(prediction.max())
        if prediction.dtype.kind not in "iub" or highest > n_classes or prediction.min() < 0:
            raise ValueError(
                f"a map holds whole numbers from 0 to {n_classes}, one per class, got {prediction.dtype} "
                f"from {prediction.min()} to {highest}"
            )
        return [prediction == value for value in range(1, n_classes + 1)]
    if len(prediction) != n_classes:
        raise ValueError(f"prediction has {len(prediction)} channels, the store {n_classes} classes")
    return [channel if channel.dtype.kind == "f" else channel != 0 for channel in prediction]
