"""The cache of a node: bounded, least recently used first, whole files only, with several processes at it."""

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medimagenet.errors import StoreError
from medimagenet.store.remote_cache import FOLDER_VARIABLE, LIMIT_VARIABLE, NodeCache


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def text_of(descriptor):
    content = os.pread(descriptor, 100, 0)
    os.close(descriptor)
    return content


def test_what_was_written_is_read(tmp_path):
    cache = NodeCache(tmp_path)
    entry = cache.entry("https://host/x", "key", "hash")
    assert cache.read(entry, "a") is None
    cache.write(entry, "a", b"one")
    cache.write(entry, "b", b"")
    assert (cache.read(entry, "a"), cache.read(entry, "b")) == (b"one", b"")
    assert NodeCache(tmp_path).read(entry, "a") == b"one"
    cache.remove_file(entry, "a")
    cache.remove_file(entry, "a")
    assert cache.read(entry, "a") is None


def test_entries_are_told_apart_by_every_part(tmp_path):
    cache = NodeCache(tmp_path)
    entries = [cache.entry(*parts) for parts in (("a", "b", "c"), ("a", "b", "d"), ("a", "bc", ""), ("ab", "", "c"))]
    assert len(set(entries)) == 4
    assert cache.entry("a", "b", "c") == entries[0]


def test_a_file_whose_writing_fails_is_not_there(tmp_path):
    cache = NodeCache(tmp_path)
    entry = cache.entry("x")

    def fail(file):
        file.write(b"half")
        raise StoreError("the connection broke off")

    with pytest.raises(StoreError, match="broke off"):
        cache.fill(entry, "a", fail)
    assert list(entry.iterdir()) == []


def age(entry, seconds):
    os.utime(entry, (time.time() - seconds, time.time() - seconds))


def test_the_least_recently_used_goes_first(tmp_path):
    cache = NodeCache(tmp_path, limit_bytes=10_000)
    entries = [cache.entry(str(number)) for number in range(12)]
    for number, entry in enumerate(entries):
        cache.write(entry, "a", bytes(1000))
        if number < 9:
            age(entry, 1000 - number)
        if number == 8:
            cache._touched.clear()
            assert cache.read(entries[0], "a") is not None  # used again, so that 1 is the oldest from here on
    kept = [number for number, entry in enumerate(entries) if cache.read(entry, "a") is not None]
    assert kept == [0, *range(12 - len(kept) + 1, 12)]
    assert 8000 <= bytes_in(tmp_path / "entries") <= 10_000


def test_who_has_a_file_open_reads_on_when_it_is_removed(tmp_path):
    cache = NodeCache(tmp_path, limit_bytes=10_000)
    entry = cache.entry("x")
    cache.write(entry, "a", b"before")
    descriptor = cache.open(entry, "a")
    made = cache.fill(entry, "b", lambda file: file.write(b"made"))
    cache.remove(entry)
    assert cache.read(entry, "a") is None
    assert (text_of(descriptor), text_of(made)) == (b"before", b"made")
    assert list((tmp_path / "going").iterdir()) == []
    cache.write(entry, "a", b"again")
    assert cache.read(entry, "a") == b"again"


def test_what_a_killed_process_left_is_counted_and_removed(tmp_path):
    cache = NodeCache(tmp_path, limit_bytes=1000)
    entry = cache.entry("x")
    cache.write(entry, "a", b"x")
    (entry / ".partial").write_bytes(bytes(5000))
    (tmp_path / "going/left/entry").mkdir(parents=True)
    cache.shrink()
    assert not entry.exists()
    assert list((tmp_path / "going").iterdir()) == []


def test_alone_lets_one_thread_in_at_a_time(tmp_path):
    cache = NodeCache(tmp_path)
    inside, most = [], []

    def work(_):
        with cache.alone(cache.entry("x")):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.005)
            inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert set(most) == {1}


WORK = """
import random, sys
from medimagenet.store.remote_cache import NodeCache
cache, generator, found = NodeCache(sys.argv[1], 200_000), random.Random(int(sys.argv[2])), 0
for _ in range(300):
    number = generator.randrange(60)
    entry = cache.entry(str(number))
    content = cache.read(entry, "a")
    if content is None:
        cache.write(entry, "a", bytes([number]) * 10_000)
    else:
        assert content == bytes([number]) * 10_000, (number, len(content), content[:1])
        found += 1
print(found)
"""


def test_processes_that_write_read_and_evict_at_once(tmp_path):
    """No file is ever seen in part; the folder stays near its limit all the while; one process is killed."""
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE) for seed in range(3)]
    seen = []
    while processes[0].poll() is None:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        seen.append(bytes_in(tmp_path / "entries"))
        for process in processes:
            process.send_signal(signal.SIGCONT)
        if seen[-1] > 100_000:
            processes[2].kill()
        time.sleep(0.02)
    assert all(process.wait() == 0 for process in processes[:2])
    assert all(int(process.stdout.read()) > 20 for process in processes[:2])
    processes[2].communicate()
    assert 150_000 < max(seen) <= 200_000 + 3 * 20_000
    assert NodeCache(tmp_path, 200_000).shrink() <= 200_000


def test_a_process_that_was_forked_uses_it_too(tmp_path):
    cache = NodeCache(tmp_path)
    cache.write(cache.entry("x"), "a", b"parent")
    child = os.fork()
    if child == 0:
        cache.write(cache.entry("y"), "a", b"child")
        os._exit(0 if cache.read(cache.entry("x"), "a") == b"parent" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.read(cache.entry("y"), "a") == b"child"


def test_places_and_limits(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "package"))
    assert NodeCache().folder == tmp_path / "package" / "stores"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "other"))
    monkeypatch.setenv(LIMIT_VARIABLE, "12345")
    assert (NodeCache().folder, NodeCache().limit_bytes) == (tmp_path / "other", 12345)
    assert (NodeCache(tmp_path, 7).folder, NodeCache(tmp_path, 7).limit_bytes) == (tmp_path, 7)
    for wrong in ("many", "0", "-3"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(ValueError, match=f"needs a limit in bytes above 0, got '{wrong}'"):
            NodeCache()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StoreError, match=rf"cache of remote stores at {tmp_path}/file/x cannot be written: .*cache_dir"
    ):
        NodeCache(tmp_path / "file" / "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", tmp_path], check=True)
    try:
        cache = NodeCache(tmp_path)
        with pytest.raises(StoreError, match=r"No space left on device.*smaller limit \(cache_bytes"):
            for number in range(30):
                cache.write(cache.entry(str(number)), "a", random.Random(number).randbytes(10_000))
        assert not [path for path in Path(tmp_path).rglob(".*") if path.is_file()]
    finally:
        subprocess.run(["umount", tmp_path], check=True)
