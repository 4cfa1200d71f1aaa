"""What a header says of its pixels."""

import pytest

from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.pixels import Rescale, is_lossy, padding_value, rescale_of


def test_rescale_knows_whether_it_keeps_whole_numbers():
    assert Rescale().is_identity
    assert Rescale(2.0, -1024.0).is_whole
    assert not Rescale(0.5, 0.0).is_whole


@pytest.mark.realdata
def test_lossy_compression_is_known(realdata):
    folder = realdata / "oddities" / "transfer_syntax" / "pydicom"
    assert is_lossy(read_image_header(folder / "JPGExtended.dcm"))
    assert not is_lossy(read_image_header(folder / "MR_small.dcm"))


@pytest.mark.realdata
def test_the_padding_of_a_real_series(realdata):
    folder = realdata / "oddities" / "gantry_tilt" / "ge_hispeed_variable_spacing"
    header = read_image_header(sorted(folder.iterdir())[0])
    assert padding_value(header, rescale_of(header)) == -1500 * rescale_of(header).slope + rescale_of(header).intercept
