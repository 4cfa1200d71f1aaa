"""Objects below an address, ``s3://bucket/folder``, ``gs://...`` or ``http(s)://...``: read whole or in ranges.

obstore does the work: credentials, signatures, retries with pauses. What an object was when it was first read, its
`Version`, is compared with every later answer, so that bytes of two contents are never mixed. Messages name the
address, and never a credential: of what a server answers they quote the status alone.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotSupportedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import GCSStore, HTTPStore, S3Store

from .._version import __version__
from ..errors import StoreDamagedError, StoreError

SCHEMES = ("s3", "gs", "http", "https")

GAP_BYTES = 1 << 18
"""Bytes between two ranges that are fetched too, so that one request does for both: what comes in 4 ms at 60 MB/s. With
half of it a first patch of 96³ takes 16 requests instead of 4, and nearly twice the time where the server is 20 ms away
(`benchmarks/remote.py`)."""
PART_BYTES = 4 << 20
"""Of one request at most; so many requests at once as there are threads bound the memory."""
AT_ONCE = 16
"""Requests at once of this process, for all stores, beside one of each thread that reads."""

_TRIES = 3  # of a body that was cut; obstore itself repeats what is refused or does not begin
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_GOOGLE = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY")
_GOOGLE_LOGIN = Path("~/.config/gcloud/application_default_credentials.json")

_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/{{1,2}}([^/].*)", re.IGNORECASE)

S = TypeVar("S")
T = TypeVar("T")
Span = tuple[int, int]
"""First byte and one past the last."""


class ChangedObjectError(StoreDamagedError):
    """An object is not the one whose first bytes were read before."""


@dataclass(frozen=True, slots=True)
class Version:
    """Which content of an object it is: what the server says about it. Two answers with one version fit together."""

    size: int
    e_tag: str | None
    modified: str

    @property
    def stamp(self) -> str:
        """Short name of it, for files."""
        return hashlib.sha256(f"{self.size} {self.e_tag} {self.modified}".encode()).hexdigest()[:16]


def address_of(path: Path | str) -> str | None:
    """The address of objects that a path stands for; None where it is one of files.

    A `pathlib.Path` has lost a slash of the address that it was made from.
    """
    found = _ADDRESS.fullmatch(str(path))
    return None if found is None else f"{found[1]}://{found[2]}"


class Objects:
    """The objects below an address. Safe in threads; not in a process that was forked after the first request.

    Parameters
    ----------
    url
        Without user, password or query.
    options
        For obstore, as its `S3Config` and `GCSConfig` name them, such as ``endpoint``, ``region``,
        ``access_key_id``, ``skip_signature``; and ``headers``, sent with every request. Buckets are read without
        signature where neither these nor the environment hold credentials.

    Raises
    ------
    ValueError
        The address or an option is wrong.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                f"the address of a store on {parts.hostname} must not hold a user, a password, a query or a fragment: "
                "give credentials in storage_options or in the environment"
            )
        if not parts.netloc:
            raise ValueError(f"{url!r} is no address of a store: it names no bucket or host")
        self.url = url.rstrip("/")
        self._store = _connect(self.url, parts.scheme.lower(), dict(options or {}))

    def address(self, key: str) -> str:
        """Of one object, for messages."""
        return f"{self.url}/{key}"

    def whole(self, key: str, what: str) -> tuple[bytes, Version]:
        """All bytes of a small object.

        Raises
        ------
        StoreDamagedError
            There is no such object. `what` begins the message.
        StoreError
            The server cannot be reached, refuses, or breaks off.
        """
        return self._bytes(key, what, {})

    def tail(self, key: str, count: int, what: str) -> tuple[bytes, Version]:
        """The last `count` bytes of an object, or all where it has fewer. Errors are those of `whole`."""
        return self._bytes(key, what, {"range": {"suffix": count}})

    def ranges(self, key: str, spans: Sequence[Span], version: Version, what: str) -> list[bytes]:
        """Bytes of an object, range by range: near ones by one request, several requests at once.

        Raises
        ------
        ChangedObjectError
            The object is of another version. Other errors are those of `whole`.
        """
        merged = merge_spans(spans)
        parts = dict(
            zip(merged, self._at_once(lambda span: self._range(key, span, version, what), merged), strict=True)
        )
        found = []
        for start, stop in spans:
            first = next(span for span in merged if span[0] <= start and stop <= span[1])
            found.append(bytes(parts[first][start - first[0] : stop - first[0]]))
        return found

    def gather(
        self,
        key: str,
        spans: Sequence[Span],
        version: Version,
        take: Callable[[int, memoryview], object],
        what: str,
    ) -> None:
        """Hand ranges of an object, with what is between near ones, to `take`: first byte, and bytes.

        It is called by several threads at once, in any order, as the answers come. No piece is longer than
        `PART_BYTES`. Errors are those of `ranges`, and what `take` raises.
        """
        pieces = [
            (at, min(at + PART_BYTES, stop))
            for start, stop in merge_spans(spans)
            for at in range(start, stop, PART_BYTES)
        ]
        self._at_once(lambda span: take(span[0], self._range(key, span, version, what)), pieces)

    def together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Results of functions that fetch something, called at once. None is running any more when this returns."""
        return self._at_once(_call, calls)

    def download(self, key: str, version: Version, take: Callable[[memoryview], object], what: str) -> None:
        """Hand the bytes of an object to `take` in their order, a few parts at a time. Errors are those of `ranges`."""
        spans = [(at, min(at + PART_BYTES, version.size)) for at in range(0, version.size, PART_BYTES)]
        for at in range(0, len(spans), AT_ONCE):
            for part in self._at_once(lambda span: self._range(key, span, version, what), spans[at : at + AT_ONCE]):
                take(part)

    def fold(self, key: str, take: Callable[[memoryview], object], what: str) -> int:
        """As `download`, of whatever version there is; returns the size."""
        content, version = self._get(key, what, {"range": {"suffix": PART_BYTES}})
        if len(content) == version.size:
            take(content)
        else:
            self.download(key, version, take, what)
        return version.size

    def _at_once(self, function: Callable[[S], T], values: Sequence[S]) -> list[T]:
        """One of them by this thread. When one fails, those that have begun are waited for, and no other begins."""
        others = [_threads(os.getpid()).submit(function, value) for value in values[1:]]
        try:
            found = [function(value) for value in values[:1]]
            return found + [other.result() for other in others]
        finally:
            for other in others:
                other.cancel()
            wait(others)

    def _range(self, key: str, span: Span, version: Version, what: str) -> memoryview:
        if span[1] > version.size:
            raise StoreDamagedError(f"{what}: {self.address(key)} is cut: it has {version.size} bytes, not {span[1]}")
        content, found = self._get(key, what, {"range": span})
        if found != version:
            raise ChangedObjectError(
                f"{what}: {self.address(key)} has changed since it was first read ({_differ(version, found)}): open "
                "the store again"
            )
        if len(content) != span[1] - span[0]:
            raise StoreError(f"{what}: {self.address(key)} gave {len(content)} bytes of the range {span}")
        return content

    def _bytes(self, key: str, what: str, options: Mapping[str, Any]) -> tuple[bytes, Version]:
        content, version = self._get(key, what, options)
        return bytes(content), version

    def _get(self, key: str, what: str, options: Mapping[str, Any]) -> tuple[memoryview, Version]:
        """What is in obstore's memory, not copied, and which version it is of."""
        _check_process(f"{what}: {self.address(key)}")
        for attempt in range(1, _TRIES + 1):
            try:
                answer = obstore.get(self._store, key, options=dict(options))
                meta = answer.meta
                version = Version(int(meta["size"]), meta["e_tag"], str(meta["last_modified"]))
                return memoryview(answer.bytes()), version
            except FileNotFoundError:
                raise StoreDamagedError(f"{what}: there is no {self.address(key)}") from None
            except (BaseError, OSError, ValueError) as error:
                if attempt == _TRIES or "body" not in str(error):
                    raise StoreError(f"{what}: {self.address(key)} cannot be read: {_reason(error)}") from None
        raise AssertionError("unreachable: the last attempt returns or raises")


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Fewer, longer ranges that cover all: gaps up to `GAP_BYTES` are closed, none gets longer than `PART_BYTES`."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start - merged[-1][1] <= GAP_BYTES and stop - merged[-1][0] <= PART_BYTES:
            merged[-1] = merged[-1][0], max(merged[-1][1], stop)
        else:
            merged.append((start, stop))
    return merged


def _call(function: Callable[[], T]) -> T:
    return function()


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """For requests. Those of a process do not live in one that was forked from it, hence the argument."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"medimagenet-objects-{process}")


_process: list[int] = []
"""The process of the first request: the machinery of obstore does not survive a fork."""


def _check_process(what: str) -> None:
    if not _process:
        _process.append(os.getpid())
    elif _process[0] != os.getpid():
        raise StoreError(
            f"{what} cannot be fetched: this process was forked from one that has fetched before. Use PatchLoader, or "
            'start workers with multiprocessing_context="spawn"'
        )


def _connect(url: str, scheme: str, options: dict[str, Any]) -> Any:
    headers = options.pop("headers", None)
    named = [options.get("endpoint"), options.get("base_url"), *map(os.environ.get, _ENDPOINTS), url]
    client: dict[str, Any] = {
        "allow_http": str(next(filter(None, named))).startswith("http://"),
        "user_agent": f"medimagenet/{__version__}",
        "connect_timeout": "10s",
        "timeout": "120s",
        **({"default_headers": dict(headers)} if headers else {}),
    }
    pauses = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    common = {"client_options": client, "retry_config": {"max_retries": 4, "backoff": pauses}}
    try:
        if scheme in ("http", "https"):
            if options:
                raise ValueError(f"unknown storage_options {sorted(options)}; an HTTP server takes headers")
            return HTTPStore.from_url(url, **common)
        if scheme == "s3":
            options.setdefault("skip_signature", _is_anonymous(options, _AWS))
            return S3Store.from_url(url, config=options, **common)
        options.setdefault(
            "skip_signature", _is_anonymous(options, _GOOGLE) and not _GOOGLE_LOGIN.expanduser().exists()
        )
        return GCSStore.from_url(url, config=options, **common)
    except (BaseError, TypeError) as error:  # their text may quote the value of an option
        names = ", ".join(sorted(options)) or "none"
        raise ValueError(
            f"{url} cannot be opened with the storage_options named {names}: {type(error).__name__}"
        ) from None


def _is_anonymous(options: Mapping[str, Any], variables: Sequence[str]) -> bool:
    """Whether no credentials are at hand. Asking a machine for those of its role can take long where it has none."""
    given = any(word in name.lower() for name in options for word in ("key", "token", "credentials", "account"))
    return not given and not any(os.environ.get(name) for name in variables)


def _reason(error: BaseException) -> str:
    """Why a request failed, without a word of what the server wrote: that may quote a credential."""
    if isinstance(error, NotSupportedError):
        return "the server does not answer requests for a range of bytes, which reading patches needs"
    status = _STATUS.search(str(error))
    said = f"the server says {status[1].strip()}" if status else ""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return f"{said or 'access is denied'}: give credentials in storage_options or in the environment"
    if said:
        return said
    if "body" in str(error):
        return f"the connection broke off, {_TRIES} times"
    if any(word in str(error) for word in ("sending request", "connect", "timed out", "Connect")):
        return "the server does not answer"
    return type(error).__name__


def _differ(before: Version, now: Version) -> str:
    if before.size != now.size:
        return f"{before.size} bytes, now {now.size}"
    return (
        f"ETag {before.e_tag}, now {now.e_tag}" if before.e_tag != now.e_tag else f"{before.modified}, {now.modified}"
    )
