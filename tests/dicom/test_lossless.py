"""JPEG lossless against an encoder written from the standard, dcmtk's encoder, pydicom's plugins and SimpleITK."""

import subprocess

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate

from medimagenet.dicom import read_series
from medimagenet.dicom.elements import read_dataset
from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.lossless import decode_lossless, is_for_lossless
from medimagenet.dicom.pixels import decode_frames, frame_parts
from medimagenet.errors import DicomError

from .conftest import image_dataset, save

LOSSLESS = "1.2.840.10008.1.2.4.57"
SHORT = [0, 0, 0, 0, 17, *[0] * 11]  # all 17 categories have codes of 5 bits
LONG = [1] * 16  # category k has k ones and a zero: no table of 12 bits holds the longest


def guess(predictor, a, b, c):
    return [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1][predictor - 1]


def encode(samples, *, bits, predictor=1, shift=0, counts=SHORT, fill=0):
    """ISO 10918-1 annex H, sample by sample."""
    rows, columns = samples.shape
    values = (samples.astype(np.int64) >> shift).tolist()
    text = ""
    for y in range(rows):
        for x in range(columns):
            if not x:
                expected = values[y - 1][0] if y else 1 << (bits - shift - 1)
            elif not y:
                expected = values[0][x - 1]
            else:
                expected = guess(predictor, values[y][x - 1], values[y - 1][x], values[y - 1][x - 1])
            difference = (values[y][x] - expected + 32767) % 65536 - 32767  # -32767 to 32768
            category = abs(difference).bit_length() if difference != 32768 else 16
            text += f"{category:05b}" if counts is SHORT else "1" * category + "0"
            if 0 < category < 16:
                rest = difference if difference > 0 else difference + (1 << category) - 1
                text += f"{rest:0{category}b}"
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    table = bytes([0, *counts, *range(sum(counts))])
    size = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    parts = [(0xC3, bytes([bits]) + size + b"\1\1\x11\0"), (0xC4, table), (0xDA, bytes([1, 1, 0, predictor, 0, shift]))]
    markers = b"".join(bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body for code, body in parts)
    return b"\xff\xd8" + markers + scan + b"\xff" * fill + b"\xff\xd9"


def write(path, frames, stored, bits):
    dataset = image_dataset(stored, "CT", LOSSLESS)
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return save(dataset, path)


def decoded(path):
    header = read_image_header(path)
    return decode_lossless(header, frame_parts(header, range(int(header.values.get("NumberOfFrames", 1)))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lossless")


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([8, 10, 12, 16]), st.integers(1, 7), st.booleans(), st.sampled_from([SHORT, LONG]),
    st.integers(0, 99), st.integers(0, 2),
)  # fmt: skip
def test_samples_come_back(folder, bits, predictor, is_signed, counts, seed, fill):
    samples = np.random.default_rng(seed).integers(0, 1 << bits, (7, 9))
    if counts is LONG:
        samples >>= 2  # no difference of category 16
    kind = f"{'i' if is_signed else 'u'}{1 if bits == 8 else 2}"
    stored = np.where(is_signed & (samples >= 1 << (bits - 1)), samples - (1 << bits), samples).astype(kind)
    frame = encode(samples, bits=bits, predictor=predictor, counts=counts, fill=fill)
    path = write(folder / "a.dcm", [frame], stored, bits)
    found = decoded(path)
    assert found.dtype == stored.dtype
    np.testing.assert_array_equal(found[0], stored)
    np.testing.assert_array_equal(decode_frames(read_dataset(path), "a"), stored)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0], stored)


def test_low_bits_that_were_left_out_are_zero(folder):
    samples = np.random.default_rng(1).integers(0, 1 << 12, (7, 9))
    path = write(folder / "a.dcm", [encode(samples, bits=12, predictor=6, shift=3)], samples.astype("u2"), 12)
    found = decoded(path)
    np.testing.assert_array_equal(found[0], samples >> 3 << 3)
    judge = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))  # pylibjpeg-libjpeg 2.5 shifts by too much
    np.testing.assert_array_equal(found, judge)


def test_several_frames_and_a_frame_in_several_parts(folder):
    samples = np.random.default_rng(2).integers(0, 1 << 12, (3, 6, 5))
    frames = [encode(plane, bits=12) for plane in samples]
    header = read_image_header(write(folder / "a.dcm", frames, samples[0].astype("u2"), 12))
    np.testing.assert_array_equal(decoded(header.path), samples)
    dataset = read_dataset(header.path)
    dataset.PixelData = encapsulate(frames[:1], fragments_per_frame=2)
    del dataset.NumberOfFrames
    np.testing.assert_array_equal(decoded(save(dataset, header.path))[0], samples[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda frame: frame[:-6] + b"\xff\xd9",
        lambda frame: frame.replace(b"\xff\xc3", b"\xff\xc1"),
        lambda frame: frame.replace(b"\xff\xc4", b"\xff\xdd", 1),
        lambda frame: frame[:60] + b"\xff\xd0" + frame[60:],
        lambda frame: frame[:70] + b"\xff\0" * 40,
        lambda frame: frame[:9],
        lambda frame: b"\xff\xd8\xff\xd9",
    ],
)
def test_what_is_unusual_or_damaged_is_left_alone(folder, damage):
    samples = np.random.default_rng(3).integers(0, 1 << 12, (16, 16))
    frame = damage(encode(samples, bits=12))
    assert decoded(write(folder / "a.dcm", [frame], samples.astype("u2"), 12)) is None


def test_a_scan_cut_short_is_an_error(folder):
    samples = np.random.default_rng(3).integers(0, 1 << 12, (16, 16))
    path = write(folder / "a.dcm", [encode(samples, bits=12)[:60]], samples.astype("u2"), 12)
    with pytest.raises(DicomError):
        read_series([path])


@pytest.mark.realdata
@pytest.mark.parametrize("selection", [1, 4, 6, 7])
def test_a_real_slice_of_dcmtk(realdata, require_program, tmp_path, selection):
    require_program("dcmcjpeg")
    source = realdata / "oddities" / "philips_ct_study" / "S21570" / "S2010" / "I80"
    target = tmp_path / "a.dcm"
    subprocess.run(["dcmcjpeg", "+el", "+sv", str(selection), str(source), str(target)], check=True)
    header = read_image_header(target)
    assert is_for_lossless(header)
    np.testing.assert_array_equal(decoded(header.path)[0], read_dataset(source).pixel_array)


@pytest.mark.realdata
def test_real_files(realdata):
    found = []
    for path in sorted((realdata / "oddities" / "transfer_syntax").rglob("*.dcm")):
        header = read_image_header(path)
        if is_for_lossless(header) and header.values["SamplesPerPixel"] == 1:
            np.testing.assert_array_equal(decoded(path).squeeze(), decode_frames(read_dataset(path), path.name))
            found.append(path.name)
    assert found
