"""A patient of every modality on an oblique grid, without noise; and the validator."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.spatial.transform import Rotation

from medimagenet.geometry import Grid
from medimagenet.synthetic import PatientTruth, write_patient

EVERYTHING = ("CT", "MR", "PT", "RTSTRUCT", "SEG", "RTPLAN", "RTDOSE")
OBLIQUE = Grid(
    (45, 38, 26),
    (5.3, 6.1, 7.0),
    (-110.125, -140.5, 33.25),
    Rotation.from_euler("xyz", [8, -12, 20], degrees=True).as_matrix().tolist(),
)


@pytest.fixture(scope="session")
def oblique(tmp_path_factory) -> PatientTruth:
    return write_patient(
        tmp_path_factory.mktemp("oblique"), grid=OBLIQUE, modalities=EVERYTHING, annotate=("CT", "MR"), noise=0, seed=3
    )


@pytest.fixture(scope="session")
def upright(tmp_path_factory) -> PatientTruth:
    return write_patient(tmp_path_factory.mktemp("upright"), modalities=EVERYTHING, seed=4)


@pytest.fixture(scope="session")
def dciodvfy() -> Callable[[Path], list[str]]:
    """The errors that dicom3tools' validator finds in a file. Its absence skips a test here and fails it in CI."""
    program = shutil.which("dciodvfy")
    if program is None:
        message = "no dciodvfy: install Debian's package dicom3tools"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    def errors(path: Path) -> list[str]:
        answer = subprocess.run([program, path], capture_output=True, text=True, timeout=60, check=False)
        lines = (answer.stdout + answer.stderr).splitlines()
        assert answer.returncode >= 0, f"dciodvfy stopped by signal {-answer.returncode}: {lines}"
        assert lines, "dciodvfy names the object it recognised"
        return [line for line in lines if line.startswith("Error")]

    return errors
