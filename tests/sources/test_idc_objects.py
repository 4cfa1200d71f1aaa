"""Objects of a series: from a real S3 server (moto), and from one that speaks Google's JSON interface."""

import base64
import hashlib

import boto3
import google_crc32c
import pytest
import requests
from moto.server import ThreadedMotoServer

from medimagenet.errors import SourceError
from medimagenet.sources import http
from medimagenet.sources.http import Limits
from medimagenet.sources.idc_objects import AWS, GOOGLE, IdcObjects, _google_checksum
from medimagenet.sources.registry import remote_source
from tests.download.object_server import ObjectServer

UUID = "40db0070-9773-413a-8d7e-c91c37c0006b"
OBJECTS = {f"{number:04d}.dcm": b"x" * number for number in range(1, 4)}


@pytest.fixture(scope="module")
def bucket():
    """The address of an S3 server with one series in idc-open-data, open to everybody."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="idc-open-data", ACL="public-read")
    for name, body in {**OBJECTS, "more/4.dcm": b"deeper"}.items():
        client.put_object(Bucket="idc-open-data", Key=f"{UUID}/{name}", Body=body, ACL="public-read")
    client.put_object(Bucket="idc-open-data", Key="hostile/../../x.dcm", Body=b"", ACL="public-read")
    parts = client.create_multipart_upload(Bucket="idc-open-data", Key="parts/1.dcm", ACL="public-read")
    part = {"Bucket": "idc-open-data", "Key": "parts/1.dcm", "UploadId": parts["UploadId"]}
    sent = client.upload_part(**part, PartNumber=1, Body=b"y" * 10)
    client.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]})
    yield url
    server.stop()


def row(uuid=UUID, n_instances=0, bucket="idc-open-data"):
    return {"uri": f"s3://{bucket}/{uuid}/", "n_instances": n_instances}


def test_objects_of_a_real_server_with_their_md5(bucket):
    files = [file for file in IdcObjects(bucket).remote_files(row()) if "more" not in file.url]
    assert [file.path for file in files] == sorted(OBJECTS)
    for file in files:
        assert file.size_bytes == len(OBJECTS[file.path])
        assert file.checksum == f"md5:{hashlib.md5(OBJECTS[file.path]).hexdigest()}"
        assert requests.get(file.url, timeout=5).content == OBJECTS[file.path]
        assert (file.service, file.package, file.method) == ("idc", "none", "GET")


def test_an_object_sent_in_parts_has_no_md5(bucket):
    (file,) = IdcObjects(bucket).remote_files(row("parts", 1))
    assert (file.size_bytes, file.checksum) == (10, None)


@pytest.mark.parametrize("wanted", [1, 5])
def test_another_number_of_objects_than_instances_is_an_error(bucket, wanted):
    with pytest.raises(SourceError, match=rf"has 4 objects, its index says {wanted} instances.*medimagenet update"):
        IdcObjects(bucket).remote_files(row(n_instances=wanted))


def test_a_series_or_a_bucket_that_is_not_there(bucket):
    with pytest.raises(SourceError, match="has 0 objects, its index says 2"):
        IdcObjects(bucket).remote_files(row("gone", 2))
    with pytest.raises(SourceError, match=r"cannot list .*/no-such-bucket"):
        IdcObjects(bucket).remote_files(row(bucket="no-such-bucket"))


def test_a_hostile_name_is_an_error(bucket):
    with pytest.raises(SourceError, match=r"cannot list .*illegal character sequence"):
        IdcObjects(bucket).remote_files(row("hostile"))


@pytest.mark.parametrize("uri", ["/data/x/", "s3://bucket", "s3://bucket/uuid", "https://h/x/", "s3:///x/"])
def test_an_address_that_is_none_of_a_series(uri):
    with pytest.raises(SourceError, match="no address of a series"):
        IdcObjects().remote_files({"uri": uri, "n_instances": 1})


def test_a_server_that_is_not_there(monkeypatch):
    monkeypatch.setitem(http.LIMITS, "idc", Limits(attempts=1))
    with pytest.raises(SourceError, match=r"cannot list http://127.0.0.1:9/idc-open-data"):
        IdcObjects("http://127.0.0.1:9").remote_files(row())


@pytest.mark.parametrize("google", [False, True])
def test_listings_of_several_pages(google):
    objects = {f"/idc-open-cr/{UUID}/{name}": body for name, body in OBJECTS.items()}
    objects |= {path.replace("idc-open-cr", "idc-open-data-cr"): body for path, body in objects.items()}
    with ObjectServer(objects) as server:
        server.pages = 2
        files = IdcObjects(server.url, google=google).remote_files(row(n_instances=3, bucket="idc-open-data-cr"))
        assert [file.path for file in files] == sorted(OBJECTS)
        assert [file.checksum for file in files] == [
            f"md5:{hashlib.md5(OBJECTS[file.path]).hexdigest()}" for file in files
        ]
        twin = "idc-open-cr" if google else "idc-open-data-cr"
        assert all(file.url == f"{server.url}/{twin}/{UUID}/{file.path}" for file in files)
        assert len(server.asked) == 2


def test_google_without_the_series_and_with_html():
    with ObjectServer({}) as server:
        source = IdcObjects(server.url, google=True)
        with pytest.raises(SourceError, match="has 0 objects"):
            source.remote_files(row(n_instances=1))
        source.endpoint = server.url
        source._client._base_url = f"{server.url}/nowhere"
        with pytest.raises(SourceError, match="404"):
            source.remote_files(row(n_instances=1))


def test_google_gives_crc32c_where_there_is_no_md5():
    digest = google_crc32c.Checksum(b"abc").digest()
    assert _google_checksum({"crc32c": base64.b64encode(digest).decode()}) == f"crc32c:{digest.hex()}"
    assert _google_checksum({}) is None


def test_where_the_buckets_are_can_be_set(monkeypatch):
    monkeypatch.delenv("MEDIMAGENET_IDC_ENDPOINT", raising=False)
    assert remote_source("idc").endpoint == AWS
    monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", GOOGLE + "/")
    found = remote_source("idc")
    assert (found.endpoint, found._google) == (GOOGLE, True)
