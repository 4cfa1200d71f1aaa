"""Patients through a recipe that turns, resamples, crops, pads, and back: highdicom and nibabel say where masks are."""

import highdicom
import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medimagenet.compiler import compile_store
from medimagenet.export import write_nifti, write_segmentation
from medimagenet.geometry import Grid
from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.store import open_store
from medimagenet.synthetic import write_patient

RECIPE = """
name: back
modalities: [CT, RTSTRUCT]
rois: {liver: [liver], tumour: ["gtv.*"]}
spacing: [5, 6, 7]
crop: {kind: mask, margin_mm: 12}
steps: [{step: CropPad, size: [50, 30, null]}]
split: {train: 1}
"""
SIZE, SPACING = (64, 56, 40), (6.0, 6.0, 8.0)


def centre_and_volume(array, affine):
    """Of the voxels (i, j, k) that are set, in the patient as an affine has them: mm and mm³."""
    indices = np.argwhere(array)
    centre = indices.mean(axis=0) @ affine[:3, :3].T + affine[:3, 3]
    return centre, len(indices) * abs(np.linalg.det(affine[:3, :3]))


@pytest.mark.parametrize(
    ("angles", "flips"),
    [((12, -8, 20), (1, 1, 1)), ((0, 15, 0), (-1, 1, -1)), ((90, 0, 0), (1, 1, 1))],
    ids=["oblique", "oblique and flipped", "coronal"],
)
def test_masks_come_back_to_the_right_place_and_size(tmp_path, angles, flips):
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.array(flips)
    corner = -axes @ ((np.array(SIZE) - 1) / 2 * SPACING)
    grid = Grid(SIZE, SPACING, tuple(corner), tuple(map(tuple, axes)))
    truth = write_patient(tmp_path / "in", grid=grid, modalities=("CT", "RTSTRUCT"))
    report = compile_store(index_directory(tmp_path / "in", jobs=1), Recipe.from_yaml(RECIPE), tmp_path / "a.zarr")
    store = open_store(report.path)
    (name,) = store.ids()
    mask = store.to_patient(name, store.array(name, "label").read())
    write_segmentation(tmp_path / "seg.dcm", mask, truth.paths["CT"])
    segmentation = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=False)
    for number, (label, region) in enumerate((("liver", "liver"), ("tumour", "GTV"))):
        drawn = truth.masks("CT", [region])
        wanted, size = centre_and_volume(drawn.array[0].T, drawn.grid.affine)
        write_nifti(tmp_path / f"{label}.nii.gz", mask[label], mask.grid)
        nifti = nibabel.load(tmp_path / f"{label}.nii.gz")
        to_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
        for array, affine in (
            (segmentation.array[..., number], segmentation.affine),
            (np.asarray(nifti.dataobj), to_lps @ nifti.affine),
        ):
            centre, volume = centre_and_volume(array, affine)
            assert np.linalg.norm(centre - wanted) < 0.5
            assert volume == pytest.approx(size, rel=0.05)
