"""read_header against pydicom's full dcmread, on pydicom's own files and on the real data; and on bytes that are wrong.

Judge of the pixel data's place: the bytes of its tag, searched for in files where they occur once.
"""

import hashlib
import os
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.multival import MultiValue

from medimagenet.dicom.header_scan import read_header
from medimagenet.dicom.instance import SCAN_KEYWORDS, FileProblem, InstanceHeader

PYDICOM_FILES = sorted(Path(pydicom.__file__).parent.glob("data/test_files/**/*"))
PIXELS_OB_OW = b"\xe0\x7f\x10\x00O"


def judged(path):
    """Plain values by pydicom's full read, None where it holds no series."""
    dataset = pydicom.dcmread(path, force=True)
    if "SeriesInstanceUID" not in dataset or dataset.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
        return None
    values = {}
    for keyword in SCAN_KEYWORDS:
        try:
            value = dataset.get(keyword)
        except ValueError:  # such as a number of frames of "1A"
            continue
        if value is None or value == "" or (isinstance(value, MultiValue) and not len(value)):
            continue
        values[keyword] = value
    return values


def assert_same(path, header, expected):
    assert isinstance(header, InstanceHeader), path
    scanned = {keyword: header.values[keyword] for keyword in SCAN_KEYWORDS if keyword in header.values}
    for keyword, value in expected.items():
        got = scanned.pop(keyword, None)
        items, got_items = (list(value), got) if isinstance(value, MultiValue) else ([value], [got])
        for item, got_item in zip(items, got_items, strict=True):
            assert got_item == (type(got_item)(item) if isinstance(got_item, int | float) else str(item).strip()), (
                keyword
            )
            assert type(got_item) in (str, int, float), keyword
    assert set(scanned) <= {"SOPClassUID"}, f"{path} has values that pydicom has not"  # from the file meta information


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", PYDICOM_FILES, ids=lambda path: path.name)
def test_values_equal_those_of_a_full_read(path):
    header = read_header(path)
    if isinstance(header, FileProblem):
        code = header.finding.code
        assert code in ("not_dicom", "dicomdir", "no_series_uid", "truncated_file"), header
        if code == "no_series_uid":
            assert "SeriesInstanceUID" not in pydicom.dcmread(path, force=True)
        return
    assert_same(path, header, judged(path))


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore")
def test_values_equal_those_of_a_full_read_on_real_files(realdata):
    everything = sorted(path for path in realdata.rglob("*") if path.is_file())
    few = [
        path
        for number, path in enumerate(everything)
        if "sts" not in str(path.relative_to(realdata)) or not number % 25
    ]
    checked = 0
    for path in few:
        header = read_header(path)
        if isinstance(header, InstanceHeader):
            assert_same(path, header, judged(path))
            checked += 1
    assert checked > 800


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm"])
def test_hash_is_of_the_bytes_before_the_pixel_data(name):
    raw = Path(get_testdata_file(name)).read_bytes()
    assert raw.count(PIXELS_OB_OW) == 1
    header = read_header(get_testdata_file(name))
    assert header.has_pixels
    assert header.header_hash == hashlib.sha256(raw[: raw.index(PIXELS_OB_OW)]).hexdigest()[:32]


def test_hash_is_of_the_whole_file_without_pixel_data():
    path = get_testdata_file("rtplan.dcm")
    header = read_header(path)
    assert not header.has_pixels
    assert header.header_hash == hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"]
)
def test_a_file_cut_anywhere_before_its_end_is_never_taken_for_whole(tmp_path, name):
    whole = Path(get_testdata_file(name)).read_bytes()
    end_of_pixels = len(whole) - (
        138 if name in ("CT_small.dcm", "MR_small_RLE.dcm") else 0
    )  # (FFFC,FFFC) DataSetTrailingPadding follows
    path = tmp_path / "cut"

    @given(
        st.integers(0, end_of_pixels - 9)
    )  # the last 8 bytes of RLE are a delimiter without which all frames are there
    def check(length):
        path.write_bytes(whole[:length])
        result = read_header(path)
        assert isinstance(result, FileProblem) or not result.has_pixels

    check()


@given(st.lists(st.tuples(st.integers(132, 2000), st.integers(0, 255)), min_size=1, max_size=20))
def test_damaged_bytes_give_a_result_and_no_exception(tmp_path_factory, damage):
    raw = bytearray(Path(get_testdata_file("MR_small.dcm")).read_bytes())
    for place, value in damage:
        raw[place] = value
    path = tmp_path_factory.mktemp("damaged") / "x"
    path.write_bytes(raw)
    assert isinstance(read_header(path), InstanceHeader | FileProblem)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"notes on the scan", "not a DICOM file"),
        (b"PK\x03\x04 and so on", "a zip archive; unpack it to index what is inside"),
        (b"\x1f\x8b and so on", "compressed with gzip; unpack it to index what is inside"),
        (b"\x08\x00 as if it began a data set, but it does not", "not a DICOM file"),
    ],
)
def test_what_is_not_dicom_is_named(tmp_path, content, message):
    path = tmp_path / "scan.dcm"
    path.write_bytes(content)
    problem = read_header(path)
    assert (problem.path, problem.finding.code, problem.finding.message) == (path, "not_dicom", message)


def test_a_header_cut_within_an_element_is_truncated(tmp_path):
    raw = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    (tmp_path / "cut").write_bytes(raw[:700])
    assert read_header(tmp_path / "cut").finding.code == "truncated_file"


def test_a_header_cut_within_a_value_is_truncated():
    problem = read_header(get_testdata_file("rtplan_truncated.dcm"))
    assert problem.finding.code == "truncated_file"
    assert "element (300A,00B0) ends at byte 2394 of 2129" in problem.finding.message


def test_cut_deflated_data_is_truncated(tmp_path):
    raw = Path(get_testdata_file("image_dfl.dcm")).read_bytes()
    assert isinstance(read_header(get_testdata_file("image_dfl.dcm")), InstanceHeader)
    (tmp_path / "cut").write_bytes(raw[:-2000])
    assert read_header(tmp_path / "cut").finding.code == "truncated_file"


def test_a_file_without_preamble_is_read():
    header = read_header(get_testdata_file("rtstruct.dcm"))
    assert Path(header.path).read_bytes()[128:132] != b"DICM"
    assert header.modality == "RTSTRUCT"
    assert header.values["ROINames"] == ["patient", "Isocenter 1", "Isocenter 2"]


def test_dicomdir_is_information():
    problem = read_header(get_testdata_file("DICOMDIR"))
    assert problem.finding.code == "dicomdir"
    assert problem.finding.severity == "info"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_header(tmp_path / "pipe").finding.message == "not a regular file"


def test_a_link_to_nowhere_cannot_be_opened(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    problem = read_header(tmp_path / "link")
    assert problem.finding.code == "unreadable_file"
    assert "No such file" in problem.finding.message


def test_text_of_values():
    header = read_header(get_testdata_file("CT_small.dcm"))
    assert header.text("PatientWeight") == "0.0"
    assert header.text("ImageType") == "ORIGINAL\\PRIMARY\\AXIAL"
    assert header.texts("ImageType") == ["ORIGINAL", "PRIMARY", "AXIAL"]
    assert header.texts("Modality") == ["CT"]
    assert (header.text("Absent"), header.texts("Absent")) == ("", [])
    assert header.series_uid == "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
    assert header.sop_instance_uid == "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
