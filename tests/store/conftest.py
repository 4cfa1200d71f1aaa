"""Small stores: two samples of a CT-like image with a label of two overlapping classes, in each form of the store."""

import contextlib
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimagenet.geometry import Grid
from medimagenet.kernels.foreground import foreground_points
from medimagenet.store import (
    Hdf5Writer,
    SampleData,
    StoreConfig,
    StoredArray,
    StoreWriter,
    create_hdf5_store,
    create_store,
)
from medimagenet.volume import Normalization

CLASSES = ("GTV", "lung/left")  # a class may be called what no file can be
GRID = Grid((30, 25, 20), (1.5, 2.0, 3.0), (-100.0, 50.25, 7.0))


def sample(sample_id: str = "p1", *, grid: Grid = GRID, seed: int = 0, **row: Any) -> SampleData:
    """An int16 image with smooth parts and constant ones, a float32 dose, a label."""
    generator = np.random.default_rng([seed, *sample_id.encode()])
    image = generator.normal(0, 300, (1, *grid.shape)).astype(np.int16)
    image[..., : grid.size[0] // 2] = -1024
    dose = generator.random((1, *grid.shape), dtype=np.float32)
    label = np.zeros((2, *grid.shape), dtype=bool)
    label[0, 2:7, 3:9, 4:11] = True
    label[1, 5:9, 3:9, 6:] = generator.random(label[1, 5:9, 3:9, 6:].shape) < 0.5
    window = Normalization(low=-160, high=240, subtract=40, divide=200)
    return SampleData(
        sample_id=sample_id,
        arrays={
            "image": StoredArray(array=image, grid=grid, source_grid=GRID, normalization=window, unit="HU"),
            "label": StoredArray(array=label, grid=grid, crop=((1, 2, 3), grid.size)),
            "dose": StoredArray(array=dose, grid=grid, unit="Gy"),
        },
        foreground={name: foreground_points(label[k], 50) for k, name in enumerate(CLASSES)},
        row={"patient_id": f"patient of {sample_id}", "split": "train", "license": "CC BY 4.0", **row},
    )


def create(
    path: Path,
    *,
    recipe_hash: str = "a" * 64,
    resume: bool = False,
    max_file_bytes: int | None = None,
    **config: Any,
) -> StoreWriter | Hdf5Writer:
    """An empty store; in the HDF5 form where its name ends with .h5."""
    settings: dict[str, Any] = {
        "recipe": {"name": "test", "spacing": [1.5, 2.0, 3.0]},
        "recipe_hash": recipe_hash,
        "classes": CLASSES,
        "label_kind": "channels",
        "index_version": "1",
        "config": StoreConfig(**{"chunk": 8, **config}),
        "resume": resume,
    }
    if path.suffix == ".h5":
        return create_hdf5_store(path, max_file_bytes=max_file_bytes, **settings)
    return create_store(path, **settings)


def write(path: Path, names: tuple[str, ...] = ("p1", "p2"), **config: Any) -> Path:
    """A finished store of the samples named."""
    writer = create(path, **config)
    writer.commit([writer.write_sample(sample(name)) for name in names])
    writer.finish("# Attribution\n", {"n_samples": len(names)})
    return path


def tree_hash(folder: Path) -> dict[str, str]:
    """Every file below a folder, or a file, and the hash of its bytes."""
    if folder.is_file():
        return {"": hashlib.sha256(folder.read_bytes()).hexdigest()}
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """A finished store of the samples p1 and p2."""
    return write(tmp_path / "small.zarr")


FORMS: dict[str, dict[str, Any]] = {
    "zarr": {"name": "small.zarr"},
    "hdf5": {"name": "small.h5"},
    "hdf5-files": {"name": "small.h5", "max_file_bytes": 150_000},  # one sample each
}


@pytest.fixture(params=list(FORMS))
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A finished store of the samples p1 and p2, in each form."""
    settings = dict(FORMS[request.param])
    return write(tmp_path / settings.pop("name"), **settings)


@pytest.fixture(params=["zarr", "hdf5"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a store may be written, in each form."""
    return tmp_path / str(FORMS[request.param]["name"])


@pytest.fixture
def range_server():
    """Function of a folder (or of objects by path) that serves its files over HTTP; see range_server.py."""
    spec = importlib.util.spec_from_file_location("range_server", Path(__file__).with_name("range_server.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.ExitStack() as stack:

        def serve(files, prefix="/s.zarr"):
            if isinstance(files, Path):
                found = (path for path in files.rglob("*") if path.is_file())
                files = {f"{prefix}/{path.relative_to(files).as_posix()}": path.read_bytes() for path in found}
            return stack.enter_context(module.RangeServer(files))

        yield serve


@pytest.fixture(scope="session")
def tools() -> Any:
    """The functions of this file: test modules cannot import a conftest."""

    class Tools:
        classes = CLASSES
        grid = GRID
        sample: Callable[..., SampleData] = staticmethod(sample)
        create: Callable[..., StoreWriter | Hdf5Writer] = staticmethod(create)
        write: Callable[..., Path] = staticmethod(write)
        tree_hash: Callable[..., dict[str, str]] = staticmethod(tree_hash)

    return Tools
