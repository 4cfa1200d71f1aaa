"""Many headers in one call against one at a time, with little room, with hashes by hashlib, and with threads."""

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from medimagenet.dicom import batch, quick
from medimagenet.dicom.batch import DIGEST, IS_CLOSED, KEPT, OFFSET, PIXELS, RUN, STATUS, VALUE, Blocks, read_batch
from medimagenet.dicom.locate import ABSENT, CUT, DONE, ODD
from medimagenet.dicom.quick import QuickReader
from medimagenet.dicom.wanted import ELEMENTS

FILES = [str(path) for path in sorted(Path(pydicom.__file__).parent.glob("data/test_files/*")) if path.is_file()]


def read(paths, first_block=8192, largest=1 << 20):
    return read_batch([str(path) for path in paths], quick._WANTED, quick._SERIES, Blocks(first_block, 8, largest))


@pytest.fixture(scope="module")
def one_by_one():
    return [next(QuickReader().read_all([path])) for path in FILES]


@pytest.mark.parametrize("room", [100, 20_000, 4 << 20])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_are_what_each_is(one_by_one, monkeypatch, room, threads):
    monkeypatch.setattr(batch, "BUFFER", room)
    monkeypatch.setattr(quick, "_AT_ONCE", 7)
    assert list(QuickReader().read_all(FILES * 2, threads=threads)) == one_by_one * 2
    assert sum(header is not None for header in one_by_one) > 40


def test_hashes_of_both_libraries(one_by_one, monkeypatch):
    monkeypatch.setattr(batch, "FUNCTIONS", (*batch.FUNCTIONS[:4], 0))
    assert list(QuickReader().read_all(FILES)) == one_by_one


def test_bytes_and_places():
    path = get_testdata_file("CT_small.dcm")
    raw = Path(path).read_bytes()
    found = read([path])
    outcome = found.outcomes[0]
    header = raw[: raw.index(b"\xe0\x7f\x10\x00OW")]
    assert (outcome[STATUS], outcome[PIXELS], outcome[VALUE]) == (DONE, len(header), len(header) + 12)
    assert found.buffer[outcome[OFFSET] : outcome[OFFSET] + outcome[KEPT]].tobytes() == header
    assert not found.digests or found.digests[:DIGEST] == hashlib.sha256(header).digest()


def test_an_odd_file_between_two_sound_ones_changes_nothing(tmp_path):
    (tmp_path / "odd").write_bytes(bytes(5000))
    (tmp_path / "empty").write_bytes(b"")
    path = get_testdata_file("CT_small.dcm")
    found = read([path, tmp_path / "odd", tmp_path / "empty", tmp_path, tmp_path / "gone", path])
    assert found.outcomes[:, STATUS].tolist() == [DONE, ODD, ODD, ODD, ODD, DONE]
    assert found.outcomes[:, RUN].tolist() == [0, ABSENT, ABSENT, ABSENT, ABSENT, 0]
    assert not found.varying.any()  # the last is as the first


def test_runs_are_of_one_series_and_tell_what_varies(tmp_path):
    """Two series by turns, one of which changes its matrix."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    paths = []
    for n in range(8):
        dataset.SeriesInstanceUID, dataset.InstanceNumber = f"1.2.{n % 2}", str(n)
        dataset.BitsAllocated = 8 if n == 7 else 16
        dataset.save_as(tmp_path / str(n))
        paths.append(tmp_path / str(n))
    found = read(paths)
    assert found.outcomes[:, RUN].tolist() == [0, 1, 0, 1, 0, 1, 0, 2]
    number = list(ELEMENTS).index(0x00200013)
    assert [np.flatnonzero(row).tolist() for row in found.varying] == [[number], [number], []]


def test_a_header_longer_than_the_most_is_cut():
    assert read([get_testdata_file("rtplan.dcm")], 200, 400).outcomes[0, STATUS] == CUT


@pytest.mark.parametrize(("end", "closed"), [(0, 1), (-8, 0), (-9, 0)])
def test_whether_fragments_end_as_they_should(tmp_path, end, closed):
    raw = Path(get_testdata_file("JPEG2000.dcm")).read_bytes()
    whole = raw[: raw.rindex(b"\xfe\xff\xdd\xe0") + 8]
    (tmp_path / "x").write_bytes(whole[: len(whole) + end])
    assert read([tmp_path / "x"]).outcomes[0, IS_CLOSED] == closed


def test_a_path_that_no_file_can_have():
    with pytest.raises(ValueError, match="null byte"):
        read(["a\0b"])
