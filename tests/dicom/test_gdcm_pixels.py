"""Stored values through GDCM against those written and those that pydicom's plugins give."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medimagenet.dicom.elements import read_dataset
from medimagenet.dicom.gdcm_pixels import decode_by_gdcm, is_for_gdcm
from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.pixels import decode_frames, rescale_of

from .conftest import image_dataset, save

JPEG_LS = "1.2.840.10008.1.2.4.80"


def decoded(path):
    header = read_image_header(path)
    return decode_by_gdcm(header, rescale_of(header))


def is_wanted(path):
    header = read_image_header(path)
    return is_for_gdcm(header, rescale_of(header))


@settings(max_examples=25)
@given(
    st.sampled_from([np.int16, np.uint16]), st.sampled_from([12, 16]), st.sampled_from([1, 2, -1, 3]),
    st.sampled_from([0, -1024, -32768, 7]), st.integers(0, 99),
)  # fmt: skip
def test_stored_values_come_back(tmp_path_factory, dtype, bits, slope, intercept, seed):
    info = np.iinfo(dtype)
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if info.min < 0 else (0, 1 << bits)
    stored = np.random.default_rng(seed).integers(low, high, (9, 14)).astype(dtype)
    dataset = image_dataset(stored, "CT")
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.compress(JPEG_LS)
    path = save(dataset, tmp_path_factory.mktemp("jls") / "a.dcm")
    found = decoded(path)
    if found is not None:
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, stored)
    np.testing.assert_array_equal(decode_frames(read_dataset(path), "a"), stored)


@pytest.mark.realdata
def test_jpeg_lossless_of_a_real_slice(realdata, tmp_path):
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg is not installed: apt-get install dcmtk")
    source = realdata / "oddities" / "philips_ct_study" / "S21570" / "S2010" / "I80"
    target = tmp_path / "a.dcm"
    subprocess.run(["dcmcjpeg", "+e1", str(source), str(target)], check=True, capture_output=True)
    assert is_wanted(target)
    found = decoded(target)
    np.testing.assert_array_equal(found, read_dataset(source).pixel_array)
    np.testing.assert_array_equal(found, decode_frames(read_dataset(target), "a"))
    target.write_bytes(target.read_bytes()[:-500])
    assert decoded(target) is None  # cut short: pydicom says so


def test_only_what_is_exact_and_faster_goes_this_way(tmp_path):
    for modality in ("MR", "CT"):  # JPEG-LS has a faster way
        dataset = image_dataset(np.zeros((4, 4), dtype=np.int16), modality)
        dataset.compress(JPEG_LS)
        assert not is_wanted(save(dataset, tmp_path / f"{modality}.dcm"))


def test_simpleitk_is_loaded_when_it_is_needed():
    code = "import sys, medimagenet.dicom.decode; assert 'SimpleITK' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
