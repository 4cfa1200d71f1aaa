"""HDF5 out: one file with the images and masks of a sample, readable with plain h5py, without any plugin.

The chunks are HDF5's own shuffle + gzip filters, but ISA-L fills them: some eight times faster than h5py does.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from ..errors import ExportError
from ..geometry import Grid
from ._files import whole_file
from .nifti import COMPRESSION_LEVEL

Part = tuple[str, NDArray[Any], Grid, Mapping[str, Any]]
"""Path of a dataset in the file, its array, where its voxels are, further attributes (JSON values)."""


def write_hdf5(
    path: Path | str,
    parts: Iterable[Part],
    attributes: Mapping[str, Any] | None = None,
    *,
    level: int | None = COMPRESSION_LEVEL,
    flush: bool = True,
) -> None:
    """Write arrays into one HDF5 file, whole or not at all.

    Parameters
    ----------
    parts : taken one by one, so that a generator need not hold all
        Arrays are (Z, Y, X) or (C, Z, Y, X). Each dataset has the attributes size, spacing, origin, direction of its
        grid (x, y, z, LPS mm) and affine_ras (4, 4); dicts and lists become JSON text. bool becomes uint8.
    attributes : of the file
    level : of compression, 0 to 3; None leaves the voxels as they are
    flush : as of `write_nifti`

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    import h5py

    path = Path(path)
    with whole_file(path, flush=flush) as stream, h5py.File(stream, "w") as file:
        try:
            _set_attributes(file, attributes or {})
            for name, array, grid, more in parts:
                dataset = _write_array(file, name, array, level)
                geometry = {**grid.to_dict(), "affine_ras": grid.affine_ras}
                _set_attributes(dataset, {**geometry, **more})
        except OSError as error:
            raise ExportError(f"cannot write {path}: {error}; it was not changed") from error


def _write_array(file: Any, name: str, array: NDArray[Any], level: int | None) -> Any:
    array = np.ascontiguousarray(array.view(np.uint8) if array.dtype == np.bool_ else array)
    if level is None:
        return file.create_dataset(name, data=array, track_times=False)
    slab = (*(1,) * (array.ndim - 2), *array.shape[-2:])  # a slice each
    dataset = file.create_dataset(
        name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=slab,
        shuffle=True,
        compression="gzip",
        compression_opts=1,
        track_times=False,
    )
    for position in np.ndindex(*array.shape[:-2]):
        dataset.id.write_direct_chunk((*position, 0, 0), _filtered(array[position], level))
    return dataset


def _filtered(plane: NDArray[Any], level: int) -> bytes:
    """What HDF5's filters shuffle and deflate make of a chunk: first bytes of all voxels, then second bytes, ..."""
    octets = plane.reshape(-1, 1).view(np.uint8)
    return bytes(isal_zlib.compress(np.ascontiguousarray(octets.T), level))


def _set_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        if value is None:
            continue
        is_numbers = isinstance(value, list | tuple) and value and np.asarray(value).dtype.kind in "iuf"
        if isinstance(value, Mapping) or (isinstance(value, list | tuple) and not is_numbers):
            target.attrs[name] = json.dumps(value, sort_keys=True)
        else:
            target.attrs[name] = value
