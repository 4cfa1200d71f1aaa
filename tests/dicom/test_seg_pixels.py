"""Pixels of SEG files, bit by bit: against numpy.packbits, pydicom's decoders and its RLE encoder."""

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.encoders.native import _encode_row

from medimagenet.dicom.elements import read_elements
from medimagenet.dicom.seg_pixels import SegmentPixels, read_pixels, set_bits
from medimagenet.errors import DicomError

NATIVE = (pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRBigEndian)
shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 11))


def bits(shape, seed=0, share=0.5):
    return np.random.default_rng(seed).random(shape) < share


def write(path, frames, *, allocated=1, syntax=NATIVE[0], data=None, change=None):
    """A SEG of frames (frames, rows, columns), without what only the header's reader needs."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = allocated
    ds.HighBit = allocated - 1
    plain = np.packbits(frames.astype(bool), bitorder="little").tobytes() if allocated == 1 else frames.tobytes()
    ds.PixelData = (plain if data is None else data) + b"\0" * (len(plain if data is None else data) % 2)
    ds["PixelData"].VR = "OB" if allocated == 8 or syntax.is_encapsulated else "OW" if allocated > 8 else "OB"
    if change is not None:
        change(ds)
    ds.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True)
    return path


def read(path, shape, allocated=1):
    return read_pixels(path, read_elements(path, header_only=True), shape, allocated)


@given(shapes, st.integers(0, 9))
def test_frames_of_packed_bits_follow_each_other_without_a_gap(shape, seed):
    expected = bits(shape, seed)
    pixels = SegmentPixels(shape, np.packbits(expected, bitorder="little"))
    assert pixels.is_packed
    assert len(pixels) == shape[0]
    np.testing.assert_array_equal(np.stack(list(pixels)), expected)
    np.testing.assert_array_equal(pixels[shape[0] - 1], expected[-1])


@given(
    shapes,
    st.integers(0, 9),
    st.tuples(st.integers(-4, 9), st.integers(-4, 9)),
    st.tuples(st.sampled_from((-1, 1)), st.sampled_from((-1, 1))),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.booleans(),
)
def test_bits_are_set_where_their_pixels_lie_and_counted_where_not(shape, seed, first, step, size, is_there):
    frames = bits(shape, seed, 0.3)
    packed = np.packbits(frames, bitorder="little")
    for number, frame in enumerate(frames):
        plane = np.zeros(size, dtype=np.bool_)
        count, inside = set_bits(packed, number, *shape[1:], first[0], step[0], first[1], step[1], plane, is_there)
        rows, columns = np.nonzero(frame)
        y, x = first[0] + step[0] * rows, first[1] + step[1] * columns
        fits = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1]) & is_there
        expected = np.zeros(size, dtype=bool)
        expected[y[fits], x[fits]] = True
        np.testing.assert_array_equal(plane, expected)
        assert (count, inside) == (len(rows), int(fits.sum()))


@pytest.mark.parametrize("syntax", NATIVE)
def test_bits_of_a_file_as_pydicom_reads_them(tmp_path, syntax):
    expected = bits((3, 5, 7))
    path = write(tmp_path / "s.dcm", expected, syntax=syntax)
    pixels = read(path, expected.shape)
    np.testing.assert_array_equal(np.stack(list(pixels)), expected)
    np.testing.assert_array_equal(np.stack(list(pixels)), pydicom.dcmread(path).pixel_array)
    assert pixels.is_packed == (syntax != NATIVE[2])


@pytest.mark.parametrize("allocated", [8, 16])
@pytest.mark.parametrize("frames", [1, 3])
def test_bytes_and_words(tmp_path, allocated, frames):
    expected = np.random.default_rng(0).integers(0, 200, (frames, 4, 6)).astype(f"u{allocated // 8}")
    pixels = read(write(tmp_path / "s.dcm", expected, allocated=allocated), expected.shape, allocated)
    assert not pixels.is_packed
    np.testing.assert_array_equal(np.stack(list(pixels)), expected)


def run_lengths(frames):
    """Frames of packed bits, each one segment of runs (PS3.5 annex G), by pydicom's encoder of rows."""
    found = []
    for frame in frames:
        coded = bytes(_encode_row(np.packbits(frame, bitorder="little").tobytes()))
        found.append(np.array([1, 64, *[0] * 14], dtype="<u4").tobytes() + coded + b"\0" * (len(coded) % 2))
    return found


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_of_bits(tmp_path, share):
    expected = bits((3, 24, 30), share=share)
    data = pydicom.encaps.encapsulate(run_lengths(expected))
    path = write(tmp_path / "s.dcm", expected, syntax=pydicom.uid.RLELossless, data=data)
    np.testing.assert_array_equal(np.stack(list(read(path, expected.shape))), expected)


def test_run_lengths_that_do_not_hold_their_frame_are_named(tmp_path):
    expected = bits((2, 24, 30))
    runs = run_lengths(expected)
    syntax = pydicom.uid.RLELossless
    short = pydicom.encaps.encapsulate([runs[0], runs[1][:100]])
    with pytest.raises(DicomError, match=r"s\.dcm is cut short: a frame has \d+ of 720 pixels"):
        read(write(tmp_path / "s.dcm", expected, syntax=syntax, data=short), expected.shape)
    with pytest.raises(DicomError, match="frames"):
        read(write(tmp_path / "s.dcm", expected, syntax=syntax, data=pydicom.encaps.encapsulate(runs[:1])), (2, 24, 30))
    with pytest.raises(DicomError, match="more than its runs can hold"):
        read(write(tmp_path / "s.dcm", expected, syntax=syntax, data=pydicom.encaps.encapsulate(runs)), (2, 9000, 9000))


def test_pixels_that_are_cut_short_are_named(tmp_path):
    expected = bits((3, 5, 7))
    path = write(tmp_path / "s.dcm", expected)
    with pytest.raises(DicomError, match=r"s\.dcm is cut short: 112 of 400 pixels are there"):
        read(path, (10, 5, 8))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DicomError, match=r"s\.dcm is cut short"):
        read(path, expected.shape)


def test_a_size_beyond_all_numbers_is_named(tmp_path):
    path = write(tmp_path / "s.dcm", bits((3, 5, 7)))
    with pytest.raises(DicomError, match=rf"112 of {(2**32 - 1) ** 3} pixels"):
        read(path, (2**32 - 1,) * 3)


def test_only_what_is_looked_at_is_read(tmp_path):
    pixels = read(write(tmp_path / "s.dcm", bits((3, 5, 7))), (3, 5, 7))
    assert isinstance(pixels.data, np.memmap)
    assert read(tmp_path / "s.dcm", (0, 5, 7)).data.size == 0
