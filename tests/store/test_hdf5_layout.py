"""Layouts of arrays in HDF5 files of others, against what h5py reads from them."""

import h5py
import numpy as np
import pytest

from medimagenet.errors import StoreFormatError
from medimagenet.store.hdf5_form import Hdf5Chunks
from medimagenet.store.hdf5_layout import read_layout
from medimagenet.store.reader import ShardedArray


def test_arrays_in_one_piece_and_without_a_value_written(tmp_path):
    """HDF5 files of others: contiguous arrays of any shape, and such that have no bytes at all."""
    generator = np.random.default_rng(0)
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        for number, shape in enumerate([(2, 5, 64, 7), (1, 3, 37, 4), (1, 4, 11, 3), (9, 3)]):
            file[str(number)] = generator.integers(-9, 9, shape).astype("i2")
        file.create_dataset("empty", (1, 4, 8, 3), "i2", fillvalue=5)
        file.create_dataset("no-chunk", (1, 4, 8, 3), "f4", fillvalue=2.5, chunks=(1, 3, 3, 3))
        expected = {name: dataset[()] for name, dataset in file.items()}
    for name, voxels in expected.items():
        with h5py.File(tmp_path / "a.h5") as file:
            chunks = Hdf5Chunks(tmp_path / "a.h5", *read_layout(file[name], name), name)
        array = ShardedArray(chunks, name)
        for start in (0, 1):
            found = np.empty([n - start for n in voxels.shape], dtype=voxels.dtype)
            if 0 in found.shape or any(n <= start for n in voxels.shape):
                continue
            array.read_box([start] * voxels.ndim, voxels.shape, found)
            np.testing.assert_array_equal(found, voxels[(slice(start, None),) * voxels.ndim])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"compression": "gzip"}, "HDF5 filters"),
        ({"dtype": ">i2"}, "little-endian"),
        ({"dtype": "S3"}, "little-endian"),
    ],
)
def test_what_the_reader_does_not_know_is_refused_by_name(tmp_path, how, words):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", (4, 4), **{"dtype": "i2", **how})
        with pytest.raises(StoreFormatError, match=f"sample a: .*{words}"):
            read_layout(dataset, "sample a")
