"""Packing: how many files, and what HDF5's own tools say about one."""

import re
import subprocess
import sys

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.store.hdf5_pack import size_of, split
from medimagenet.store.zarr_form import ZarrForm


@given(st.lists(st.integers(0, 10**7)), st.integers(1, 10**7), st.integers(0, 10**5))
def test_no_file_of_several_samples_is_larger_than_the_limit(sizes, limit, first):
    counts = split(sizes, limit, first)
    assert sum(counts) == len(sizes)
    begin = 0
    for number, count in enumerate(counts):
        assert count > 0 or not sizes
        assert count < 2 or sum(sizes[begin : begin + count]) + (first if number == 0 else 0) <= limit
        begin += count
    assert split(sizes, None, first) == [len(sizes)]


@pytest.mark.parametrize("config", [{}, {"codec": "none", "chunk": 3}])
def test_files_are_not_larger_than_was_reckoned(tmp_path, tools, config):
    names = tuple(f"p{k}" for k in range(12))
    small = tools.grid.crop((0, 0, 0), (9, 8, 7))
    writer = tools.create(tmp_path / "s.h5", **config)
    writer.commit([writer.write_sample(tools.sample(name, grid=small)) for name in names])
    form = ZarrForm(writer.staging.path)
    sizes = [
        size_of(form, row["sample_id"], ["image", "label", "dose", "foreground"], row["stored_bytes"])
        for row in writer.rows()
    ]
    writer.finish("", {})
    assert (tmp_path / "s.h5").stat().st_size < sum(sizes) + 65536 + 50_000


def test_strings_are_on_no_heap_and_versions_are_fixed(tmp_path, tools):
    """What the checksums of HDF5 do not cover is not used, and the file is for HDF5 1.10 and later."""
    path = tools.write(tmp_path / "s.h5")
    content = path.read_bytes()
    assert content[8] in (2, 3)  # version of the superblock
    assert b"GCOL" not in content  # global heaps
    for node in (b"OHDR", b"FADB"):
        versions = {content[match.end()] for match in re.finditer(node, content)}
        assert versions == {2 if node == b"OHDR" else 0}
    with h5py.File(path) as file:
        assert not file["samples/p1/image/0"].id.get_create_plist().get_obj_track_times()


def test_h5py_reads_it_in_a_process_of_its_own(tmp_path, tools):
    """Only h5py and hdf5plugin, as a user has them."""
    path = tools.write(tmp_path / "s.h5")
    code = "import h5py, hdf5plugin, sys; print(int(h5py.File(sys.argv[1])['samples/p2/dose/0'][...].view('u4').sum()))"
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    written = tools.sample("p2").arrays["dose"].array
    assert int(found.stdout) == int(written.view("u4").sum())
