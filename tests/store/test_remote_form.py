"""A store behind an address: the same voxels and the same batches as from the disk, over S3 and HTTP on loopback."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from medimagenet.cli.main import app
from medimagenet.errors import StoreDamagedError, StoreError, StoreFormatError
from medimagenet.loading import PatchLoader
from medimagenet.store import open_store, remote_form, remote_parts, verify

KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "hunter2", "region": "us-east-1"}


@pytest.fixture(scope="module")
def s3():
    """An S3 server, and its client."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    names = {"aws_access_key_id": KEYS["access_key_id"], "aws_secret_access_key": KEYS["secret_access_key"]}
    yield endpoint, boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **names)
    server.stop()


def upload(client, folder, bucket, **more):
    client.create_bucket(Bucket=bucket)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        client.put_object(Bucket=bucket, Key=f"a/s.zarr/{path.relative_to(folder)}", Body=path.read_bytes(), **more)


def equal(remote, local):
    """Whether two stores say and hold the same."""
    assert remote.samples.equals(local.samples)
    assert remote.attributes == local.attributes
    for sample_id in local.ids():
        for name in local.names(sample_id):
            mine, yours = remote.array(sample_id, name), local.array(sample_id, name)
            assert mine.attributes == yours.attributes
            np.testing.assert_array_equal(mine.read(), yours.read())
        for name in local.classes:
            np.testing.assert_array_equal(remote.foreground(sample_id, name), local.foreground(sample_id, name))


def test_a_public_and_a_private_bucket(s3, store_path, tmp_path, monkeypatch):
    endpoint, client = s3
    upload(client, store_path, "public", ACL="public-read")
    upload(client, store_path, "private")
    local = open_store(store_path)
    equal(open_store("s3://public/a/s.zarr", {"endpoint": endpoint}, tmp_path / "1"), local)
    equal(open_store("s3://private/a/s.zarr/", {"endpoint": endpoint, **KEYS}, tmp_path / "2"), local)
    with pytest.raises(StoreError, match=r"store: s3://private/a/s.zarr/zarr.json .* 403 Forbidden: give credentials"):
        open_store("s3://private/a/s.zarr", {"endpoint": endpoint}, tmp_path / "3")
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "AKIAEXAMPLE", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "4"))
    by_environment = open_store("s3://private/a/s.zarr")
    assert by_environment.ids() == local.ids()
    assert (tmp_path / "4" / "entries").is_dir()


def test_no_secret_is_shown(s3, store_path, tmp_path):
    endpoint, client = s3
    upload(client, store_path, "shown", ACL="public-read")
    store = open_store("s3://shown/a/s.zarr", {"endpoint": endpoint, **KEYS}, tmp_path)
    assert repr(store) == "Store('s3://shown/a/s.zarr', samples=2, classes=['GTV', 'lung/left'])"
    client.delete_object(Bucket="shown", Key="a/s.zarr/samples/p1/image/0/c/0/0/0/0")
    with pytest.raises(
        StoreDamagedError, match=r"sample p1, array image: there is no s3://shown/.*/c/0/0/0/0"
    ) as error:
        store.array("p1").read()
    assert "hunter2" not in str(error.value) + str(store.path)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hunter2" not in kept


@pytest.fixture(scope="module")
def large(tmp_path_factory, tools):
    """A store whose image is two shards of many chunks, none of which compresses."""
    generator = np.random.default_rng(0)
    grid = type(tools.grid)((96, 96, 96), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    data = tools.sample("p1", grid=grid)
    data.arrays["image"].array[...] = generator.integers(-1000, 1000, (1, 96, 96, 96))
    path = tmp_path_factory.mktemp("large") / "s.zarr"
    writer = tools.create(path, shard_limit_bytes=1_000_000)
    writer.commit([writer.write_sample(data)])
    writer.finish("# Attribution\n", {})
    return path


@pytest.fixture
def served(range_server, large, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_form, "AHEAD_BYTES", 1000)
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 1000)
    server = range_server(large)
    return server, open_store(f"{server.url}/s.zarr", cache_dir=tmp_path / "cache")


def shards(server):
    return [(path, asked) for path, asked in server.asked if "/image/0/c/" in path]


def test_a_patch_costs_its_chunks_and_the_index_once(served, large):
    server, store = served
    expected = open_store(large).array("p1").read()
    reader = store.array("p1")
    server.asked.clear()
    np.testing.assert_array_equal(reader.read((0, 0, 0), (8, 8, 8)), expected[:, :8, :8, :8])
    (_, index), (_, chunk) = shards(server)
    assert index.startswith("bytes=-")
    first, last = map(int, chunk.removeprefix("bytes=").split("-"))
    assert last - first < 2 * 8**3 + 200
    np.testing.assert_array_equal(reader.read((0, 0, 0), (16, 8, 8)), expected[:, :16, :8, :8])
    assert len(shards(server)) == 3  # the chunk that was not there yet
    np.testing.assert_array_equal(reader.read((0, 0, 0), (16, 8, 8)), expected[:, :16, :8, :8])
    assert len(shards(server)) == 3
    again = open_store(store.path, cache_dir=store.form.arguments[2])
    np.testing.assert_array_equal(again.array("p1").read((0, 0, 0), (16, 8, 8)), expected[:, :16, :8, :8])
    assert len(shards(server)) == 3  # nor by another process


def test_a_whole_array_is_fetched_once(served, large):
    server, store = served
    expected = open_store(large).array("p1").read()
    np.testing.assert_array_equal(store.array("p1").read(), expected)
    sent = server.sent
    np.testing.assert_array_equal(store.array("p1").read(), expected)
    assert server.sent == sent
    assert sent < 1.1 * sum(path.stat().st_size for path in large.rglob("*") if path.is_file())


def test_when_most_of_a_shard_is_asked_for_the_rest_comes_with_it(served, large):
    server, store = served
    judge, reader = open_store(large).array("p1"), store.array("p1")
    shape = (48, 96, 60)  # of the first of two shards of 48 x 96 x 96: five eighths of its chunks
    np.testing.assert_array_equal(reader.read((0, 0, 0), shape), judge.read((0, 0, 0), shape))
    sent = server.sent
    np.testing.assert_array_equal(reader.read((0, 0, 60), (48, 96, 20)), judge.read((0, 0, 60), (48, 96, 20)))
    assert server.sent > sent
    sent = server.sent
    np.testing.assert_array_equal(reader.read((0, 0, 80), (48, 96, 16)), judge.read((0, 0, 80), (48, 96, 16)))
    assert server.sent == sent


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_boxes_equal_those_of_the_disk(served, large, data):
    _, store = served
    judge, reader = open_store(large).array("p1"), store.array("p1")
    start = [data.draw(st.integers(0, 95)) for _ in range(3)]
    shape = [data.draw(st.integers(1, min(40, 96 - a))) for a in start]
    np.testing.assert_array_equal(reader.read(start, shape), judge.read(start, shape))


def test_threads_share_what_they_fetch(served, large):
    _, store = served
    judge = open_store(large).array("p1")
    starts = [tuple(int(a) for a in np.random.default_rng(k).integers(0, 64, 3)) for k in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for start, found in zip(
            starts, pool.map(lambda at: store.array("p1").read(at, (32, 32, 32)), starts), strict=True
        ):
            np.testing.assert_array_equal(found, judge.read(start, (32, 32, 32)))


def test_a_cache_that_is_too_small_or_goes_away_changes_no_voxel(range_server, large, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_form, "AHEAD_BYTES", 1000)
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 1000)
    server = range_server(large)
    store = open_store(f"{server.url}/s.zarr", cache_dir=tmp_path / "c", cache_bytes=60_000)
    judge = open_store(large).array("p1")
    for k in range(12):
        start = [int(a) for a in np.random.default_rng(k).integers(0, 72, 3)]
        np.testing.assert_array_equal(store.array("p1").read(start, (24, 24, 24)), judge.read(start, (24, 24, 24)))
        if k == 6:
            shutil.rmtree(tmp_path / "c")
            (tmp_path / "c").mkdir()
            (tmp_path / "c/entries").mkdir()
            (tmp_path / "c/going").mkdir()
    kept = sum(512 * path.stat().st_blocks for path in (tmp_path / "c/entries").rglob("*") if path.is_file())
    assert kept < 60_000 + 2 * 30_000


def test_files_of_the_cache_that_a_crash_has_cut_are_fetched_again(served, large):
    _, store = served
    judge = open_store(large).array("p1")
    folder = store.form.arguments[2]
    store.array("p1").read((0, 0, 0), (8, 8, 8))
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = open_store(store.path, cache_dir=folder)
    np.testing.assert_array_equal(again.array("p1").read((0, 0, 0), (8, 8, 8)), judge.read((0, 0, 0), (8, 8, 8)))
    np.testing.assert_array_equal(again.array("p1").read(), judge.read())
    shards = list(folder.rglob("parts-*"))
    assert len(shards) >= 2
    for path in shards:
        os.truncate(path, 10)
    np.testing.assert_array_equal(open_store(store.path, cache_dir=folder).array("p1").read(), judge.read())


def test_an_object_that_changed_is_an_error_and_the_next_opening_reads_it_anew(served, large):
    server, store = served
    reader = store.array("p1")
    reader.read((0, 0, 0), (8, 8, 8))
    for path in [path for path in server.objects if "/image/0/c/" in path]:
        server.objects[path] += b"more"
    with pytest.raises(StoreDamagedError, match=r"sample p1, array image: http.*/0 has changed since .*bytes, now"):
        reader.read((40, 40, 40), (8, 8, 8))
    for path in [path for path in server.objects if "/image/0/c/" in path]:
        server.objects[path] = server.objects[path][:-4]
    again = open_store(store.path, cache_dir=store.form.arguments[2]).array("p1")
    np.testing.assert_array_equal(again.read(), open_store(large).array("p1").read())


def test_a_corrupt_index_is_an_error_and_is_not_kept(served):
    server, store = served
    path = "/s.zarr/samples/p1/image/0/c/0/0/0/0"
    right = server.objects[path]
    server.objects[path] = right[:-10] + bytes([right[-10] ^ 1]) + right[-9:]
    with pytest.raises(
        StoreDamagedError, match=r"sample p1, array image: the index of http.* differs from its checksum"
    ):
        store.array("p1").read((0, 0, 0), (8, 8, 8))
    server.objects[path] = right
    store.array("p1").read((0, 0, 0), (8, 8, 8))


def digests(store, **more):
    loader = PatchLoader(store, patch_size=(16, 16, 16), batch_size=2, workers=2, seed=3, split=None, **more)
    found = []
    for batch in [*loader, *loader]:
        stamp = hashlib.sha256(repr(batch["sample_id"]).encode())
        for name in ("image", "label", "affine", "patch_start"):
            stamp.update(np.ascontiguousarray(batch[name]).tobytes())
        found.append(stamp.hexdigest())
    return found


def test_the_loader_gives_the_same_batches(range_server, small_store, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_form, "AHEAD_BYTES", 1000)
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 1000)
    server = range_server(small_store)
    more = {"keys": ["image", "label"]}
    expected = digests(small_store, **more)
    url = f"{server.url}/s.zarr"
    assert digests(open_store(url, cache_dir=tmp_path), **more) == expected  # cold
    sent = server.sent
    assert digests(open_store(url, cache_dir=tmp_path), **more) == expected  # warm
    assert server.sent - sent < 50_000  # the root and the table alone
    assert digests(pickle.loads(pickle.dumps(open_store(url, cache_dir=tmp_path))), **more) == expected
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path))
    assert digests(url, **more) == expected


def test_the_loop_gets_the_error_of_a_thread(range_server, small_store, tmp_path):
    server = range_server(small_store)
    store = open_store(f"{server.url}/s.zarr", cache_dir=tmp_path)
    server.always = 404
    with pytest.raises(StoreDamagedError, match=r"sample s0\d, array image: there is no http"):
        digests(store, keys=["image"])


def test_another_process_reads_a_pickled_store(range_server, store_path, tmp_path):
    """With its options, which only memory holds."""
    server = range_server(store_path)
    store = open_store(f"{server.url}/s.zarr", {"headers": {"X-Name": "value"}}, tmp_path / "cache")
    (tmp_path / "store.pickle").write_bytes(pickle.dumps(store))
    command = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).array('p1').read().sum())"
    done = subprocess.run(
        [sys.executable, "-c", command, tmp_path / "store.pickle"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == open_store(store_path).array("p1").read().sum()


def test_verify_behind_an_address(range_server, store_path, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "1"))
    server = range_server(store_path)
    url = f"{server.url}/s.zarr"
    assert verify(url) == []
    flipped = bytearray(server.objects["/s.zarr/samples/p2/label/zarr.json"])
    flipped[-5] ^= 1
    server.objects["/s.zarr/samples/p2/label/zarr.json"] = bytes(flipped)
    del server.objects["/s.zarr/samples/p1/dose/0/c/0/0/0/0"]
    del server.objects["/s.zarr/ATTRIBUTION.md"]
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "2"))
    found = {(problem.sample_id, problem.array) for problem in verify(url)}
    assert found == {(None, None), ("p1", "dose"), ("p2", "label")}
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "1"))  # what is kept hides nothing
    assert {(problem.sample_id, problem.array) for problem in verify(url)} == found


def test_commands_take_an_address(range_server, store_path, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path / "cache"))
    url = f"{range_server(store_path).url}/s.zarr"
    run = CliRunner().invoke
    there, here = (json.loads(run(app, ["inspect", str(store), "--json"]).stdout) for store in (url, store_path))
    assert there["rows"] == here["rows"] != []
    speed = json.loads(run(app, ["bench", url, "--patch", "4", "4", "4", "--seconds", "0.1", "--json"]).stdout)
    assert speed["store"] == url
    assert speed["patches_per_s"] > 0


def test_nothing_there_and_what_is_no_store(range_server, store_path, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_STORE_CACHE_DIR", str(tmp_path))
    server = range_server({**{"/x/zarr.json": b'{"attributes": {}}'}, "/y/zarr.json": b"<html>"})
    with pytest.raises(StoreError, match=r"there is no store at http://.*/none\.zarr: it has no zarr\.json"):
        open_store(f"{server.url}/none.zarr")
    with pytest.raises(StoreFormatError, match="no Med-ImageNet store"):
        open_store(f"{server.url}/x")
    with pytest.raises(StoreDamagedError, match="no JSON"):
        open_store(f"{server.url}/y")


def test_a_cache_that_cannot_be_written(range_server, store_path, tmp_path):
    server = range_server(store_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cache of remote stores at .*/file/x cannot be written"):
        open_store(f"{server.url}/s.zarr", cache_dir=tmp_path / "file/x")
