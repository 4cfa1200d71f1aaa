"""missing_pixels on pixel data that are laid out by hand and by pydicom's encapsulate."""

import pytest
from pydicom.encaps import encapsulate

from medimagenet.dicom.extent import UNDEFINED_LENGTH, missing_pixels

IMAGE = {"Rows": 4, "Columns": 5, "BitsAllocated": 16, "SamplesPerPixel": 1}


def problem(tmp_path, content, length, values, start=7):
    path = tmp_path / "file"
    path.write_bytes(b"h" * start + content)
    with path.open("rb") as stream:
        return missing_pixels(stream, start, length, values)


@pytest.mark.parametrize(
    ("there", "said", "values", "expected"),
    [
        (40, 40, IMAGE, None),
        (52, 40, IMAGE, None),  # other elements follow
        (39, 40, IMAGE, "the header promises 40 bytes of pixel data, the file ends after 39"),
        (38, 38, IMAGE, "the image takes 40 bytes of pixel data, the element holds 38"),
        (40, 40, IMAGE | {"NumberOfFrames": 2}, "the image takes 80 bytes of pixel data, the element holds 40"),
        (4, 4, IMAGE | {"BitsAllocated": 1}, None),  # 20 bits take 3 bytes, 4 with padding
        (2, 2, IMAGE | {"BitsAllocated": 1}, "the image takes 3 bytes of pixel data, the element holds 2"),
        (80, 80, IMAGE | {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422"}, None),
        (1, 1, {}, None),  # nothing to compare with
    ],
)
def test_native(tmp_path, there, said, values, expected):
    assert problem(tmp_path, b"p" * there, said, values) == expected


def frames(count):
    return encapsulate([bytes([number]) * 10 for number in range(count)])


def test_encapsulated_whole(tmp_path):
    content = frames(3) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert problem(tmp_path, content, UNDEFINED_LENGTH, {"NumberOfFrames": 3}) is None
    assert problem(tmp_path, content + b"more elements", UNDEFINED_LENGTH, {"NumberOfFrames": 3}) is None


def test_encapsulated_without_its_delimiter_holds_every_frame(tmp_path):
    assert problem(tmp_path, frames(3), UNDEFINED_LENGTH, {"NumberOfFrames": 3}) is None


@pytest.mark.parametrize(("lost", "whole"), [(1, 2), (18, 2), (19, 1), (36, 1), (37, 0)])
def test_encapsulated_cut(tmp_path, lost, whole):  # a fragment takes 8 + 10 bytes
    content = frames(3)[:-lost]
    expected = f"encapsulated pixel data ends after {whole} whole fragments of 3 frames"
    assert problem(tmp_path, content, UNDEFINED_LENGTH, {"NumberOfFrames": 3}) == expected


def test_encapsulated_with_something_else_between_the_items(tmp_path):
    content = frames(1) + b"not an item"
    assert "has no item at byte 37" in problem(tmp_path, content, UNDEFINED_LENGTH, {})
