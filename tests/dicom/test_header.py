"""Header values against pydicom."""

import numpy as np
import pydicom
import pytest

from medimagenet.dicom.header import IMAGE, METADATA, keyword_values, read_image_header
from medimagenet.errors import DicomError


def as_texts(value):
    if isinstance(value, int) and not hasattr(value, "original_string"):
        return value
    if isinstance(value, pydicom.multival.MultiValue):
        return [str(item) for item in value]
    return str(value)


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("folder", ["oddities/charset", "oddities/transfer_syntax", "cmb_crc/SCAN_001", "rtdose"])
def test_values_are_those_of_pydicom(realdata, folder):
    for path in sorted((realdata / folder).rglob("*.dcm")):
        dataset = pydicom.dcmread(path, force=True)
        values = {
            **keyword_values(read_image_header(path).elements, METADATA),
            **keyword_values(read_image_header(path).elements, IMAGE),
        }
        for keyword in {keyword for table in (METADATA, IMAGE) for keyword, _ in table.values()}:
            expected = dataset.get(keyword)
            if expected in (None, ""):
                assert keyword not in values, (path.name, keyword)
            elif keyword == "PixelPaddingValue":  # its sign is that of the pixels, which `padding_value` looks at
                assert values[keyword] == expected % 2**16, (path.name, keyword)
            else:
                assert values[keyword] == as_texts(expected), (path.name, keyword)


def test_pixels_are_where_the_header_says(write_series):
    stored = np.arange(12, dtype=np.int16).reshape(1, 3, 4)
    (path,) = write_series(stored).iterdir()
    header = read_image_header(path)
    content = path.read_bytes()[header.pixel_offset :][: header.pixel_length]
    np.testing.assert_array_equal(np.frombuffer(content, dtype="<i2").reshape(3, 4), stored[0])


def test_a_header_larger_than_the_first_read(write_series):
    def change(dataset, k):
        dataset.ImageComments = "x" * 10_000
        dataset.add_new(0x00190010, "LO", "MAKER")
        dataset.add_new(0x00191001, "OB", bytes(200_000))

    (path,) = write_series(np.ones((1, 3, 4), dtype=np.int16), change=change).iterdir()
    header = read_image_header(path)
    assert header.elements.of_file
    assert header.pixel_length == 24


def test_no_dicom(tmp_path):
    with pytest.raises(DicomError, match=r"cannot read absent\.dcm"):
        read_image_header(tmp_path / "absent.dcm")


@pytest.mark.parametrize("character_set", ["ISO_IR 9999", "IR\x7f\x00 192", "ISO_IR 192"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_name_is_read_whatever_the_character_set_says(write_series, character_set):
    def change(dataset, k):
        dataset.SeriesDescription = "Thorax"

    (path,) = write_series(np.ones((1, 3, 4), dtype=np.int16), change=change).iterdir()
    content = path.read_bytes()
    value = character_set.encode().ljust(12)[:12]
    element = b"\x08\x00\x05\x00CS" + len(value).to_bytes(2, "little") + value
    at = content.index(b"\x08\x00", 132 + int.from_bytes(content[140:144], "little"))
    path.write_bytes(content[:at] + element + content[at:])
    header = read_image_header(path)
    assert keyword_values(header.elements, METADATA)["SeriesDescription"] == "Thorax"
