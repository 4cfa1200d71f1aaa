"""Writing: equal input gives equal bytes, and whatever interrupts it, a store holds whole samples and nothing else."""

import errno
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from medimagenet.errors import StoreError, StoreExistsError, StoreFormatError
from medimagenet.geometry import Grid
from medimagenet.store import SampleData, StoredArray, create_store, open_store, verify, zarr_backend

HERE = Path(__file__).parent
NAMES = ("p1", "p2", "p3")


def test_equal_input_gives_equal_bytes(tmp_path, tools):
    """In any order, in any batches, from other processes, with a sample written twice, after an interruption."""
    straight = tools.write(tmp_path / "straight.zarr", NAMES)

    backwards = tools.create(tmp_path / "backwards.zarr")
    for name in reversed(NAMES):
        backwards.commit([backwards.write_sample(tools.sample(name))])
    backwards.finish("# Attribution\n", {"n_samples": 3})

    spread = tools.create(tmp_path / "spread.zarr")
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(pickle.loads(pickle.dumps(spread)).write_sample, map(tools.sample, NAMES)))
    spread.commit(rows)
    spread.finish("# Attribution\n", {"n_samples": 3})

    resumed = tools.create(tmp_path / "resumed.zarr")
    resumed.commit([resumed.write_sample(tools.sample("p1"))])
    resumed.write_sample(tools.sample("p2"))  # written, never committed
    again = tools.create(tmp_path / "resumed.zarr", resume=True)
    again.commit([again.write_sample(tools.sample(name)) for name in ("p2", "p3")])
    again.commit([again.write_sample(tools.sample("p3"))])
    again.finish("# Attribution\n", {"n_samples": 3})

    expected = tools.tree_hash(straight)
    assert len(expected) == 40  # 12 per sample, and 4
    for other in ("backwards", "spread", "resumed"):
        assert tools.tree_hash(tmp_path / f"{other}.zarr") == expected, other


def test_a_finished_store_can_be_continued(store_path, tools):
    before = tools.tree_hash(store_path)
    writer = tools.create(store_path, resume=True)
    assert [row["sample_id"] for row in writer.rows()] == ["p1", "p2"]
    writer.finish("# Attribution\n", {"n_samples": 2})
    assert tools.tree_hash(store_path) == before


def test_removing_a_sample(tmp_path, store_path, tools):
    writer = tools.create(store_path, resume=True)
    writer.remove("p2")
    assert open_store(store_path).ids() == ("p1",)
    writer.finish("# Attribution\n", {"n_samples": 1})
    assert tools.tree_hash(store_path) == tools.tree_hash(tools.write(tmp_path / "one.zarr", ("p1",)))


def test_a_path_that_exists_is_not_touched(tmp_path, store_path, tools):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    for path in (store_path, tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(StoreExistsError, match="exists: choose another path") as error:
            tools.create(path)
        assert str(path) in str(error.value)
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(StoreExistsError, match="is no store"):
        tools.create(tmp_path / "empty", resume=True)
    assert verify(store_path) == []


def test_a_store_of_another_recipe_is_not_continued(store_path, tools):
    with pytest.raises(StoreExistsError, match=r"another recipe \(hash aaaaaaaaaaaa, this one is bbbbbbbbbbbb\)"):
        tools.create(store_path, recipe_hash="b" * 64, resume=True)
    assert verify(store_path) == []


def test_a_store_of_a_newer_format_is_not_continued(store_path, tools):
    root = store_path / "zarr.json"
    root.write_text(root.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StoreFormatError, match="format 2"):
        tools.create(store_path, resume=True)


def test_what_was_left_behind_is_removed(store_path, tools):
    """A partial sample, a sample without a row, a row without a sample, a partial table."""
    (store_path / ".partial/p9.abc/p9/image").mkdir(parents=True)
    (store_path / ".partial/p9.abc/p9/image/zarr.json").write_text("{")
    (store_path / "samples/p1").rename(store_path / "samples/p7")
    (store_path / ".samples.parquet.123").write_text("PAR1")
    tools.create(store_path, resume=True)
    assert open_store(store_path).ids() == ("p2",)
    assert sorted(path.name for path in store_path.iterdir()) == [
        ".partial", "ATTRIBUTION.md", "samples", "samples.parquet", "zarr.json",
    ]  # fmt: skip
    assert [path.name for path in (store_path / "samples").iterdir() if path.is_dir()] == ["p2"]
    assert [path.name for path in (store_path / ".partial").iterdir()] == ["lock"]


def test_two_processes_do_not_write_one_store(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    code = f"""
        from medimagenet.store import create_store
        create_store({str(writer.path)!r}, recipe={{}}, recipe_hash={writer.recipe_hash!r}, classes=[],
                     label_kind="channels", index_version="1", resume=True)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert "StoreExistsError" in done.stderr
    assert "is being written by another process" in done.stderr
    writer.finish("", {})
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


# bad samples


def test_a_label_that_does_not_fit_the_classes(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    grid = Grid((4, 3, 2))
    image = StoredArray(array=np.zeros((1, 2, 3, 4), dtype=np.int16), grid=grid)
    for wrong in (
        np.zeros((1, 2, 3, 4), dtype=np.uint8),
        np.zeros((2, 2, 3, 4), dtype=np.int16),
        np.full((2, 2, 3, 4), 2, dtype=np.uint8),
    ):
        label = StoredArray(array=wrong, grid=grid)
        with pytest.raises(ValueError, match="must be uint8 with 2 channels and values up to 1") as error:
            writer.write_sample(SampleData(sample_id="a", arrays={"image": image, "label": label}))
        assert str(wrong.dtype) in str(error.value)
    assert list((tmp_path / "s.zarr/samples").glob("*/")) == []


def test_unknown_columns_and_classes_are_named(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    with pytest.raises(ValueError, match=r"unknown columns \['Fold'\]"):
        writer.write_sample(tools.sample(Fold=1))
    data = tools.sample()
    strange = SampleData(sample_id="a", arrays=data.arrays, foreground={"liver": np.zeros((1, 3), dtype=np.int32)})
    with pytest.raises(ValueError, match=r"foreground of \['liver'\]"):
        writer.write_sample(strange)


def test_a_label_map(tmp_path):
    grid = Grid((4, 3, 2))
    label = np.zeros((1, 2, 3, 4), dtype=np.uint8)
    label[0, 0, 0] = [1, 2, 2, 3]
    options = {"recipe": {}, "recipe_hash": "x", "index_version": "1", "label_kind": "map"}
    writer = create_store(tmp_path / "s.zarr", classes=("a", "b", "c"), **options)
    row = writer.write_sample(SampleData(sample_id="a", arrays={"label": StoredArray(array=label, grid=grid)}))
    assert [one["voxels"] for one in row["class_voxels"]] == [1, 2, 1]
    label[0, 1, 1, 1] = 4
    with pytest.raises(ValueError, match="1 channels and values up to 3, got uint8 with 1 and values up to 4"):
        writer.write_sample(SampleData(sample_id="b", arrays={"label": StoredArray(array=label, grid=grid)}))


def test_an_image_without_finite_voxels(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    array = np.full((1, 2, 3, 4), np.nan, dtype=np.float32)
    row = writer.write_sample(
        SampleData(sample_id="a", arrays={"image": StoredArray(array=array, grid=Grid((4, 3, 2)))})
    )
    writer.commit([row])
    assert (row["arrays"][0]["not_finite"], row["arrays"][0]["min"]) == (24, None)
    assert np.isnan(open_store(tmp_path / "s.zarr").array("a").read()).all()


# what interrupts


def listing(store):
    return [str(path.relative_to(store)) for path in sorted(store.rglob("*")) if path.name != "lock"]


NOTHING = [".partial", "samples", "samples/zarr.json", "samples.parquet", "zarr.json"]


@pytest.mark.parametrize("step", ["write_array", "statistics", "flush_tree", "hash_files"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_leaves_nothing_behind(tmp_path, tools, monkeypatch, step, number):
    writer = tools.create(tmp_path / "s.zarr")
    writer.commit([writer.write_sample(tools.sample("p1"))])
    before = listing(writer.path)

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zarr_backend.shards if step == "write_array" else zarr_backend, step, fail)
    with pytest.raises(StoreError, match=r"sample p2 of .*s\.zarr cannot be written") as error:
        writer.write_sample(tools.sample("p2"))
    assert ("the disk is full" in str(error.value)) == (number != errno.EIO)
    assert ("MB free" in str(error.value)) == (number != errno.EIO)
    monkeypatch.undo()
    assert listing(writer.path) == before
    assert open_store(writer.path).ids() == ("p1",)


def test_a_file_that_cannot_grow(tmp_path):
    """Not simulated: the process may write no file of more than 20 kB."""
    code = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(HERE)!r})
        import conftest
        from medimagenet.errors import StoreError
        from pathlib import Path
        from medimagenet.geometry import Grid
        writer = conftest.create(Path({str(tmp_path / "s.zarr")!r}))
        data = conftest.sample(grid=Grid((64, 64, 64)))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        try:
            writer.write_sample(data)
        except StoreError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert "sample p1" in done.stdout
    assert "File too large" in done.stdout
    assert listing(tmp_path / "s.zarr") == NOTHING


def test_an_interrupt_leaves_nothing_behind(tmp_path, tools, monkeypatch):
    writer = tools.create(tmp_path / "s.zarr")

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(zarr_backend.shards, "write_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        writer.write_sample(tools.sample())
    assert listing(writer.path) == NOTHING


def test_a_store_that_cannot_be_created_leaves_nothing_behind(tmp_path, tools, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr_backend, "write_table", fail)
    with pytest.raises(StoreError, match="the disk is full"):
        tools.create(tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


WRITE_FOR_EVER = """
    import sys
    sys.path.insert(0, {folder!r})
    import conftest
    from pathlib import Path
    path = Path({path!r})
    writer = conftest.create(path, resume=path.exists())
    done = [row["sample_id"] for row in writer.rows()]
    print("begun", flush=True)
    for name in ("p1", "p2", "p3", "p4", "p5", "p6"):
        if name not in done:
            writer.commit([writer.write_sample(conftest.sample(name))])
    writer.finish("# Attribution\\n", dict(n_samples=6))
"""


def test_killed_at_any_moment_it_continues_to_the_same_bytes(tmp_path, tools):
    path = tmp_path / "killed.zarr"
    code = textwrap.dedent(WRITE_FOR_EVER.format(folder=str(HERE), path=str(path)))
    chance = random.Random(0)
    for _ in range(5):
        writing = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert writing.stdout is not None
        with writing.stdout:
            writing.stdout.readline()
            time.sleep(chance.uniform(0, 0.08))
        writing.send_signal(signal.SIGKILL)
        writing.wait()
        if path.exists():  # what is there is whole, at every moment
            opened = open_store(path)
            for name in opened.ids():
                for array, written in tools.sample(name).arrays.items():
                    np.testing.assert_array_equal(opened.array(name, array).read(), written.array)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    straight = tools.write(tmp_path / "straight.zarr", ("p1", "p2", "p3", "p4", "p5", "p6"))
    assert tools.tree_hash(path) == tools.tree_hash(straight)
    assert verify(path) == []
