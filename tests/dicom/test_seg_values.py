"""Findings about values: pixels whose histogram NumPy tells, and files that contradict their type."""

import numpy as np
import pytest

from medimagenet.dicom.seg_pixels import SegmentPixels
from medimagenet.dicom.seg_values import value_findings


def found(frames, numbers=(1, 2), *, is_map=False, greatest=None, padding=None):
    pixels = SegmentPixels(frames.shape, frames)
    return value_findings(pixels, numbers, is_map=is_map, greatest=greatest, padding=padding)


def codes(*values, **options):
    return [finding.code for finding in found(np.array([[values]], dtype=np.uint8), **options)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0), []),
        ((0, 1), []),
        ((0, 255), ["segment_values_binary"]),
        ((0, 1, 2), ["segment_values_unexpected"]),
        ((1, 17, 33, 49), ["segment_values_unexpected"]),  # bits of a byte as segments, as public files have it
    ],
)
def test_bits_that_are_bytes(values, expected):
    assert codes(*values) == expected


@pytest.mark.parametrize(
    ("values", "greatest", "expected"),
    [
        ((0, 255), 255.0, ["segment_values_binary"]),
        ((0, 0), 255.0, ["segment_values_binary"]),
        ((0, 64, 128), 255.0, ["segment_thresholded"]),
        ((0, 1, 127), 255.0, ["segment_thresholded", "segment_below_half"]),
        ((0, 1, 17, 49), 255.0, ["segment_thresholded", "segment_below_half"]),
        ((0, 101), 100.0, ["segment_values_unexpected"]),
    ],
)
def test_fractions(values, greatest, expected):
    assert codes(*values, greatest=greatest) == expected


def test_numbers_of_segments_that_nothing_describes():
    frames = np.random.default_rng(0).choice([0, 1, 2, 5, 700, 65535], (3, 20, 30)).astype(np.uint16)
    (finding,) = found(frames, is_map=True, padding=5)
    voxels = int(np.isin(frames, [700, 65535]).sum())
    assert (finding.code, finding.numbers) == ("segment_frame_unknown", {"voxels": voxels, "segments": 2})
    assert "([700, 65535])" in finding.message
    assert found(frames, (1, 2, 700, 65535), is_map=True, padding=5) == []
    assert codes(0, 1, 5, is_map=True) == ["segment_frame_unknown"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32])
def test_values_of_any_type_are_counted(dtype):
    frames = np.random.default_rng(1).integers(0, 100, (4, 9, 9)).astype(dtype)
    (finding,) = found(frames, greatest=150.0)[:1]
    assert finding.numbers == {"voxels": int((frames > 0).sum())}


def test_packed_bits_have_nothing_to_be_found():
    assert (
        value_findings(
            SegmentPixels((1, 2, 4), np.array([255], np.uint8)), (1,), is_map=False, greatest=None, padding=None
        )
        == []
    )
