"""Headers made by hand, and small DICOM files written by pydicom."""

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimagenet.dicom.header_scan import InstanceHeader

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def make_header(tmp_path):
    """Function that gives the header of a file that need not exist: path below tmp_path, SOP UID, other values."""

    def make(name, sop, *, header_hash=None, size_bytes=100, has_pixels=True, **values):
        common = {"SeriesInstanceUID": "1.2", "PatientID": "p", "Modality": "CT", "SOPClassUID": CT_IMAGE}
        return InstanceHeader(
            file=str(tmp_path / name),
            size_bytes=size_bytes,
            header_hash=header_hash or f"hash of {name}",
            has_pixels=has_pixels,
            values=common | {"SOPInstanceUID": sop} | values,
        )

    return make


@pytest.fixture
def write_slice():
    """Function that writes a slice of 4 x 5 pixels at a height z, mm: path, SOP UID, other elements."""

    def write(path, sop, z=0.0, **elements):
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CT_IMAGE
        meta.MediaStorageSOPInstanceUID = sop
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        values = {
            "SOPClassUID": CT_IMAGE,
            "SOPInstanceUID": sop,
            "SeriesInstanceUID": "1.2",
            "StudyInstanceUID": "1.1",
            "FrameOfReferenceUID": "1.7",
            "PatientID": "p",
            "Modality": "CT",
            "ImagePositionPatient": [-10.0, -20.0, z],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [2.0, 1.5],
            "Rows": 4,
            "Columns": 5,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "PixelData": bytes(40),
        }
        dataset = Dataset()
        dataset.file_meta = meta
        for keyword, value in (values | elements).items():
            if value is not None:
                setattr(dataset, keyword, value)
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        return path

    return write
