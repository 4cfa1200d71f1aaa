"""Wrote `small.zarr` and `small.h5`, stores of format 1, with medimagenet 0.1.0. They are kept for ever, as they are.

Its voxels are formulas of their indices, so that the test that reads it needs nothing but this file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimagenet.geometry import Grid
from medimagenet.store import (
    SampleData,
    StoreConfig,
    StoredArray,
    attribution_markdown,
    create_hdf5_store,
    create_store,
)
from medimagenet.volume import Normalization

PATH = Path(__file__).with_name("small.zarr")
PATH_HDF5 = Path(__file__).with_name("small.h5")
GRID = Grid((10, 9, 8), (1.0, 2.0, 3.5), (-10.0, 20.0, 30.25), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)))
CLASSES = ("GTV", "lung left")
WINDOW = Normalization(low=-160, high=240, subtract=40, divide=200)


def arrays() -> dict[str, NDArray[np.generic]]:
    """By name, (C, Z, Y, X)."""
    z, y, x = np.indices(GRID.shape)
    image = (z * 100 + y * 10 + x - 1000)[np.newaxis].astype(np.int16)
    label = np.stack([(z + y + x) % 5 == 0, x > 6])
    dose = (z / 3 + y / 7 + x / 11)[np.newaxis].astype(np.float32)
    return {"image": image, "label": label, "dose": dose}


def main() -> None:
    """Write those that are not there."""
    for path, create in ((PATH, create_store), (PATH_HDF5, create_hdf5_store)):
        if not path.exists():
            write(path, create)


def write(path: Path, create: Callable[..., Any]) -> None:
    """Write one store."""
    writer = create(
        path,
        recipe={"name": "format 1", "modalities": ["CT", "RTDOSE"]},
        recipe_hash="1" * 64,
        classes=CLASSES,
        label_kind="channels",
        index_version="1",
        config=StoreConfig(chunk=4),
    )
    voxels = arrays()
    series = [{"modality": "CT", "series_uid": "1.2.3", "license": "CC BY 4.0", "doi": "10.1/2"}]
    data = SampleData(
        sample_id="sample-1",
        arrays={
            "image": StoredArray(array=voxels["image"], grid=GRID, normalization=WINDOW, unit="HU"),
            "label": StoredArray(array=voxels["label"], grid=GRID, source_grid=GRID, crop=((1, 2, 3), GRID.size)),
            "dose": StoredArray(array=voxels["dose"], grid=GRID, unit="Gy"),
        },
        foreground={name: np.argwhere(voxels["label"][k])[:20].astype(np.int32) for k, name in enumerate(CLASSES)},
        row={"patient_id": "one", "split": "train", "fold": 0, "license": "CC BY 4.0", "series": series},
    )
    writer.commit([writer.write_sample(data)])
    writer.finish(attribution_markdown(writer.rows()), {"n_samples": 1})


if __name__ == "__main__":
    main()
