"""Names of the files of a store in the HDF5 form."""

from pathlib import Path

import pytest

from medimagenet.errors import StoreError
from medimagenet.store.hdf5_files import first_file, is_hdf5_name, part_path, sibling


def test_names():
    assert part_path(Path("a/lung.v2.h5"), 3) == Path("a/lung.v2-00003.h5")
    assert sibling(Path("a/lung-00000.hdf5"), 0) == Path("a/lung-00000.hdf5")
    assert sibling(Path("a/lung-00000.hdf5"), 12) == Path("a/lung-00012.hdf5")
    assert sibling(Path("a/lung.h5"), 0) == Path("a/lung.h5")
    assert is_hdf5_name(Path("x.H5"))
    assert not is_hdf5_name(Path("x.zarr"))


def test_the_first_file_is_found_from_any(tmp_path):
    for name in ("one.h5", "many-00000.h5", "many-00001.h5", "half-00001.h5"):
        (tmp_path / name).touch()
    for asked, found in {
        "one.h5": "one.h5",
        "many.h5": "many-00000.h5",
        "many-00001.h5": "many-00000.h5",
        "many-00000.h5": "many-00000.h5",
        ".": "many-00000.h5",
        "half-00001.h5": None,
        "none.h5": None,
        "one.zarr": None,
    }.items():
        assert first_file(tmp_path / asked) == (None if found is None else tmp_path / found), asked


def test_a_folder_of_several_stores(tmp_path):
    assert first_file(tmp_path) is None
    for name in ("a-00000.h5", "b-00000.hdf5"):
        (tmp_path / name).touch()
    with pytest.raises(StoreError, match=r"2 stores, name one: a-00000\.h5, b-00000\.hdf5"):
        first_file(tmp_path)
