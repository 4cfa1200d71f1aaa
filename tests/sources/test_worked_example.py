"""The source of docs/how-to/add-a-source.md: taken from the page, installed, listed and downloaded from."""

import csv
import hashlib
import io
import re
import sys
import threading
import tomllib
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest

from medimagenet import open_index
from medimagenet.download import download
from medimagenet.index import index_directory, index_source
from medimagenet.synthetic import write_patients

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-source.md"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package of the page: its module, and its entry point as an installer writes it."""
    text = PAGE.read_text()
    (module,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (project,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ((group, points),) = tomllib.loads(project)["project"]["entry-points"].items()
    folder = tmp_path / "site"
    info = folder / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "shelf_source.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "shelf_source", raising=False)


@pytest.fixture
def shelf(tmp_path):
    """The server: `series.csv` as on the page, and a zip per series."""
    patients = write_patients(
        tmp_path / "patients", 2, modalities=("CT",), size=(20, 20, 6), spacing=(16, 16, 30), jobs=1
    )
    folder = tmp_path / "shelf"
    folder.mkdir()
    header = re.search(r"^uid,.*$", PAGE.read_text(), re.MULTILINE)[0].split(",")
    with (folder / "series.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, header)
        table.writeheader()
        for number, truth in enumerate(patients):
            dataset = pydicom.dcmread(truth.paths["CT"][0])
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w") as packed:
                for path in truth.paths["CT"]:
                    packed.write(path, path.name)
            data = archive.getvalue()
            (folder / f"{dataset.SeriesInstanceUID}.zip").write_bytes(data)
            values = (dataset.SeriesInstanceUID, f"P{number}", "CT", len(truth.paths["CT"]), len(data))
            table.writerow(dict(zip(header, (*values, hashlib.md5(data).hexdigest()), strict=True)))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_source_of_the_page_is_listed_and_downloaded_from(installed, shelf, tmp_path):
    index = index_source(f"shelf:{shelf}")
    assert {(row["source"], row["Modality"], row["PatientID"]) for row in index.rows()} == {
        ("shelf", "CT", "P0"),
        ("shelf", "CT", "P1"),
    }
    index.write(tmp_path / "shelf.parquet")
    report = download(open_index(tmp_path / "shelf.parquet"), tmp_path / "scans")
    assert report.failed == ()
    here, there = index_directory(tmp_path / "scans", jobs=1), index_directory(tmp_path / "patients", jobs=1)
    assert sorted(row["content_hash"] for row in here.rows()) == sorted(row["content_hash"] for row in there.rows())
