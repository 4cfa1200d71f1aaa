"""Pixel values against exact arithmetic, pydicom and SimpleITK."""

import struct
import zlib

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from medimagenet.dicom import read_series
from medimagenet.dicom.decode import read_values, value_dtype
from medimagenet.dicom.frames import Frame, frames_of
from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.pixels import Rescale, rescale_of
from medimagenet.dicom.stack import plane_from_values
from medimagenet.errors import DicomError

from .conftest import image_dataset, save

STORED = {
    "u1": np.array([[0, 1, 127], [128, 254, 255]], dtype=np.uint8),
    "i2": np.array([[-32768, -1, 0], [1, 4095, 32767]], dtype=np.int16),
    "u2": np.array([[0, 1, 4095], [32767, 32768, 65535]], dtype=np.uint16),
    "i4": np.array([[-(2**31), -1, 0], [1, 65536, 2**31 - 1]], dtype=np.int32),
}


def decode(folder, modality):
    frames = [frame for path in sorted(folder.iterdir()) for frame in frames_of(read_image_header(path))]
    return read_values(frames, value_dtype(frames, modality))


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


def append(folder, more, which=1):
    path = sorted(folder.iterdir())[which]
    path.write_bytes(path.read_bytes() + more)


@pytest.mark.parametrize("syntax", [None, "1.2.840.10008.1.2.4.80"])
def test_pixels_that_are_there_twice_are_refused(write_series, syntax):
    def change(dataset, _):
        if syntax:
            dataset.compress(syntax)

    folder = write_series(np.ones((3, 4, 5), dtype=np.int16), change=change)
    append(folder, b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0" + bytes(4))  # trailing padding is allowed (PS3.10 7.2)
    assert read_series(folder).findings == ()
    append(folder, b"\xe0\x7f\x10\x00OW\0\0\x28\0\0\0" + bytes(40), which=2)
    with pytest.raises(DicomError, match=r"PixelData \(7FE0,0010\) twice") as caught:
        read_series(folder)
    assert [finding.code for finding in caught.value.findings] == ["pixel_data_repeated"]


def save_odd(path, stored, syntax, again=b"", beyond=b""):
    """A file that only pydicom reads, with more pixels behind, in PixelData or in a second element of that tag."""
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset = image_dataset(stored, "CT", syntax)
    dataset.SeriesInstanceUID, dataset.RescaleSlope, dataset.RescaleIntercept = "1.2.3", 1, 0
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 2
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes() + beyond
    dataset["PixelData"].VR = "OW"
    save(dataset, path)
    tail = struct.pack(f"{order}HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(again)) + again if again else b""
    data = path.read_bytes()
    if syntax == DeflatedExplicitVRLittleEndian:
        start = 144 + int.from_bytes(data[140:144], "little")
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = packer.compress(zlib.decompress(data[start:], -zlib.MAX_WBITS) + tail) + packer.flush()
        path.write_bytes(data[:start] + packed + b"\0" * (len(packed) % 2))
    else:
        path.write_bytes(data + tail)
    return path


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_pixels_twice_or_too_many_in_files_that_only_pydicom_reads(tmp_path, syntax):
    stored = np.arange(20, dtype=np.int16).reshape(4, 5)
    volume = read_series([save_odd(tmp_path / "a.dcm", stored, syntax)])
    np.testing.assert_array_equal(volume.array[0], stored)
    assert [finding.code for finding in volume.findings] == ["single_slice"]
    with pytest.warns(UserWarning, match="excess padding"):
        volume = read_series([save_odd(tmp_path / "a.dcm", stored, syntax, beyond=bytes(6))])
    np.testing.assert_array_equal(volume.array[0], stored)
    assert [finding.code for finding in volume.findings] == ["single_slice", "pixel_data_too_long"]
    assert volume.findings[1].numbers == {"files": 1, "bytes": 6}
    with pytest.raises(DicomError, match=r"a.dcm has PixelData \(7FE0,0010\) twice") as caught:
        read_series([save_odd(tmp_path / "a.dcm", stored, syntax, again=bytes(40))])
    assert [finding.code for finding in caught.value.findings] == ["pixel_data_repeated"]


@pytest.mark.parametrize(("extra", "is_found"), [(0, False), (1, False), (2, True), (15, True)])
def test_pixels_beyond_those_of_the_header_are_a_finding(write_series, extra, is_found):
    stored = np.arange(45, dtype=np.uint8).reshape(3, 3, 5)  # 15 bytes a slice: 16 with the padding

    def change(dataset, k):
        dataset.PixelData = stored[k].tobytes() + b"\0" + bytes(extra - extra % 2) * (k == 1)

    volume = read_series(write_series(stored, change=change))
    np.testing.assert_array_equal(volume.array, stored)
    found = [finding for finding in volume.findings if finding.code == "pixel_data_too_long"]
    assert [finding.numbers for finding in found] == [{"files": 1, "bytes": extra - extra % 2}] * is_found


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_encoding_equals_simpleitk(realdata):
    encodings = set()
    for path in sorted((realdata / "oddities" / "transfer_syntax").rglob("*.dcm")):
        header = read_image_header(path)
        try:
            frames = [Frame(header, plane_from_values(header.values), rescale_of(header))]  # mosaics whole
            ours = read_values(frames, value_dtype(frames, "MR"))
        except DicomError as error:
            assert "not a grey image" in str(error)
            continue
        judge = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        is_lossy_12_bit = path.name == "JPGExtended.dcm"  # two correct IDCTs may round differently (ISO 10918-2)
        np.testing.assert_allclose(ours, judge, rtol=0, atol=is_lossy_12_bit, err_msg=path.name)
        encodings.add(header.transfer_syntax)
    assert len(encodings) >= 8


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_any_number_of_threads_gives_the_same(write_series, jobs):
    stored = np.random.default_rng(3).integers(0, 4096, (40, 256, 256), dtype=np.uint16)
    volume = read_series(write_series(stored, change=lambda d, k: setattr(d, "RescaleIntercept", -k)), jobs=jobs)
    np.testing.assert_array_equal(volume.array, stored.astype(np.int16) - np.arange(40)[:, None, None])


def test_a_value_in_the_last_slice_that_does_not_fit_makes_all_of_them_float(write_series):
    stored = np.zeros((40, 256, 256), dtype=np.uint16)
    stored[-1, -1, -1] = 40000
    volume = read_series(write_series(stored), jobs=2)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, stored.astype(np.float32))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_compressed_pixels_in_processes_equal_those_written(write_series, syntax):
    stored = np.random.default_rng(4).integers(0, 300, (20, 512, 512), dtype=np.uint16)
    folder = write_series(stored, change=lambda d, k: (setattr(d, "RescaleIntercept", -k), d.compress(syntax))[0])
    volume = read_series(folder, jobs=2)
    np.testing.assert_array_equal(volume.array, stored.astype(np.int16) - np.arange(20)[:, None, None])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"])
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_frames_of_one_instance_are_shared_out(tmp_path, syntax, jobs):
    stored = np.random.default_rng(5).integers(0, 4096, (23, 320, 320), dtype=np.uint16)
    path = save(_multi_frame(stored, syntax), tmp_path / "a.dcm")
    header = read_image_header(path)
    order = np.random.default_rng(6).permutation(len(stored))
    frames = [Frame(header, plane_from_values(header.values), Rescale(0.5, 0.0), True, k) for k in order.tolist()]
    np.testing.assert_array_equal(read_values(frames, np.float32, jobs=jobs), stored[order] * np.float32(0.5))


def _multi_frame(stored, syntax):
    dataset = image_dataset(stored[0], "CT")
    dataset.NumberOfFrames, dataset.PixelData = len(stored), stored.tobytes()
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax)
    return dataset
