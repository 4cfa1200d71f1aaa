"""Our reader on the HDF5 form against h5py: equal bit for bit; and damage: always an error, never a signal."""

import json
import os
import pickle
import shutil
import threading
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medimagenet.errors import StoreDamagedError, StoreError, StoreFormatError
from medimagenet.loading.arrays import Samples
from medimagenet.store import open_store, verify
from medimagenet.store.hdf5_form import Hdf5Form
from medimagenet.store.hdf5_layout import read_layout

SLOW = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
BOX = (0, 0, 0, 0), (1, 1, 1, 1)

CONFIGS = {
    "blosc-lz4": {},
    "blosc-zstd": {"codec": "blosc-zstd"},
    "none": {"codec": "none"},
    "wide": {"chunk": 16, "block_bytes": 1024},
    "files": {"max_file_bytes": 1, "shard_limit_bytes": 9000},
}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory, tools):
    """A store of each layout, and what h5py reads from the file that has its last sample."""
    made = {}
    for name, config in CONFIGS.items():
        path = tools.write(tmp_path_factory.mktemp(name) / "s.h5", ("p0", "p1"), **config)
        last = sorted(path.parent.glob("*.h5"))[-1]
        with h5py.File(last) as file:
            arrays = {key: file[f"samples/p1/{key}/0"][()] for key in ("image", "label", "dose")}
        made[name] = open_store(path), arrays
    return made


@SLOW
@given(st.data(), st.sampled_from(list(CONFIGS)), st.sampled_from(["image", "label", "dose"]))
def test_equals_h5py(volumes, data, layout, name):
    store, judge = volumes[layout]
    reader = store.array("p1", name)
    start = [data.draw(st.integers(0, n - 1)) for n in reader.shape[1:]]
    shape = [data.draw(st.integers(1, n - a)) for n, a in zip(reader.shape[1:], start, strict=True)]
    expected = judge[name][(slice(None), *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))]
    found = reader.read(start, shape)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@SLOW
@given(st.data(), st.sampled_from(list(CONFIGS)), st.sampled_from(["label", "dose"]))
def test_boxes_that_leave_the_volume_equal_h5py_padded(volumes, data, layout, name):
    store, judge = volumes[layout]
    sample = Samples(store, split=None, keys=None, orientation=None).open("p1")
    start = [data.draw(st.integers(-9, n + 3)) for n in sample.grid.shape]
    shape = [data.draw(st.integers(1, 25)) for _ in start]
    found = np.full((judge[name].shape[0], *shape), 77, dtype=judge[name].dtype)
    sample.read(name, tuple(start[::-1]), found, 0.0)
    padded = np.pad(judge[name], [(0, 0), *[(40, 40)] * 3])
    np.testing.assert_array_equal(
        found, padded[(slice(None), *(slice(40 + a, 40 + a + n) for a, n in zip(start, shape, strict=True)))]
    )


def test_what_is_inside(volumes, tools):
    """As the page on stores says; strings are UTF-8, and JSON where they are attributes."""
    store, _ = volumes["blosc-lz4"]
    with h5py.File(store.path) as file:
        assert sorted(file) == ["ATTRIBUTION.md", "samples", "samples.parquet"]
        assert json.loads(file.attrs["medimagenet"])["classes"] == list(tools.classes)
        image = file["samples/p1/image"]
        assert json.loads(image.attrs["medimagenet"])["grid"] == tools.grid.to_dict()
        assert json.loads(image.attrs["ome"])["multiscales"][0]["datasets"][0]["path"] == "0"
        assert image["0"].fillvalue == image["0"][()].min()
        assert dict(image["0"]._filters).keys() == {str(hdf5plugin.Blosc.filter_id)}
        foreground = file["samples/p1/foreground"]
        rows = json.loads(foreground.attrs["medimagenet"])["classes"]
        for one in rows:
            points = foreground[one["start"] : one["stop"]]
            np.testing.assert_array_equal(points, store.foreground("p1", one["name"]))
        assert file["ATTRIBUTION.md"][()].decode() == "# Attribution\n"
    form = Hdf5Form(store.path)
    assert form.sample_ids() == {"p0", "p1"}
    assert form.attribution() == "# Attribution\n"
    assert form.defects() == []
    row = store.row("p1")
    assert form.stored("p1") == (row["stored_hash"], row["stored_bytes"])


@pytest.mark.parametrize("locking", [None, False, True, "best-effort"])
def test_a_file_that_the_user_has_open_can_be_read(volumes, locking):
    store, judge = volumes["blosc-lz4"]
    with h5py.File(store.path, locking=locking):
        np.testing.assert_array_equal(open_store(store.path).array("p1").read(), judge["image"])


def test_no_descriptor_is_left_and_forked_and_pickled_stores_read(volumes):
    store, judge = volumes["files"]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        worker = threading.Thread(target=open_store(store.path).array("p1").read)
        worker.start()
        worker.join()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    child = os.fork()
    if child == 0:
        is_right = np.array_equal(open_store(store.path).array("p1").read(), judge["image"])
        os._exit(0 if is_right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).array("p1").read(), judge["image"])


# what is opened


def test_any_name_of_a_store_opens_it(volumes, tmp_path):
    store, _ = volumes["files"]
    shutil.copytree(store.path.parent, tmp_path / "f")
    for name in ("s.h5", "s-00000.h5", "s-00001.h5", ""):
        assert open_store(tmp_path / "f" / name).ids() == ("p0", "p1")
    for path in (tmp_path / "f").glob("*.h5"):  # all files may be called otherwise
        path.rename(path.with_name(path.name.replace("s-", "other-2-")))
    assert verify(tmp_path / "f/other-2.h5") == []


def test_files_that_are_no_stores(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(StoreFormatError, match="it is no HDF5 file"):
        open_store(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(StoreFormatError, match=r"no store: it has no samples\.parquet"):
        open_store(tmp_path / "other.h5")
    with pytest.raises(StoreError, match="there is no store at"):
        open_store(tmp_path / "none.h5")
    for name in ("a", "b"):
        (tmp_path / f"{name}-00000.h5").write_bytes(b"")
    with pytest.raises(StoreError, match="has 2 stores, name one"):
        open_store(tmp_path)


def test_a_newer_format(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", ("p1",))
    with h5py.File(path, "r+") as file:
        file.attrs["medimagenet"] = file.attrs["medimagenet"].replace(b'"format": 1', b'"format": 7')
    with pytest.raises(StoreFormatError, match="format 7, this version of medimagenet reads format 1"):
        open_store(path)


# damage


@pytest.fixture(params=["blosc-lz4", "none", "files"])
def damaged(request, tmp_path, volumes):
    """A copy of a store, and its last file."""
    shutil.copytree(volumes[request.param][0].path.parent, tmp_path / "copy")
    return sorted((tmp_path / "copy").glob("*.h5"))[0], sorted((tmp_path / "copy").glob("*.h5"))[-1]


def test_a_file_cut_anywhere_names_the_samples(damaged):
    """HDF5 opens no such file; what is left of it is read nevertheless."""
    first, last = damaged
    whole = last.read_bytes()
    for size in [len(whole) * k // 8 for k in range(3, 8)] + [len(whole) - 1]:
        last.write_bytes(whole[:size])
        try:
            problems = verify(first)
        except StoreDamagedError:
            assert first == last  # its table is gone
            assert size < len(whole) // 2
            continue
        assert any("is cut: it has" in problem.what for problem in problems)
        named = {problem.sample_id for problem in problems} - {None}
        assert named == {"p1"} or (named == {"p0", "p1"} and size < len(whole) * 3 // 4)
    last.write_bytes(whole[: len(whole) * 3 // 4])
    store = open_store(first)
    assert store.array("p0").read().any()
    with pytest.raises(StoreDamagedError, match="sample p1, array"):
        [store.array("p1", name).read() for name in store.names("p1")]


def test_a_file_cut_while_it_is_open_is_an_error(damaged):
    first, last = damaged
    reader = open_store(first).array("p1")
    reader.read()
    os.truncate(last, last.stat().st_size // 4)
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: chunk .* is cut off"):
        reader.read()


def test_a_file_that_is_gone_or_another_is_an_error(damaged, tmp_path, tools):
    first, last = damaged
    reader = open_store(first).array("p1")
    shutil.copy(last, tmp_path / "same")
    (tmp_path / "same").replace(last)
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: .* was replaced while the store was open"):
        reader.read()
    last.unlink()
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: .* cannot be opened"):
        reader.read()
    if first != last:
        with pytest.raises(StoreDamagedError, match=r"sample p1, array image: s-00001\.h5 cannot be read"):
            open_store(first).array("p1")
        named = {problem.sample_id for problem in verify(first)}
        assert named == {None, "p1"}
        assert open_store(first).array("p0").read().any()
        tools.write(tmp_path / "o.h5", ("p0", "p2"), max_file_bytes=1)
        shutil.copy(tmp_path / "o-00001.h5", last)
        with pytest.raises(StoreDamagedError, match=r"sample p1, array image: .* is not of the same run"):
            open_store(first).array("p1")


def test_a_flipped_bit_is_found_or_nothing_reads_it(damaged, tools):
    """Whatever verify lets pass, every voxel of it is right."""
    first, last = damaged
    whole = last.read_bytes()
    generator = np.random.default_rng(0)
    found = 0
    for at in generator.integers(0, len(whole), 40):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << generator.integers(0, 8)
        last.write_bytes(flipped)
        try:
            problems = verify(first)
        except StoreError:
            problems = ["the root"]
        found += bool(problems)
        if not problems:
            store = open_store(first)
            for name, written in tools.sample("p1").arrays.items():
                np.testing.assert_array_equal(store.array("p1", name).read(), written.array)
    assert found > 30


def test_random_damage_never_kills_the_process(damaged):
    first, last = damaged
    whole = last.read_bytes()
    generator = np.random.default_rng(1)
    outcomes = set()
    for turn in range(60):
        damage = np.frombuffer(whole, dtype=np.uint8).copy()
        at = generator.integers(0, len(whole) if turn % 2 else min(20_000, len(whole)), int(generator.integers(1, 40)))
        damage[at] = generator.integers(0, 256, at.size)
        last.write_bytes(damage.tobytes())
        try:
            store = open_store(first)
            for name in store.names("p1"):
                store.array("p1", name).read()
            outcomes.add("read")
        except StoreError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_offsets_outside_the_file_are_refused(volumes, monkeypatch):
    """A right checksum over wrong offsets: written by a program that is wrong."""
    store, _ = volumes["blosc-lz4"]

    def wrong(dataset, what):
        metadata, index = read_layout(dataset, what)
        return metadata, np.where(index >= 0, index + 10**9, index)

    monkeypatch.setattr("medimagenet.store.hdf5_form.read_layout", wrong)
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: the index of s\.h5 points outside"):
        open_store(store.path).array("p1")
