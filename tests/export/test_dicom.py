"""write_segmentation, re-read by highdicom and by our own decoder: the same voxels, referring to the same images."""

import highdicom
import numpy as np
import pydicom
import pytest

from medimagenet.dicom import read_mask, read_series
from medimagenet.errors import ExportError
from medimagenet.export import write_segmentation
from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient
from medimagenet.volume import Mask


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    grid = Grid((32, 28, 10), (9.0, 9.0, 14.0), (-140.0, -120.0, -60.0))
    return write_patient(folder / "p", grid=grid, modalities=("CT",), annotate=())


def overlapping(grid, seed=0):
    array = np.random.default_rng(seed).random((3, *grid.shape)) > 0.7
    array[2] = False
    array[:, 4] = False  # a slice without anything
    return Mask(array, grid, ("liver", "tumour", "absent"))


@pytest.mark.parametrize("order", [1, -1])
def test_highdicom_reads_the_same_voxels(truth, tmp_path, order):
    files = list(truth.paths["CT"])[::order]
    grid = read_series(files).grid
    mask = overlapping(grid)
    write_segmentation(tmp_path / "seg.dcm", mask, files, codes={"liver": ("10200004", "SCT", "Liver")})
    found = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [found.get_segment_description(k).segment_label for k in (1, 2, 3)] == list(mask.names)
    assert found.get_segment_description(1).segmented_property_type.meaning == "Liver"
    headers = {
        float(h.ImagePositionPatient[2]): h for h in (pydicom.dcmread(f, stop_before_pixels=True) for f in files)
    }
    uids = [headers[z].SOPInstanceUID for z in sorted(headers)]
    pixels = found.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True, ignore_spatial_locations=False
    )
    rising = np.moveaxis(pixels, -1, 0) > 0
    same = rising if grid.matrix[2, 2] > 0 else rising[:, ::-1]
    np.testing.assert_array_equal(same, mask.array)
    assert found.FrameOfReferenceUID == next(iter(headers.values())).FrameOfReferenceUID


def test_our_decoder_reads_the_same_voxels(truth, tmp_path):
    image = read_series(truth.paths["CT"])
    mask = overlapping(image.grid)
    write_segmentation(tmp_path / "seg.dcm", mask, truth.paths["CT"])
    found = read_mask(tmp_path / "seg.dcm", image)
    assert found.names == mask.names
    np.testing.assert_array_equal(found.array, mask.array)


def test_what_does_not_fit_is_refused(truth, tmp_path):
    grid = read_series(truth.paths["CT"]).grid
    mask = overlapping(grid)
    moved = Grid(grid.size, grid.spacing, (0.0, 0.0, 0.0), grid.direction)
    with pytest.raises(ExportError, match="give the files of the series"):
        write_segmentation(tmp_path / "seg.dcm", Mask(mask.array, moved, mask.names), truth.paths["CT"])
    with pytest.raises(ExportError, match="10 slices, and there are 9 images"):
        write_segmentation(tmp_path / "seg.dcm", mask, truth.paths["CT"][1:])
    with pytest.raises(ExportError, match="one already"):
        write_segmentation(tmp_path / "seg.dcm", mask, [*truth.paths["CT"], truth.paths["CT"][0]])
    with pytest.raises(ValueError, match="none is set in liver"):
        write_segmentation(tmp_path / "seg.dcm", Mask(mask.array & False, grid, mask.names), truth.paths["CT"])
    assert list(tmp_path.iterdir()) == []


def test_a_series_of_one_file_with_many_frames(tmp_path):
    """In highdicom's legacy converted form, its frames out of order; highdicom says where the voxels are."""
    truth = write_patient(
        tmp_path / "p", grid=Grid((16, 14, 6), (9.0, 9.0, 14.0), (-60.0, -50.0, -30.0)), modalities=("CT",), annotate=()
    )
    singles = [pydicom.dcmread(file) for file in truth.paths["CT"]]
    order = [3, 0, 5, 1, 2, 4]
    uids = {"series_instance_uid": highdicom.UID(), "sop_instance_uid": highdicom.UID()}
    whole = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        [singles[k] for k in order], series_number=9, instance_number=1, **uids
    )
    path = tmp_path / "whole.dcm"
    whole.save_as(path)
    grid = read_series([path]).grid
    mask = overlapping(grid)
    write_segmentation(tmp_path / "seg.dcm", mask, [path])
    found = highdicom.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=False)
    for channel in range(2):
        there = np.argwhere(found.array[..., channel] > 0) @ found.affine[:3, :3].T + found.affine[:3, 3]
        wanted = grid.to_patient(np.argwhere(mask.array[channel])[:, ::-1])
        np.testing.assert_allclose(sorted(map(tuple, there.round(3))), sorted(map(tuple, wanted.round(3))), atol=0.01)


def test_images_that_do_not_say_where_they_are_are_refused(truth, tmp_path):
    grid = read_series(truth.paths["CT"]).grid
    header = pydicom.dcmread(truth.paths["CT"][0])
    del header.ImagePositionPatient
    header.save_as(tmp_path / "a.dcm")
    with pytest.raises(ExportError, match="does not say where it is"):
        write_segmentation(tmp_path / "seg.dcm", overlapping(grid), [tmp_path / "a.dcm", *truth.paths["CT"][1:]])
    with pytest.raises(ExportError, match="10 slices, and there are 0 images"):
        write_segmentation(tmp_path / "seg.dcm", overlapping(grid), [])
