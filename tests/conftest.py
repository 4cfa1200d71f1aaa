"""Fixtures and rules that every part of the suite uses.

Outside programs and the real data may be absent on a developer's machine: the tests that need them skip there and
say what is missing. In CI (environment variable ``CI``) such a skip would hide a hole, so it is a failure.
"""

import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

VARIABLE = "MEDIMAGENET_TEST_DATA"
DEFAULT = Path(__file__).parents[2] / "shared" / "data"
PROGRAMS = {  # outside program -> Debian package
    "dciodvfy": "dicom3tools",
    "dcm2niix": "dcm2niix",
    "Orthanc": "orthanc orthanc-dicomweb",
}

os.environ.setdefault("MPLBACKEND", "Agg")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets jobs in the background, and theirs, ignore it

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


@pytest.fixture(scope="session", autouse=True)
def own_places(tmp_path_factory) -> None:
    """Settings and the pseudonym key of the tests, not of whoever runs them. Kernels stay cached as usual."""
    os.environ["MEDIMAGENET_CONFIG_DIR"] = str(tmp_path_factory.mktemp("config"))


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


@pytest.fixture(scope="session")
def start_orthanc(require_program, tmp_path_factory):
    """Function that starts an empty Orthanc with DICOMweb, which ends with the session; see orthanc.py."""
    program = require_program("Orthanc")
    spec = importlib.util.spec_from_file_location("orthanc", Path(__file__).with_name("orthanc.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    if not module.PLUGIN.is_file():
        _absent(f"no {module.PLUGIN}, and this test needs it: apt-get install orthanc-dicomweb")
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(module.running_orthanc(program, tmp_path_factory.mktemp("orthanc")))


@pytest.fixture(scope="session")
def small_store(tmp_path_factory) -> Path:
    """A real store of nine small samples (five train, two val, two test); see `write_small_store`."""
    return write_small_store(tmp_path_factory.mktemp("stores") / "small.zarr")


@pytest.fixture(scope="session")
def small_store_hdf5(tmp_path_factory) -> Path:
    """The same samples in the HDF5 form, one file each."""
    return write_small_store(tmp_path_factory.mktemp("stores") / "small.h5")


@pytest.fixture(scope="session")
def small_sample():
    """Function of a sample's number that gives what `small_store` holds of it: arrays and foreground points."""
    return make_small_sample


SIZES = ((31, 28, 19), (24, 40, 22), (36, 30, 12), (28, 33, 25), (33, 26, 21))  # x, y, z
TILT = ((0.9, -0.3, 0.316227766016838), (0.316227766016838, 0.948683298050514, 0.0), (-0.3, 0.1, 0.948683298050514))
GRIDS = {
    "upright": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "sagittal": ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),  # x to posterior, y to inferior, z to left
    "oblique": TILT,
}


def write_small_store(path: Path, *, splits: str = "tttttvvee", codec: str = "blosc-lz4") -> Path:
    """Write samples s00, s01, ...: random int16 image, float32 pt, label with two channels, on grids of many kinds.

    The second class is absent from s01, both are absent from s02. `splits` has a letter per sample: train, val, tEst.
    """
    from medimagenet.store import SampleData, StoreConfig, StoredArray, create_hdf5_store, create_store

    create = create_store if path.suffix != ".h5" else partial(create_hdf5_store, max_file_bytes=1)
    writer = create(
        path,
        recipe={"name": "small"},
        recipe_hash="0" * 64,
        classes=("organ", "tumor"),
        label_kind="channels",
        index_version="1",
        config=StoreConfig(chunk=16, codec=codec),
    )
    names = {"t": "train", "v": "val", "e": "test"}
    rows = []
    for number, letter in enumerate(splits):
        arrays, points = make_small_sample(number)
        stored = {name: StoredArray(**fields) for name, fields in arrays.items()}
        series = [{"modality": "CT", "series_uid": f"1.2.{number}"}, {"modality": "PT", "series_uid": f"1.3.{number}"}]
        row = {"patient_id": f"p{number:02d}", "split": names[letter], "series": series}
        rows.append(
            writer.write_sample(SampleData(sample_id=f"s{number:02d}", arrays=stored, foreground=points, row=row))
        )
    writer.commit(rows)
    writer.finish("", {})
    return path


def make_small_sample(number: int) -> tuple[dict, dict]:
    """Arrays and foreground points of sample `number` of `write_small_store`."""
    from medimagenet.geometry import Grid
    from medimagenet.kernels.foreground import foreground_points
    from medimagenet.volume import Normalization

    random = np.random.default_rng(number)
    kind = ("upright", "sagittal", "oblique")[number % 3]
    grid = Grid(SIZES[number % len(SIZES)], (0.9, 1.1, 2.5 + number), (-40.0 + number, 12.5, -100.0), GRIDS[kind])
    z, y, x = grid.shape
    label = np.zeros((2, z, y, x), dtype=np.uint8)
    if number != 2:
        label[0, z // 3 : 2 * z // 3, y // 4 : y // 2, 1 : x // 2] = 1
    if number not in (1, 2):
        label[1, z // 2 : z // 2 + 3, y // 3 : y // 3 + 4, x // 3 : x // 3 + 5] = 1
    image = random.integers(-1000, 2000, (1, z, y, x)).astype(np.int16)
    image += 500 * label[:1].astype(np.int16)
    pt = random.gamma(2, 2, (1, z, y, x)).astype(np.float32)
    arrays = {
        "image": {
            "array": image,
            "grid": grid,
            "normalization": Normalization(low=-900, high=1500, subtract=100, divide=400),
        },
        "label": {"array": label, "grid": grid},
        "pt": {"array": pt, "grid": grid},
    }
    return arrays, {name: foreground_points(label[k]) for k, name in enumerate(("organ", "tumor"))}


@pytest.fixture(scope="session")
def idc_release():
    """The module ``idc_release``: small releases of IDC's index, and a server that publishes them."""
    spec = importlib.util.spec_from_file_location("idc_release", Path(__file__).with_name("idc_release.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def idc_tables(idc_release):
    """Main tables and side indices of three collections, by name."""
    tables = idc_release.main_tables()
    return tables | idc_release.side_tables(tables["idc_index"].to_pylist())


@pytest.fixture(scope="session")
def idc_package(idc_release, idc_tables, tmp_path_factory):
    """Folder of the main tables of three collections, as the installed package holds them."""
    package = tmp_path_factory.mktemp("idc_package")
    idc_release.write_tables(package, {name: idc_tables[name] for name in idc_release.MAIN}, "25.0.5")
    return package


@pytest.fixture
def small_idc(idc_package, tmp_path, monkeypatch):
    """Version 25.0.5 of three collections, without side indices, as the installed package; its folder.

    Cache and settings are the test's own, below `tmp_path`, and nothing was fetched.
    """
    from medimagenet.sources import idc, idc_versions

    for module in (idc, idc_versions):
        monkeypatch.setattr(module, "installed_file", lambda table: idc_package / f"{table}.parquet")
        monkeypatch.setattr(module, "installed_version", lambda: "25.0.5")
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path / "config"))
    return idc_package


@pytest.fixture
def idc_server(idc_release, tmp_path, monkeypatch):
    """A server of IDC's releases with nothing published yet, which `update` asks."""
    with idc_release.serve(tmp_path / "published") as server:
        server.folder.mkdir()
        monkeypatch.setenv("MEDIMAGENET_IDC_INDEX_URL", server.url)
        yield server


@pytest.fixture(scope="session")
def sides_cache(idc_release, idc_tables, tmp_path_factory):
    """A cache in which all side indices were fetched."""
    from medimagenet.sources.idc_versions import write_json_whole

    cache = tmp_path_factory.mktemp("sides_cache")
    folder = cache / "index" / "idc-25.0.5"
    sides = {name: idc_tables[name] for name in idc_release.SIDES}
    idc_release.write_tables(folder, sides, "25.0.5")
    entries = {name: {"sha256": (folder / f"{name}.parquet.sha256").read_text().split()[0]} for name in sides}
    write_json_whole(folder / "tables.json", {"version": "25.0.5", "tables": entries})
    return cache


@pytest.fixture
def with_sides(small_idc, sides_cache, monkeypatch):
    """`small_idc` with all side indices, in a cache that tests share: change nothing there."""
    monkeypatch.setenv("MEDIMAGENET_CACHE_DIR", str(sides_cache))
    return sides_cache
