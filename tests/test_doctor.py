"""The report against the machine itself: its own tools, environment and a few planted defects."""

import importlib.metadata
import json
import os
import shutil
import sys
from types import SimpleNamespace

import pytest

from medimagenet import doctor
from medimagenet.doctor import Status, examine


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return examine(tmp_path_factory.mktemp("work"))


def named(checks, name):
    return next(check for check in checks if check.name == name)


def test_every_requirement_is_there_once_with_its_version(report):
    versions = {check.name: check.detail for check in report.checks if check.area == "versions"}
    for name in ("numpy", "pydicom", "zarr", "simpleitk"):
        assert versions[name] == importlib.metadata.version(name)
    assert len(versions) == sum(check.area == "versions" for check in report.checks)


def test_this_machine_is_ready_and_the_report_is_json(report):
    assert report.is_ready, [check for check in report.checks if check.status is Status.MISSING and check.required]
    document = json.loads(json.dumps(report.to_dict()))
    assert document["ready"] is True
    assert {check["area"] for check in document["checks"]} == {
        "versions",
        "codecs",
        "machine",
        "disk",
        "GPU",
        "caches",
    }


def test_a_remedy_stands_beside_all_that_is_missing(report):
    for check in report.checks:
        assert (check.status is not Status.MISSING) or check.remedy, check


def test_nothing_is_left_in_the_folder(report, tmp_path):
    examine(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_space_and_cores_are_the_systems(report, tmp_path):
    free = shutil.disk_usage(tmp_path).free / 1e9
    told = float(named(report.checks, "space").detail.split()[0])
    assert abs(told - free) < 5
    assert f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores" in named(report.checks, "processor").detail


def test_a_missing_extra_names_the_command(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "monai":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    check = named(doctor._extras(), "extra [train]")
    assert check.status is Status.MISSING
    assert check.remedy == 'pip install "medimagenet[train]"'
    assert "monai not installed" in check.detail


def test_a_damaged_required_package_makes_the_machine_unready(monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)  # its import now fails
    check = named(doctor._core_packages(), "nibabel")
    assert (check.status, check.required) == (Status.MISSING, True)
    assert check.remedy.startswith('pip install "nibabel>=')
    assert not doctor.Report((check,)).is_ready


def test_an_old_package_is_a_warning(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.26.4")
    check = doctor._package("numpy", "2.0")
    assert (check.status, check.detail) == (Status.WARN, "1.26.4, older than 2.0")


@pytest.mark.parametrize(
    ("older", "newer"), [("2.9", "2.10"), ("3.0.1", "3.1"), ("2.13.0+cpu", "2.13.1"), ("25.0.5", "26")]
)
def test_versions_are_compared_by_number(older, newer):
    assert doctor._numbers(older) < doctor._numbers(newer)


def test_a_transfer_syntax_without_decoder(monkeypatch):
    import pydicom.pixels

    lacking = SimpleNamespace(is_available=False, missing_dependencies=["pylibjpeg - requires pylibjpeg>=2.0"])
    monkeypatch.setattr(pydicom.pixels, "get_decoder", lambda uid: lacking)
    check = next(doctor._transfer_syntaxes())
    assert check.status is Status.MISSING
    assert "JPEGBaseline8Bit" in check.detail
    assert "pylibjpeg>=2.0" in check.remedy


def test_little_of_everything_is_a_warning_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda which: (256, 4096))
    (check,) = doctor._open_files()
    assert (check.status, check.remedy) == (Status.WARN, "ulimit -n 4096")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**8))
    (space,) = doctor._disk(tmp_path)
    assert (space.status, space.detail) == (Status.WARN, f"0.1 GB free at {tmp_path}")
    assert "--shm-size" in named(doctor._memory(), "shared memory").remedy


def test_a_container_with_fewer_cores(monkeypatch):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(doctor, "_cgroup_number", lambda name: 2.0)
    check = next(doctor._processor())
    assert check.status is Status.WARN
    assert "the container may use 2" in check.detail
    assert "--jobs 2" in check.remedy


def test_a_cache_that_cannot_be_written_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "file" / "cache"))
    check = named(doctor._caches(), "cache")
    assert check.status is Status.WARN
    assert "MEDIMAGENET_CACHE_DIR" in check.remedy


@pytest.mark.parametrize(
    ("cuda", "says"), [(None, "built without CUDA"), ("12.6", "update the driver")], ids=["cpu build", "old driver"]
)
def test_a_gpu_that_torch_cannot_use(monkeypatch, cuda, says):
    monkeypatch.setattr(doctor.ctypes.util, "find_library", lambda name: "libcuda.so.1")
    check = doctor._no_gpu(SimpleNamespace(__version__="2.13.0", version=SimpleNamespace(cuda=cuda)))
    assert says in f"{check.detail} {check.remedy}"


def test_without_torch(monkeypatch):
    monkeypatch.setattr(doctor, "is_installed", lambda name: False)
    (check,) = doctor._gpu()
    assert check.remedy == 'pip install "medimagenet[train]"'


def test_a_check_that_fails_is_a_row_of_the_report():
    def _sensor():
        raise PermissionError("no access")

    (check,) = doctor._guarded("machine", _sensor)
    assert (check.name, check.status) == ("sensor", Status.WARN)
    assert "PermissionError: no access" in check.detail
