"""The objects of the Imaging Data Commons: public buckets on AWS and their twins on Google Cloud, without an account.

A series is a prefix, ``s3://<bucket>/<crdc_series_uuid>/``, under which each instance is one object. The index does not
list them, so the bucket is asked. AWS gives the MD5 of an object as its ETag; Google gives MD5 and CRC32C by name.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .._version import __version__
from ..errors import SourceError, UnreachableError
from .base import RemoteFile
from .http import LIMITS, Client, describe

ENDPOINT_VARIABLE = "MEDIMAGENET_IDC_ENDPOINT"
AWS = "https://s3.amazonaws.com"
GOOGLE = "https://storage.googleapis.com"

TWINS = {"idc-open-data": "idc-open-data", "idc-open-data-two": "idc-open-idc1", "idc-open-data-cr": "idc-open-cr"}
"""Bucket on AWS -> the bucket on Google Cloud with the same objects."""

_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')  # an ETag with "-5" behind it is of an object sent in parts, and no MD5


class IdcObjects:
    """A `RemoteSource`: the objects of a series of the public index.

    Parameters
    ----------
    endpoint
        Where the buckets are: `AWS`, `GOOGLE`, or a mirror that speaks S3. By default what ``MEDIMAGENET_IDC_ENDPOINT``
        says, else AWS.
    google
        Whether the endpoint speaks Google's JSON interface; by default only `GOOGLE` does.
    """

    name = "idc"

    def __init__(self, endpoint: str | None = None, *, google: bool | None = None) -> None:
        self.endpoint = (endpoint or os.environ.get(ENDPOINT_VARIABLE) or AWS).rstrip("/")
        self._google = self.endpoint == GOOGLE if google is None else google
        self._client = Client(self.name, base_url=self.endpoint)
        self._stores: dict[str, Any] = {}

    def remote_files(self, row: Mapping[str, Any]) -> list[RemoteFile]:
        """The objects of one series, each with its size and checksum.

        Raises
        ------
        SourceError
            The bucket cannot be asked, or does not have as many objects as the index says the series has instances.
        """
        bucket, prefix = _place(row["uri"])
        bucket = TWINS.get(bucket, bucket) if self._google else bucket
        listed = self._list_google(bucket, prefix) if self._google else self._list_s3(bucket, prefix)
        files = [self._file(bucket, *one) for one in listed if not one[0].endswith("/")]
        if row["n_instances"] and len(files) != row["n_instances"]:
            raise SourceError(
                f"idc: {row['uri']} has {len(files)} objects, its index says {row['n_instances']} instances: "
                'the index is of another version than the bucket; try "medimagenet update"'
            )
        return sorted(files, key=lambda file: file.path)

    def _file(self, bucket: str, key: str, size: int, checksum: str | None) -> RemoteFile:
        return RemoteFile(
            url=f"{self.endpoint}/{bucket}/{quote(key)}",
            path=key.rpartition("/")[2],
            size_bytes=size,
            checksum=checksum,
            service=self.name,
        )

    def _list_s3(self, bucket: str, prefix: str) -> Iterator[tuple[str, int, str | None]]:
        try:
            for chunk in obstore.list(self._store(bucket), prefix):
                for found in chunk:
                    digest = _MD5.match(found.get("e_tag") or "")
                    yield found["path"], found["size"], f"md5:{digest[1]}" if digest else None
        except (BaseError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else describe(error)
            kind = UnreachableError if "error sending request" in reason else SourceError  # as obstore calls it
            raise kind(f"idc: cannot list {self.endpoint}/{bucket}/{prefix}: {reason}") from error

    def _store(self, bucket: str) -> Any:
        if bucket not in self._stores:
            limits = LIMITS[self.name]
            self._stores[bucket] = S3Store(
                bucket,
                endpoint=self.endpoint,
                region="us-east-1",
                skip_signature=True,
                virtual_hosted_style_request=False,
                client_options={
                    "allow_http": urlsplit(self.endpoint).hostname in ("localhost", "127.0.0.1", "::1"),
                    "user_agent": f"medimagenet/{__version__}",
                    "timeout": f"{limits.read_s:.0f}s",
                },
                retry_config={"max_retries": limits.attempts - 1},
            )
        return self._stores[bucket]

    def _list_google(self, bucket: str, prefix: str) -> Iterator[tuple[str, int, str | None]]:
        asked = {"prefix": prefix, "fields": "items(name,size,md5Hash,crc32c),nextPageToken"}
        page: dict[str, Any] = {"nextPageToken": ""}
        while (token := page.get("nextPageToken")) is not None:
            more = {"pageToken": token} if token else {}
            answer = self._client.get(f"storage/v1/b/{bucket}/o", params={**asked, **more})
            try:
                page = answer.json()
                for item in page.get("items", ()):
                    yield item["name"], int(item["size"]), _google_checksum(item)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise SourceError(f"idc: {self.endpoint} does not list {bucket}/{prefix} as JSON: {error}") from error


def _google_checksum(item: Mapping[str, str]) -> str | None:
    """MD5, which objects put together from parts lack, else CRC32C; base64 of big-endian bytes, as Google writes it."""
    for key, kind in (("md5Hash", "md5"), ("crc32c", "crc32c")):
        if item.get(key):
            return f"{kind}:{base64.b64decode(item[key]).hex()}"
    return None


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    prefix = parts.path.lstrip("/")
    if parts.scheme != "s3" or not parts.netloc or not prefix.endswith("/"):
        raise SourceError(f"idc: {uri!r} is no address of a series such as s3://bucket/uuid/")
    return parts.netloc, prefix
