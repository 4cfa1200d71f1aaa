"""Each defect of files and identities."""

import hashlib
from collections import Counter

import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient

GRID = Grid((16, 14, 9), (15.0, 15.0, 20.0), (10.5, -20.25, 100.0))


@pytest.fixture
def planted(tmp_path):
    def write(name):
        return write_patient(tmp_path, grid=GRID, modalities=("CT",), defects=(name,))

    return write


def test_truncated_file(planted):
    truth = planted("truncated_file")
    ds = pydicom.dcmread(truth.paths["CT"][4], stop_before_pixels=True)
    assert ds.Rows == 14  # the header is whole
    sizes = [path.stat().st_size for path in truth.paths["CT"]]
    assert max(sizes[:4]) - sizes[4] >= 14 * 16 - 8  # text in the headers differs by a few bytes


@pytest.mark.filterwarnings("ignore:End of file reached")
def test_unreadable_file(planted):
    path = planted("unreadable_file").paths["CT"][4]
    assert path.read_bytes()[128:132] == b"DICM"
    with pytest.raises((AttributeError, InvalidDicomError)):  # nothing that identifies an image is left
        _ = pydicom.dcmread(path).SOPInstanceUID


def test_not_dicom(planted):
    truth = planted("not_dicom")
    beside = [path for path in truth.folder.rglob("*") if path.is_file() and path not in truth.paths["CT"]]
    assert len(beside) == 4
    for path in beside:
        with pytest.raises((InvalidDicomError, EOFError)):
            pydicom.dcmread(path)


def contents(truth):
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in truth.folder.rglob("*.dcm"))


def test_duplicate_file(planted):
    assert sorted(contents(planted("duplicate_file")).values()) == [1] * 8 + [2]


def test_repeated_uid(planted):
    truth = planted("repeated_uid")
    assert sorted(contents(truth).values()) == [1, 1] + [2] * 8
    uids = Counter(pydicom.dcmread(path).SOPInstanceUID for path in truth.folder.rglob("*.dcm"))
    assert set(uids.values()) == {2}


def test_shuffled_names(planted):
    truth = planted("shuffled_names")
    found = [pydicom.dcmread(path) for path in truth.paths["CT"]]
    places = [float(ds.ImagePositionPatient[2]) for ds in found]
    by_number = [float(ds.ImagePositionPatient[2]) for ds in sorted(found, key=lambda ds: ds.InstanceNumber)]
    assert sorted(places) == [100 + 20 * k for k in range(9)]
    assert places not in (sorted(places), sorted(places, reverse=True))
    assert by_number not in (sorted(places), sorted(places, reverse=True))
    assert len({ds.InstanceNumber for ds in found}) == 9
