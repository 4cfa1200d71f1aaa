"""Voxels of one grid on another, against SimpleITK and against counting."""

import numpy as np
import pytest
import SimpleITK

from medimagenet.dicom.onto import index_map, resample_onto, voxels_outside
from medimagenet.geometry import Grid
from medimagenet.volume import Volume

OWN = Grid((7, 6, 5), (1.5, 1.0, 2.0), (-3.0, 4.0, 10.0))
TURNED = Grid((8, 7, 9), (0.9, 1.3, 1.1), (-2.2, 4.4, 9.3), ((0.8, -0.6, 0), (0.6, 0.8, 0), (0, 0, 1)))


@pytest.mark.parametrize(
    ("interpolation", "judge"), [("linear", SimpleITK.sitkLinear), ("nearest", SimpleITK.sitkNearestNeighbor)]
)
def test_values_are_those_of_simpleitk(interpolation, judge):
    array = np.random.default_rng(0).random(OWN.shape).astype(np.float32)
    found = resample_onto(array, OWN, TURNED, interpolation=interpolation, fill=-1.0)
    like = Volume(np.zeros(TURNED.shape, np.float32), TURNED).to_sitk()
    expected = SimpleITK.Resample(Volume(array, OWN).to_sitk(), like, SimpleITK.Transform(), judge, -1.0)
    np.testing.assert_allclose(found, SimpleITK.GetArrayFromImage(expected), atol=1e-5)


def test_indices_are_mapped_through_the_patient():
    matrix, offset = index_map(OWN, TURNED)
    z, y, x = offset + matrix @ (3, 2, 1)
    np.testing.assert_allclose(OWN.to_patient((x, y, z)), TURNED.to_patient((1, 2, 3)))


def test_voxels_outside_are_counted():
    marked = resample_onto(np.ones(OWN.shape, np.uint8), OWN, TURNED, interpolation="nearest")
    assert voxels_outside(OWN, TURNED) == np.count_nonzero(marked == 0) > 0
    assert voxels_outside(OWN, OWN) == 0
