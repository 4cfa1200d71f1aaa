"""Budget, sound files and the worker of the fuzz tests."""

import io
import os
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from medimagenet.dicom.registration import REGISTRATION_STORAGE
from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient
from tests.fuzz.guard import Guard

SHARES = 20  # tests that divide the time between them


@dataclass(frozen=True)
class Budget:
    """How long each test goes on, and from which seed."""

    seconds: float
    seed: int


@pytest.fixture(scope="session")
def budget() -> Budget:
    """From the environment: seconds for all of these tests together, and the first seed."""
    return Budget(
        float(os.environ.get("MEDIMAGENET_FUZZ_SECONDS", "10")) / SHARES,
        int(os.environ.get("MEDIMAGENET_FUZZ_SEED", "0")),
    )


@pytest.fixture(scope="session")
def guard(tmp_path_factory):
    """One worker for all; its start and the compilation of kernels count for no test."""
    with Guard(tmp_path_factory.mktemp("guard")) as running:
        yield running


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> dict[str, list[Path]]:
    """Small sound files by kind: "CT" is a series, "RTSTRUCT" one file, "zip" an archive ..."""
    folder = tmp_path_factory.mktemp("sound")
    grid = Grid((12, 10, 6), (16.0, 17.0, 12.0), (-90.0, -80.0, -30.0))
    write_patient(folder, "SYN", grid=grid, modalities=("CT", "MR", "PT", "RTSTRUCT", "SEG", "RTDOSE"), noise=0.2)
    kinds: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        kinds.setdefault(pydicom.dcmread(path, stop_before_pixels=True).Modality, []).append(path)
    kinds["implicit"] = [_rewritten(path, folder / f"implicit{n}.dcm") for n, path in enumerate(kinds["CT"])]
    kinds["RLE"] = [_compressed(path, folder / f"rle{n}.dcm") for n, path in enumerate(kinds["CT"])]
    kinds["implicit dose"] = [_rewritten(path, folder / f"dose{n}.dcm") for n, path in enumerate(kinds["RTDOSE"])]
    kinds["REG"] = [_registration(folder / "reg.dcm")]
    return kinds | _archives(folder, kinds["CT"][:2])


def _rewritten(path: Path, target: Path) -> Path:
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    ds.save_as(target, implicit_vr=True, little_endian=True)
    return target


def _registration(target: Path) -> Path:
    """Two frames of reference, one by two matrices."""
    turn = [0.8, -0.6, 0, 5, 0.6, 0.8, 0, -3, 0, 0, 1, 7, 0, 0, 0, 1]
    shift = [1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1]
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = REGISTRATION_STORAGE
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Modality, ds.FrameOfReferenceUID, ds.RegistrationSequence = "REG", "1.1", []
    for frame, matrices in (("1.2", (turn, shift)), ("1.3", (shift,))):
        item, part = pydicom.Dataset(), pydicom.Dataset()
        part.MatrixSequence = []
        for matrix in matrices:
            entry = pydicom.Dataset()
            entry.FrameOfReferenceTransformationMatrixType = "RIGID"
            entry.FrameOfReferenceTransformationMatrix = [str(value) for value in matrix]
            part.MatrixSequence.append(entry)
        item.FrameOfReferenceUID, item.MatrixRegistrationSequence = frame, [part]
        ds.RegistrationSequence.append(item)
    ds.save_as(target, enforce_file_format=True)
    return target


def _compressed(path: Path, target: Path) -> Path:
    ds = pydicom.dcmread(path)
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    ds.save_as(target)
    return target


def _archives(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    packed, plain, parts = folder / "a.zip", folder / "a.tar", folder / "a.multipart"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in files:
            opened.write(path, f"series/{path.name}")
        opened.writestr("LICENSE", "text", zipfile.ZIP_STORED)
    with tarfile.open(plain, "w:gz") as opened:
        for path in files:
            opened.add(path, f"series/{path.name}")
    body = io.BytesIO()
    for path in files:
        body.write(b"--MARK\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n")
    parts.write_bytes(body.getvalue() + b"--MARK--\r\n")
    return {"zip": [packed], "tar": [plain], "multipart": [parts]}
