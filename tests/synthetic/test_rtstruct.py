"""RTSTRUCT: dciodvfy; its contours filled with matplotlib are the true masks; its references are those of the image."""

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path

from medimagenet.synthetic.rtstruct import contour_text


def filled(ds, grid):
    """Masks by name: each contour to the slice it lies on, even-odd, by ReferencedROINumber."""
    names = {roi.ROINumber: roi.ROIName for roi in ds.StructureSetROISequence}
    y, x = np.mgrid[: grid.size[1], : grid.size[0]]
    centres = np.column_stack([x.ravel(), y.ravel()])
    masks = {}
    for roi in ds.ROIContourSequence:
        mask = masks[names[roi.ReferencedROINumber]] = np.zeros(grid.shape, dtype=bool)
        for contour in roi.ContourSequence:
            points = grid.to_index(np.array(contour.ContourData, dtype=float).reshape(-1, 3))
            assert len(points) == contour.NumberOfContourPoints
            k = round(points[0, 2])
            np.testing.assert_allclose(points[:, 2], k, atol=1e-4)
            path = Path(np.vstack([points[:, :2], points[:1, :2]]))
            mask[k] ^= path.contains_points(centres).reshape(grid.shape[1:])
    return masks


@pytest.mark.parametrize("name", ["oblique", "upright"])
def test_the_validator_finds_no_error(name, request, dciodvfy):
    for path in request.getfixturevalue(name).paths["RTSTRUCT"]:
        assert dciodvfy(path) == []


@pytest.mark.parametrize(
    ("name", "which", "modality"), [("oblique", 0, "CT"), ("oblique", 1, "MR"), ("upright", 0, "CT")]
)
def test_filled_contours_are_the_true_masks(name, which, modality, request):
    truth = request.getfixturevalue(name)
    masks = filled(pydicom.dcmread(truth.paths["RTSTRUCT"][which]), truth.grids[modality])
    assert sorted(masks) == sorted(truth.organs)
    expected = truth.masks(modality)
    for organ, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[organ], err_msg=organ)
        assert mask.any(), organ


def test_holes_are_nested_contours(upright):
    ds = pydicom.dcmread(upright.paths["RTSTRUCT"][0])
    numbers = {roi.ROIName: roi.ROINumber for roi in ds.StructureSetROISequence}
    for organ in ("bladder", "kidney"):
        (roi,) = [item for item in ds.ROIContourSequence if item.ReferencedROINumber == numbers[organ]]
        planes = [item.ContourImageSequence[0].ReferencedSOPInstanceUID for item in roi.ContourSequence]
        assert len(set(planes)) < len(planes), organ


def test_references_are_the_image(oblique):
    for path, modality in zip(oblique.paths["RTSTRUCT"], ("CT", "MR"), strict=True):
        ds = pydicom.dcmread(path)
        images = [pydicom.dcmread(p, stop_before_pixels=True) for p in oblique.paths[modality]]
        (frame,) = ds.ReferencedFrameOfReferenceSequence
        assert frame.FrameOfReferenceUID == images[0].FrameOfReferenceUID
        (series,) = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence
        assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
        assert [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence] == [
            i.SOPInstanceUID for i in images
        ]
        places = {i.SOPInstanceUID: np.array(i.ImagePositionPatient, dtype=float) for i in images}
        normal = np.array(oblique.grids[modality].direction)[:, 2]
        for roi in ds.ROIContourSequence:
            for contour in roi.ContourSequence:
                place = places[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
                assert abs((np.array(contour.ContourData[:3], dtype=float) - place) @ normal) < 1e-4


def test_numbers_are_not_positions(oblique):
    ds = pydicom.dcmread(oblique.paths["RTSTRUCT"][0])
    order = [roi.ROINumber for roi in ds.StructureSetROISequence]
    assert order != [roi.ReferencedROINumber for roi in ds.ROIContourSequence]
    assert min(order) > 1


def test_numbers_fit_decimal_strings():
    text = contour_text(np.array([[-12345.678901, -0.0000001, 1e-7], [3.0, 2.5, -1.0]]))
    assert all(len(number) <= 16 for number in text.strip().split("\\"))
    assert "-0.00000" not in text
    assert len(text) % 2 == 0
