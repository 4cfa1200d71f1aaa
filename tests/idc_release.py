"""Small releases of IDC's index, with the schemas of the installed package, and a server that publishes them.

Main tables are rows of the installed ones. Side indices are made here: every RTSTRUCT of a study refers to another of
its images, and each image has the geometry of one kind (see `geometry_of`).
"""

import hashlib
import importlib.util
import json
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PACKAGE = Path(importlib.util.find_spec("idc_index_data").origin).parent
MAIN = ("idc_index", "collections_index", "analysis_results_index", "prior_versions_index", "version_metadata_index")
SIDES = (
    *("rtstruct_index", "seg_index", "volume_geometry_index", "ct_index", "mr_index", "pt_index", "clinical_index"),
)
COLLECTIONS = ("soft_tissue_sarcoma", "lctsc", "rider_lung_ct")
OPTIONS = pa.list_(pa.struct([("option_code", pa.string()), ("option_description", pa.string())]))
TYPES = {"STRING": pa.string(), "INTEGER": pa.int64(), "FLOAT": pa.float64(), "BOOLEAN": pa.bool_(), "RECORD": OPTIONS}
CHECKS = (
    *("single_orientation", "orthogonal_orientation", "unique_slice_positions", "consistent_in_plane_row"),
    *("consistent_in_plane_col", "consistent_pixel_spacing", "consistent_image_dimensions", "uniform_slice_spacing"),
)
AXIAL, SAGITTAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]


def main_tables(collections=COLLECTIONS):
    """The main tables, of these collections alone."""
    tables = {
        name: duckdb.sql(f"FROM '{PACKAGE / name}.parquet' WHERE collection_id IN {collections}").to_arrow_table()
        for name in ("idc_index", "collections_index")
    }
    for name in ("analysis_results_index", "version_metadata_index"):
        tables[name] = pq.read_table(PACKAGE / f"{name}.parquet")
    tables["prior_versions_index"] = pq.read_table(PACKAGE / "prior_versions_index.parquet").slice(0, 10)
    return tables


def is_not(table, collection):
    """Mask of the rows of other collections."""
    return pc.not_equal(table["collection_id"], collection)


def schema_of(table):
    """The Arrow schema that the package's JSON describes."""
    columns = json.loads((PACKAGE / f"{table}_schema.json").read_text())["columns"]
    return pa.schema([(column["name"], _type(column)) for column in columns])


def _type(column):
    kind = TYPES[column["type"]]
    return pa.list_(kind) if column["mode"] == "REPEATED" and not pa.types.is_list(kind) else kind


def side_tables(series):
    """Side indices of rows of ``idc_index``."""
    rows = {name: [] for name in SIDES}
    by_study = sorted(series, key=lambda row: (row["StudyInstanceUID"], row["SeriesInstanceUID"]))
    for _, group in groupby(by_study, key=lambda row: row["StudyInstanceUID"]):
        study = list(group)
        images = [row for row in study if row["Modality"] in ("CT", "MR", "PT")]
        for number, row in enumerate(row for row in study if row["Modality"] in ("RTSTRUCT", "SEG")):
            target = images[number % len(images)]["SeriesInstanceUID"] if images else None
            rows["rtstruct_index" if row["Modality"] == "RTSTRUCT" else "seg_index"].append(_annotation(row, target))
        for number, row in enumerate(images):
            rows["volume_geometry_index"].append(geometry_of(row, number))
            rows[f"{row['Modality'].lower()}_index"].append(_image(row, number))
    rows["clinical_index"].append(
        {
            "collection_id": "lctsc",
            "table_name": "bigquery.lctsc_clinical",
            "short_table_name": "lctsc_clinical",
            "column": "age",
            "column_label": "Age at diagnosis",
            "values": [{"option_code": "1", "option_description": "young"}],
        }
    )
    return {name: pa.Table.from_pylist(rows[name], schema=schema_of(name)) for name in SIDES}


def _annotation(row, target):
    uid = row["SeriesInstanceUID"]
    if row["Modality"] == "SEG":
        return {"SeriesInstanceUID": uid, "segmented_SeriesInstanceUID": target} | {
            "SegmentedPropertyType_CodeMeanings": ["Lung", "Neoplasm"]
        }
    names = ["GTV_Edema", "GTV_Mass"] if int(uid[-1]) % 2 else ["Heart"]
    return {
        "SeriesInstanceUID": uid,
        "total_rois": len(names),
        "ROINames": names,
        "referenced_SeriesInstanceUID": target,
    }


def geometry_of(row, number):
    """Regular axial volumes, but of a study the second is sagittal and the third has uneven steps.

    A single slice has no step between slices: what that decides is null.
    """
    regular = None if row["instanceCount"] == 1 else number % 3 < 2
    checks = dict.fromkeys(CHECKS, True) | {"uniform_slice_spacing": regular}
    values = {
        "origin_patient": [1.0, 2.0, 3.0],
        "ImageOrientationPatient": SAGITTAL if number % 3 else AXIAL,
        "slice_spacing_mm": 3.0,
    }
    return {
        "SeriesInstanceUID": row["SeriesInstanceUID"],
        **checks,
        "obliquity_degrees": 0.0,
        "regularly_spaced_3d_volume": regular,
        **(values if regular else {}),
    }


def _image(row, number):
    image = {
        "SeriesInstanceUID": row["SeriesInstanceUID"],
        "SliceThickness": 1.0 + number,
        "Rows": 64,
        "Columns": 128,
        "PixelSpacing_row_mm": 2.0,
        "PixelSpacing_col_mm": 1.5,
    }
    if row["Modality"] == "PT":
        ready = int(row["SeriesInstanceUID"][-1]) % 2 == 0
        image |= {
            "Units": "BQML",
            "DecayCorrection": "START",
            "CorrectedImage": ["ATTN", "DECY"] if ready else ["ATTN"],
            "RadionuclideTotalDose": 3.7e8,
            "RadiopharmaceuticalStartTime": "10:35:00",
        }
    return image


def write_tables(folder, tables, version):
    """Parquet files as IDC publishes them: the version in the metadata, the SHA-256 beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        metadata = {**(table.schema.metadata or {}), b"idc_index_data_version": f"{version}-0-gabcdef0".encode()}
        path = folder / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")
        publish_checksum(path)


def publish_checksum(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")


@dataclass
class ReleaseServer:
    """What is published, what goes wrong, and what was asked."""

    folder: Path
    url: str = ""
    faults: dict = field(default_factory=dict)
    """By path: functions of the handler and the body, each used once, that answer in its place; see `answer`."""
    requests: list = field(default_factory=list)
    """(path, Range) of each."""

    def release(self, version, tables, *, current=True):
        """Publish tables as a version and, unless told otherwise, as the current one."""
        place = self.folder / version / "release_artifacts"
        write_tables(place, tables, version)
        if current:
            shutil.copytree(place, self.folder / "current" / "release_artifacts", dirs_exist_ok=True)

    def asked(self, ending):
        """Ranges that were asked of paths that end so."""
        return [wanted for path, wanted in self.requests if path.endswith(ending)]


@contextmanager
def serve(folder):
    """A `ReleaseServer` on loopback."""
    state = ReleaseServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            path, _, query = self.path.partition("?")
            wanted = self.headers.get("Range")
            state.requests.append((path, wanted))
            file = folder / path.lstrip("/")
            if "prefix=" in query:  # S3's ListObjects
                prefix = query.partition("prefix=")[2].partition("&")[0]
                names = [item.name for item in folder.iterdir() if item.name.startswith(prefix)]
                names = "".join(f"<CommonPrefixes><Prefix>{name}/</Prefix></CommonPrefixes>" for name in names)
                body = f"<ListBucketResult>{names}</ListBucketResult>".encode()
            else:
                body = file.read_bytes() if file.is_file() else None
            faults = state.faults.get(path)
            if faults:
                faults.pop(0)(self, body)
            elif body is None:
                answer(self, b"<?xml version='1.0'?><Error>NoSuchKey</Error>", status=404)
            else:
                send(self, body, wanted)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler, body, wanted):
    """A body or the part that a Range asks for (RFC 9110, 14)."""
    if not wanted:
        answer(handler, body)
        return
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, len(body) - int(last))
    if start >= len(body):
        answer(handler, b"", status=416)
        return
    answer(handler, body[start:], status=206, headers={"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})


def answer(handler, body, *, status=200, headers=(), length=None):
    """Send `body`; with another `length` than its own the connection breaks off in the middle."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in dict(headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
    if length is not None:
        handler.close_connection = True
