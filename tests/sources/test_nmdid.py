"""Cases as the site gives them, made of synthetic CT (sources.md, section 3)."""

import shutil
import zipfile
from pathlib import Path
from zlib import crc32

import pydicom
import pytest

from medimagenet.errors import SourceError
from medimagenet.index import Index
from medimagenet.sources.nmdid import Nmdid
from medimagenet.sources.registry import listed_source, remote_source
from medimagenet.synthetic import write_patient

URL = "https://nmdid.unm.edu/resources/data-use"
INSIDE = "omi/incomingdir"


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """Files of a CT with slices of 8 mm."""
    folder = tmp_path_factory.mktemp("ct")
    write_patient(folder, "x", modalities=("CT",), seed=3)
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def make_case(tmp_path, slices):
    """Function of a case, a study and a series folder: writes it, with other values in the headers."""

    def make(case, study="STANDARD_TORSO", series="BONE_TORSO_8_X_8", *, suffix="", root="cases", **values):
        folder = tmp_path / root / f"case-{case}" / INSIDE / f"case-{case}" / study / series
        folder.mkdir(parents=True)
        for number, path in enumerate(slices[:4]):
            dataset = pydicom.dcmread(path)
            dataset.SeriesInstanceUID = f"1.2.{case}.{crc32(series.encode())}{suffix}"
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.PatientID = f"case-{case}"
            for keyword, value in ({"ConvolutionKernel": "B60s", "BodyPartExamined": None} | values).items():
                setattr(dataset, keyword, value)
            dataset.save_as(folder / f"{number}.dcm")
        return tmp_path / root / f"case-{case}"

    return make


def pack(case_folder):
    archive = case_folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(case_folder.rglob("*.dcm")):
            opened.write(path, path.relative_to(case_folder.parent))
    shutil.rmtree(case_folder)
    return archive


def test_unpacked_cases_have_what_their_folders_say_and_the_agreement(make_case, tmp_path):
    make_case("100010", PatientSex=None, SeriesDescription=None, SliceThickness=None)
    (tmp_path / "cases" / "export.csv").write_text("Case ID,Sex,Age\n100010,Male,45\n")
    (record,) = Nmdid(tmp_path / "cases").series()
    assert (record.source, record.collection_id, record.doi) == ("nmdid", "nmdid", "10.25827/5s8c-n515")
    assert (record.license, record.agreement) == ("NMDID Data Use Agreement", URL)
    assert (record.BodyPartExamined, record.SeriesDescription) == ("TORSO", "BONE_TORSO_8_X_8")
    assert (record.PatientSex, record.SliceThickness, record.n_instances) == ("M", 8.0, 4)
    assert all(Path(record.uri, name).is_file() for name in record.files)
    assert [finding.code for finding in record.findings] == []


def test_zips_are_read_in_place_and_say_that_they_are_packed(make_case, tmp_path):
    make_case("100010")
    (plain,) = Nmdid(tmp_path / "cases").series()
    archive = pack(tmp_path / "cases" / "case-100010")
    (record,) = Nmdid(tmp_path / "cases").series()
    same = ("SeriesInstanceUID", "PatientID", "n_instances", "size_bytes", "content_hash", "shape", "spacing_mm")
    assert all(getattr(record, name) == getattr(plain, name) for name in same)
    assert record.uri == f"{archive}/case-100010/{INSIDE}/case-100010/STANDARD_TORSO/BONE_TORSO_8_X_8"
    assert [finding.code for finding in record.findings] == ["packed_files"]
    assert "100010" not in record.findings[0].message  # findings travel farther than rows
    assert sorted(path.name for path in (tmp_path / "cases").iterdir()) == ["case-100010.zip"]


def test_a_case_that_is_there_twice_is_indexed_once(make_case, tmp_path):
    folder = make_case("100010")
    shutil.copytree(folder, tmp_path / "copy")
    pack(folder)
    shutil.move(tmp_path / "copy", folder)
    source = Nmdid(tmp_path / "cases")
    (record,) = source.series()
    assert ".zip" not in record.uri
    assert [(one.path.name, one.finding.code) for one in source.problems] == [("case-100010.zip", "duplicate_file")]


@pytest.mark.parametrize("packed", [False, True])
def test_headers_that_contradict_the_folders_are_findings(make_case, tmp_path, packed):
    folder = make_case("100010", series="THIN_BONE_TORSO", ConvolutionKernel="B30f", BodyPartExamined="HEAD")
    if packed:
        pack(folder)
    (record,) = Nmdid(tmp_path / "cases").series()
    messages = [finding.message for finding in record.findings if finding.code == "layout_disagrees"]
    assert len(messages) == 4  # thickness 1, step 0.5, kernel, region
    assert record.BodyPartExamined == "HEAD"  # what the header says stays


def test_localizers_are_marked_and_kept(make_case, tmp_path):
    make_case("100010", series="NONE")
    (record,) = Nmdid(tmp_path / "cases").series()
    assert "localizer" in {finding.code for finding in record.findings}


def test_a_table_that_contradicts_the_headers(make_case, tmp_path):
    make_case("100010", PatientSex="F")
    (tmp_path / "cases" / "export.csv").write_text("case,Sex\n100010,M\n")
    (record,) = Nmdid(tmp_path / "cases").series()
    assert (record.PatientSex, record.findings[-1].code) == ("F", "layout_disagrees")


def test_what_is_in_no_row_is_a_problem(make_case, tmp_path):
    pack(make_case("100010"))
    (tmp_path / "cases" / "case-100011.zip").write_bytes(b"<html>Sign in</html>")
    (tmp_path / "cases" / "readme.txt").write_text("notes")
    source = Nmdid(tmp_path / "cases")
    assert len(list(source.series())) == 1
    assert {one.finding.code for one in source.problems} == {"unreadable_file", "not_dicom"}


def test_what_is_no_download(tmp_path):
    with pytest.raises(SourceError, match="no folder at"):
        Nmdid(tmp_path / "none")
    with pytest.raises(SourceError, match=r"no case in .*case-100010\.zip"):
        list(Nmdid(tmp_path).series())


def test_it_is_listed_and_never_fetched(make_case, tmp_path):
    make_case("100010")
    records = listed_source("nmdid", str(tmp_path / "cases")).series()
    assert Index.from_records(records).rows()[0]["agreement"] == URL
    with pytest.raises(SourceError, match="nothing to fetch"):
        remote_source("nmdid")
