"""A static server on loopback that answers range requests, with faults that are planted per path. What was asked is in
`asked`, as (path, range)."""

import hashlib
import re
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


class RangeServer:
    """Objects by path. A fault is a status, "cut" (the body ends in its middle) or "whole" (ranges are ignored)."""

    def __init__(self, objects):
        self.objects = dict(objects)
        self.faults = defaultdict(list)
        self.always = None
        self.has_validators = True
        self.body = b""  # of an error
        self.asked = []
        self.most_at_once = 0
        self.sent = 0
        self.delay_s = 0.0
        self._at_once = 0
        self._lock = threading.Lock()
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

    def fault(self, path):
        return self.faults[path].pop(0) if self.faults[path] else self.always

    def count(self, step):
        with self._lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


def _span(asked, size):
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", asked).groups()
    return (max(0, size - int(last)), size) if not first else (int(first), min(int(last) + 1, size) if last else size)


def _handler(server: RangeServer):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            server.count(1)
            try:
                threading.Event().wait(server.delay_s)
                self.answer(unquote(self.path))
            finally:
                server.count(-1)

        def answer(self, path):
            asked = self.headers.get("Range")
            server.asked.append((path, asked))
            fault = server.fault(path)
            if isinstance(fault, int) or path not in server.objects:
                return self.send(fault or 404, server.body, {})
            body = server.objects[path]
            headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "Last-Modified": MODIFIED}
            headers = headers if server.has_validators else {}
            if asked is None or fault == "whole":
                return self.send(200, body, headers, cut=fault == "cut")
            start, stop = _span(asked, len(body))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
            return self.send(206, body[start:stop], headers, cut=fault == "cut")

        def send(self, status, body, headers, *, cut=False):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            server.sent += len(body)
            self.close_connection = self.close_connection or cut

        def log_message(self, *_):
            pass

    return Handler
