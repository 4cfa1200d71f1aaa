"""A store in the HDF5 form behind an address: the voxels and batches of the one on the disk, and damage is named."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from medimagenet.cli.main import app
from medimagenet.errors import StoreDamagedError, StoreError, StoreFormatError
from medimagenet.loading import PatchLoader
from medimagenet.store import open_store, remote_objects, remote_parts, verify

SAMPLES = ("p1", "p2", "p3")


def objects(folder, prefix="/b"):
    return {f"{prefix}/{path.name}": path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module", params=["one file", "a file per sample"])
def local(request, tmp_path_factory, tools):
    """The folder of a store of three samples, whose chunks are worth several requests."""
    folder = tmp_path_factory.mktemp("local")
    tools.write(folder / "s.h5", SAMPLES, max_file_bytes=None if request.param == "one file" else 1)
    return folder


@pytest.fixture
def served(range_server, local, tmp_path, monkeypatch):
    """A server of it, and the store as it is opened there."""
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 1000)
    monkeypatch.setattr(remote_objects, "GAP_BYTES", 100)
    server = range_server(objects(local))
    return server, open_store(f"{server.url}/b/s.h5", cache_dir=tmp_path / "cache")


def check_equal(remote, local):
    """That two stores say and hold the same."""
    assert remote.samples.equals(local.samples)
    assert remote.attributes == local.attributes
    for sample_id in local.ids():
        for name in local.names(sample_id):
            mine, yours = remote.array(sample_id, name), local.array(sample_id, name)
            assert mine.attributes == yours.attributes
            assert mine.dtype == yours.dtype
            np.testing.assert_array_equal(mine.read(), yours.read())
        for name in local.classes:
            np.testing.assert_array_equal(remote.foreground(sample_id, name), local.foreground(sample_id, name))


def test_the_same_as_from_the_disk_under_any_of_its_names(served, local, tmp_path):
    server, store = served
    check_equal(store, open_store(local / "s.h5"))
    check_equal(open_store(store.path, cache_dir=tmp_path / "cache"), open_store(local / "s.h5"))  # from the cache
    for name in [path.name for path in local.iterdir()]:
        assert open_store(f"{server.url}/b/{name}", cache_dir=tmp_path / "c").path == store.path
    assert store.path.startswith(f"{server.url}/b/s")


def test_s3(tmp_path, tools):
    local = tmp_path / "local"
    local.mkdir()
    tools.write(local / "s.h5", SAMPLES[:2], max_file_bytes=1)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "hunter2"}
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys)
        client.create_bucket(Bucket="files")
        for path in local.iterdir():
            client.put_object(Bucket="files", Key=path.name, Body=path.read_bytes())
        options = {"endpoint": f"http://{host}:{port}", "region": "us-east-1", **keys}
        check_equal(open_store("s3://files/s.h5", options, tmp_path / "1"), open_store(local / "s.h5"))
        with pytest.raises(StoreError, match=r"s3://files/s.*h5 .* 403 Forbidden: give credentials"):
            open_store("s3://files/s.h5", {"endpoint": options["endpoint"]}, tmp_path / "2")
    finally:
        server.stop()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(["image", "label", "dose"]))
def test_random_boxes_equal_h5py(served, local, data, name):
    _, store = served
    reader = store.array("p3", name)
    start = [data.draw(st.integers(0, n - 1)) for n in reader.shape[1:]]
    shape = [data.draw(st.integers(1, n - a)) for n, a in zip(reader.shape[1:], start, strict=True)]
    with h5py.File(sorted(local.iterdir())[-1]) as file:
        box = (slice(None), *(slice(a, a + n) for a, n in zip(start, shape, strict=True)))
        expected = file[f"samples/p3/{name}/0"][box]
    assert reader.read(start, shape).tobytes() == expected.tobytes()


def test_a_patch_costs_its_chunks_and_the_layout_is_asked_for_once(served, local, tmp_path):
    server, store = served
    expected = open_store(local / "s.h5").array("p2").read()
    reader = store.array("p2")
    server.asked.clear()
    np.testing.assert_array_equal(reader.read((0, 16, 24), (8, 8, 6)), expected[:, :8, 16:24, 24:])
    ((_, chunk),) = server.asked
    first, last = map(int, chunk.removeprefix("bytes=").split("-"))
    assert last - first < 2 * 8**3 + 200
    reader.read((0, 16, 24), (8, 8, 6))
    again = open_store(store.path, cache_dir=tmp_path / "cache")  # as another process would
    server.asked.clear()
    np.testing.assert_array_equal(again.array("p2").read((0, 16, 24), (8, 8, 6)), expected[:, :8, 16:24, 24:])
    assert [asked for _, asked in server.asked if asked != "bytes=-1"] == []  # which file it is, and nothing else


def test_threads_share_what_they_fetch(served, local):
    _, store = served
    judge = open_store(local / "s.h5")
    turns = [(SAMPLES[k % 3], tuple(np.random.default_rng(k).integers(0, 12, 3).tolist())) for k in range(60)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda turn: store.array(turn[0]).read(turn[1], (8, 8, 8)), turns)
        for (name, start), box in zip(turns, found, strict=True):
            np.testing.assert_array_equal(box, judge.array(name).read(start, (8, 8, 8)))


def test_another_process_reads_a_pickled_store(range_server, local, tmp_path):
    server = range_server(objects(local))
    store = open_store(f"{server.url}/b/s.h5", {"headers": {"X-Name": "value"}}, tmp_path / "cache")
    (tmp_path / "store.pickle").write_bytes(pickle.dumps(store))
    command = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).array('p1').read().sum())"
    done = subprocess.run(
        [sys.executable, "-c", command, tmp_path / "store.pickle"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == open_store(local / "s.h5").array("p1").read().sum()


def test_batches_and_commands(range_server, small_store_hdf5, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "cache"))
    url = range_server(objects(small_store_hdf5.parent)).url + "/b/small.h5"
    more = {"patch_size": (16, 16, 16), "batch_size": 2, "workers": 2, "seed": 3, "split": None, "keys": ["image"]}
    for there, here in zip(PatchLoader(url, **more), PatchLoader(small_store_hdf5, **more), strict=True):
        assert there["sample_id"] == here["sample_id"]
        assert there["image"].numpy().tobytes() == here["image"].numpy().tobytes()
    run = CliRunner().invoke
    there, here = (json.loads(run(app, ["inspect", str(s), "--json"]).stdout) for s in (url, small_store_hdf5))
    assert there["rows"] == here["rows"] != []
    assert json.loads(run(app, ["verify", url, "--json"]).stdout)["problems"] == []


# damage


def test_files_of_the_cache_that_a_crash_has_cut_are_fetched_again(served, local, tmp_path):
    _, store = served
    judge = open_store(local / "s.h5")
    check_equal(store, judge)
    for path in [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]:
        os.truncate(path, path.stat().st_size // 2)
    check_equal(open_store(store.path, cache_dir=tmp_path / "cache"), judge)
    check_equal(store, judge)
    shutil.rmtree(tmp_path / "cache/entries")
    check_equal(store, judge)


def test_verify_reads_what_is_there_and_not_what_is_kept(served, local, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "cache"))
    server, store = served
    server.has_validators = False  # nothing but the bytes tells of the damage
    assert verify(store.path) == []
    name = sorted(server.objects)[-1]
    whole = server.objects[name]
    with h5py.File(sorted(local.iterdir())[-1]) as file:
        place = file["samples/p3/image/0"].id.get_chunk_info(7).byte_offset
    server.objects[name] = whole[: place + 40] + bytes([whole[place + 40] ^ 4]) + whole[place + 41 :]
    (problem,) = verify(store.path)
    assert (problem.sample_id, problem.array) == ("p3", "image")
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "empty"))
    (problem,) = verify(store.path)
    assert (problem.sample_id, problem.array) == ("p3", "image")


def test_a_file_cut_names_the_sample(served, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "other"))
    server, store = served
    name = sorted(server.objects)[-1]
    server.objects[name] = server.objects[name][: len(server.objects[name]) * 7 // 8]
    cut = open_store(store.path)
    cut.array("p1").read()
    with pytest.raises(StoreDamagedError, match=r"sample p3, .*(is cut|cannot be read)"):
        [cut.array("p3", array).read() for array in cut.names("p3")]
    problems = verify(store.path)
    assert {problem.sample_id for problem in problems} == {None, "p3"}
    assert any("is cut: it has" in problem.what for problem in problems)


def test_a_file_that_changed_is_an_error_and_the_next_opening_reads_it_anew(served, local, tmp_path):
    server, store = served
    store.array("p1").read((0, 0, 16), (8, 8, 8))
    for name in list(server.objects):
        server.objects[name] += b"more"
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: http.* has changed since .*bytes, now"):
        store.array("p1").read((8, 8, 16), (8, 8, 8))
    check_equal(open_store(store.path, cache_dir=tmp_path / "cache"), open_store(local / "s.h5"))


def test_a_file_that_is_missing_or_of_another_run(served, tmp_path, tools):
    server, store = served
    name = sorted(server.objects)[-1]
    if len(server.objects) == 1:
        del server.objects[name]
        with pytest.raises(StoreError, match=r"there is no store at http.*/b/s\.h5"):
            open_store(store.path, cache_dir=tmp_path / "c")
        return
    del server.objects[name]
    with pytest.raises(StoreDamagedError, match=r"sample p3, array image: there is no http.*/b/s-00002\.h5"):
        open_store(store.path, cache_dir=tmp_path / "c").array("p3")
    tools.write(tmp_path / "o.h5", ("p0", "p4", "p5"), max_file_bytes=1)
    server.objects[name] = (tmp_path / "o-00002.h5").read_bytes()
    with pytest.raises(StoreDamagedError, match=r"sample p3, array image: .* is not of the same run as s-00000\.h5"):
        open_store(store.path, cache_dir=tmp_path / "c").array("p3")


def test_what_is_no_store(range_server, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    server = range_server({"/b/text.h5": b"hello", "/b/other.h5": (tmp_path / "other.h5").read_bytes()})
    with pytest.raises(StoreFormatError, match=r"http.*/b/text\.h5 is no store: it is no HDF5 file"):
        open_store(f"{server.url}/b/text.h5", cache_dir=tmp_path / "c")
    with pytest.raises(StoreFormatError, match=r"http.*/b/other\.h5 is an HDF5 file but no store"):
        open_store(f"{server.url}/b/other.h5", cache_dir=tmp_path / "c")
    server.always = 503
    with pytest.raises(StoreError, match="the server says 503"):
        open_store(f"{server.url}/b/x.h5", cache_dir=tmp_path / "c")


def test_a_server_that_fails_while_h5py_reads_is_what_is_told(served):
    server, store = served
    store.form._blocks._kept.clear()
    server.always = 403
    with pytest.raises(StoreError, match=r"sample p1, array image: .* the server says 403 Forbidden: give credentials"):
        store.array("p1")
    server.always = None
    store.array("p1").read()
