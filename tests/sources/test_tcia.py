"""TCIA as rows of an index, against an NBIA server on loopback that holds synthetic patients and real objects."""

import io
import zipfile
from dataclasses import replace

import pydicom
import pytest
import requests

from medimagenet.errors import SourceError
from medimagenet.index import Index
from medimagenet.sources.http import Limits
from medimagenet.sources.registry import listed_source, remote_source
from medimagenet.sources.tcia import NLST_VARIABLE, URL_VARIABLE, Tcia
from medimagenet.sources.tcia_manifest import write_manifest
from medimagenet.sources.tcia_nbia import Nbia
from medimagenet.synthetic import write_patient
from tests.sources.nbia_server import Fault, Held, NbiaServer, hold_series

QUICK = Limits(attempts=1, backoff_s=0.0, connect_s=5.0, read_s=5.0)
NC = {
    "license_name": "Creative Commons Attribution-NonCommercial 3.0 Unported License",
    "license_uri": "http://creativecommons.org/licenses/by-nc/3.0/",
    "doi": "https://doi.org/10.7937/K9/TCIA.2015.PF0M9REI",
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> list[Held]:
    folder = tmp_path_factory.mktemp("tcia")
    write_patient(folder, "SYN-1", modalities=("CT", "RTSTRUCT", "SEG"), seed=2)
    return hold_series(folder, collection="SYN Phantoms-1")


@pytest.fixture
def server(phantoms):
    with NbiaServer([replace(one, values=dict(one.values)) for one in phantoms]) as running:
        yield running


@pytest.fixture
def nlst_server(phantoms):
    other = replace(phantoms[0], values=phantoms[0].values | {"Collection": "NLST", "SeriesInstanceUID": NLST_UID})
    with NbiaServer([other], nlst=True) as running:
        yield running


NLST_UID = "1.2.840.113654.2.55.123456789"


@pytest.fixture
def tcia(server, nlst_server):
    """Function of an argument: TCIA with both servers on loopback."""

    def make(argument="", **settings):
        servers = {name: Nbia(one.services(), limits=QUICK) for name, one in (("main", server), ("nlst", nlst_server))}
        return Tcia(argument, **servers, **settings)

    return make


def test_a_collection_in_any_spelling_is_rows_as_its_files_say(tcia, phantoms):
    records = list(tcia("syn-phantoms_1").series())
    by_uid = {one.uid: one for one in phantoms}
    assert {record.SeriesInstanceUID for record in records} == set(by_uid)
    for record in records:
        head = by_uid[record.SeriesInstanceUID].dataset()
        for keyword in ("PatientID", "PatientSex", "StudyInstanceUID", "StudyDate", "Modality", "Manufacturer"):
            assert getattr(record, keyword) == (str(head.get(keyword)) if head.get(keyword) else None), keyword
        assert record.SeriesNumber == str(head.SeriesNumber)
        assert record.n_instances == len(by_uid[record.SeriesInstanceUID].files)
        assert record.size_bytes == sum(path.stat().st_size for path in by_uid[record.SeriesInstanceUID].files)
        assert (record.source, record.collection_id) == ("tcia", "syn_phantoms_1")
        assert (record.license, record.doi) == ("CC BY 4.0", "10.7937/a1v1-rc66")
    (ct,) = [record for record in records if record.Modality == "CT"]
    assert ct.SliceThickness == 8.0


def test_annotations_know_what_they_refer_to_and_their_regions(tcia, phantoms):
    records = {record.Modality: record for record in tcia("SYN Phantoms-1").series()}
    for modality, sequence, keyword in (
        ("RTSTRUCT", "StructureSetROISequence", "ROIName"),
        ("SEG", "SegmentSequence", "SegmentLabel"),
    ):
        (dataset,) = [one.dataset() for one in phantoms if one.values["Modality"] == modality]
        assert records[modality].referenced_series == (records["CT"].SeriesInstanceUID,)
        assert list(records[modality].roi_names) == [item[keyword].value for item in dataset[sequence].value]
        assert records[modality].SOPInstanceUID == dataset.SOPInstanceUID
        assert records[modality].findings == ()


def test_so_samples_are_found_before_anything_is_downloaded(tcia):
    (sample,) = Index.from_records(tcia("SYN Phantoms-1").series()).samples("CT,RTSTRUCT").samples
    assert set(sample.series) == {"CT", "RTSTRUCT"}


def test_references_are_not_asked_for_where_they_are_not_wanted(tcia, server):
    assert all(not record.referenced_series for record in tcia("SYN Phantoms-1", references=False).series())
    assert server.asked("getDicomTags") == []


def test_what_cannot_be_asked_of_an_annotation_is_a_finding(tcia, server):
    server.fail("getDicomTags", Fault(status=404, body="no"), Fault(status=404, body="no"))
    records = list(tcia("SYN Phantoms-1").series())
    assert sorted(finding.code for record in records for finding in record.findings) == ["no_reference"] * 2


def test_two_objects_in_one_series_are_not_told_apart(tcia, server):  # sources.md, 1.3: the first image only
    structure = next(one for one in server.series if one.values["Modality"] == "RTSTRUCT")
    structure.values["ImageCount"] = 2
    record = next(r for r in tcia("SYN Phantoms-1").series() if r.Modality == "RTSTRUCT")
    assert (record.referenced_series, record.SOPInstanceUID) == ((), None)
    assert "one of 2" in record.findings[0].message


def test_an_unknown_collection_is_answered_with_the_closest(tcia):
    with pytest.raises(SourceError, match=r"no collection 'syn phantom' among its 1: did you mean SYN Phantoms-1\?"):
        list(tcia("syn phantom").series())
    with pytest.raises(SourceError, match="collections --tcia"):
        list(tcia("zzz").series())
    with pytest.raises(SourceError, match="write a collection"):
        list(tcia().series())


def test_nlst_is_asked_of_its_own_server(tcia, server, nlst_server):  # sources.md, 1.1, Annex C 4
    (record,) = tcia("NLST").series()
    assert record.uri.startswith(nlst_server.services())
    (file,) = tcia().remote_files({"SeriesInstanceUID": NLST_UID, "collection_id": "nlst", "license": "CC BY 4.0"})
    assert file.url.startswith(nlst_server.services())
    assert server.requests == []


def test_a_manifest_of_both_servers(tcia, phantoms, tmp_path, server):  # 1.1, 1.6
    uids = [one.uid for one in phantoms]
    write_manifest(tmp_path / "x.tcia", [NLST_UID, *uids])
    records = list(tcia(str(tmp_path / "x.tcia")).series())
    assert {record.SeriesInstanceUID for record in records} == {NLST_UID, *uids}
    assert all(NLST_UID not in form["list"] for form in server.asked("getSeriesMetadata"))


def test_a_manifest_with_series_that_tcia_lacks_loses_none_quietly(tcia, phantoms, tmp_path):
    write_manifest(tmp_path / "x.tcia", [phantoms[0].uid, "1.2.3.4.5.6.7"])
    with pytest.raises(SourceError, match=r"does not have 1 of 2 series .*1\.2\.3\.4\.5\.6\.7"):
        list(tcia(str(tmp_path / "x.tcia")).series())


def test_a_shared_cart(tcia, server, phantoms):
    server.carts["nbia-49121659384603347"] = [phantoms[0].uid]
    (record,) = tcia("nbia-49121659384603347", references=False).series()
    assert (record.SeriesInstanceUID, record.license) == (phantoms[0].uid, "CC BY 4.0")
    assert record.StudyDate == phantoms[0].values["StudyDate"]


def test_dirty_values_are_cleaned(tcia, server):  # 1.8
    held = server.series[0].values
    held |= {"BodyPartExamined": "CHEST (THORAX) ", "PatientID": " 1215936303 ", "Manufacturer": "  "}
    record = next(r for r in tcia("SYN Phantoms-1").series() if r.SeriesInstanceUID == held["SeriesInstanceUID"])
    assert (record.BodyPartExamined, record.PatientID, record.Manufacturer) == ("CHEST (THORAX)", "1215936303", None)


def test_sizes_that_a_row_lacks_are_asked_for(tcia, server):  # 1.2: null keys are left out
    held = server.series[0]
    size = held.values["FileSize"]
    shown = dict(held.values)
    held.values["FileSize"] = None
    tcia_ = tcia("SYN Phantoms-1", references=False)
    tcia_.main.size = lambda uid: (size, shown["ImageCount"])
    assert size in {record.size_bytes for record in tcia_.series()}


def test_progress_is_told(tcia):
    source, steps = tcia("SYN Phantoms-1", references=False), []
    source.progress = lambda *step: steps.append(step)
    list(source.series())
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_series_that_is_listed_twice_is_one_row(tcia, server):
    server.series.append(server.series[0])
    uids = [record.SeriesInstanceUID for record in tcia("SYN Phantoms-1", references=False).series()]
    assert len(uids) == len(set(uids)) == 3


def test_a_series_without_uid_is_an_error(tcia, server):
    source = tcia("SYN Phantoms-1")
    source.main.series = lambda **_: [{"Collection": "SYN Phantoms-1", "Modality": "CT"}]
    with pytest.raises(SourceError, match="without SeriesInstanceUID; what it tells has Collection, Modality"):
        list(source.series())


def test_of_a_licence_and_an_address_that_disagree_the_narrower_counts(tcia, server):  # 2.1, Annex C 10
    for one in server.series:
        one.values |= {"LicenseName": "CC BY 3.0", "LicenseURI": NC["license_uri"]}
    for record in tcia("SYN Phantoms-1").series():
        assert record.license == "CC BY-NC 3.0"
        assert "license_conflict" in {finding.code for finding in record.findings}


def test_a_series_without_a_licence_has_none(tcia, server):
    for one in server.series:
        one.values |= {"LicenseName": None, "LicenseURI": None, "DataDescriptionURI": None}
    assert {(r.license, r.doi) for r in tcia("SYN Phantoms-1", references=False).series()} == {(None, None)}


def test_what_is_to_be_fetched_is_a_zip_with_hashes(tcia, phantoms):  # 1.4
    row = {"SeriesInstanceUID": phantoms[0].uid, "collection_id": "syn_phantoms_1", "license": "CC BY 4.0"}
    (file,) = tcia().remote_files(row)
    assert (file.package, file.service, file.method, dict(file.headers)) == ("zip", "tcia", "GET", {})
    answer = requests.get(file.url, timeout=30)
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = [name for name in archive.namelist() if name.endswith(".dcm")]
    assert {pydicom.dcmread(archive.open(name)).SOPInstanceUID for name in names} == {
        phantoms[0].dataset(k).SOPInstanceUID for k in range(len(phantoms[0].files))
    }
    assert archive.namelist()[-1] == "md5hashes.csv"


@pytest.mark.parametrize("name", ["TCIA Restricted", "Controlled Access (dbGaP phs004225)", "Data Usage Agreement"])
def test_controlled_access_is_listed_and_not_fetched(tcia, server, name):  # 1.0
    for one in server.series:
        one.values |= {"LicenseName": name, "LicenseURI": None}
    records = list(tcia("SYN Phantoms-1", references=False).series())
    assert {record.license for record in records} == {name}
    row = Index.from_records(records).rows()[0]
    with pytest.raises(SourceError, match=r"access is controlled.*dbGaP.*nih-controlled-data-access-policy"):
        list(tcia().remote_files(row))


def test_the_registry_has_it_and_variables_name_other_servers(monkeypatch, server):
    monkeypatch.setenv(URL_VARIABLE, server.services("v4"))
    monkeypatch.setenv(NLST_VARIABLE, "http://127.0.0.1:9/nlst/v4")
    source = listed_source("tcia", "SYN Phantoms-1")
    assert source.main.base_url == server.services("v4")
    (file,) = remote_source("tcia").remote_files({"SeriesInstanceUID": "1.2", "collection_id": "x", "license": None})
    assert file.url.startswith(server.services("v4"))


@pytest.mark.realdata
def test_a_real_collection(realdata):
    held = hold_series(realdata / "sts" / "STS_001" / "CT", collection="Soft-tissue-Sarcoma", **NC)
    with NbiaServer(held) as server:
        nbia = Nbia(server.services(), limits=QUICK)
        records = {record.Modality: record for record in Tcia("soft_tissue_sarcoma", main=nbia, nlst=nbia).series()}
    assert records["RTSTRUCT"].referenced_series == (records["CT"].SeriesInstanceUID,)
    assert records["RTSTRUCT"].roi_names == ("GTV_Mass_CT",)
    assert records["CT"].license == "CC BY-NC 3.0"
