"""Pixel values against exact arithmetic, pydicom and SimpleITK."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset

from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.pixels import Rescale, is_lossy, read_values, rescale_of, value_dtype
from medimagenet.errors import DicomError

STORED = {
    "u1": np.array([[0, 1, 127], [128, 254, 255]], dtype=np.uint8),
    "i2": np.array([[-32768, -1, 0], [1, 4095, 32767]], dtype=np.int16),
    "u2": np.array([[0, 1, 4095], [32767, 32768, 65535]], dtype=np.uint16),
    "i4": np.array([[-(2**31), -1, 0], [1, 65536, 2**31 - 1]], dtype=np.int32),
}


def decode(folder, modality):
    headers = [read_image_header(path) for path in sorted(folder.iterdir())]
    rescales = [rescale_of(header) for header in headers]
    return read_values(headers, rescales, value_dtype(headers, rescales, modality))


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(STORED)),
    st.sampled_from([1.0, 2.0, -1.0, 0.5, 70000.0]),
    st.sampled_from([0.0, -1024.0, -32768.0, 0.25]),
    st.sampled_from(["CT", "MR"]),
)
def test_values_are_slope_times_stored_plus_intercept(tmp_path_factory, kind, slope, intercept, modality):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    stored = STORED[kind]
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(kind[0] == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.PixelData = stored.tobytes()
    folder = tmp_path_factory.mktemp("one")
    dataset.save_as(folder / "a.dcm", enforce_file_format=True)
    array = decode(folder, modality)[0]
    exact = stored.astype(np.float64) * slope + intercept
    if array.dtype == np.float32:
        np.testing.assert_array_equal(array, exact.astype(np.float32))
        assert not (exact == np.rint(exact)).all() or np.abs(exact).max() > 32767
    else:
        np.testing.assert_array_equal(array.astype(np.float64), exact)


def test_bits_above_those_stored_are_ignored_and_the_sign_is_extended(write_series):
    def twelve_bits(dataset, k):
        dataset.BitsStored, dataset.HighBit = 12, 11

    raw = np.array([[[0xF001, 0x0FFF, 0x0800]]], dtype=np.uint16)
    assert decode(write_series(raw, "MR", twelve_bits), "MR").tolist() == [[[1, 4095, 2048]]]
    signed = decode(write_series(raw.view(np.int16), "MR", twelve_bits, folder="signed"), "MR")
    assert signed.tolist() == [[[1, -1, -2048]]]


def test_each_slice_has_its_own_rescale(write_series):
    def change(dataset, k):
        dataset.RescaleSlope, dataset.RescaleIntercept = k + 1, -100 * k

    array = decode(write_series(np.full((3, 2, 2), 7, dtype=np.uint16), "CT", change), "CT")
    assert array.dtype == np.int16
    assert sorted(array[:, 0, 0].tolist()) == sorted([7, 14 - 100, 21 - 200])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not a grey image: 1 samples per pixel, PALETTE COLOR"),
        ({"BitsAllocated": 64}, r"BitsAllocated \(0028,0100\) 64"),
        ({"PixelData": bytes(6)}, "has 6 bytes of PixelData .* need 24"),
        ({"RescaleSlope": 0}, r"RescaleSlope \(0028,1053\) 0"),
    ],
)
def test_what_cannot_be_decoded_is_named(write_series, change, message):
    def apply(dataset, k):
        for keyword, value in change.items():
            setattr(dataset, keyword, value)

    with pytest.raises(DicomError, match=message):
        decode(write_series(np.ones((1, 3, 4), dtype=np.int16), "CT", apply), "CT")


def test_a_file_that_is_cut_short_is_named(write_series):
    (path,) = write_series(np.ones((1, 3, 4), dtype=np.int16)).iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DicomError, match="cut short: 14 of 24 bytes"):
        decode(path.parent, "CT")


def test_rescale_knows_whether_it_keeps_whole_numbers():
    assert Rescale().is_identity
    assert Rescale(2.0, -1024.0).is_whole
    assert not Rescale(0.5, 0.0).is_whole


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_encoding_equals_simpleitk(realdata):
    encodings = set()
    for path in sorted((realdata / "oddities" / "transfer_syntax").rglob("*.dcm")):
        header = read_image_header(path)
        try:
            rescale = rescale_of(header)
            ours = read_values([header], [rescale], value_dtype([header], [rescale], "MR"))
        except DicomError as error:
            assert "not a grey image" in str(error)
            continue
        judge = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        is_lossy_12_bit = path.name == "JPGExtended.dcm"  # two correct IDCTs may round differently (ISO 10918-2)
        np.testing.assert_allclose(ours, judge, rtol=0, atol=is_lossy_12_bit, err_msg=path.name)
        encodings.add(header.transfer_syntax)
    assert len(encodings) >= 8


@pytest.mark.realdata
def test_lossy_compression_is_known(realdata):
    folder = realdata / "oddities" / "transfer_syntax" / "pydicom"
    assert is_lossy(read_image_header(folder / "JPGExtended.dcm"))
    assert not is_lossy(read_image_header(folder / "MR_small.dcm"))
