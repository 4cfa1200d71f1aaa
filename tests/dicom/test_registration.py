"""Registrations that are written here, applied to points whose place is known."""

import numpy as np
import pydicom
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimagenet import index_directory
from medimagenet.compiler.decode import read_case
from medimagenet.dicom import read_registration
from medimagenet.dicom.registration import DEFORMABLE_STORAGE, REGISTRATION_STORAGE
from medimagenet.errors import DicomError, GeometryError
from medimagenet.geometry import Grid
from medimagenet.volume import Volume

TURN = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -3], [0, 0, 1, 7], [0, 0, 0, 1.0]])
SHIFT = np.array([[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1.0]])
GRID = Grid((4, 5, 6), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))


@pytest.fixture
def write_registration(tmp_path):
    """Write a REG whose registered frame is "1.1"; `matrices` are lists by frame of reference."""

    def write(matrices, sop_class=REGISTRATION_STORAGE, registered="1.1"):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
        dataset.Modality, dataset.FrameOfReferenceUID = "REG", registered
        dataset.RegistrationSequence = []
        for frame, parts in matrices:
            item, registration = Dataset(), Dataset()
            item.FrameOfReferenceUID = frame
            registration.MatrixSequence = []
            for part in parts:
                entry = Dataset()
                entry.FrameOfReferenceTransformationMatrixType = "RIGID"
                entry.FrameOfReferenceTransformationMatrix = [f"{value:.8g}" for value in np.ravel(part)]
                registration.MatrixSequence.append(entry)
            item.MatrixRegistrationSequence = [registration]
            dataset.RegistrationSequence.append(item)
        path = tmp_path / "reg.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def image(frame):
    return Volume(np.arange(120).reshape(GRID.shape), GRID, metadata={"FrameOfReferenceUID": frame})


def test_a_volume_is_moved_with_its_voxels(write_registration):
    registration = read_registration(write_registration([("1.2", [TURN]), ("1.1", [np.eye(4)])]))
    moved = registration.move(image("1.2"), "1.1")
    point = np.append(GRID.to_patient((1, 2, 3)), 1)
    np.testing.assert_allclose(moved.grid.to_patient((1, 2, 3)), (TURN @ point)[:3], atol=1e-9)
    assert moved.metadata["FrameOfReferenceUID"] == "1.1"
    assert moved.array is not None
    back = registration.move(moved, "1.2")
    assert back.grid.is_close(GRID, tolerance_mm=1e-9)


def test_matrices_are_applied_in_their_order_and_between_any_two_frames(write_registration):
    registration = read_registration(write_registration([("1.2", [TURN, SHIFT]), ("1.3", [SHIFT])]))
    np.testing.assert_allclose(registration.matrix("1.2", "1.1"), SHIFT @ TURN)
    np.testing.assert_allclose(registration.matrix("1.2", "1.3"), TURN, atol=1e-12)
    np.testing.assert_allclose(registration.matrix("1.1", "1.3"), np.linalg.inv(SHIFT), atol=1e-12)


def test_what_cannot_be_applied_is_named(write_registration):
    registration = read_registration(write_registration([("1.2", [np.diag([2.0, 2, 2, 1])])]))
    with pytest.raises(GeometryError, match="scales or shears by 3"):
        registration.move(image("1.2"), "1.1")
    with pytest.raises(GeometryError, match=r"does not know the frame of reference 1\.9; it has 1\.1, 1\.2"):
        registration.move(image("1.9"), "1.1")
    with pytest.raises(GeometryError, match="without FrameOfReferenceUID"):
        registration.move(image(None), "1.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrices": [], "sop_class": DEFORMABLE_STORAGE}, "is a deformable registration"),
        ({"matrices": [], "sop_class": "1.2.840.10008.5.1.4.1.1.2"}, "is not a REG object"),
        ({"matrices": [], "registered": None}, "registers to nothing"),
        ({"matrices": [(None, [TURN])]}, r"RegistrationSequence\[0\] names no FrameOfReferenceUID"),
        ({"matrices": [("1.2", [TURN[:3]])]}, "FrameOfReferenceTransformationMatrix"),
        ({"matrices": [("1.2", [np.ones((4, 4))])]}, "last row is"),
        ({"matrices": [("1.2", [TURN]), ("1.2", [SHIFT])]}, "two different matrices"),
    ],
)
def test_what_cannot_be_read_is_named(write_registration, arguments, message):
    with pytest.raises(DicomError, match=message):
        read_registration(write_registration(**arguments))


@pytest.mark.parametrize("keyword", ["RegistrationSequence", "MatrixRegistrationSequence", "MatrixSequence"])
def test_what_should_be_a_sequence_and_is_text(write_registration, keyword):
    path = write_registration([("1.2", [TURN])])
    dataset = pydicom.dcmread(path)
    item = dataset.RegistrationSequence[0]
    holders = {"RegistrationSequence": dataset, "MatrixRegistrationSequence": item}
    holder = holders.get(keyword, item.MatrixRegistrationSequence[0])
    holder[keyword] = DataElement(tag_for_keyword(keyword), "LT", "text")
    dataset.save_as(path)
    with pytest.raises(DicomError, match=f"has a {keyword} that is no sequence, but str"):
        read_registration(path)


def test_a_sample_that_a_registration_joins_is_decoded_in_one_frame(write_series, write_registration, tmp_path):
    """From files to a case: the PET lies in a frame of its own, from which the REG leads to that of the CT."""
    uids = {}

    def place(frame):
        def change(dataset, _):
            dataset.FrameOfReferenceUID, dataset.StudyInstanceUID = frame, "1.5"
            uids[frame] = dataset.SeriesInstanceUID

        return change

    write_series(np.zeros((3, 4, 5), np.int16), change=place("1.1"), folder="ct")
    write_series(np.zeros((3, 4, 5), np.int16), "MR", change=place("1.2"), folder="mr")
    path = write_registration([("1.2", [SHIFT]), ("1.1", [np.eye(4)])])
    dataset = pydicom.dcmread(path)
    dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "SECRET", "1.5", "1.6"
    dataset.ReferencedSeriesSequence = [Dataset(), Dataset()]
    for item, uid in zip(dataset.ReferencedSeriesSequence, uids.values(), strict=True):
        item.SeriesInstanceUID = uid
    dataset.save_as(path)
    (sample,) = index_directory(tmp_path, jobs=1).samples("CT,MR").samples
    case = read_case(sample)
    np.testing.assert_allclose(case.images["CT"].grid.origin, (-10, -20, 0))
    np.testing.assert_allclose(case.images["MR"].grid.origin, (-9, -18, 3))
    assert "joined_by_registration" in [finding.code for finding in case.findings]
