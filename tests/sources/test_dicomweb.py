"""A real Orthanc with its DICOMweb plugin. Judges: what a scan of the same files says, and their bytes."""

import email
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from medimagenet.download import download
from medimagenet.errors import SourceError
from medimagenet.index import index_directory, index_source
from medimagenet.sources import dicomweb
from medimagenet.sources.credentials import Credentials
from medimagenet.sources.dicomweb import DicomWeb
from medimagenet.sources.http import Client, Limits
from medimagenet.sources.registry import remote_source
from medimagenet.synthetic import write_patients

QUICK = Limits(attempts=2, backoff_s=0.01)
SAME = (
    *("PatientID", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyDescription", "SeriesInstanceUID"),
    *("SeriesNumber", "SeriesDate", "SeriesDescription", "Modality", "SOPClassUID", "SOPInstanceUID"),
    *("BodyPartExamined", "Manufacturer", "ManufacturerModelName", "FrameOfReferenceUID", "SliceThickness"),
    *("n_instances", "referenced_series", "referenced_instances", "roi_names"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three patients with all modalities, one series of them compressed."""
    folder = tmp_path_factory.mktemp("patients")
    modalities = ("CT", "RTSTRUCT", "PT", "SEG", "RTDOSE")
    truths = write_patients(folder, 3, modalities=modalities, size=(24, 24, 8), spacing=(14, 14, 28), jobs=1)
    for path in truths[2].paths["CT"]:
        dataset = pydicom.dcmread(path)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.save_as(path)
    return folder


@pytest.fixture(scope="module")
def server(start_orthanc, folder):
    server = start_orthanc()
    server.upload(sorted(path for path in folder.rglob("*") if path.is_file()))
    return server


@pytest.fixture(autouse=True)
def reader(server, monkeypatch):
    """The user of the server, as the environment tells."""
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_USER", server.user)
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_PASSWORD", server.password)
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_HOST", urlsplit(server.dicomweb).netloc)


def identity(row):
    return row["SeriesInstanceUID"], row["SOPInstanceUID"] or ""


@pytest.fixture(scope="module")
def local(folder):
    return {identity(row): row for row in index_directory(folder, jobs=1).rows()}


@pytest.mark.parametrize("page", [1, 2, 100])
def test_rows_are_those_of_the_files(server, local, monkeypatch, page):
    monkeypatch.setattr(dicomweb, "PAGE", page)
    rows = {identity(row): row for row in index_source(f"dicomweb:{server.dicomweb}/").rows()}
    assert rows.keys() == local.keys()
    assert {row["Modality"] for row in rows.values()} == {"CT", "RTSTRUCT", "PT", "SEG", "RTDOSE", "RTPLAN"}
    for uid, row in rows.items():
        assert {name: row[name] for name in SAME} == {name: local[uid][name] for name in SAME}
        assert row["uri"].startswith(f"{server.dicomweb}/studies/{row['StudyInstanceUID']}/series/")
        assert (row["source"], row["files"], row["findings"]) == ("dicomweb", [], [])


def test_samples_are_those_of_the_files(server, folder):
    remote, here = index_source(f"dicomweb:{server.dicomweb}"), index_directory(folder, jobs=1)
    for modalities in ("CT,RTSTRUCT", "CT,PT,RTSTRUCT", "CT,SEG", "CT,RTSTRUCT,RTDOSE"):
        found = [
            sorted(sorted(map(identity, sample.series.values())) for sample in index.samples(modalities).samples)
            for index in (remote, here)
        ]
        assert found[0] == found[1] != []


@pytest.mark.parametrize(
    ("conditions", "meets"),
    [
        ("Modality=RTSTRUCT", lambda row: row["Modality"] == "RTSTRUCT"),
        ("PatientID={PatientID}", lambda row: row["PatientID"] == "{PatientID}"),
        (
            "PatientID={PatientID}&Modality=CT",
            lambda row: row["PatientID"] == "{PatientID}" and row["Modality"] == "CT",
        ),
        ("StudyInstanceUID={StudyInstanceUID}", lambda row: row["StudyInstanceUID"] == "{StudyInstanceUID}"),
        ("SeriesInstanceUID={SeriesInstanceUID}", lambda row: row["SeriesInstanceUID"] == "{SeriesInstanceUID}"),
        ("Modality=XA", None),
        ("PatientID=nobody", None),
    ],
)
def test_conditions(server, local, conditions, meets):
    first = next(row for row in local.values() if row["Modality"] == "CT")
    conditions = conditions.format(**first)
    found = sorted(
        (r.SeriesInstanceUID, r.SOPInstanceUID or "") for r in DicomWeb(f"{server.dicomweb}?{conditions}").series()
    )
    wanted = [dict(part.split("=") for part in conditions.split("&"))] if meets else []
    assert found == sorted(
        uid for uid, row in local.items() if wanted and all(row[key] == value for key, value in wanted[0].items())
    )
    assert bool(found) is (meets is not None)


def parts(answer):
    """The bodies of a multipart answer, by the standard library's parser of mail."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    return [part.get_payload(decode=True) for part in message.iter_parts()]


def test_every_instance_can_be_fetched_as_it_was_stored(server, folder):
    stored = {}
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        stored[dataset.SOPInstanceUID] = dataset
    fetched = {}
    credentials = Credentials(user=server.user, password=server.password)
    with Client("dicomweb", base_url=server.url, credentials=credentials) as client:
        for row in index_source(f"dicomweb:{server.dicomweb}").rows():
            (file,) = remote_source(row["source"]).remote_files(row)
            assert (file.package, file.service) == ("multipart", "dicomweb")
            bodies = parts(client.get(file.url, headers=file.headers))
            assert len(bodies) == row["n_instances"]
            for body in bodies:
                dataset = pydicom.dcmread(BytesIO(body))
                assert dataset.SOPInstanceUID not in fetched
                fetched[dataset.SOPInstanceUID] = dataset
    assert fetched.keys() == stored.keys()
    for uid, dataset in fetched.items():
        assert dataset == stored[uid]
        assert dataset.file_meta.TransferSyntaxUID == stored[uid].file_meta.TransferSyntaxUID


def test_a_download_is_the_files(server, folder, tmp_path):
    index = index_source(f"dicomweb:{server.dicomweb}", license="CC0-1.0")
    report = download(index, tmp_path)
    assert report.failed == ()
    here, there = (
        {identity(row): (row["n_instances"], row["shape"], row["TransferSyntaxUID"]) for row in index.rows()}
        for index in (index_directory(tmp_path, jobs=1), index_directory(folder, jobs=1))
    )
    assert here == there


def test_wrong_credentials(server, monkeypatch):
    monkeypatch.setenv("MEDIMAGENET_DICOMWEB_PASSWORD", "of somebody else")
    with pytest.raises(SourceError, match=r"answered 401 Unauthorized.*it wants credentials") as caught:
        index_source(f"dicomweb:{server.dicomweb}")
    assert "somebody" not in str(caught.value)


def test_a_wrong_path(server):
    with pytest.raises(SourceError, match="answered 404"):
        index_source(f"dicomweb:{server.url}/elsewhere")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("pacs.example.org", "is no address: write https://HOST/PATH"),
        ("ftp://pacs.example.org", "is no address"),
        ("https://me:secret@pacs.example.org", "credentials do not belong into an address"),
        ("https://pacs.example.org?Patient=1", "condition 'Patient' is no DICOM keyword"),
    ],
)
def test_wrong_arguments(argument, message):
    with pytest.raises(SourceError, match=message) as caught:
        DicomWeb(argument)
    assert "secret" not in str(caught.value)


# ---- what Orthanc does not do: answers made by hand, on loopback

STUDIES = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in range(3)]
SERIES = {"0020000E": {"vr": "UI", "Value": ["1.3"]}, "00080060": {"vr": "CS", "Value": ["CT"]}}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query), self.headers.get("Authorization")))
        status, headers, body = self.server.answer(parts.path, parse_qs(parts.query), len(self.server.asked))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def odd_server():
    """Function that starts a server from (path, query, number of the question) -> status, headers, body."""
    started = []

    def start(answer):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.answer, server.asked = answer, []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        started.append(server)
        return server, f"http://127.0.0.1:{server.server_port}/dicom"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def listed(url, **settings):
    return [record.SeriesInstanceUID for record in DicomWeb(url, limits=QUICK, **settings).series()]


def paged(answers, query):
    start = int(query["offset"][0])
    return 200, {}, json.dumps(answers[start : start + 1]).encode()  # a page of one, whatever the limit


def test_nothing_is_204_or_an_empty_list_and_pages_may_be_short(odd_server):
    def answer(path, query, number):
        if path.endswith("/studies"):
            return paged(STUDIES, query)
        if "1.2.0" in path:
            return 204, {}, b""
        return paged([SERIES] if "1.2.1" in path else [], query)

    server, url = odd_server(answer)
    assert listed(url) == ["1.3"]
    assert {path for path, _, _ in server.asked} >= {f"/dicom/studies/1.2.{n}/series" for n in range(3)}


def test_a_server_that_does_not_heed_the_offset_is_not_asked_for_ever(odd_server):
    def answer(path, query, number):
        return 200, {}, json.dumps(STUDIES if path.endswith("/studies") else [SERIES]).encode()

    server, url = odd_server(answer)
    assert len(listed(url)) == 3
    assert len(server.asked) == 8


def test_conditions_that_a_server_passes_over_hold_all_the_same(odd_server):
    def answer(path, query, number):
        return paged(STUDIES[:1] if path.endswith("/studies") else [SERIES], query)

    _, url = odd_server(answer)
    assert listed(f"{url}?Modality=ct") == ["1.3"]
    assert listed(f"{url}?Modality=MR") == []
    assert listed(f"{url}?StudyInstanceUID=1.2.7") == []


def test_a_busy_server_is_asked_again(odd_server):
    def answer(path, query, number):
        if number == 1:
            return 503, {"Retry-After": "0"}, b"busy"
        return paged(STUDIES[:1] if path.endswith("/studies") else [SERIES], query)

    _, url = odd_server(answer)
    assert listed(url) == ["1.3"]


def test_a_token_goes_with_every_question(odd_server):
    server, url = odd_server(lambda path, query, number: (204, {}, b""))
    assert listed(url, credentials=Credentials(token="t0ken")) == []
    assert {header for _, _, header in server.asked} == {"Bearer t0ken"}


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b'["1.2"]', b"[{"])
def test_answers_that_are_not_dicom_json(odd_server, body):
    _, url = odd_server(lambda path, query, number: (200, {}, body))
    with pytest.raises(SourceError, match=r"127\.0\.0\.1.* does not answer in DICOM JSON"):
        listed(url)


def test_headers_that_are_not_given_are_a_finding(odd_server):
    def answer(path, query, number):
        if path.endswith("/metadata"):
            return 404, {}, b"Accessing an inexistent series"
        struct = {**SERIES, "00080060": {"vr": "CS", "Value": ["RTSTRUCT"]}}
        return paged(STUDIES[:1] if path.endswith("/studies") else [struct], query)

    _, url = odd_server(answer)
    (record,) = DicomWeb(url, limits=QUICK).series()
    assert [finding.code for finding in record.findings] == ["header_not_given"]
