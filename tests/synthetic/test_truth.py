"""PatientTruth: masks on grids that were not written, values, pickling."""

import pickle

import numpy as np
import pytest

from medimagenet.geometry import Grid


def test_masks_on_any_grid_are_the_shapes(oblique):
    grid = oblique.grids["CT"].with_spacing((9.0, 4.0, 5.0))
    liver = oblique.phantom["liver"].shape
    truth = oblique.masks(grid, ["liver"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        index = rng.integers(0, grid.size)
        point = (grid.to_patient(index) - liver.center) @ np.asarray(liver.axes) / liver.radii
        assert truth["liver"][tuple(index[::-1])] == (np.linalg.norm(point) <= 1)


def test_values_name_every_organ(upright):
    for modality in ("CT", "MR", "PT"):
        assert set(upright.values[modality]) == set(upright.organs)
    assert upright.values["CT"]["lung_left"] < -700 < upright.values["CT"]["liver"]


def test_it_crosses_processes(upright):
    assert pickle.loads(pickle.dumps(upright)) == upright


def test_a_grid_that_was_not_written_is_named(upright):
    with pytest.raises(ValueError, match=r"no US .* CT, MR, PT, RTDOSE"):
        upright.masks("US")
    assert upright.leading == "CT"
    assert upright.image("CT", Grid((3, 3, 3))).shape == (3, 3, 3)
