"""What is said of images and masks, against NumPy."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.compiler.convert_record import image_record, mask_record, statistics_record
from medimagenet.geometry import Grid
from medimagenet.volume import Normalization, Volume

GRID = Grid((4, 3, 2), (0.5, 2.0, 3.0), (1.0, 2.0, 3.0))


@given(st.integers(0, 1000), st.sampled_from(["int16", "float32", "uint8"]))
def test_statistics_are_numpys(seed, dtype):
    array = (np.random.default_rng(seed).random(GRID.shape) * 200).astype(dtype)
    found = statistics_record(array)
    assert found["min"] == array.min()
    assert found["mean"] == pytest.approx(array.mean(dtype=np.float64))
    assert found["std"] == pytest.approx(array.std(dtype=np.float64), abs=1e-9)
    assert found["percentile_99.5"] == pytest.approx(np.percentile(array.astype(np.float64), 99.5), rel=1e-6)
    assert found["not_finite"] == 0


def test_what_is_not_finite_is_counted_and_no_nan_is_written():
    found = statistics_record(np.full((2, 2, 2), np.nan, np.float32))
    assert found["not_finite"] == 8
    assert found["mean"] is found["percentile_50"] is None
    json.dumps(found, allow_nan=False)


def test_an_image_keeps_its_dicom_fields_but_not_who_it_is_of():
    metadata = {"PatientID": "Miller", "Modality": "CT", "PatientSex": "F"}
    volume = Volume(np.ones(GRID.shape, np.int16), GRID, "HU", metadata, (), Normalization(subtract=1.0))
    record = image_record("CT", "a/CT.nii.gz", volume)
    assert record["dicom"] == {"Modality": "CT", "PatientSex": "F"}
    assert record["normalization"]["subtract"] == 1.0
    assert (record["size"], record["spacing"], record["shape"]) == ([4, 3, 2], [0.5, 2.0, 3.0], [2, 3, 4])


def test_a_mask_has_voxels_and_volume():
    label = np.zeros(GRID.shape, np.uint8)
    label[0, 0, :3] = 2
    assert mask_record("b", "f", label, GRID, 2)["volume_mm3"] == 3 * 0.5 * 2.0 * 3.0
    assert mask_record("b", "f", label, GRID, 1)["voxels"] == 0
    assert mask_record("b", "f", label > 0, GRID)["value"] == 1
