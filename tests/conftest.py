"""Fixtures and rules that every part of the suite uses.

Outside programs and the real data may be absent on a developer's machine: the tests that need them skip there and
say what is missing. In CI (environment variable ``CI``) such a skip would hide a hole, so it is a failure.
"""

import importlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

VARIABLE = "MEDIMAGENET_TEST_DATA"
DEFAULT = Path(__file__).parents[2] / "shared" / "data"
PROGRAMS = {"dciodvfy": "dicom3tools", "dcm2niix": "dcm2niix"}  # outside program -> Debian package

os.environ.setdefault("MPLBACKEND", "Agg")

# Kernels compile in the first call, hence no deadline. In CI the examples are the same in every run.
settings.register_profile("medimagenet", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("medimagenet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the real data, and skip what needs a GPU where there is none."""
    for item in items:
        if "realdata" in getattr(item, "fixturenames", ()) and item.get_closest_marker("realdata") is None:
            item.add_marker(pytest.mark.realdata)
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not _has_gpu():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no CUDA GPU on this machine"))


def _has_gpu() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    return bool(importlib.import_module("torch").cuda.is_available())


def _absent(message: str) -> None:
    """Skip here, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real DICOM. Its absence skips a test here and fails it in CI."""
    folder = Path(os.environ.get(VARIABLE, DEFAULT))
    if not (folder / "MANIFEST.csv").is_file():
        _absent(f"no real data at {folder}: set {VARIABLE} to the folder that holds MANIFEST.csv")
    return folder


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """``require_program("dciodvfy")``: its path. Its absence skips a test here and fails it in CI."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            package = PROGRAMS.get(name, name)
            _absent(f"{name} is not installed, and this test needs it: apt-get install {package}")
        return str(path)

    return require
