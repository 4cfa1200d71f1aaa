"""read_thoroughly reads what the quick scan leaves to it. Its values are judged in test_instance, by a full read."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from medimagenet.dicom.header_scan import read_header
from medimagenet.dicom.instance import InstanceHeader
from medimagenet.dicom.thorough import read_identity, read_thoroughly


@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "image_dfl.dcm", "rtstruct.dcm", "nested_priv_SQ.dcm"])
def test_read_header_gives_what_it_gives(name):
    path = Path(get_testdata_file(name))
    assert read_header(path) == read_thoroughly(path)


def test_encodings_of_one_image_have_the_same_values():
    headers = [
        read_thoroughly(get_testdata_file(f"MR_small{suffix}.dcm")) for suffix in ("", "_bigendian", "_implicit")
    ]
    assert all(isinstance(header, InstanceHeader) for header in headers)
    values = [{**header.values, "TransferSyntaxUID": None} for header in headers]
    assert values[0] == values[1] == values[2]


def test_identity_of_a_file_cut_in_its_pixels(tmp_path):
    raw = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    header = read_thoroughly(get_testdata_file("CT_small.dcm"))
    (tmp_path / "cut").write_bytes(raw[:-5000])
    assert read_identity(tmp_path / "cut") == (header.series_uid, header.sop_instance_uid)
    (tmp_path / "cut").write_bytes(raw[:400])
    assert read_identity(tmp_path / "cut") is None
