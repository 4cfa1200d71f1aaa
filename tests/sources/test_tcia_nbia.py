"""The client against an NBIA server on loopback. One test per quirk; numbers are sections of sources.md."""

import datetime
import hashlib
import io
import zipfile

import pydicom
import pytest
import requests

from medimagenet.errors import HttpError, SourceError
from medimagenet.sources.http import Limits
from medimagenet.sources.tcia_nbia import Nbia
from medimagenet.synthetic import write_patient
from tests.sources.nbia_server import Fault, Held, NbiaServer, hold_series

QUICK = Limits(attempts=2, backoff_s=0.0, connect_s=5.0, read_s=5.0)


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> list[Held]:
    """CT and RTSTRUCT of one synthetic patient, and a series that is not released."""
    folder = tmp_path_factory.mktemp("nbia")
    write_patient(folder, "1215936303", seed=1)  # 1.8: purely numeric PatientIDs
    found = hold_series(folder)
    hidden = Held(values=found[0].values | {"SeriesInstanceUID": "1.9.9"}, files=found[0].files, released=False)
    return [*found, hidden]


@pytest.fixture
def server(held):
    with NbiaServer(held) as running:
        yield running


@pytest.fixture
def nbia(server):
    return Nbia(server.services("v4"), limits=QUICK)


@pytest.fixture
def ct(held):
    return next(one for one in held if one.values["Modality"] == "CT")


def test_values_and_counts(nbia, server):
    assert nbia.collections() == ["SYN-Phantoms"]
    assert {row["Modality"] for row in nbia.query("getModalityValues", Collection="SYN-Phantoms")} == {"CT", "RTSTRUCT"}
    (row,) = nbia.query("getCollectionValuesAndCounts")
    assert (row["Collection"], row["Count"]) == ("SYN-Phantoms", "2")


def test_empty_answer_is_200_with_no_body(nbia, server):  # 1.2
    raw = requests.get(f"{server.services()}/getSeries", params={"Collection": "Nothing"}, timeout=5)
    assert (raw.status_code, raw.content) == (200, b"")
    assert nbia.series(Collection="Nothing") == []


def test_null_objects_in_lists_of_values(nbia, server):  # 1.2
    server.extra_nulls = True
    assert {} in requests.get(f"{server.services()}/getCollectionValues", timeout=5).json()
    assert nbia.collections() == ["SYN-Phantoms"]


def test_keys_without_a_value_are_left_out(nbia):  # 1.2
    assert all("ProtocolName" not in row for row in nbia.series())


def test_400_is_plain_text_that_says_it_is_json(nbia, server):  # 1.2
    raw = requests.get(f"{server.services()}/getSeries", params={"x": "1"}, timeout=5)
    assert (raw.status_code, raw.headers["Content-Type"]) == (400, "application/json")
    server.fail("getSeries", Fault(status=400, body=raw.text, headers={}))
    with pytest.raises(HttpError, match=r"Invalid query parameter: 'x'\. Allowed parameters are") as caught:
        nbia.series(Collection="SYN-Phantoms")
    assert caught.value.status == 400


def test_a_parameter_that_it_would_refuse_is_not_sent(nbia, server):  # 1.2, Annex C 2
    with pytest.raises(ValueError, match=r"getSeries knows no Colection; its parameters are Collection, PatientID"):
        nbia.series(Colection="SYN-Phantoms")
    with pytest.raises(ValueError, match="getImage needs SeriesInstanceUID"):
        nbia.address("getImage")
    with pytest.raises(ValueError, match="no endpoint 'getSerie'"):
        nbia.query("getSerie")
    assert server.requests == []


def test_filters_ignore_case(nbia):  # 1.2
    assert len(nbia.series(Collection="syn-phantoms", Modality="ct")) == 1


def test_only_released_series_are_there(nbia, held):  # 1.2
    assert {row["SeriesInstanceUID"] for row in nbia.series()} == {one.uid for one in held if one.released}
    assert list(nbia.metadata(["1.9.9"])) == []


def test_get_patient_has_another_spelling(nbia, server):  # 1.2
    raw = requests.get(f"{server.services()}/getPatient", timeout=5).json()[0]
    assert "PatientId" in raw
    assert "PatientID" not in raw
    assert [row["PatientID"] for row in nbia.query("getPatient")] == ["1215936303"]


def test_dates_of_questions_are_written_as_each_version_reads_them(server):  # 1.3
    day = datetime.date(2024, 3, 6)
    for version, text in (("v4", "03-06-2024"), ("v1", "06/03/2024")):
        nbia = Nbia(server.services(version), limits=QUICK)
        assert nbia.updated_series(day) == []  # strictly later than the day
        assert len(nbia.updated_series(day - datetime.timedelta(days=1))) == 2
        assert server.asked("getUpdatedSeries")[-2] == {"fromDate": text}
    nbia.query("NewPatientsInCollection", Collection="SYN-Phantoms", fromDate=day)
    assert server.asked("NewPatientsInCollection")[-1]["Date"] == "2024/03/06"


def test_metadata_is_asked_in_blocks_as_json(nbia, server, held):  # 1.2, 1.3: POST, CSV unless told
    uids = [one.uid for one in held if one.released]
    rows = list(nbia.metadata([*uids, uids[0]], block=1))
    assert [row["SeriesInstanceUID"] for row in rows] == uids
    assert [form["list"] for form in server.asked("getSeriesMetadata")] == uids
    method, _, form, headers = server.requests[-1]
    assert (method, form["format"]) == ("POST", "JSON")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert any(row.get("SliceThickness(mm)") == 8.0 for row in rows)


def test_metadata_that_comes_as_csv_is_read_too(nbia, server, ct):  # 1.3: the default form
    (expected,) = nbia.metadata([ct.uid])
    server.only_csv = True
    (row,) = nbia.metadata([ct.uid])
    assert row == {name: str(value) for name, value in expected.items()}


def test_a_block_that_is_refused_is_asked_in_halves(nbia, server, held):  # 1.1: 400 for series of the other server
    uids = [one.uid for one in held if one.released]
    server.fail("getSeriesMetadata", Fault(status=400, body="no"), Fault(status=400, body="no"))
    assert [row["SeriesInstanceUID"] for row in nbia.metadata(uids)] == uids[1:]


def test_version_1_metadata_is_all_text_with_other_keys(server, ct):  # 1.3, 1.8
    (row,) = Nbia(server.services("v1"), limits=QUICK).metadata([ct.uid])
    assert row["SeriesInstanceUID"] == ct.uid
    assert row["ImageCount"] == str(len(ct.files))
    assert row["PatientID"] == "1215936303"


def test_what_a_version_lacks_is_said_before_it_is_asked(server):  # 1.1, 1.2
    v4, v1 = (Nbia(server.services(version), limits=QUICK) for version in ("v4", "v1"))
    with pytest.raises(ValueError, match=r"getContentsByName is not in version v4 .* but in v1, v2"):
        v4.query("getContentsByName", name="x")
    with pytest.raises(ValueError, match="getDicomTags is not in version v1"):
        v1.tags("1.2")


def test_shared_carts_are_asked_of_version_1(nbia, server, ct):  # 1.1, 1.3
    server.carts["nbia-49121659384603347"] = [ct.uid]
    assert [row["SeriesInstanceUID"] for row in nbia.shared_cart("nbia-49121659384603347")] == [ct.uid]
    assert server.requests[-1][1].endswith("/v1/getContentsByName")


def test_size_instances_and_hashes(nbia, server, ct):  # 1.3, 1.4
    assert nbia.size(ct.uid) == (sum(path.stat().st_size for path in ct.files), len(ct.files))
    assert nbia.size("1.2") is None
    uids = nbia.sop_instances(ct.uid)
    assert sorted(uids) == sorted(pydicom.dcmread(path).SOPInstanceUID for path in ct.files)
    expected = hashlib.md5(ct.files[uids.index(uids[3])].read_bytes()).hexdigest()
    assert nbia.md5(uids[3]) == expected
    assert Nbia(server.services("v1"), limits=QUICK).md5(uids[3]) == expected
    assert server.requests[-1][1].endswith("/getM5HashForImage")  # sic, 1.2


def test_an_image_address_brings_a_zip_with_hashes_and_no_length(nbia, ct):  # 1.4
    answer = requests.get(nbia.image_address(ct.uid), timeout=30)
    assert "Content-Length" not in answer.headers
    assert answer.headers["Content-Disposition"].endswith(f"{ct.uid}.zip")
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert (names[0], names[1], names[-1]) == ("LICENSE", "1-001.dcm", "md5hashes.csv")
    assert len(names) == len(ct.files) + 2


def test_version_1_has_another_address_for_images_with_hashes(server, ct):  # 1.4
    answer = requests.get(Nbia(server.services("v1"), limits=QUICK).image_address(ct.uid), timeout=30)
    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert (names[0], names[-1]) == ("00000001.dcm", "md5hashes.csv")


def test_a_single_image(nbia, ct):  # 1.4
    uid = pydicom.dcmread(ct.files[0]).SOPInstanceUID
    assert nbia.single_image(ct.uid, uid) == ct.files[0].read_bytes()
    with pytest.raises(HttpError, match=r"500 .*Server was not able to process your request"):
        nbia.single_image(ct.uid, "1.2.3")


def test_the_series_of_a_doi(nbia, held):  # 1.3: a misspelt key
    (row,) = nbia.query("getCollectionOrSeriesForDOI", DOI="10.7937/a1v1-rc66")
    assert (row["Collection"], row["ThirdPartyAnalysis"]) == ("SYN-Phantoms", "NO")
    rows = nbia.query("getCollectionOrSeriesForDOI", DOI="10.7937/a1v1-rc66", CollectionOrSeries="series")
    assert {row["SeriesInstanceUID"] for row in rows} == {one.uid for one in held if one.released}


def test_descriptions_and_manifests(nbia, server, ct):  # 1.3
    server.descriptions = [{"id": 1, "collectionName": "SYN-Phantoms", "description": "<p>A&nbsp;phantom</p>"}]
    (row,) = nbia.query("getCollectionDescriptions", collectionName="SYN-Phantoms")
    assert row["description"] == "<p>A&nbsp;phantom</p>"
    text = nbia.text("getManifestText", list=ct.uid, includeAnnotation="true")
    assert text.splitlines()[0].startswith("downloadServerUrl=")


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_passing_failure_is_asked_again(nbia, server, status):  # 1.2
    server.fail("getCollectionValues", Fault(status=status, headers={"Retry-After": "0"}))
    assert nbia.collections() == ["SYN-Phantoms"]
    assert len(server.requests) == 2


def test_a_body_cut_in_the_middle_is_asked_again(nbia, server):
    server.fail("getSeries", Fault(cut_after=20))
    assert len(nbia.series()) == 2


def test_a_page_in_place_of_rows_is_an_error(nbia, server, monkeypatch):
    monkeypatch.setattr(
        "tests.sources.nbia_server._Answers.getCollectionValues", lambda *_: "<html><body>Sign in</body></html>"
    )
    with pytest.raises(SourceError, match=r"getCollectionValues of http.* answered text instead of JSON.*Sign in"):
        nbia.collections()


def test_the_interface_without_a_version_gets_a_guests_token(server, ct):  # 1.1, 1.5
    nbia = Nbia(server.services(""), limits=QUICK)
    assert nbia.version == "advanced"
    assert {"element": "(0008,0060)", "name": "Modality", "data": "CT"} in nbia.tags(ct.uid)
    (form,) = server.asked("token")
    assert form == {"client_id": "NBIA", "grant_type": "password", "username": "nbia_guest", "password": ""}
    assert all(headers["Authorization"].startswith("Bearer ") for _, path, _, headers in server.requests[1:])


def test_version_4_never_gets_credentials(server):  # 1.2 and Annex C 12
    Nbia(server.services("v4"), limits=QUICK).collections()
    assert all("Authorization" not in headers for *_, headers in server.requests)
