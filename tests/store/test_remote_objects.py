"""Objects behind an address: against the bytes that a server on loopback has, and with every fault that it plants."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.errors import StoreDamagedError, StoreError
from medimagenet.store import remote_objects
from medimagenet.store.remote_objects import ChangedObjectError, Objects, address_of, merge_spans

CONTENT = os.urandom(3 << 20)


@pytest.fixture
def served(range_server):
    server = range_server({"/base/a b/x": CONTENT, "/base/small": b"0123456789"})
    return server, Objects(f"{server.url}/base/")


def test_whole_and_tail(served):
    _, objects = served
    content, version = objects.whole("a b/x", "what")
    assert content == CONTENT
    assert version.size == len(CONTENT)
    assert objects.tail("a b/x", 1000, "what") == (CONTENT[-1000:], version)
    assert objects.tail("small", 1000, "what")[0] == b"0123456789"


def test_ranges_are_the_bytes_asked_for_and_near_ones_are_one_request(served):
    server, objects = served
    _, version = objects.tail("a b/x", 1, "what")
    gap = remote_objects.GAP_BYTES
    spans = [(1_000_000 + 3 * gap, 1_000_100 + 3 * gap), (0, 10), (100, 5000), (6000, 6001), (1_000_000, 1_000_001)]
    server.asked.clear()
    assert objects.ranges("a b/x", spans, version, "what") == [CONTENT[a:b] for a, b in spans]
    assert sorted(asked for _, asked in server.asked) == [
        "bytes=0-6000",
        "bytes=1000000-1000000",
        f"bytes={1_000_000 + 3 * gap}-{1_000_099 + 3 * gap}",
    ]


def test_several_requests_run_at_once_but_not_too_many(served):
    server, objects = served
    _, version = objects.tail("a b/x", 1, "what")
    server.delay_s = 0.05
    spans = [(at, at + 10) for at in range(0, len(CONTENT), 300_000)]
    assert objects.ranges("a b/x", spans, version, "what") == [CONTENT[a:b] for a, b in spans]
    assert 2 <= server.most_at_once <= remote_objects.AT_ONCE + 1


def test_pieces_are_handed_over_as_they_come_and_none_after_the_end(served, monkeypatch):
    """A caller may close its file then: also when one of the pieces could not be fetched, or not be taken."""
    monkeypatch.setattr(remote_objects, "PART_BYTES", 100_000)
    server, objects = served
    _, version = objects.tail("a b/x", 1, "what")
    found, running = bytearray(len(CONTENT)), []

    def take(start, piece):
        running.append(start)
        time.sleep(0.01)
        if start == 500_000 and fails:
            raise StoreError("no room")
        found[start : start + len(piece)] = piece
        running.remove(start)

    fails = False
    objects.gather("a b/x", [(0, 10), (10, len(CONTENT))], version, take, "what")
    assert found == CONTENT
    fails = True
    for fault in ([], [404]):
        server.faults["/base/a b/x"] += fault
        with pytest.raises(StoreError):
            objects.gather("a b/x", [(0, len(CONTENT))], version, take, "what")
        assert set(running) <= {500_000}
        running.clear()


@given(st.lists(st.tuples(st.integers(0, 10**8), st.integers(1, 10**7)), min_size=1, max_size=30))
def test_merged_spans_cover_all_and_nothing_far(pairs):
    spans = [(start, start + length) for start, length in pairs]
    merged = merge_spans(spans)
    assert all(any(a <= start and stop <= b for a, b in merged) for start, stop in spans)
    longest = max(stop - start for start, stop in spans)
    assert all(b - a <= max(remote_objects.PART_BYTES, longest) for a, b in merged)
    edges = sorted(spans)
    for a, b in merged:  # no gap inside is longer than what may be closed
        reached = a
        for start, stop in edges:
            if a <= start and stop <= b:
                assert start - reached <= remote_objects.GAP_BYTES
                reached = max(reached, stop)


def test_download_and_fold_hand_out_every_byte_in_order(served, monkeypatch):
    monkeypatch.setattr(remote_objects, "PART_BYTES", 100_000)
    server, objects = served
    _, version = objects.tail("a b/x", 1, "what")
    parts = []
    objects.download("a b/x", version, parts.append, "what")
    assert b"".join(parts) == CONTENT
    assert max(map(len, parts)) == 100_000  # memory is bounded by some of these
    assert server.most_at_once <= remote_objects.AT_ONCE + 1
    for key, content in (("a b/x", CONTENT), ("small", b"0123456789")):
        parts = []
        assert objects.fold(key, parts.append, "what") == len(content)
        assert b"".join(parts) == content


@pytest.mark.parametrize("fault", ["cut", 503, 500, 429])
def test_a_fault_that_passes_is_not_seen(served, fault):
    server, objects = served
    server.faults["/base/a b/x"] += [fault, fault]
    assert objects.tail("a b/x", 100, "what")[0] == CONTENT[-100:]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (404, "there is no "),
        (403, "the server says 403 Forbidden: give credentials in storage_options"),
        (401, "the server says 401 Unauthorized: give credentials"),
        (503, "the server says 503 Service Unavailable"),
        ("cut", "the connection broke off, 3 times"),
        ("whole", "does not answer requests for a range of bytes"),
    ],
)
def test_a_fault_that_stays_names_sample_and_address_and_no_secret(served, fault, words):
    server, _ = served
    objects = Objects(f"{server.url}/base", {"headers": {"Authorization": "Bearer hunter2"}})
    server.always, server.body = fault, b"<Error>the key hunter2 is wrong</Error>"
    with pytest.raises(StoreError) as error:
        objects.tail("a b/x", 100, "sample p1, array image")
    assert str(error.value).startswith("sample p1, array image: ")
    assert f"{server.url}/base/a b/x" in str(error.value)
    assert words in str(error.value)
    text = repr(error.value) + repr(error.value.__cause__)
    assert "hunter2" not in text
    assert error.value.__suppress_context__
    assert isinstance(error.value, StoreDamagedError) == (fault == 404)


def test_a_server_that_is_not_there():
    with pytest.raises(StoreError, match="the server does not answer"):
        Objects("http://127.0.0.1:9/x").whole("a", "what")


@pytest.mark.parametrize("has_validators", [True, False])
def test_an_object_that_changed_is_not_mixed_with_what_it_was(served, has_validators):
    """By its ETag, or, where a server gives none, by its size."""
    server, objects = served
    server.has_validators = has_validators
    _, version = objects.tail("a b/x", 1, "what")
    server.objects["/base/a b/x"] = CONTENT[::-1] if has_validators else CONTENT[:-1]
    with pytest.raises(ChangedObjectError, match=r"what: .*/base/a b/x has changed since it was first read \("):
        objects.ranges("a b/x", [(0, 10)], version, "what")


@pytest.mark.parametrize("url", ["http://user:hunter2@host/x", "s3://bucket/x?token=hunter2", "https://host/x#hunter2"])
def test_an_address_with_a_secret_is_refused_without_quoting_it(url):
    with pytest.raises(ValueError, match="must not hold a user") as error:
        Objects(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["s3://bucket/x", "gs://bucket/x", "http://host/x"])
def test_an_option_that_is_not_known_is_named_without_its_value(url):
    with pytest.raises(ValueError, match="secret_kee") as error:
        Objects(url, {"secret_kee": "hunter2"})
    assert "hunter2" not in str(error.value)


def test_an_address_without_a_bucket():
    with pytest.raises(ValueError, match="names no bucket"):
        Objects("s3:///x")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("s3://bucket/a.zarr", "s3://bucket/a.zarr"),
        ("S3://bucket/a.zarr", "S3://bucket/a.zarr"),
        ("s3:/bucket/a.zarr", "s3://bucket/a.zarr"),  # what pathlib.Path makes of it
        ("https://host/a.zarr", "https://host/a.zarr"),
        ("gs://b", "gs://b"),
        ("/data/a.zarr", None),
        ("a.zarr", None),
        ("file:///data", None),
        ("s3", None),
    ],
)
def test_addresses_and_paths(path, address):
    assert address_of(path) == address


def test_a_forked_process_is_told_what_to_do(served):
    _, objects = served
    objects.whole("small", "what")
    child = os.fork()
    if child == 0:
        try:
            objects.whole("small", "what")
        except StoreError as error:
            os._exit(7 if "spawn" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_credentials_at_hand_are_used_and_otherwise_none_are_looked_for(monkeypatch):
    for name in (*remote_objects._AWS, *remote_objects._GOOGLE):
        monkeypatch.delenv(name, raising=False)
    assert remote_objects._is_anonymous({"endpoint": "x", "region": "y"}, remote_objects._AWS)
    assert not remote_objects._is_anonymous({"access_key_id": "x"}, remote_objects._AWS)
    assert not remote_objects._is_anonymous({"aws_session_token": "x"}, remote_objects._AWS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    assert not remote_objects._is_anonymous({}, remote_objects._AWS)


def test_google_storage_on_loopback(range_server):
    server = range_server({"/bucket/folder/x": CONTENT})
    objects = Objects("gs://bucket/folder", {"base_url": server.url})
    content, version = objects.tail("x", 10, "what")
    assert content == CONTENT[-10:]
    assert objects.ranges("x", [(5, 9)], version, "what") == [CONTENT[5:9]]
