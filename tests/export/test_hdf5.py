"""write_hdf5 against h5py without plugins: voxels, filters, attributes."""

import json

import h5py
import numpy as np
import pytest

from medimagenet.errors import ExportError
from medimagenet.export import write_hdf5
from medimagenet.geometry import Grid

GRID = Grid((7, 6, 5), (0.5, 0.75, 3.0), (-10.0, 20.0, 30.0))


def arrays():
    random = np.random.default_rng(1)
    return {
        "images/CT": random.integers(-1000, 2000, GRID.shape).astype(np.int16),
        "images/PT": random.gamma(2, 2, GRID.shape).astype(np.float32),
        "images/MR": random.integers(0, 9, (2, *GRID.shape)).astype(np.uint16),
        "masks/gtv": random.random(GRID.shape) > 0.5,
    }


@pytest.mark.parametrize("level", [None, 0, 1, 3])
def test_h5py_reads_what_was_written(tmp_path, level):
    parts = [(name, array, GRID, {"unit": None, "rule": {"low": 1.5}}) for name, array in arrays().items()]
    write_hdf5(tmp_path / "a.h5", iter(parts), {"sample_id": "s", "split": None}, level=level)
    with h5py.File(tmp_path / "a.h5") as file:
        assert dict(file.attrs) == {"sample_id": "s"}
        for name, array in arrays().items():
            np.testing.assert_array_equal(file[name][()], array)
            assert file[name].compression == (None if level is None else "gzip")
            assert json.loads(file[name].attrs["rule"]) == {"low": 1.5}
            np.testing.assert_allclose(file[name].attrs["affine_ras"], GRID.affine_ras)
            assert tuple(file[name].attrs["spacing"]) == GRID.spacing


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_hdf5(tmp_path / name, [(key, array, GRID, {}) for key, array in arrays().items()])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_part_that_fails_leaves_no_file(tmp_path):
    def parts():
        yield "a", np.zeros(GRID.shape, np.int16), GRID, {}
        raise OSError("No space left on device")

    with pytest.raises(ExportError, match="No space left"):
        write_hdf5(tmp_path / "a.h5", parts())
    assert list(tmp_path.iterdir()) == []
