"""Downloads from an NBIA server on loopback: whatever goes wrong, nothing wrong is taken for complete.

Numbers are sections of sources.md.
"""

import io
import zipfile

import pyarrow.parquet as pq
import pydicom
import pytest

from medimagenet.download import download
from medimagenet.errors import LicenseError
from medimagenet.index import Index, open_index
from medimagenet.sources.tcia import NLST_VARIABLE, URL_VARIABLE, Tcia
from medimagenet.sources.tcia_nbia import Nbia
from tests.download.conftest import make_instance
from tests.sources.nbia_server import Fault, NbiaServer, hold_series

COLLECTION = "Lung-Phantom"


@pytest.fixture
def nbia(tmp_path, monkeypatch):
    """A server with two series of three slices."""
    for series in ("1.2.826.0.71", "1.2.826.0.72"):
        folder = tmp_path / "archive" / series
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            (folder / f"{number}.dcm").write_bytes(make_instance(series, number))
    with NbiaServer(hold_series(tmp_path / "archive", collection=COLLECTION)) as running:
        monkeypatch.setenv(URL_VARIABLE, running.services())
        monkeypatch.setenv(NLST_VARIABLE, "http://127.0.0.1:9/nlst/v4")
        yield running


@pytest.fixture
def wanted(nbia, quick):
    """The index of the collection; needs the server as it was when it was asked."""

    def make():
        return Index.from_records(Tcia(COLLECTION, main=Nbia(nbia.services(), limits=quick)).series())

    return make


def instances(folder):
    """Bytes of every downloaded instance, by its SOPInstanceUID."""
    return {pydicom.dcmread(path).SOPInstanceUID: path.read_bytes() for path in folder.rglob("*.dcm")}


def expected(nbia):
    return {one.dataset(k).SOPInstanceUID: one.files[k].read_bytes() for one in nbia.series for k in range(3)}


def test_every_byte_and_an_index_with_licence_and_doi(nbia, wanted, quick, tmp_path):
    report = download(wanted(), tmp_path / "out", limits=quick)
    assert (report.fetched, report.failed) == (2, ())
    assert instances(tmp_path / "out") == expected(nbia)
    rows = open_index(report.index).rows()
    assert {(row["collection_id"], row["license"], row["doi"]) for row in rows} == {
        ("lung_phantom", "CC BY 4.0", "10.7937/a1v1-rc66")
    }
    assert "CC BY 4.0" in (tmp_path / "out" / "ATTRIBUTION.md").read_text()
    assert all(form["IncludeMD5"] == "Yes" for form in nbia.asked("getImage"))  # 1.4: always


def test_what_is_complete_is_not_asked_for_again(nbia, wanted, quick, tmp_path):
    index = wanted()
    download(index, tmp_path / "out", limits=quick)
    asked = len(nbia.requests)
    assert download(index, tmp_path / "out", limits=quick).complete == 2
    assert len(nbia.requests) == asked


@pytest.mark.parametrize(
    "fault",
    [
        Fault(lose_files=1),  # 1.4: a shorter but valid zip, status 200
        Fault(corrupt=True),  # 1.4: md5hashes.csv
        Fault(cut_after=700),  # no Content-Length: the end of the body is all that tells
        Fault(status=429, headers={"Retry-After": "0"}),  # 1.2
        Fault(status=503),
        Fault(status=500, body="Server was not able to process your request"),
        Fault(delay_s=0.2),
    ],
    ids=["short zip", "corrupt", "cut", "429", "503", "500", "slow"],
)
def test_what_goes_wrong_once_is_made_good(nbia, wanted, quick, tmp_path, fault):
    nbia.fail("getImage", fault)
    report = download(wanted(), tmp_path / "out", limits=quick)
    assert report.failed == ()
    assert instances(tmp_path / "out") == expected(nbia)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(lose_files=1), "has 2 instances, its index says 3"),
        (Fault(corrupt=True), "md5hashes.csv says"),
        (Fault(cut_after=700), "the connection was cut"),
        (Fault(status=400, body="The user does not have access to the requested series."), "does not have access"),
        (Fault(status=200, body="<html>maintenance</html>"), "a page of HTML and not the data"),
    ],
    ids=["short zip", "corrupt", "cut", "400", "page"],
)
def test_what_stays_wrong_is_failed_and_the_next_run_has_every_byte(nbia, wanted, quick, tmp_path, fault, reason):
    index = wanted()
    nbia.fail("getImage", *[fault] * 30)
    report = download(index, tmp_path / "out", limits=quick)
    assert len(report.failed) == 2
    assert all(reason in one.reason for one in report.failed)
    assert instances(tmp_path / "out") == {}
    nbia.stop_failing()
    assert download(index, tmp_path / "out", limits=quick).failed == ()
    assert instances(tmp_path / "out") == expected(nbia)


def test_a_hostile_zip_writes_nothing_outside(nbia, wanted, quick, tmp_path, monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../../evil.dcm", make_instance("1.2.826.0.71", 1))
    monkeypatch.setattr("tests.sources.nbia_server.make_zip", lambda *_, **__: stream.getvalue())
    report = download(wanted(), tmp_path / "out", limits=quick)
    assert len(report.failed) == 2
    assert list(tmp_path.rglob("evil*")) == []


def test_images_of_another_series_are_not_taken(nbia, wanted, quick, tmp_path):  # Annex C 8
    index = wanted()
    one, other = nbia.series
    one.files, other.files = other.files, one.files
    report = download(index, tmp_path / "out", limits=quick)
    assert len(report.failed) == 2
    assert instances(tmp_path / "out") == {}


def test_non_commercial_data_need_a_yes(nbia, wanted, quick, tmp_path):
    for one in nbia.series:
        one.values |= {"LicenseName": "Creative Commons Attribution-NonCommercial 3.0 Unported License"}
        one.values |= {"LicenseURI": "http://creativecommons.org/licenses/by-nc/3.0/"}
    with pytest.raises(LicenseError, match=r"CC BY-NC 3\.0"):
        download(wanted(), tmp_path / "out", limits=quick)
    assert nbia.asked("getImage") == []
    assert download(wanted(), tmp_path / "out", accept_licenses=["CC BY-NC 3.0"], limits=quick).fetched == 2


def test_controlled_access_is_not_fetched_whatever_is_accepted(nbia, wanted, quick, tmp_path):  # 1.0
    for one in nbia.series:
        one.values |= {"LicenseName": "TCIA Restricted", "LicenseURI": None}
    report = download(wanted(), tmp_path / "out", accept_licenses=["TCIA Restricted"], limits=quick)
    assert all("access is controlled" in one.reason for one in report.failed)
    assert (len(report.failed), nbia.asked("getImage")) == (2, [])


def test_the_list_of_downloads_says_where_from(nbia, wanted, quick, tmp_path):
    download(wanted(), tmp_path / "out", limits=quick)
    rows = pq.read_table(tmp_path / "out" / "DOWNLOADS.parquet").to_pylist()
    assert {row["source"] for row in rows} == {"tcia"}
    assert all(row["uri"].startswith(nbia.services()) for row in rows)
    assert all("Authorization" not in headers for *_, headers in nbia.requests)
