"""Writing the HDF5 form: equal bytes whatever happened on the way, nothing half there, nothing done twice."""

import errno
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from medimagenet.errors import StoreError, StoreExistsError
from medimagenet.store import StoreWriter, hdf5_backend, open_store, verify

HERE = Path(__file__).parent
NAMES = ("p1", "p2", "p3")
LIMITS = [None, 150_000]


def finish(tools, writer, names=NAMES):
    """Write what is missing, take out what is not wanted, pack."""
    there = {row["sample_id"] for row in writer.rows()}
    for name in there.difference(names):
        writer.remove(name)
    rows = [writer.write_sample(tools.sample(name)) for name in names if name not in there]
    if rows:
        writer.commit(rows)
    writer.finish("# Attribution\n", {"n_samples": len(names)})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("limit", LIMITS)
def test_the_same_bytes_at_another_time_and_in_another_order(tmp_path, tools, limit):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    tools.write(tmp_path / "a/s.h5", NAMES, max_file_bytes=limit)
    time.sleep(1.1)  # HDF5 keeps times in seconds
    tools.write(tmp_path / "b/s.h5", NAMES[::-1], max_file_bytes=limit)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(files(tmp_path / "a")) == (1 if limit is None else 3)
    assert [path.name for path in (tmp_path / "a").iterdir() if path.is_dir()] == []
    assert verify(tmp_path / "a/s.h5") == []
    assert limit is None or all(len(content) <= limit for content in files(tmp_path / "a").values())


@pytest.mark.parametrize("limit", LIMITS)
def test_what_is_packed_is_kept_what_is_new_joins_what_is_not_wanted_goes(tmp_path, tools, limit, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = tools.write(tmp_path / "a/s.h5", ("p1", "p4"), max_file_bytes=limit)
    written = []
    write = StoreWriter.write_sample
    monkeypatch.setattr(
        StoreWriter, "write_sample", lambda self, data: written.append(data.sample_id) or write(self, data)
    )
    finish(tools, tools.create(path, resume=True, max_file_bytes=limit))
    assert written == ["p2", "p3"]
    monkeypatch.undo()
    tools.write(tmp_path / "b/s.h5", NAMES, max_file_bytes=limit)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_nothing_is_written_when_nothing_changed(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", NAMES)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    finish(tools, tools.create(path, resume=True))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_limit_or_attribution_packs_again(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", NAMES)
    finish(tools, tools.create(path, resume=True, max_file_bytes=150_000))
    assert sorted(files(tmp_path)) == [f"s-0000{k}.h5" for k in range(3)]
    finish(tools, tools.create(path, resume=True))
    assert sorted(files(tmp_path)) == ["s.h5"]
    before = files(tmp_path)
    writer = tools.create(path, resume=True)
    writer.finish("# Other\n", {"n_samples": 3})
    assert files(tmp_path) != before
    assert open_store(path).form.attribution() == "# Other\n"
    finish(tools, tools.create(path, resume=True))
    assert files(tmp_path) == before


def test_a_sample_that_changed_is_the_new_one(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", NAMES)
    writer = tools.create(path, resume=True)
    writer.remove("p2")
    assert [row["sample_id"] for row in writer.rows()] == ["p1", "p3"]
    writer.commit([writer.write_sample(tools.sample("p2", seed=9))])
    assert [row["sample_id"] for row in writer.rows()] == list(NAMES)
    writer.finish("", {})
    found = open_store(path).array("p2").read()
    np.testing.assert_array_equal(found, tools.sample("p2", seed=9).arrays["image"].array)
    assert verify(path) == []


def test_a_reader_keeps_the_old_file_until_the_new_one_is_whole(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", ("p1",))
    reader = open_store(path).array("p1")
    writer = tools.create(path, resume=True)
    writer.commit([writer.write_sample(tools.sample("p2"))])
    reader.read()
    assert open_store(path).ids() == ("p1",)
    writer.close()
    assert open_store(path).ids() == ("p1",)
    assert len(tools.create(path, resume=True).rows()) == 2


def test_workers_get_the_writer_of_the_folder(tmp_path, tools):
    writer = tools.create(tmp_path / "s.h5")
    assert pickle.loads(pickle.dumps(writer)) == writer.staging
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        writer.commit([pool.submit(writer.write_sample, tools.sample("p1")).result()])
    writer.finish("# Attribution\n", {"n_samples": 1})
    assert files(tmp_path)["s.h5"] == tools.write(tmp_path / "t.h5", ("p1",)).read_bytes()


# what is refused


def test_names_limits_and_paths_that_are_taken(tmp_path, tools):
    with pytest.raises(ValueError, match=r"called \*\.h5 or \*\.hdf5, got .*s\.zarr"):
        hdf5_backend.create_hdf5_store(
            tmp_path / "s.zarr", recipe={}, recipe_hash="", classes=(), label_kind="map", index_version="1"
        )
    with pytest.raises(ValueError, match="max_file_bytes must be at least 1, got 0"):
        tools.create(tmp_path / "s.h5", max_file_bytes=0)
    path = tools.write(tmp_path / "s.h5")
    with pytest.raises(StoreExistsError, match="exists: choose another path"):
        tools.create(path)
    with pytest.raises(StoreExistsError, match="made by another recipe"):
        tools.create(path, resume=True, recipe_hash="b" * 64)
    (tmp_path / "text.h5").write_text("mine")
    with pytest.raises(StoreExistsError, match="is no store"):
        tools.create(tmp_path / "text.h5", resume=True)
    assert (tmp_path / "text.h5").read_text() == "mine"
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(StoreExistsError, match="is a folder"):
        tools.create(tmp_path / "folder.h5", resume=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder.h5", "s.h5", "text.h5"]


def test_what_is_not_packed_yet_is_said(tmp_path, tools):
    writer = tools.create(tmp_path / "s.h5")
    writer.commit([writer.write_sample(tools.sample("p1"))])
    with pytest.raises(StoreError, match="not packed yet: run the same"):
        open_store(tmp_path / "s.h5")
    assert open_store(tmp_path / "s.h5.partial").ids() == ("p1",)
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_sample_of_no_class_and_no_point(tmp_path, tools):
    path = tools.write(tmp_path / "s.h5", ())
    assert open_store(path).ids() == ()
    writer = tools.create(path, resume=True)
    data = tools.sample("p1")
    bare = type(data)(sample_id="p1", arrays={"image": data.arrays["image"]})
    writer.commit([writer.write_sample(bare)])
    writer.finish("", {})
    assert open_store(path).foreground("p1", "GTV").shape == (0, 3)
    assert verify(path) == []


# what interrupts


def test_a_full_disk_leaves_what_is_committed_and_what_was_packed(tmp_path, tools, monkeypatch):
    path = tools.write(tmp_path / "s.h5", ("p1",))
    before = path.read_bytes()
    writer = tools.create(path, resume=True)
    writer.commit([writer.write_sample(tools.sample("p2"))])
    usage = namedtuple("usage", "total used free")(10**6, 10**6 - 9, 9)
    monkeypatch.setattr(hdf5_backend.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreError, match=r"the disk is full .* run the same command again"):
        writer.finish("# Attribution\n", {"n_samples": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    writer.close()
    finish(tools, tools.create(path, resume=True), ("p1", "p2"))
    assert path.read_bytes() == tools.write(tmp_path / "t.h5", ("p1", "p2")).read_bytes()


def test_a_file_that_cannot_grow(tmp_path):
    """Not simulated: the process may write no file of more than 100 kB, which the folder's files are not."""
    code = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(HERE)!r})
        import conftest
        from medimagenet.errors import StoreError
        from pathlib import Path
        writer = conftest.create(Path({str(tmp_path / "s.h5")!r}))
        writer.commit([writer.write_sample(conftest.sample(name)) for name in ("p1", "p2")])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            writer.finish("# Attribution\\n", dict(n_samples=2))
        except StoreError as error:
            print("StoreError", error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "StoreError" in done.stdout, done.stderr
    assert done.returncode == 0
    assert not (tmp_path / "s.h5").exists()
    assert open_store(tmp_path / "s.h5.partial").ids() == ("p1", "p2")


@pytest.mark.parametrize("renames", range(4))
def test_killed_between_renames_it_is_finished_by_the_next_run(tmp_path, tools, monkeypatch, renames):
    """Files of two runs stand side by side for a moment: that is said, and mended."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = tools.write(tmp_path / "a/s.h5", ("p0", "p1", "p2", "p4"), max_file_bytes=150_000)
    writer = tools.create(path, resume=True, max_file_bytes=150_000)
    done = 0
    replace = Path.replace

    def killed(self, target):
        nonlocal done
        if self.suffix == ".h5" and done == renames:
            raise KeyboardInterrupt
        done += self.suffix == ".h5"
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        finish(tools, writer, ("p1", "p2", "p3", "p5"))
    monkeypatch.undo()
    if 0 < renames < 4:
        with pytest.raises(StoreError, match="not of the same run"):
            for name in open_store(path).ids():
                open_store(path).array(name)
    writer.close()
    finish(tools, tools.create(path, resume=True, max_file_bytes=150_000), ("p1", "p2", "p3", "p5"))
    tools.write(tmp_path / "b/s.h5", ("p1", "p2", "p3", "p5"), max_file_bytes=150_000)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert verify(path) == []


WRITE = """
    import sys
    sys.path.insert(0, {folder!r})
    import conftest
    from pathlib import Path
    writer = conftest.create(Path({path!r}), resume=True, max_file_bytes=150_000)
    done = [row["sample_id"] for row in writer.rows()]
    print("begun", flush=True)
    for name in ("p1", "p2", "p3", "p4"):
        if name not in done:
            writer.commit([writer.write_sample(conftest.sample(name))])
    writer.finish("# Attribution\\n", dict(n_samples=4))
"""


def test_killed_at_any_moment_it_continues_to_the_same_bytes(tmp_path, tools):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    code = textwrap.dedent(WRITE.format(folder=str(HERE), path=str(tmp_path / "a/s.h5")))
    chance = random.Random(0)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writing:
            assert writing.stdout is not None
            writing.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            writing.send_signal(signal.SIGKILL)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    tools.write(tmp_path / "b/s.h5", ("p1", "p2", "p3", "p4"), max_file_bytes=150_000)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert verify(tmp_path / "a/s.h5") == []


def test_killed_while_its_folder_is_removed_it_is_whole(tmp_path, tools, monkeypatch):
    class KilledError(BaseException):
        pass

    writer = tools.create(tmp_path / "s.h5")
    writer.commit([writer.write_sample(tools.sample("p1"))])
    remove = shutil.rmtree

    def kill_half_way(folder, **options):
        if (Path(folder) / "zarr.json").exists() or next(Path(folder).glob("*/zarr.json"), None):
            next(Path(folder).rglob("zarr.json")).unlink()
            raise KilledError
        remove(folder, **options)

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(shutil, "rmtree", kill_half_way)
        writer.finish("# Attribution\n", {"n_samples": 1})
    again = tools.create(tmp_path / "s.h5", resume=True)
    assert [row["sample_id"] for row in again.rows()] == ["p1"]
    again.finish("# Attribution\n", {"n_samples": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]
    assert verify(tmp_path / "s.h5") == []


def test_an_error_of_the_disk_while_packing(tmp_path, tools, monkeypatch):
    writer = tools.create(tmp_path / "s.h5")
    writer.commit([writer.write_sample(tools.sample("p1"))])

    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(hdf5_backend, "write_file", fail)
    with pytest.raises(StoreError, match=r"s\.h5 cannot be written: Input/output error"):
        writer.finish("", {})
    monkeypatch.undo()
    writer.finish("# Attribution\n", {"n_samples": 1})
    assert verify(tmp_path / "s.h5") == []
