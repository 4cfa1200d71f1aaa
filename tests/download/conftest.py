"""Small DICOM series written by pydicom, as objects of a bucket, and an index that asks for them."""

import io
from dataclasses import dataclass, field, replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimagenet import Index
from medimagenet.sources import http
from medimagenet.sources.base import SeriesRecord
from medimagenet.sources.http import Limits
from tests.download.object_server import ObjectServer

QUICK = Limits(attempts=3, backoff_s=0.01, connect_s=2.0, read_s=1.0, longest_wait_s=2.0, connections=8)
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
LICENSE = "CC BY 4.0"


def make_instance(series: str, number: int, *, edge: int = 16, patient: str = "P1") -> bytes:
    """A CT slice as a Part-10 file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CT_IMAGE
    meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    one = Dataset()
    one.file_meta = meta
    one.SOPClassUID, one.SOPInstanceUID = CT_IMAGE, f"{series}.{number}"
    one.SeriesInstanceUID, one.StudyInstanceUID = series, "1.2.3.4"
    one.PatientID, one.Modality, one.InstanceNumber = patient, "CT", number
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, number * 2.5], [1, 0, 0, 0, 1, 0]
    one.PixelSpacing, one.SliceThickness = [1, 1], 2.5
    one.Rows = one.Columns = edge
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelData = np.random.default_rng(number).integers(-1000, 1000, (edge, edge), np.int16).tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, one, enforce_file_format=True)
    return stream.getvalue()


@dataclass
class Cloud:
    """Objects of buckets, and what an index says of them."""

    objects: dict = field(default_factory=dict)
    records: list = field(default_factory=list)

    def add(self, number: int, *, instances: int = 3, edge: int = 16, bucket: str = "idc-open-data", **values) -> str:
        """One series; gives the path its objects begin with."""
        uid, uuid = f"1.2.826.0.{number}", f"{number:08x}-0000-0000-0000-000000000000"
        files = [make_instance(uid, one, edge=edge) for one in range(1, instances + 1)]
        for one, content in enumerate(files):
            self.objects[f"/{bucket}/{uuid}/{one:04d}.dcm"] = content
        known = {
            "key": f"{uid}:{uuid}",
            "source": "idc",
            "collection_id": "lung",
            "PatientID": "P1",
            "StudyInstanceUID": "1.2.3.4",
            "SeriesInstanceUID": uid,
            "Modality": "CT",
            "uri": f"s3://{bucket}/{uuid}/",
            "files": (),
            "n_instances": instances,
            "size_bytes": sum(map(len, files)),
            "content_hash": uuid,
            "license": LICENSE,
            "doi": "10.1/abc",
            "crdc_series_uuid": uuid,
        }
        self.records.append(SeriesRecord(**{**known, **values}))
        return f"/{bucket}/{uuid}"

    @staticmethod
    def changed(record: SeriesRecord, **values) -> SeriesRecord:
        """The record with other values."""
        return replace(record, **values)

    @property
    def index(self) -> Index:
        return Index.from_records(self.records)


def tree(folder) -> dict[str, bytes]:
    """Every DICOM file below a folder, in its place."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.dcm"))}


@pytest.fixture(autouse=True)
def no_waits_from_other_tests(monkeypatch):
    monkeypatch.setattr(http, "_gates", {})


@pytest.fixture
def quick():
    """Limits under which a test waits for hundredths of a second."""
    return QUICK


@pytest.fixture
def cloud():
    """Two series of three slices."""
    found = Cloud()
    found.add(1)
    found.add(2)
    return found


@pytest.fixture
def server(cloud, monkeypatch):
    """Serves `cloud` as IDC's buckets."""
    with ObjectServer(cloud.objects) as running:
        running.objects = cloud.objects
        monkeypatch.setenv("MEDIMAGENET_IDC_ENDPOINT", running.url)
        yield running
