"""NBIA's answers as sources.md shows them; numbers are its sections."""

import pydicom
import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.tcia_answers import (
    as_count,
    as_date,
    as_doi,
    as_series_number,
    as_text,
    collection_key,
    read_csv,
    read_rows,
    read_tags,
)
from tests.sources.nbia_server import _tags


@pytest.mark.parametrize("body", [b"", b"\n", b"[]"])
def test_an_empty_body_is_no_row(body):  # 1.2: 200 with a zero-length body
    assert read_rows(body, "getSeries") == []


def test_empty_objects_are_nulls(body=b'[{"Modality": "CT"}, {}]'):  # 1.2
    assert read_rows(body, "getModalityValues") == [{"Modality": "CT"}]


@pytest.mark.parametrize(
    "body", [b"Invalid query parameter: 'x'.", b"<html><body>Sign in</body></html>", b'[{"a": 1', b'{"a": 1}', b"[1]"]
)
def test_what_is_no_array_of_objects_is_an_error_that_shows_it(body):
    with pytest.raises(SourceError, match="getSeries of X answered") as caught:
        read_rows(body, "getSeries of X")
    assert body[:8].decode() in str(caught.value)


def test_spellings_of_all_versions_are_one():  # 1.2, 1.3
    (row,) = read_rows(b'[{"PatientId": "P1", "TimeStamp": "t", "CollectionURI": "u"}]', "x")
    assert row == {"PatientID": "P1", "MaxSubmissionTimestamp": "t", "DataDescriptionURI": "u"}
    (row,) = read_rows(b'[{"thirdPartyAnanlysis": "NO", "seriesInstanceUID": "1.2"}]', "x")
    assert row == {"ThirdPartyAnalysis": "NO", "SeriesInstanceUID": "1.2"}


def test_the_example_of_version_1_metadata():  # 1.8
    body = b"""[{"Data Description URI":"https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY","Study Date":"08-29-2017",
      "Number of Images":"1","File Size":"27844690","Series Number":"1.000000",
      "License URL":"http://creativecommons.org/licenses/by/3.0/","Annotation Size":"0"}]"""
    (row,) = read_rows(body, "getSeriesMetaData")
    assert as_doi(row["DataDescriptionURI"]) == "10.7937/k9/tcia.2016.7o02s9cy"
    assert (as_date(row["StudyDate"]), as_count(row["ImageCount"])) == ("20170829", 1)
    assert (as_count(row["FileSize"]), as_series_number(row["SeriesNumber"])) == (27844690, "1")


@pytest.mark.parametrize(
    ("text", "date"),
    [  # 1.2: date forms per version
        ("2014-11-06 00:00:00.0", "20141106"),
        ("2016-07-21", "20160721"),
        ("08-29-2017", "20170829"),
        ("03/31/2020", "20200331"),
        ("20200331", "20200331"),
        (" 08-29-2017 ", "20170829"),
        ("Spring 1999", "Spring 1999"),
        ("", None),
        (None, None),
    ],
)
def test_dates_of_all_versions(text, date):
    assert as_date(text) == date


def test_dirty_values():  # 1.8
    assert as_text("CHEST (THORAX) ") == "CHEST (THORAX)"
    assert as_text(1215936303) == "1215936303"
    assert (as_count("n/a"), as_count(None), as_count(-1), as_count("nan")) == (None, None, None, None)
    assert (as_series_number("S2"), as_series_number(8)) == ("S2", "8")
    assert as_doi("https://wiki.cancerimagingarchive.net/x/abc") is None
    assert collection_key(" NSCLC-Radiomics Interobserver1") == "nsclc_radiomics_interobserver1"


def test_csv_with_a_mark_and_empty_cells():
    rows = read_csv("\ufeffSeries UID,Manufacturer\n1.2,\n".encode(), "getSeriesMetadata")
    assert rows == [{"SeriesInstanceUID": "1.2"}]
    with pytest.raises(SourceError, match="page instead of CSV"):
        read_csv(b"<html>", "getSeriesMetadata")
    with pytest.raises(SourceError, match="UTF-8"):
        read_csv(b"\xff\xfe\x00", "getSeriesMetadata")


@pytest.mark.parametrize(
    ("place", "series", "names"),
    [
        ("sts/STS_001/CT/mask/RS.dcm", 1, ["GTV_Mass_CT"]),
        ("seg/dcmqi/seg/liver.dcm", 1, ["Liver"]),
    ],
)
def test_references_of_real_objects_as_pydicom_finds_them(realdata, place, series, names):
    dataset = pydicom.dcmread(realdata / place)
    tags = read_tags(_tags(dataset))
    if dataset.Modality == "RTSTRUCT":
        study = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        expected = [item.SeriesInstanceUID for item in study.RTReferencedSeriesSequence]
    else:
        expected = [item.SeriesInstanceUID for item in dataset.ReferencedSeriesSequence]
    assert len(expected) == series
    assert list(tags.series) == expected
    assert (tags.sop_instance, tags.sop_class) == (dataset.SOPInstanceUID, dataset.SOPClassUID)
    assert [name.casefold() for name in tags.names] == [name.casefold() for name in names]


def test_series_in_other_sequences_are_no_references():
    rows = [
        ("(0008,1115)", ""),
        (">(0008,114A)", ""),
        (">>(0008,1155)", "1.9"),
        (">(0020,000E)", "1.2.1"),
        ("(0008,1250)", ""),  # RelatedSeriesSequence
        (">(0020,000E)", "1.2.2"),
        ("(0020,000E)", "1.2.3"),
    ]
    tags = read_tags({"element": element, "name": "", "data": data} for element, data in rows)
    assert tags.series == ("1.2.1",)
