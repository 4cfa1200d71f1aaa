"""One body, against a server that cuts, stalls, lies and refuses."""

import hashlib
import random
import threading

import google_crc32c
import pytest
from pydantic import SecretStr

from medimagenet.download import transfer as module
from medimagenet.download.transfer import Stopped, Transfer, http_address, present
from medimagenet.errors import HttpError, SourceError
from medimagenet.sources.base import RemoteFile
from medimagenet.sources.credentials import Credentials
from medimagenet.sources.http import Limits
from tests.download.conftest import QUICK
from tests.download.object_server import Fault, ObjectServer

BODY = random.Random(1).randbytes(3 << 20)
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
PATH = "/b/x.bin"


@pytest.fixture
def server():
    with ObjectServer({PATH: BODY}) as running:
        yield running


@pytest.fixture
def transfer():
    found = Transfer(limits=QUICK)
    yield found
    found.close()


def remote(server, **values):
    return RemoteFile(url=server.url + PATH, path="x.bin", **{"size_bytes": len(BODY), "checksum": MD5, **values})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(server):
    return [headers.get("Range") for _, _, headers in server.asked]


def test_a_body_comes_whole_and_leaves_nothing_else(server, transfer, tmp_path):
    counted = []
    body = transfer.fetch(remote(server), tmp_path / "x", counted.append)
    assert body.path.read_bytes() == BODY
    assert (body.size_bytes, body.checksum, body.verified, sum(counted)) == (len(BODY), MD5, True, len(BODY))
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", ["md5", "sha256", "sha1", "crc32c"])
def test_checksums_of_each_kind_are_compared(server, transfer, tmp_path, kind):
    value = google_crc32c.Checksum(BODY).digest().hex() if kind == "crc32c" else hashlib.new(kind, BODY).hexdigest()
    right = f"{kind}:{value.upper()}"
    assert transfer.fetch(remote(server, checksum=right), tmp_path / "x").verified
    wrong = f"{kind}:{value[:-1]}{'1' if value[-1] == '0' else '0'}"
    with pytest.raises(SourceError, match=rf"has checksum {kind}:{value}, {wrong} was promised"):
        transfer.fetch(remote(server, checksum=wrong), tmp_path / "y")
    assert names(tmp_path) == ["x"]


def test_a_checksum_of_unknown_kind_is_not_taken_for_right(server, transfer, tmp_path):
    with pytest.raises(SourceError, match="unknown kind 'adler'"):
        transfer.fetch(remote(server, checksum="adler:00"), tmp_path / "x")


def test_without_a_checksum_sha256_is_noted(server, transfer, tmp_path):
    body = transfer.fetch(remote(server, checksum=None), tmp_path / "x")
    assert (body.checksum, body.verified) == (f"sha256:{hashlib.sha256(BODY).hexdigest()}", False)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_cut_is_continued_at_the_byte(server, transfer, tmp_path, chunked):
    server.fail(PATH, Fault(cut_at=1_000_000, chunked=chunked), Fault(cut_at=1_000_000, chunked=chunked))
    counted = []
    assert transfer.fetch(remote(server), tmp_path / "x", counted.append).path.read_bytes() == BODY
    first, second, third = ranges(server)
    assert first is None
    assert 1_000_000 - (1 << 17) <= int(second[6:-1]) <= 1_000_000  # of the last block nothing may be left
    assert 1_000_000 - (1 << 17) <= int(third[6:-1]) - int(second[6:-1]) <= 1_000_000
    assert sum(counted) == len(BODY)


def test_a_server_without_ranges_is_asked_for_everything_again(server, transfer, tmp_path):
    server.fail(PATH, Fault(cut_at=1_000_000), Fault(no_ranges=True))
    counted = []
    assert transfer.fetch(remote(server), tmp_path / "x", counted.append).path.read_bytes() == BODY
    assert sum(counted) == len(BODY)


def test_a_range_that_was_not_asked_for_is_not_used(server, transfer, tmp_path, monkeypatch):
    """Neither size nor checksum would tell."""
    monkeypatch.setattr(module, "_NOTED", 1000)
    server.fail(PATH, Fault(cut_at=1_000_000), Fault(wrong_range=True))
    unknown = remote(server, checksum=None, size_bytes=None)
    assert transfer.fetch(unknown, tmp_path / "x").path.read_bytes() == BODY


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x", b""], ids=["short", "long", "empty"])
def test_the_size_alone_tells_too(server, transfer, tmp_path, body):
    server.fail(PATH, *[Fault(body=body)] * 2)
    with pytest.raises(SourceError, match="bytes"):
        transfer.fetch(remote(server, checksum=None), tmp_path / "x")
    assert names(tmp_path) == []


def test_the_part_of_an_earlier_process_is_continued(server, transfer, tmp_path):
    (tmp_path / "x.part").write_bytes(BODY[:2_000_000])
    counted = []
    assert transfer.fetch(remote(server), tmp_path / "x", counted.append).path.read_bytes() == BODY
    assert ranges(server) == ["bytes=2000000-"]
    assert sum(counted) == len(BODY)


def test_a_part_that_is_whole_is_not_asked_for(server, transfer, tmp_path):
    (tmp_path / "x.part").write_bytes(BODY)
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY
    assert server.asked == []


@pytest.mark.parametrize("part", [b"\0" * 1_000_000, BODY + b"more", b"\0" * len(BODY)], ids=["wrong", "long", "whole"])
def test_a_part_that_is_wrong_is_found_out(server, transfer, tmp_path, part):
    (tmp_path / "x.part").write_bytes(part)
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY


def test_without_checksum_a_part_is_continued_only_by_the_servers_validator(server, transfer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_NOTED", 1000)
    server.fail(PATH, Fault(cut_at=1_000_000))
    assert transfer.fetch(remote(server, checksum=None, size_bytes=None), tmp_path / "x").path.read_bytes() == BODY
    assert int(ranges(server)[1][6:-1]) > 800_000
    assert server.asked[1][2]["If-Range"] == server.etag(PATH)
    assert names(tmp_path) == ["x"]


def test_an_object_that_changed_meanwhile_begins_anew(server, transfer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_NOTED", 1000)
    other = bytes(reversed(BODY))
    server.fail(PATH, Fault(cut_at=1_000_000), *[Fault(cut_at=0)] * 3)
    with pytest.raises(SourceError, match="the connection was cut 3 times at or before byte 9"):
        transfer.fetch(remote(server, checksum=None, size_bytes=None), tmp_path / "y")
    server.objects[PATH] = other
    got = transfer.fetch(remote(server, checksum=None, size_bytes=None), tmp_path / "y")
    assert got.path.read_bytes() == other


def test_without_checksum_and_validator_nothing_is_continued(server, transfer, tmp_path):
    (tmp_path / "x.part").write_bytes(b"\0" * 1000)
    assert transfer.fetch(remote(server, checksum=None), tmp_path / "x").path.read_bytes() == BODY
    assert ranges(server) == [None]


def test_a_part_that_is_whole_where_no_size_is_known_is_asked_for_anew(server, transfer, tmp_path):
    (tmp_path / "x.part").write_bytes(BODY)
    assert transfer.fetch(remote(server, size_bytes=None), tmp_path / "x").path.read_bytes() == BODY
    assert ranges(server) == [f"bytes={len(BODY)}-", None]  # 416, then all


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=BODY[:-1]),
        Fault(body=BODY + b"x"),
        Fault(body=b""),
        Fault(body=BODY[:-1] + b"x"),
        Fault(body=BODY[:9], no_length=True),
    ],
    ids=["short", "long", "empty", "wrong byte", "short without length"],
)
def test_what_is_wrong_once_is_asked_for_again_and_twice_is_an_error(server, transfer, tmp_path, fault):
    server.fail(PATH, fault)
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY
    server.fail(PATH, fault, fault)
    with pytest.raises(SourceError, match="promised; it came 2 times like this and was not kept"):
        transfer.fetch(remote(server), tmp_path / "y")
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "fault",
    [Fault(status=429, retry_after="0"), Fault(status=503), Fault(status=503, retry_after="1"), Fault(status=500)],
)
def test_a_busy_server_is_asked_again(server, transfer, tmp_path, fault):
    server.fail(PATH, fault, fault)
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_an_error_at_once(server, transfer, tmp_path, status):
    server.fail(PATH, Fault(status=status))
    with pytest.raises(HttpError, match=str(status)):
        transfer.fetch(remote(server), tmp_path / "x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", [b"<!DOCTYPE html><html>", b"\n\n <HTML lang=en>", b"\xef\xbb\xbf<html>"])
def test_html_is_not_data(server, transfer, tmp_path, text):
    page = Fault(body=text + b"Sign in" * 100, content_type="application/zip")
    server.fail(PATH, page)
    with pytest.raises(SourceError, match="is a page of HTML and not the data"):
        transfer.fetch(remote(server, size_bytes=None, checksum=None), tmp_path / "x")
    assert names(tmp_path) == []


def test_a_slow_body_comes_and_a_silent_one_is_asked_for_again(server, transfer, tmp_path):
    server.fail(PATH, Fault(delay_s=0.005))
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY
    server.fail(PATH, Fault(delay_s=1.6, block=1_000_000))  # longer than we listen
    assert transfer.fetch(remote(server), tmp_path / "y").path.read_bytes() == BODY
    assert len(server.asked) == 3


def test_a_dead_server_is_an_error_that_says_how_far_it_came(server, transfer, tmp_path):
    server.always = Fault(cut_at=0)
    (tmp_path / "x.part").write_bytes(BODY[:500_000])
    with pytest.raises(SourceError, match=r"127.0.0.1.*cut 3 times at or before byte 500000 .*run the same"):
        transfer.fetch(remote(server), tmp_path / "x")
    assert names(tmp_path) == ["x.part"]  # for the next run


def test_what_is_there_is_read_and_not_asked_for(server, transfer, tmp_path):
    (tmp_path / "x").write_bytes(BODY)
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY
    assert server.asked == []
    (tmp_path / "x").write_bytes(BODY[:-1] + b"x")
    assert present(remote(server), tmp_path / "x") is None
    assert transfer.fetch(remote(server), tmp_path / "x").path.read_bytes() == BODY


def test_stop_ends_it_and_keeps_the_part(server, tmp_path):
    stop = threading.Event()
    transfer = Transfer(stop, QUICK)
    with pytest.raises(Stopped):
        transfer.fetch(remote(server), tmp_path / "x", lambda count: stop.set())
    assert names(tmp_path) == ["x.part"]
    assert 0 < (tmp_path / "x.part").stat().st_size < len(BODY)


def test_stop_ends_a_wait_that_the_server_asked_for(server, tmp_path):
    stop = threading.Event()
    transfer = Transfer(stop, Limits(longest_wait_s=100))
    server.always = Fault(status=503, retry_after="60")
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Stopped):
        transfer.fetch(remote(server), tmp_path / "x")


def test_the_type_of_a_package_is_known_in_the_next_run_too(server, transfer, tmp_path):
    server.always = Fault(content_type="multipart/related; boundary=abc", body=BODY)
    for _ in range(2):
        body = transfer.fetch(remote(server, package="multipart", checksum=None), tmp_path / "x")
        assert body.content_type == "multipart/related; boundary=abc"
    assert len(server.asked) == 1
    (tmp_path / "x").write_bytes(BODY[:-1] + b"y")  # no checksum of the server, but what we noted
    transfer.fetch(remote(server, package="multipart", checksum=None), tmp_path / "x")
    assert len(server.asked) == 2


def test_a_form_is_posted(server, transfer, tmp_path):
    transfer.fetch(remote(server, method="POST", form={"list": "1.2"}, headers={"Accept": "x/y"}), tmp_path / "x")
    (
        method,
        _,
        headers,
    ) = server.asked[0]
    assert (method, headers[""], headers["Accept"]) == ("POST", "list=1.2", "x/y")


def test_credentials_are_those_of_the_service_and_stay_with_its_host(server, tmp_path, monkeypatch):
    secret = Credentials(token=SecretStr("SECRET"))
    asked = []
    monkeypatch.setattr(module, "find_credentials", lambda service: asked.append(service) or secret)
    transfer = Transfer(limits=Limits(attempts=1))
    transfer.fetch(remote(server, service="tcia"), tmp_path / "x")
    transfer.fetch(remote(server, service="idc"), tmp_path / "y")
    transfer.fetch(remote(server), tmp_path / "z")
    assert asked == ["tcia"]
    assert [headers.get("Authorization") for *_, headers in server.asked] == ["Bearer SECRET", None, None]
    server.always = Fault(status=403, body=b"no Bearer SECRET")
    with pytest.raises(SourceError) as caught:
        transfer.fetch(remote(server, service="tcia"), tmp_path / "w")
    assert "SECRET" not in str(caught.value)


def test_an_index_cannot_have_credentials_sent_to_a_host_of_its_own(server, tmp_path, monkeypatch):
    for service in ("HUGGINGFACE", "TCIA", "PACS"):
        monkeypatch.setenv(f"MEDIMAGENET_{service}_TOKEN", "SECRET")
        monkeypatch.delenv(f"MEDIMAGENET_{service}_URL", raising=False)
    transfer = Transfer(limits=Limits(attempts=1))
    for service in ("huggingface", "tcia"):
        transfer.fetch(remote(server, service=service), tmp_path / service)
    assert [headers.get("Authorization") for *_, headers in server.asked] == [None, None]
    with pytest.raises(SourceError, match="MEDIMAGENET_PACS_HOST"):
        transfer.fetch(remote(server, service="pacs"), tmp_path / "pacs")
    assert len(server.asked) == 2


def test_buckets_are_asked_over_http(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert http_address("s3://msd-for-monai/Task01.tar") == "https://msd-for-monai.s3.amazonaws.com/Task01.tar"
    assert http_address("s3://openneuro.org/ds1/a") == "https://s3.amazonaws.com/openneuro.org/ds1/a"
    assert http_address("gs://idc-open-data/u/a.dcm") == "https://storage.googleapis.com/idc-open-data/u/a.dcm"
    assert http_address("https://h/x") == "https://h/x"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000/")
    assert http_address("s3://b/k") == "http://minio:9000/b/k"
    with pytest.raises(SourceError, match="no address of the web"):
        http_address("file:///etc/passwd")
