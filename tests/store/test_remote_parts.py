"""What was fetched of a shard: against the bytes of the object, whatever happens to the file of the cache meanwhile."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medimagenet.errors import StoreError
from medimagenet.store import remote_objects, remote_parts
from medimagenet.store.metadata import parse_array
from medimagenet.store.remote_cache import NodeCache
from medimagenet.store.remote_objects import ChangedObjectError, Objects
from medimagenet.store.remote_parts import Parts, span_of, touched

CHUNKS, LENGTH, LEAD = 40, 1000, 500
FILL = (3, 17)
CONTENT = np.random.default_rng(0).integers(0, 256, LEAD + CHUNKS * LENGTH + 700, dtype=np.uint8).tobytes()


def places():
    """Chunks in another order than that of their numbers, two of them only fill, bytes before and after them."""
    order = np.random.default_rng(1).permutation(CHUNKS)
    index = np.stack([LEAD + order * LENGTH, np.full(CHUNKS, LENGTH)], axis=1)
    index[list(FILL)] = -1
    return index


@pytest.fixture
def made(range_server, tmp_path, monkeypatch):
    """A server, and a function that gives the parts as another process would have them."""
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 100)
    monkeypatch.setattr(remote_objects, "GAP_BYTES", 1)
    server = range_server({"/b/x": CONTENT})

    def make(**more):
        objects, cache = Objects(f"{server.url}/b"), NodeCache(tmp_path / "cache", **more)
        _, version = objects.tail("x", 1, "what")
        return Parts(objects, cache, cache.entry("x"), "x", version, places(), "sample a")

    return server, make


def check(parts, numbers):
    """That the chunks are those of the object; returns nothing."""
    descriptor = parts.open(np.array(numbers, dtype=np.int64))
    try:
        for number in set(numbers) - set(FILL):
            offset, length = places()[number]
            place, size = parts.index[number].tolist()
            assert os.pread(descriptor, size, place) == CONTENT[offset : offset + length]
    finally:
        os.close(descriptor)


def asked(server):
    return [span for _, span in server.asked if not span.startswith("bytes=-")]


def test_a_chunk_is_fetched_once_whoever_asks(made):
    server, make = made
    first, second = make(), make()
    check(first, [0, 3, 5])
    assert len(asked(server)) == 2
    for parts in (first, second, make()):
        check(parts, [5, 0, 17])
    assert len(asked(server)) == 2
    check(second, [0, 7])
    check(first, [7])
    assert len(asked(server)) == 3
    assert (first.index[list(FILL)] == -1).all()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, CHUNKS - 1), min_size=1)), max_size=6))
def test_any_order_of_two_processes(made, turns):
    """The file is kept between the examples: each finds what those before have left."""
    both = made[1](), made[1]()
    for which, numbers in turns:
        check(both[which], numbers)


def test_bytes_between_two_chunks_are_not_thrown_away(made, monkeypatch):
    server, make = made
    monkeypatch.setattr(remote_objects, "GAP_BYTES", LENGTH)
    parts = make()
    by_place = sorted(set(range(CHUNKS)) - set(FILL), key=lambda number: places()[number, 0])
    at = next(k for k in range(CHUNKS) if places()[by_place[k + 2], 0] - places()[by_place[k], 0] == 2 * LENGTH)
    three = by_place[at : at + 3]
    check(parts, [three[0], three[2]])
    count = len(asked(server))
    check(parts, [three[1]])
    assert len(asked(server)) == count == 1


def test_chunks_longer_than_a_piece(made, monkeypatch):
    server, make = made
    monkeypatch.setattr(remote_objects, "PART_BYTES", 300)
    check(make(), list(range(8)))
    count = len(asked(server))
    assert count > 20
    check(make(), list(range(8)))
    assert len(asked(server)) == count


def test_the_rest_comes_when_most_is_here_but_not_into_a_cache_too_small_for_it(made):
    server, make = made
    check(make(), list(range(31)))
    count = len(asked(server))
    check(make(), list(range(CHUNKS)))
    assert len(asked(server)) == count
    small = make(limit_bytes=50_000)
    small._cache.remove(small._cache.entry("x"))
    check(small, list(range(31)))
    count = len(asked(server))
    check(small, list(range(CHUNKS)))
    assert len(asked(server)) > count


def test_a_small_shard_comes_as_a_whole_by_one_request(made, monkeypatch):
    server, make = made
    monkeypatch.setattr(remote_parts, "SMALL_BYTES", 10**6)
    monkeypatch.setattr(remote_objects, "GAP_BYTES", 3 * LENGTH)
    check(make(), [0])
    check(make(), list(range(CHUNKS)))
    assert len(asked(server)) == 1


def test_an_end_that_is_here_already(made):
    server, make = made
    parts = make()
    parts.keep(len(CONTENT) - 5200, CONTENT[-5200:])
    last = np.flatnonzero(places()[:, 0] >= len(CONTENT) - 5200)
    assert len(last) == 4
    check(parts, last.tolist())
    assert asked(server) == []


@pytest.mark.parametrize("harm", ["zeros", "cut", "gone", "another"])
def test_what_happens_to_the_file_changes_no_byte(made, harm, tmp_path):
    """A machine that stopped has kept marks and lost chunks; somebody has deleted the cache; another file came."""
    server, make = made
    parts = make()
    check(parts, [0, 1, 2])
    (path,) = tmp_path.rglob("parts-*")
    if harm == "zeros":
        content = bytearray(path.read_bytes())
        content[: parts._trailer] = bytes(parts._trailer)
        path.write_bytes(content)
        parts = make()  # who has compared them believes them
    elif harm == "cut":
        os.truncate(path, 700)
    else:
        parts._cache.remove(parts._cache.entry("x"))
        if harm == "another":
            check(make(), [2])
    server.asked.clear()
    check(parts, [0, 1, 2])
    assert len(asked(server)) >= (2 if harm == "another" else 1)


def test_an_object_that_changed_takes_what_is_here_with_it(made, tmp_path):
    server, make = made
    parts = make()
    check(parts, [0])
    server.objects["/b/x"] = CONTENT[::-1]
    with pytest.raises(ChangedObjectError, match=r"sample a: .* has changed since"):
        parts.open(np.array([1]))
    assert list(tmp_path.rglob("parts-*")) == []


def test_a_disk_that_is_full_is_said(made, monkeypatch):
    _, make = made
    parts = make()

    def full(*_):
        raise OSError(28, "No space left on device")

    check(parts, [0])
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match=r"cache of remote stores at .* cannot be written: No space left"):
        parts.open(np.array([1]))
    check(parts, [0])


def test_threads_and_no_descriptor_left(made, tmp_path):
    _, make = made
    both = make(), make()
    sets = [np.random.default_rng(k).integers(0, CHUNKS, 5).tolist() for k in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: check(both[pair[0] % 2], pair[1]), enumerate(sets)))
    open_files = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    assert [path for path in open_files if path.startswith(str(tmp_path))] == []


def test_holes_take_no_room_in_the_cache(made, tmp_path):
    _, make = made
    parts = make()
    check(parts, [0])
    (path,) = tmp_path.rglob("parts-*")
    taken = 512 * path.stat().st_blocks
    assert parts._cache.shrink() <= taken + 1000
    assert taken < path.stat().st_size


def test_touched_chunks_are_those_that_a_box_meets(store_path):
    metadata = parse_array(json.loads((store_path / "samples/p1/image/0/zarr.json").read_text()), "x")
    counts = metadata.chunks_per_shard
    assert counts == (1, 3, 4, 4)
    found = touched(counts, metadata.chunk, (0, 3, 8, 15), (1, 17, 16, 17))
    z, y, x = (0, 1, 2), (1,), (1, 2)
    assert found.tolist() == [(a * counts[2] + b) * counts[3] + c for a in z for b in y for c in x]
    assert touched((2, 1), (5, 3), (0, 0, 4, 0), (1, 1, 6, 3)).tolist() == [0, 1]


def test_the_span_of_chunks():
    assert span_of(places()) == (LEAD, LEAD + CHUNKS * LENGTH)
    assert span_of(np.full((3, 2), -1)) == (0, 0)
