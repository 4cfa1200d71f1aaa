"""Zenodo, HuggingFace and plain links on loopback: their JSON as their documentation has it, over real bytes."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0de"
GIT_HASH = "a" * 40
PAGE = 2  # entries of a page of HuggingFace's tree


class ArchiveServer:
    """Files by path, and what is said of them."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.zenodo_license: dict[str, str] | None = {"id": "cc-by-4.0"}
        self.access_right = "open"
        self.huggingface_license: Any = "cc-by-4.0"
        self.gated = False
        self.small = {"README.md"}  # stored in git itself, without a checksum
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, query: dict[str, list[str]], token: str | None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        if path in ("/api/records/7860267", "/api/records/7860266"):  # the second stands for all versions
            return 200, {}, json.dumps(self._record()).encode()
        if path.startswith("/api/records/7860267/files/"):
            return self._content(path.removeprefix("/api/records/7860267/files/").removesuffix("/content"))
        if path.startswith("/api/datasets/lab/set"):
            return self._dataset(path.removeprefix("/api/datasets/lab/set"), query, token)
        prefix = f"/datasets/lab/set/resolve/{COMMIT}/"
        if path.startswith(prefix):
            return self._content(path.removeprefix(prefix))
        if path.startswith("/plain/"):
            return self._content(path.removeprefix("/plain/"))
        return 404, {}, json.dumps({"status": 404, "message": "The persistent identifier does not exist."}).encode()

    def _record(self) -> dict[str, Any]:
        metadata = {"title": "T", "access_right": self.access_right, "creators": [], "version": "1"}
        if self.zenodo_license is not None:
            metadata["license"] = self.zenodo_license
        files = [
            {
                "key": path,
                "size": len(data),
                "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{self.url}/api/records/7860267/files/{path}/content"},
            }
            for path, data in self.files.items()
        ]
        return {"id": 7860267, "conceptrecid": "7860266", "doi": "10.5281/zenodo.7860267"} | {
            "metadata": metadata,
            "files": files,
        }

    def _dataset(self, rest: str, query: dict[str, list[str]], token: str | None) -> tuple[int, dict[str, str], bytes]:
        if self.gated and token != "Bearer hf_test":
            return 401, {}, b'{"error": "Access to dataset lab/set is restricted. You must be authenticated."}'
        if rest in ("", "/revision/main", "/revision/v1.0"):
            about = {
                "sha": COMMIT,
                "siblings": [],
                "cardData": {"license": self.huggingface_license},
                "gated": self.gated,
            }
            return 200, {}, json.dumps(about).encode()
        if rest == f"/tree/{COMMIT}" and query.get("recursive") == ["true"]:
            start = int(query.get("cursor", ["0"])[0])
            entries = self._entries()
            headers = {}
            if start + PAGE < len(entries):
                following = f"{self.url}/api/datasets/lab/set/tree/{COMMIT}?recursive=true&cursor={start + PAGE}"
                headers["Link"] = f'<{following}>; rel="next"'
            return 200, headers, json.dumps(entries[start : start + PAGE]).encode()
        return 404, {}, b'{"error": "Invalid rev id"}'

    def _entries(self) -> list[dict[str, Any]]:
        folders = sorted({path.rpartition("/")[0] for path in self.files} - {""})
        found: list[dict[str, Any]] = [
            {"type": "directory", "path": path, "size": 0, "oid": GIT_HASH} for path in folders
        ]
        for path, data in self.files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": GIT_HASH}
            if path not in self.small:
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            found.append(entry)
        return found

    def _content(self, path: str) -> tuple[int, dict[str, str], bytes]:
        data = self.files.get(unquote(path))
        return (404, {}, b"") if data is None else (200, {}, data)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                outer.asked.append((self.path, dict(self.headers)))
                answer = outer.answer(parts.path, parse_qs(parts.query), self.headers.get("Authorization"))
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
