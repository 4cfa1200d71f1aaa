"""A static server on loopback that speaks enough of S3 and of Google's JSON interface, with range requests and faults.

Faults are planted per path with `fail`; each is used up by one answer. What was asked is in `asked`.
"""

import base64
import hashlib
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one answer."""

    cut_at: int | None = None
    """Bytes of the body after which the connection is closed, though more were promised."""
    status: int | None = None
    retry_after: str | None = None
    body: bytes | None = None
    """In place of the object, with a length that fits."""
    content_type: str | None = None
    delay_s: float = 0.0
    """Before each block of the body."""
    block: int = 1 << 16
    no_ranges: bool = False
    wrong_range: bool = False
    no_length: bool = False
    """The end of the connection is the end of the body, as with HTTP/1.0."""
    chunked: bool = False


class ObjectServer:
    """Objects by path ``/bucket/key``, or any other path."""

    def __init__(self, objects=None, *, headers=None):
        self.objects = dict(objects or {})
        self.headers = headers or {}
        self.faults = defaultdict(list)
        self.always = None
        self.asked = []
        self.pages = 1000
        self.sent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, path, *faults):
        self.faults[path] += faults

    def gets(self):
        """Paths of objects that were asked for, without listings."""
        return [path for _, path, _ in self.asked if "?" not in path]

    def etag(self, path):
        return '"' + hashlib.md5(self.objects[path]).hexdigest() + '"'


def _handler(server: ObjectServer):  # noqa: C901 - a class of small methods that share the server
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.asked.append((self.command, unquote(self.path), {**self.headers, "": self.body.decode()}))
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if "list-type" in parse_qs(parts.query):
                return self.answer(200, _list_s3(server, path.strip("/"), parse_qs(parts.query)), "application/xml")
            if path.startswith("/storage/v1/b/"):
                return self.answer(200, _list_google(server, path.split("/")[4], parse_qs(parts.query)), "text/json")
            fault = server.faults[path].pop(0) if server.faults[path] else server.always or Fault()
            if fault.status is not None:
                more = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                return self.answer(fault.status, fault.body or b"planted", "text/plain", more)
            if path not in server.objects and fault.body is None:
                return self.answer(404, b"<Error>NoSuchKey</Error>", "application/xml")
            return self.send_object(path, fault)

        def do_POST(self):
            self.do_GET()

        def answer(self, status, body, kind, more=None):
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def send_object(self, path, fault):
            body = server.objects[path] if fault.body is None else fault.body
            start = self.start_of_range(path, fault, len(body))
            if start is None:
                return self.answer(416, b"", "text/plain", {"Content-Range": f"bytes */{len(body)}"})
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", fault.content_type or "application/octet-stream")
            for name, value in server.headers.items():
                self.send_header(name, value)
            if fault.body is None and "ETag" not in server.headers:
                self.send_header("ETag", server.etag(path))
            if start:
                shown = start + 7 if fault.wrong_range else start
                self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
            rest = body[start + 7 if start and fault.wrong_range else start :]
            if fault.no_length:
                self.send_header("Connection", "close")
                self.close_connection = True
            elif fault.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            return self.send_blocks(rest, fault)

        def start_of_range(self, path, fault, size):
            asked = self.headers.get("Range")
            if not asked or fault.no_ranges or fault.body is not None:
                return 0
            condition = self.headers.get("If-Range")
            if condition and condition != server.headers.get("ETag", server.etag(path)):
                return 0
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            return start if start < size else None

        def send_blocks(self, rest, fault):
            left = len(rest) if fault.cut_at is None else min(fault.cut_at, len(rest))
            for place in range(0, left, fault.block):
                block = rest[place : min(left, place + fault.block)]
                time.sleep(fault.delay_s)
                try:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if fault.chunked else block)
                    self.wfile.flush()
                except OSError:
                    self.close_connection = True
                    return
                server.sent += len(block)
            if fault.cut_at is not None:
                self.close_connection = True
            elif fault.chunked:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    return Handler


def _list_s3(server, bucket, query):
    prefix, after = query["prefix"][0], query.get("continuation-token", [""])[0]
    keys = sorted(path.removeprefix(f"/{bucket}/") for path in server.objects if path.startswith(f"/{bucket}/{prefix}"))
    rest = [key for key in keys if key > after]
    page = rest[: server.pages]
    items = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(server.etag(f'/{bucket}/{key}'))}</ETag><Size>{len(server.objects[f'/{bucket}/{key}'])}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key in page
    )
    more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(page) < len(rest) else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{items}</ListBucketResult>"
    ).encode()


def _list_google(server, bucket, query):
    prefix, start = query["prefix"][0], int(query.get("pageToken", ["0"])[0])
    keys = sorted(path for path in server.objects if path.startswith(f"/{bucket}/{prefix}"))
    page = keys[start : start + server.pages]
    items = [
        {
            "name": key.removeprefix(f"/{bucket}/"),
            "size": str(len(server.objects[key])),
            "md5Hash": base64.b64encode(hashlib.md5(server.objects[key]).digest()).decode(),
        }
        for key in page
    ]
    more = {"nextPageToken": str(start + len(page))} if start + len(page) < len(keys) else {}
    return json.dumps({**({"items": items} if items else {}), **more}).encode()
