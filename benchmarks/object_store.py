"""Objects of a bucket in memory, served by some processes that speak as much S3 as downloads need: faster than any
program that asks, so that it is not the server that is measured."""

import asyncio
import hashlib
import multiprocessing
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PROCESSES = 2
_RANGE = re.compile(rb"\r\nrange: bytes=(\d*)-(\d*)", re.IGNORECASE)


@contextmanager
def serve(objects: Mapping[str, bytes], latency_s: float = 0.0) -> Iterator[str]:
    """The address of a server of ``/bucket/key`` -> bytes, which thinks for a while before each answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        context = multiprocessing.get_context("fork")  # the objects are shared, not copied
        workers = [
            context.Process(target=_run, args=(listening, objects, latency_s), daemon=True) for _ in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for worker in workers:
                worker.kill()
                worker.join()


def _run(listening: socket.socket, objects: Mapping[str, bytes], latency_s: float) -> None:
    etags = {path: hashlib.md5(body).hexdigest() for path, body in objects.items()}

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Answers(objects, etags, latency_s), sock=listening.dup())
        await server.serve_forever()

    asyncio.run(forever())


class _Answers(asyncio.Protocol):
    """One connection, kept open."""

    def __init__(self, objects: Mapping[str, bytes], etags: Mapping[str, str], latency_s: float) -> None:
        self._objects, self._etags, self._latency_s = objects, etags, latency_s
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._asked += data
        while (end := self._asked.find(b"\r\n\r\n")) >= 0:
            head, self._asked = self._asked[: end + 2], self._asked[end + 4 :]
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._answer, head)
            else:
                self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        parts = urlsplit(target)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if "list-type" in query:
            self._send(method, 200, self._list(path.strip("/"), query["prefix"][0]), "application/xml", "")
        elif path in self._objects:
            self._send_object(method, path, _RANGE.search(head))
        elif method == "HEAD" and path.count("/") == 1:  # s5cmd asks where a bucket is
            self._send(method, 200, b"", "application/xml", "x-amz-bucket-region: us-east-1\r\n")
        else:
            self._send(method, 404, b"", "application/xml", "")

    def _send_object(self, method: str, path: str, asked: re.Match[bytes] | None) -> None:
        body = self._objects[path]
        headers = (
            f'ETag: "{self._etags[path]}"\r\nAccept-Ranges: bytes\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n'
        )
        if asked is None:
            self._send(method, 200, body, "application/octet-stream", headers)
            return
        if asked[1]:
            start, last = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
        else:
            start, last = max(0, len(body) - int(asked[2])), len(body) - 1
        headers += f"Content-Range: bytes {start}-{last}/{len(body)}\r\n"
        self._send(method, 206, body[start : last + 1], "application/octet-stream", headers)

    def _send(self, method: str, status: int, body: bytes, kind: str, headers: str) -> None:
        head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
        self._transport.writelines([head, body] if method == "GET" else [head])

    def _list(self, bucket: str, prefix: str) -> bytes:
        start = f"/{bucket}/"
        items = "".join(
            f"<Contents><Key>{escape(path.removeprefix(start))}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f'<ETag>"{self._etags[path]}"</ETag><Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>'
            for path, body in self._objects.items()
            if path.startswith(start + prefix)
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><MaxKeys>1000</MaxKeys><IsTruncated>false"
            f"</IsTruncated>{items}</ListBucketResult>"
        ).encode()
