"""Planted defects: a header that asks for more than its compressed frames hold, and frames that it does not count."""

from struct import pack

import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames

from medimagenet.dicom import read_series
from medimagenet.dicom.codestream import stated_size
from medimagenet.dicom.elements import read_dataset
from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.pixels import decode_frames, surplus_bytes
from medimagenet.errors import DicomError

SYNTAXES = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90")


def stored(planes=3):
    return np.random.default_rng(1).integers(0, 4000, (planes, 40, 72), dtype=np.uint16)


def first_frame(path):
    return next(generate_frames(read_dataset(path).PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", SYNTAXES[1:])
def test_the_size_of_an_encoders_codestream(write_series, syntax):
    folder = write_series(stored(), change=lambda dataset, _: dataset.compress(syntax))
    frame = first_frame(next(folder.iterdir()))
    assert stated_size(frame) == (40, 72)
    assert all(stated_size(frame[:k]) in (None, (40, 72)) for k in range(len(frame)))


@pytest.mark.realdata
def test_the_size_of_real_codestreams(realdata):
    sizes = set()
    for path in sorted((realdata / "oddities" / "transfer_syntax").rglob("*.dcm")):
        header = read_image_header(path)
        if header.pixel_length < 0 and header.transfer_syntax != "1.2.840.10008.1.2.5":
            assert stated_size(first_frame(path)) == (header.values["Rows"], header.values["Columns"]), path.name
            sizes.add(header.transfer_syntax)
    assert len(sizes) >= 6


def test_sizes_that_are_not_stated():
    assert stated_size(b"") is None
    assert stated_size(bytes(5000)) is None
    baseline = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0" + pack(">HBHHB", 11, 8, 7, 9, 1)
    assert stated_size(baseline + bytes(4)) == (7, 9)  # behind an APP0 and a fill byte
    assert stated_size(baseline.replace(pack(">H", 7), bytes(2), 1) + bytes(4)) is None  # DNL: behind the scan


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_header_that_asks_for_more_is_refused(write_series, syntax, jobs):
    def change(dataset, _):
        dataset.compress(syntax)
        dataset.Rows, dataset.Columns = 65535, 65535  # 8 GiB of each slice

    folder = write_series(stored(), change=change)
    with pytest.raises(DicomError, match=r"say 65535 x 65535") as caught:
        read_series(folder, jobs=jobs)
    assert [finding.code for finding in caught.value.findings] == ["not_decodable"]
    with pytest.raises(DicomError, match=r"say 65535 x 65535"):
        decode_frames(read_dataset(next(folder.iterdir())), "a")


def test_a_later_frame_of_another_size_is_refused(write_series):
    def change(dataset, _):
        dataset.compress("1.2.840.10008.1.2.4.90")
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        at = frame.index(b"\xff\x4f\xff\x51") + 8
        dataset.PixelData = encapsulate([frame, frame[:at] + pack(">2I", 60000, 60000) + frame[at + 8 :]])
        dataset.NumberOfFrames = 2

    (path,) = write_series(stored(1), change=change).iterdir()
    with pytest.raises(DicomError, match="60000 x 60000"):
        decode_frames(read_dataset(path), "a")


@pytest.mark.filterwarnings("ignore:3 frames have been found")
def test_frames_that_the_header_does_not_count_are_noticed(write_series):
    sizes = []

    def change(dataset, _):
        dataset.compress("1.2.840.10008.1.2.4.80")
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        sizes.append(len(frame))
        dataset.PixelData = encapsulate([frame, frame, frame])

    folder = write_series(stored(1), change=change)
    assert surplus_bytes(read_image_header(next(folder.iterdir()))) == 2 * sizes[0]
    with pytest.raises(DicomError, match=r"decodes to an array \(3, 40, 72\), its header says \(1, 40, 72\)"):
        read_series(folder)


def test_more_memory_than_there_is_is_an_error_not_a_crash(write_series, monkeypatch):
    folder = write_series(stored())
    monkeypatch.setattr("medimagenet.dicom.decode.prod", lambda shape: 1 << 62)
    with pytest.raises(DicomError, match="more than there is"):
        read_series(folder, jobs=1)
