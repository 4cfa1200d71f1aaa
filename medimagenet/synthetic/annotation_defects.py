"""Defects of the structure set (the first, on the leading image): contours, names, references. Each plants one.

A contour that a defect adds belongs to the last organ, the tumour.
"""

import shutil
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..geometry import Grid
from .edit import edited
from .rtstruct import contour_item
from .truth import PatientTruth

LAST_NUMBER = 999


def contour_outside_image(truth: PatientTruth) -> None:
    """Add a contour two steps above the last slice."""
    grid = truth.grids[truth.leading]
    _add_contour(truth, [(5.3, 5.3), (9.7, 5.3), (9.7, 9.7), (5.3, 9.7)], plane=grid.size[2] + 1.0)


def contour_fills_nothing(truth: PatientTruth) -> None:
    """Add a contour between four voxel centres: it holds none of them."""
    _add_contour(truth, [(5.3, 5.3), (5.7, 5.3), (5.5, 5.7)], plane=_middle(truth))


def contour_between_slices(truth: PatientTruth) -> None:
    """Add a contour four tenths of a step above the middle slice."""
    _add_contour(truth, [(5.3, 5.3), (9.7, 5.3), (9.7, 9.7), (5.3, 9.7)], plane=_middle(truth) + 0.4)


def contour_not_planar(truth: PatientTruth) -> None:
    """Add a contour whose last vertex lies a whole step above the others."""
    lifts = [0.0, 0.0, 0.0, 1.0]
    _add_contour(truth, [(5.3, 5.3), (9.7, 5.3), (9.7, 9.7), (5.3, 9.7)], plane=_middle(truth), lifts=lifts)


def contour_not_closed(truth: PatientTruth) -> None:
    """Add a line and a point: OPEN_PLANAR and POINT enclose nothing."""
    _add_contour(truth, [(5.3, 5.3), (9.7, 5.3), (9.7, 9.7)], plane=_middle(truth), kind="OPEN_PLANAR")
    _add_contour(truth, [(7.2, 7.2)], plane=_middle(truth), kind="POINT")


def roi_without_contours(truth: PatientTruth) -> None:
    """Add an ROI that has a name and nothing else."""
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        roi = Dataset()
        roi.ROINumber = LAST_NUMBER
        roi.ReferencedFrameOfReferenceUID = ds.FrameOfReferenceUID
        roi.ROIName = "couch"
        roi.ROIGenerationAlgorithm = "MANUAL"
        ds.StructureSetROISequence.append(roi)


def roi_name_missing(truth: PatientTruth) -> None:
    """Empty the name of the first ROI."""
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        ds.StructureSetROISequence[0].ROIName = ""


def roi_name_repeated(truth: PatientTruth) -> None:
    """Give the first ROI the name of the last."""
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        ds.StructureSetROISequence[0].ROIName = ds.StructureSetROISequence[-1].ROIName


def dangling_reference(truth: PatientTruth) -> None:
    """Remove the image that the structure set refers to."""
    shutil.rmtree(truth.paths[truth.leading][0].parent)


def referenced_by_frame(truth: PatientTruth) -> None:
    """Remove the references to images: only the frame of reference says what the structure set belongs to."""
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
        _forget_images(ds)


def no_reference(truth: PatientTruth) -> None:
    """Remove the references to images and put the structure set into a frame of reference of its own."""
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        del ds.ReferencedFrameOfReferenceSequence
        del ds.FrameOfReferenceUID
        _forget_images(ds)
        for roi in ds.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = f"{ds.SOPInstanceUID}.1"[:64]


def _forget_images(ds: Dataset) -> None:
    for roi in ds.ROIContourSequence:
        for contour in roi.get("ContourSequence", []):
            del contour.ContourImageSequence


def _middle(truth: PatientTruth) -> float:
    return float(truth.grids[truth.leading].size[2] // 2)


def _add_contour(
    truth: PatientTruth,
    corners: Sequence[tuple[float, float]],
    *,
    plane: float,
    lifts: Sequence[float] | None = None,
    kind: str = "CLOSED_PLANAR",
) -> None:
    """Add a contour, in index coordinates, to the last organ's ROI: its contours come first in the file."""
    points = _in_patient(truth.grids[truth.leading], corners, plane, lifts or [0.0] * len(corners))
    with edited(truth.paths["RTSTRUCT"][0]) as ds:
        ds.ROIContourSequence[0].ContourSequence.append(contour_item(points, kind=kind))


def _in_patient(
    grid: Grid, corners: Sequence[tuple[float, float]], plane: float, lifts: Sequence[float]
) -> NDArray[np.float64]:
    return grid.to_patient([(x, y, plane + lift) for (x, y), lift in zip(corners, lifts, strict=True)])
