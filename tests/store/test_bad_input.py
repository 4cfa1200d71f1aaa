"""Stores that others work on while they are read: written, deleted, cut short by another process. Real files."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest

from medimagenet.errors import StoreDamagedError, StoreError, StoreFormatError
from medimagenet.loading import PatchLoader
from medimagenet.store import open_store, verify


@pytest.mark.parametrize("name", ["s.zarr", "s.h5"])
def test_a_store_that_is_being_written_is_whole_at_every_moment(tmp_path, tools, name):
    """What has a row is read and right; the rest does not exist yet. HDF5 files appear at the end."""
    final, names = tmp_path / name, [f"p{k}" for k in range(12)]
    writer = tools.create(final)
    path = final if final.exists() else tmp_path / f"{name}.partial"
    seen, failures, done = set(), [], threading.Event()

    def read():
        try:
            while not done.is_set():
                opened = open_store(path)
                seen.add(len(opened))
                for name in opened.ids()[-2:]:
                    expected = tools.sample(name).arrays["image"].array
                    np.testing.assert_array_equal(opened.array(name).read(), expected)
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for name in names:
        writer.commit([writer.write_sample(tools.sample(name))])
        time.sleep(0.01)
    if path == final:
        writer.finish("# Attribution\n", {})
    done.set()
    reader.join()
    if path != final:
        with pytest.raises(StoreError, match="not packed yet"):
            open_store(final)
        writer.finish("# Attribution\n", {})
    assert failures == []
    assert len(seen) > 2, seen
    assert open_store(final).ids() == tuple(sorted(names))


def test_an_open_store_keeps_to_the_samples_it_was_opened_with(tmp_path, tools):
    writer = tools.create(tmp_path / "s.zarr")
    writer.commit([writer.write_sample(tools.sample("p1"))])
    opened = open_store(tmp_path / "s.zarr")
    writer.commit([writer.write_sample(tools.sample("p2"))])
    assert opened.ids() == ("p1",)
    writer.remove("p1")
    with pytest.raises(StoreDamagedError, match="sample p1, array image"):
        opened.array("p1").read()
    assert open_store(tmp_path / "s.zarr").ids() == ("p2",)


READ_FOR_EVER = """
import sys
from medimagenet.errors import StoreDamagedError
from medimagenet.loading import PatchLoader
loader = PatchLoader(sys.argv[1], patch_size=(16, 16, 16), batch_size=2, workers=2, split=None)
try:
    for number in range(10_000):
        for batch in loader:
            print(number, flush=True)
except StoreDamagedError as error:
    print(error, flush=True)
    sys.exit(7)
"""


@pytest.mark.parametrize("harm", ["deleted", "cut"])
def test_a_store_that_is_harmed_while_a_loader_reads_it(new_store, tools, harm):
    """The training loop gets an error that names the sample; never a signal, never wrong voxels."""
    path = tools.write(new_store)
    command = [sys.executable, "-c", READ_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "0\n", process.stderr.read()
        if harm == "deleted":
            path.unlink() if path.is_file() else shutil.rmtree(path / "samples")
        else:
            for shard in path.glob("samples/*/image/0/c/0/0/0/0"):
                os.truncate(shard, 50)
            if path.is_file():
                os.truncate(path, path.stat().st_size // 4)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 7, errors
    assert ": sample p" in f": {printed.splitlines()[-1]}"
    assert "cannot be" in printed or (harm == "cut" and "is cut" in printed)


def damage_a_chunk(path):
    """Overwrite the head of the first chunk of p2's image."""
    file = path / "samples/p2/image/0/c/0/0/0/0"
    start = 0
    if not path.is_dir():
        file = sorted(path.parent.glob("*.h5"))[-1]
        with h5py.File(file) as opened:
            start = opened["samples/p2/image/0"].id.get_chunk_info(0).byte_offset
    content = bytearray(file.read_bytes())
    content[start : start + 100] = b"\xff" * 100
    file.write_bytes(content)


def test_a_loader_of_a_store_with_a_corrupt_chunk_names_the_sample(any_store):
    damage_a_chunk(any_store)
    with pytest.raises(StoreDamagedError, match=r"sample p2, array image: chunk .* does not decode"):
        for _ in PatchLoader(any_store, patch_size=(24, 24, 18), batch_size=2, workers=1, split=None):
            pass
    assert {(problem.sample_id, problem.array) for problem in verify(any_store)} == {("p2", "image")}


@pytest.mark.parametrize("version", [0, 2])
def test_another_format_is_refused_with_its_version(any_store, version):
    if any_store.is_dir():
        document = json.loads((any_store / "zarr.json").read_text())
        document["attributes"]["medimagenet"]["format"] = version
        (any_store / "zarr.json").write_text(json.dumps(document))
    else:
        with h5py.File(open_store(any_store).path, "r+") as file:
            was = file.attrs["medimagenet"]
            file.attrs["medimagenet"] = was.replace(b'"format": 1', b'"format": %d' % version)
    for opening in (open_store, verify, lambda path: PatchLoader(path, patch_size=(8, 8, 8), batch_size=1)):
        with pytest.raises(StoreFormatError, match=f"store of format {version}, this version .* reads format 1"):
            opening(any_store)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_may_not_be_read(store_path):
    (store_path / "samples.parquet").chmod(0)
    with pytest.raises(StoreError, match="cannot be read"):
        open_store(store_path)


def test_kernels_work_where_their_cache_cannot_be_written(store_path, tmp_path):
    """Slower, as each process compiles anew; this one reads no more than a store."""
    (tmp_path / "file").write_text("no folder can be made below a file")
    places = {**os.environ, "MEDIMAGENET_CACHE_DIR": str(tmp_path / "file" / "cache"), "NUMBA_DISABLE_JIT": "1"}
    command = "import sys; from medimagenet import open_store; print(open_store(sys.argv[1]).array('p1').read().sum())"
    done = subprocess.run(
        [sys.executable, "-c", command, str(store_path)], env=places, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == open_store(store_path).array("p1").read().sum()
