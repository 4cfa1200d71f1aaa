"""Small DICOM files with a known content, written by pydicom."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
}


def new_dataset(modality: str, syntax=ExplicitVRLittleEndian) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CLASSES[modality]
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = modality
    dataset.PatientID = "SECRET"
    dataset.PatientName = "SECRET^NAME"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def image_dataset(stored: np.ndarray, modality: str, syntax=ExplicitVRLittleEndian) -> Dataset:
    dataset = new_dataset(modality, syntax)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    return dataset


@pytest.fixture
def write_series(tmp_path):
    """Write slices (Z, Y, X) into a folder; `change(dataset, k)` may alter each before it is saved."""

    def write(stored, modality="CT", change=None, step=3.0, folder="series", syntax=ExplicitVRLittleEndian):
        target = tmp_path / folder
        target.mkdir()
        series = generate_uid()
        for k, plane in enumerate(stored):
            dataset = image_dataset(plane, modality, syntax)
            dataset.SeriesInstanceUID = series
            dataset.InstanceNumber = len(stored) - k  # misleading on purpose
            dataset.ImagePositionPatient = [-10, -20, step * k]
            dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            dataset.PixelSpacing = [0.5, 0.75]
            if modality in ("CT", "PT"):
                dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
            if change is not None:
                change(dataset, k)
            save(dataset, target / f"{k ^ 1:03d}.dcm")
        return target

    return write


@pytest.fixture
def write_rtstruct(tmp_path):
    """Write an RTSTRUCT of regions {(number, name): [contour (n, 3), or (type, contour)]}."""

    def write(regions, *, extra_contours=(), name="RS.dcm", implicit=False, change=None):
        dataset = new_dataset("RTSTRUCT", ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
        dataset.StructureSetROISequence = Sequence()
        dataset.ROIContourSequence = Sequence()
        for number, label in regions:
            item = Dataset()
            item.ROINumber, item.ROIName = number, label
            dataset.StructureSetROISequence.append(item)
        for (number, _), contours in [*reversed(list(regions.items())), *extra_contours]:  # order must not matter
            item = Dataset()
            item.ReferencedROINumber = number
            item.ContourSequence = Sequence([_contour(contour) for contour in contours])
            dataset.ROIContourSequence.append(item)
        if change is not None:
            change(dataset)
        return save(dataset, tmp_path / name)

    return write


def _contour(contour) -> Dataset:
    kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
    points = np.asarray(points, dtype=float)
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = [f"{value:.10g}" for value in points.ravel()]
    return item


@pytest.fixture
def write_dose(tmp_path):
    """Write an RTDOSE of stored values (Z, Y, X)."""

    def write(stored, offsets, scaling, *, units="GY", change=None):
        dataset = image_dataset(stored[0], "RTDOSE")
        dataset.NumberOfFrames = len(stored)
        dataset.PixelData = stored.tobytes()
        dataset.ImagePositionPatient = [1, 2, 30]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [2, 3]
        dataset.GridFrameOffsetVector = list(offsets)
        dataset.DoseGridScaling, dataset.DoseUnits = scaling, units
        if change is not None:
            change(dataset)
        return save(dataset, tmp_path / "dose.dcm")

    return write


@pytest.fixture
def keywords():
    """Header values of a file as pydicom reads them, by keyword."""

    def read(path):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        return {element.keyword: element.value for element in dataset if element.keyword}

    return read
