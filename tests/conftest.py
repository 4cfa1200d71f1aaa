"""Fixtures that every part of the suite uses."""

import os
from pathlib import Path

import pytest

VARIABLE = "MEDIMAGENET_TEST_DATA"
DEFAULT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real DICOM. Its absence skips a test here and fails it in CI."""
    folder = Path(os.environ.get(VARIABLE, DEFAULT))
    if not (folder / "MANIFEST.csv").is_file():
        message = f"no real data at {folder}: set {VARIABLE} to the folder that holds MANIFEST.csv"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
