"""SEG: dciodvfy, and highdicom's own reader for the masks."""

import highdicom
import numpy as np
import pydicom
import pytest


@pytest.mark.parametrize("name", ["oblique", "upright"])
def test_the_validator_finds_no_error(name, request, dciodvfy):
    for path in request.getfixturevalue(name).paths["SEG"]:
        assert dciodvfy(path) == []


@pytest.mark.parametrize(("which", "modality"), [(0, "CT"), (1, "MR")])
def test_highdicom_reads_the_true_masks(oblique, which, modality):
    seg = highdicom.seg.segread(oblique.paths["SEG"][which])
    labels = [str(seg.get_segment_description(number).SegmentLabel) for number in seg.segment_numbers]
    assert labels == list(oblique.organs)
    images = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in oblique.paths[modality]]
    array = seg.get_pixels_by_source_instance(
        images, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(np.moveaxis(array, -1, 0).astype(bool), oblique.masks(modality).array)
    assert seg.FrameOfReferenceUID == pydicom.dcmread(oblique.paths["CT"][0]).FrameOfReferenceUID


def test_highdicom_places_them_on_the_grid(oblique):
    volume = highdicom.seg.segread(oblique.paths["SEG"][0]).get_volume(allow_missing_positions=True)
    grid = oblique.grids["CT"]
    assert volume.direction_cosines is not None
    steps = np.linalg.norm(volume.affine[:3, :3], axis=0)
    np.testing.assert_allclose(steps, grid.spacing[::-1], rtol=1e-6)  # slices, rows, columns
