"""A real Orthanc with its DICOMweb plugin, on loopback."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "a secret of the tests"
START_S = 30.0


@dataclass(frozen=True)
class Orthanc:
    """Where it listens."""

    url: str
    user: str = USER
    password: str = PASSWORD

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def upload(self, paths: Iterable[Path]) -> None:
        """Store files, as a modality would."""
        with requests.Session() as session:
            session.auth = (self.user, self.password)
            for path in paths:
                session.post(f"{self.url}/instances", data=path.read_bytes(), timeout=60).raise_for_status()


@contextlib.contextmanager
def running_orthanc(program: str, folder: Path) -> Iterator[Orthanc]:
    """Start one whose storage is `folder`; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "storage").mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            found = Orthanc(f"http://127.0.0.1:{port}")
            _wait(found, process, folder / "orthanc.log")
            yield found
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Orthanc, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"{server.url}/system", auth=(server.user, server.password), timeout=5).raise_for_status()
            return
        time.sleep(0.05)
    raise RuntimeError(f"Orthanc did not start:\n{log.read_text(errors='replace')[-2000:]}")
