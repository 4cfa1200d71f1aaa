"""Segmentations against the NRRD files that their makers wrote beside them, and highdicom."""

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK

from medimagenet.dicom import read_mask, read_series
from medimagenet.dicom.seg import read_segments
from medimagenet.errors import DicomError, GeometryError
from medimagenet.volume import Volume


def nrrd(path):
    return Volume.from_sitk(SimpleITK.ReadImage(str(path)))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("segmentation", "truth"),
    [
        ("seg/liver.dcm", "nrrd/liver_seg.nrrd"),
        ("seg/sparse-labelmap-ppv5.dcm", "nrrd/sparse_labelmap_ppv5_seg.nrrd"),
        ("seg/sparse-labelmap-noppv.dcm", "nrrd/sparse_labelmap_noppv_seg.nrrd"),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
    ],
)
def test_segments_equal_their_nrrd(realdata, segmentation, truth):
    expected = nrrd(realdata / "seg" / "dcmqi" / truth)
    mask = read_mask(realdata / "seg" / "dcmqi" / segmentation, expected)
    assert mask.names == ("Liver",)
    np.testing.assert_array_equal(mask.array[0], expected.array == 1)  # 5 is the padding of a plane without frame
    assert mask.findings == ()


@pytest.mark.realdata
def test_overlapping_segments_all_survive(realdata):
    folder = realdata / "seg" / "dcmqi"
    truths = [nrrd(folder / "nrrd" / f"partial_overlaps-{k}.nrrd") for k in (1, 2, 3)]
    mask = read_mask(folder / "seg" / "partial_overlaps.dcm", read_series(folder / "ct-3slice"))
    for number, channel in enumerate(mask.array, start=1):
        expected = np.logical_or.reduce([truth.array == number for truth in truths])
        np.testing.assert_array_equal(channel, expected)
    assert mask.overlap_voxels() > 0


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_frames_smaller_than_the_image_and_big_endian_ones(realdata):
    volume = read_series(realdata / "seg" / "dcmqi" / "ct-3slice")
    expected = nrrd(realdata / "seg" / "dcmqi" / "nrrd" / "liver_seg.nrrd").array == 1
    for name in ("liver_nonbyte_aligned.dcm", "liver_expb.dcm"):
        np.testing.assert_array_equal(read_mask(realdata / "seg" / "pydicom" / name, volume).array[0], expected)


@pytest.mark.realdata
def test_a_sparse_fractional_segmentation_equals_highdicom(realdata):
    folder = realdata / "breast_mri_nact_pilot" / "UCSF-BR-06"
    files = sorted((folder / "image_dce_3dfgre_orig").iterdir())
    volume = read_series([path for path in files if _instance(path) <= 60])
    path = folder / "mask" / "1-1.dcm"
    mask = read_mask(path, volume)
    frames = highdicom.seg.segread(path).pixel_array
    planes = read_segments(path).planes
    expected = np.zeros(volume.grid.shape, dtype=bool)
    for frame, plane in zip(frames, planes, strict=True):
        expected[round(volume.grid.to_index(plane.origin)[2])] = frame > 0
    np.testing.assert_array_equal(mask.array[0], expected)


def _instance(path):
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["InstanceNumber"]).InstanceNumber


@pytest.mark.realdata
def test_true_fractions_are_cut_at_half_with_a_finding(realdata):
    path = realdata / "seg" / "highdicom" / "seg_image_ct_true_fractional.dcm"
    segmentation = read_segments(path)
    assert [finding.code for finding in segmentation.findings] == ["segment_thresholded"]
    assert segmentation.threshold == 127.5
    assert set(np.unique(segmentation.frames)) == {0, 64, 128}


@pytest.mark.realdata
def test_another_grid_is_refused(realdata):
    image = read_series(realdata / "seg" / "highdicom" / "ct_image.dcm")
    with pytest.raises(GeometryError, match="voxels off the grid of the image"):
        read_mask(realdata / "seg" / "highdicom" / "seg_image_ct_binary.dcm", image)
    flipped = image.grid.turned((0, 1, 2), (True, False, False))
    path = realdata / "seg" / "highdicom" / "seg_image_ct_binary_single_frame.dcm"
    straight, turned = read_mask(path, image.grid), read_mask(path, flipped)
    np.testing.assert_array_equal(turned.array, straight.array[..., ::-1])
    part = read_mask(path, image.grid.crop((0, 0, 0), (64, 128, 1)))
    assert part.array.sum() < straight.array.sum()
    assert [finding.code for finding in part.findings] == ["segment_outside_image"]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seg/highdicom/seg_image_sm_control_labelmap.dcm", "frame 0 has no place in the patient"),
        ("seg/pydicom/liver_rle.dcm", "cannot be decoded"),
        ("seg/highdicom/ct_image.dcm", "is not a segmentation"),
    ],
)
def test_what_cannot_be_read_is_named(realdata, name, message):
    with pytest.raises(DicomError, match=message):
        read_segments(realdata / name)
