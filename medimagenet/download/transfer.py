"""One body from a server into one file: whole, checked, and continued where an earlier try was cut.

The file has its name only when it is right. Until then it is ``<name>.part``, which is continued by a range request
where that is safe: a checksum is known, or the server's validator (ETag, Last-Modified) says that it is the same thing.
"""

import os
import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from ..errors import HttpError, SourceError
from ..sources.base import RemoteFile
from ..sources.credentials import find_credentials
from ..sources.http import Client, Limits, describe, public_address
from .checksum import BLOCK, Digest, file_checksum, kind_of, new_digest, same
from .files import read_json, write_json

ANONYMOUS = frozenset({"", "idc"})
"""Services that credentials are never looked for."""

_WRONG = 2  # times that a body may come whole and be wrong before we say so
_RECEIVED = 1 << 17  # bytes at a time; what has come of a block when a connection is cut is lost
_NOTED = 4 << 20  # bytes from which it pays to note the validator of a body without checksum, to continue it
Received = Callable[[int], None]

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Stopped(Exception):  # noqa: N818 - nothing is wrong: the user, or a failure elsewhere, ended the work
    """The work was ended while bytes were coming."""


class WrongBodyError(SourceError):
    """A body came whole and is not what was promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body that is here, whole and right."""

    path: Path
    size_bytes: int
    checksum: str
    """That of the archive, where it gave one; otherwise sha256."""
    verified: bool
    """Whether the archive gave the checksum."""
    content_type: str = ""


class Transfer:
    """Fetches bodies, with one client per service and host. For any number of threads.

    Parameters
    ----------
    stop
        When set, every transfer ends with `Stopped` at its next block.
    limits
        In place of those of the services.
    """

    def __init__(self, stop: threading.Event | None = None, limits: Limits | None = None) -> None:
        self.stop = stop or threading.Event()
        self._limits = limits
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = threading.Lock()

    def fetch(self, remote: RemoteFile, target: Path, received: Received = lambda count: None) -> Body:
        """The body of `remote` in the file `target`, of this run or of an earlier one.

        Parameters
        ----------
        received
            Called with the number of bytes that came; below zero for bytes that are thrown away.

        Raises
        ------
        SourceError
            The server refuses, does not answer, or gives something else than was promised, after all attempts.
        Stopped
            `stop` was set.
        OSError
            The disk refuses.
        """
        found = present(remote, target)
        if found is not None:
            received(found.size_bytes)
            return found
        target.unlink(missing_ok=True)
        return _Reception(self, remote, target, received).run()

    def client(self, remote: RemoteFile) -> Client:
        """The client for the service and host of `remote`. Its credentials go to that host alone."""
        parts = urlsplit(http_address(remote.url))
        key = remote.service or parts.netloc, f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            if key not in self._clients:
                credentials = None if remote.service in ANONYMOUS else find_credentials(remote.service)
                self._clients[key] = Client(
                    key[0], base_url=key[1], credentials=credentials, limits=self._limits, sleep=self.sleep
                )
            return self._clients[key]

    def sleep(self, seconds: float) -> None:
        """Wait, but not when the work is ended."""
        if self.stop.wait(seconds):
            raise Stopped

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()


def present(remote: RemoteFile, path: Path) -> Body | None:
    """What an earlier run brought, read again; None where it is not there, or not what is promised now."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    note = read_json(_note_path(path))
    checksum = file_checksum(path, kind_of(remote.checksum))
    known = remote.checksum or note.get("checksum")
    if remote.size_bytes not in (None, size) or (known and not same(known, checksum)):
        return None
    return Body(
        path=path,
        size_bytes=size,
        checksum=checksum,
        verified=remote.checksum is not None,
        content_type=str(note.get("content_type", "")),
    )


class _Reception:
    """The attempts at one body."""

    def __init__(self, transfer: Transfer, remote: RemoteFile, target: Path, received: Received) -> None:
        self._transfer = transfer
        self._received = received
        self._remote = remote
        self._target = target
        self._part = target.with_name(f"{target.name}.part")
        self._note = _note_path(target)
        self._client = transfer.client(remote)
        self._content_type = ""
        self._counted = 0  # bytes of the part that the caller has been told of

    def run(self) -> Body:
        failures = wrong = best = 0
        while True:
            try:
                checksum = self._receive()
                self._check(checksum)
                return self._finish(checksum)
            except (WrongBodyError, HttpError) as error:
                if isinstance(error, HttpError) and error.status != 416:  # 416: there is nothing behind our part
                    raise
                wrong += 1
                self._discard()
                if wrong == _WRONG:
                    raise SourceError(f"{error}; it came {wrong} times like this and was not kept") from None
            except requests.RequestException as error:
                reached = self._part.stat().st_size if self._part.exists() else 0
                failures = 0 if reached > best else failures + 1
                best = max(best, reached)
                if failures >= self._client.limits.attempts:
                    raise SourceError(
                        f"{self._name()}: the connection was cut {failures} times at or before byte {best} "
                        f"({describe(error)}): check the network, then run the same command again"
                    ) from None
                self._transfer.sleep(self._client.limits.backoff_s * 2**failures * random.uniform(0.5, 1.0))

    def _receive(self) -> str:
        """Bring the part to its end, and give its checksum."""
        start = self._resumable()
        digest = new_digest(kind_of(self._remote.checksum))
        if start and start == self._remote.size_bytes:
            self._feed(digest)
        else:
            with self._ask(start) as answer:
                self._store(answer, start, digest)
        return f"{kind_of(self._remote.checksum)}:{digest.digest().hex()}"

    def _resumable(self) -> int:
        """Bytes of the part that are worth keeping."""
        size = self._part.stat().st_size if self._part.exists() else 0
        validator = read_json(self._note).get("validator")
        too_long = self._remote.size_bytes is not None and size > self._remote.size_bytes
        return 0 if too_long or not (self._remote.checksum or validator) else size

    def _ask(self, start: int) -> requests.Response:
        headers = {**self._remote.headers, "Accept-Encoding": "identity"}  # a range is of what is stored, not packed
        if start:
            headers["Range"] = f"bytes={start}-"
            validator = read_json(self._note).get("validator")
            if validator:
                headers["If-Range"] = str(validator)
        url = http_address(self._remote.url)
        if self._remote.method == "POST":
            return self._client.post(url, data=self._remote.form, headers=headers, stream=True)
        return self._client.get(url, headers=headers, stream=True)

    def _store(self, answer: requests.Response, start: int, digest: Digest) -> None:
        self._content_type = answer.headers.get("Content-Type", "")
        append = answer.status_code == 206 and self._continues(answer, start)
        if append:
            self._feed(digest)
        else:
            self._discard()
            self._write_note(answer)
        with self._part.open("ab" if append else "wb") as stream:
            first = not append
            for block in answer.iter_content(_RECEIVED):
                if first:
                    self._refuse_html(block)
                    first = False
                stream.write(block)
                digest.update(block)
                self._count(len(block))
                if self._remote.size_bytes is not None and self._counted > self._remote.size_bytes:
                    raise WrongBodyError(
                        f"{self._name()} does not end after the {self._remote.size_bytes} bytes promised"
                    )
            if not self._remote.checksum and self._remote.package == "none":  # else the next run sees what is wrong
                stream.flush()
                os.fsync(stream.fileno())

    def _continues(self, answer: requests.Response, start: int) -> bool:
        match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        total = None if match is None or match[2] == "*" else int(match[2])
        if match is None or int(match[1]) != start or (self._remote.size_bytes or total) != total:
            self._discard()
            raise requests.ConnectionError("a range that was not asked for")
        return True

    def _feed(self, digest: Digest) -> None:
        """Take what is there already into the checksum, and into the count if it is of an earlier run."""
        with self._part.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
        self._count(self._part.stat().st_size - self._counted)

    def _check(self, checksum: str) -> None:
        size = self._part.stat().st_size
        if self._remote.size_bytes not in (None, size):
            raise WrongBodyError(f"{self._name()} has {size} bytes, {self._remote.size_bytes} were promised")
        if self._remote.checksum and not same(checksum, self._remote.checksum):
            raise WrongBodyError(f"{self._name()} has checksum {checksum}, {self._remote.checksum} was promised")

    def _finish(self, checksum: str) -> Body:
        size = self._part.stat().st_size
        if self._remote.package != "none":  # the next run has to know what is inside
            write_json(self._note, {"content_type": self._content_type, "checksum": checksum})
        else:
            self._note.unlink(missing_ok=True)
        self._part.replace(self._target)
        return Body(
            path=self._target,
            size_bytes=size,
            checksum=checksum,
            verified=self._remote.checksum is not None,
            content_type=self._content_type,
        )

    def _refuse_html(self, block: bytes) -> None:
        begins = block[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        is_page = begins.startswith((b"<!doctype html", b"<html"))
        if is_page and not self._remote.path.endswith((".html", ".htm")):
            self._discard()
            raise SourceError(
                f"{self._name()} is a page of HTML and not the data: the link is dead, wants a login, or has been "
                "asked too often; open it in a browser to see"
            )

    def _write_note(self, answer: requests.Response) -> None:
        """Note by what the body can be continued, where it is long and nothing else would tell."""
        validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        length = int(answer.headers.get("Content-Length") or _NOTED)
        if validator and not validator.startswith("W/") and length >= _NOTED and not self._remote.checksum:
            write_json(self._note, {"validator": validator})

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        self._count(-self._counted)

    def _count(self, number: int) -> None:
        self._counted += number
        if number:
            self._received(number)
        if self._transfer.stop.is_set():
            raise Stopped

    def _name(self) -> str:
        return f"{self._client.service}: {public_address(self._remote.url)}"


def http_address(url: str) -> str:
    """Where an object of a public bucket is asked for over HTTP; other addresses as they are.

    ``AWS_ENDPOINT_URL`` names another server that speaks S3, as for Amazon's own programs.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            return f"{endpoint.rstrip('/')}/{parts.netloc}{parts.path}"
        # the bucket as a host finds its region by itself; a certificate does not hold for one with a point
        host = "s3.amazonaws.com/" + parts.netloc if "." in parts.netloc else f"{parts.netloc}.s3.amazonaws.com"
        return f"https://{host}{parts.path}"
    if parts.scheme == "gs":
        return f"https://storage.googleapis.com/{parts.netloc}{parts.path}"
    if parts.scheme not in ("http", "https"):
        raise SourceError(f"{public_address(url)} is no address of the web or of a bucket")
    return url


def _note_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")
