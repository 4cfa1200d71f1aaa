"""The compiled walk and the decimal parser against pydicom and Python's float."""

import gzip
import io

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.dicom.elements import PIXEL_DATA, Elements, read_dataset, read_elements
from medimagenet.errors import DicomError


def _with_sequence() -> bytes:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    item = pydicom.Dataset()
    item.RadionuclideHalfLife = 5
    dataset.RadiopharmaceuticalInformationSequence = [item, item]
    dataset.Rows = 3
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


WITH_SEQUENCE = _with_sequence()


def tags_of(path):
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    return {int(tag) for tag in dataset.keys() if tag.element != 0}  # noqa: SIM118 - iterating decodes values


def walked(path):
    elements = read_elements(path, header_only=True)
    return {tag for tag in elements.fields() if tag != PIXEL_DATA and tag & 0xFFFF}


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_same_elements_as_pydicom_in_every_encoding(realdata):
    folders = ["oddities", "seg", "rtdose", "rtstruct", "phantoms", "cmb_crc"]
    compared = 0
    for path in (path for folder in folders for path in sorted((realdata / folder).rglob("*"))):
        try:
            expected = tags_of(path) if path.is_file() else set()
        except Exception:  # pydicom cannot read it: no judge
            continue
        if 0x00080016 not in expected:
            continue
        ours = {tag for tag in walked(path) if tag < 0x7FE00000}
        assert ours == {tag for tag in expected if tag < 0x7FE00000}, path
        compared += 1
    assert compared > 400


@pytest.mark.parametrize("implicit", [False, True])
def test_contours_of_both_encodings(write_rtstruct, implicit):
    points = np.array([[0, 0, 1], [9.125, 0, 1], [1e-3, -12345.6789, 1]])
    path = write_rtstruct({(5, "a"): [points]}, implicit=implicit)
    elements = read_elements(path)
    assert elements.of_file
    (item,) = elements.items(elements.fields()[0x30060039])
    (contour,) = elements.items(elements.fields(item)[0x30060040])
    np.testing.assert_array_equal(elements.decimals(elements.fields(contour)[0x30060050]).reshape(-1, 3), points)


def parsed(text: bytes):
    return Elements(None, text, [[0, 0, len(text), 1]], "", True).decimals(0)


decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**8), max_value=10**8)


@settings(deadline=None)
@given(st.lists(decimals.map(str) | st.floats(-1e6, 1e6).map(repr), min_size=1, max_size=20), st.booleans())
def test_decimal_strings_are_rounded_as_python_rounds_them(texts, padded):
    joined = "\\".join(f" {text} " if padded else text for text in texts).encode()
    np.testing.assert_array_equal(parsed(joined), [float(text) for text in texts])


@pytest.mark.parametrize("text", [b"1\\x\\2", b"1\\\\2", b"1..2", b"nan", b"1\\inf"])
def test_what_is_no_number_is_an_error(text):
    with pytest.raises(DicomError, match=r"f\.dcm has a (value|number) at byte 0"):
        Elements(type("P", (), {"name": "f.dcm"}), text, [[0, 0, len(text), 1]], "", True).decimals(0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_cut_of_a_file_gives_elements_or_a_dicom_error(write_rtstruct, tmp_path):
    whole = write_rtstruct({(1, "a"): [np.eye(3)], (2, "b"): []}).read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in range(0, len(whole), 37):
        cut.write_bytes(whole[:length])
        try:
            read_elements(cut)
        except DicomError as error:
            assert "cut.dcm" in str(error)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, about values that the change made invalid
@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(132), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_give_elements_or_a_dicom_error(tmp_path_factory, changes):
    content = bytearray(WITH_SEQUENCE)
    for position, value in changes:
        content[132 + position % (len(content) - 132)] = value
    path = tmp_path_factory.getbasetemp() / "changed.dcm"
    path.write_bytes(content)
    try:
        elements = read_elements(path)
    except DicomError:
        return
    for row in elements.fields().values():
        elements.items(row)
        elements.text(row)


def test_what_is_no_dicom_is_named(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("hello, this is not DICOM at all " * 20)
    with pytest.raises(DicomError, match=r"note\.txt is not a"):
        read_elements(path)
    with pytest.raises(DicomError, match=r"cannot read absent\.dcm: No such file"):
        read_elements(tmp_path / "absent.dcm")
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(bytes(500)))
    with pytest.raises(DicomError, match=r"x\.gz"):
        read_dataset(packed)


def test_a_number_of_more_than_four_bytes_is_named(tmp_path):
    path = tmp_path / "x.dcm"
    path.write_bytes(WITH_SEQUENCE[:-2] + b"\x03\0\0\0\0\0")
    path.write_bytes(path.read_bytes().replace(b"\x28\0\x10\0US\2\0", b"\x28\0\x10\0US\6\0"))
    elements = read_elements(path)
    with pytest.raises(DicomError, match=r"x\.dcm has \(0028,0010\) of 6 bytes, not one number"):
        elements.number(elements.fields()[0x00280010])
    assert elements.number(None) is None
