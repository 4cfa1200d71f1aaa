"""Scene: all that the files of one patient share, and the DICOM modules that follow from it.

Nothing here depends on the clock or on chance. UIDs are version 5 UUIDs (PS3.5 B.2) of what determines the patient,
so that the same call gives the same bytes, and another call (another seed, grid, noise) other UIDs.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from .._version import __version__
from ..geometry import Grid
from .phantom import Phantom
from .texture import Texture
from .truth import DoseField

NAMESPACE = uuid.UUID("6b3c1a52-58a5-5f8e-9a6f-2f6d2c0f7b11")
STUDY_DATE = "20240115"
SERIES_TIME = "101500"  # of every image series; each slice's AcquisitionTime too
SERIES_NUMBERS = {"CT": 1, "MR": 2, "PT": 3, "RTSTRUCT": 11, "RTPLAN": 12, "RTDOSE": 13, "SEG": 14}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A series as it was written."""

    modality: str
    uid: str
    sop_class: str
    sop_uids: tuple[str, ...]
    """By rising position along the normal for images."""
    paths: tuple[Path, ...]
    """In the order of `sop_uids`."""
    grid: Grid


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One patient: identity, anatomy, randomness, folder."""

    patient_id: str
    folder: Path
    phantom: Phantom
    grids: Mapping[str, Grid]
    """By modality, for every image and dose that is written."""
    noise: float
    """0: every voxel has the value of its organ; 1: texture and noise of a usual scan."""
    seed: int
    dose: DoseField
    annotate: tuple[str, ...]
    """Modalities whose series get an RTSTRUCT or SEG of their own."""
    written: dict[str, tuple[Series, ...]] = field(default_factory=dict)
    """Series written so far, by modality: one for an image, one per annotated image for RTSTRUCT and SEG."""

    @property
    def annotated(self) -> tuple[Series, ...]:
        """The image series that annotations are made for."""
        return tuple(series for modality in self.annotate for series in self.written[modality])

    @cached_property
    def key(self) -> str:
        """Hash of everything that determines the files."""
        what = repr((self.patient_id, self.phantom, sorted(self.grids.items()), self.noise, self.seed))
        return hashlib.sha256(what.encode()).hexdigest()

    def uid(self, *role: object) -> str:
        """The UID of the thing in that role, such as ("CT", "instance", 3)."""
        return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(map(str, (self.key, *role)))).int}"

    def rng(self, *role: object) -> np.random.Generator:
        """A generator of its own for each role, so that no file depends on the order of writing."""
        digest = hashlib.sha256("/".join(map(str, (self.key, *role))).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "little"))

    @cached_property
    def texture(self) -> Texture:
        """The texture of this patient's tissue."""
        leading = next(iter(self.grids.values()))
        return Texture.random(self.rng("texture"), float(np.max(np.multiply(leading.size, leading.spacing))))

    @cached_property
    def sex(self) -> str:
        """ "F" or "M"."""
        return "FM"[int(self.rng("sex").integers(2))]

    @cached_property
    def weight_kg(self) -> float:
        """Body weight, kg: a PET's SUV needs it."""
        return float(self.rng("weight").integers(50, 100))

    def scanned_slice(self, modality: str, k: int, *, texture: float, sigma: float) -> NDArray[np.float64]:
        """(Y, X): slice `k` as the scanner of `modality` shows it.

        `texture` (inside the body) and `sigma` (white noise, everywhere) are standard deviations in the unit of the
        modality at noise 1.
        """
        grid = self.grids[modality]
        painted = self.phantom.painted_slice(grid, k)
        image = self.phantom.palette(modality)[painted]
        if self.noise:
            lumps = np.where(painted > 0, self.texture.of_slice(grid, k), 0.0)
            white = self.rng(modality, "noise", k).normal(size=image.shape)
            image += self.noise * (texture * lumps + sigma * white)
        return image


def series_dataset(scene: Scene, modality: str, sop_class: str, role: str) -> Dataset:
    """Patient, study, series, equipment and frame of reference of one series (PS3.3 C.7.1 to C.7.5).

    `role` tells series of one modality apart: it goes into the series' UID.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.Modality = modality
    ds.PatientName = f"Synthetic^{scene.patient_id}"
    ds.PatientID = scene.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = scene.sex
    ds.PatientAge = f"{int(scene.rng('age').integers(30, 85)):03d}Y"
    ds.StudyInstanceUID = scene.uid("study")
    ds.StudyDate = ds.SeriesDate = STUDY_DATE
    ds.StudyTime = "100000"
    ds.SeriesTime = SERIES_TIME
    ds.StudyID = "1"
    ds.StudyDescription = "Synthetic phantom"
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.SeriesInstanceUID = scene.uid(role, "series")
    ds.SeriesNumber = SERIES_NUMBERS[modality]
    ds.SeriesDescription = f"Synthetic {role}"
    ds.Manufacturer = "Med-ImageNet"
    ds.ManufacturerModelName = "Synthetic phantom"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = __version__
    ds.FrameOfReferenceUID = scene.uid("frame of reference")
    ds.PositionReferenceIndicator = ""
    return ds


def write_dataset(ds: Dataset, path: Path, transfer_syntax: str = ExplicitVRLittleEndian) -> None:
    """Write a Part 10 file. Its meta group names this package alone, so that the bytes do not change with pydicom's."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = f"2.25.{NAMESPACE.int}"
    meta.ImplementationVersionName = "MEDIMAGENET"
    ds.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def instance_reference(sop_class: str, sop_uid: str) -> Dataset:
    """An item of a sequence that refers to one instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_uid
    return item
