"""RTSTRUCT of a phantom: contours on the slices of one image series (PS3.3 A.19).

As planning systems do, ROI numbers do not start at 1 and the contours come in another order than the names, so that
only `ReferencedROINumber` tells which contours belong to which name.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage

from .contours import trace_slice
from .phantom import Organ
from .scene import SERIES_TIME, STUDY_DATE, Scene, Series, instance_reference, series_dataset, write_dataset

FIRST_NUMBER = 11
CONTOUR_DATA = Tag(0x3006, 0x0050)
COLORS = ((230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240), (240, 50, 230))
STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # the standard's example class for the referenced study (C.8.8.5.4)


def write_rtstruct(scene: Scene) -> tuple[Series, ...]:
    """Write the contours of every organ, one object per annotated image. Implicit VR: a long contour passes 64 KiB."""
    return tuple(_write_one(scene, image) for image in scene.annotated)


def _write_one(scene: Scene, image: Series) -> Series:
    role = f"RTSTRUCT/{image.modality}"
    ds = series_dataset(scene, "RTSTRUCT", RTStructureSetStorage, role)
    ds.SOPInstanceUID = scene.uid(role, "instance")
    ds.InstanceNumber = 1
    ds.InstanceCreationDate = ds.StructureSetDate = STUDY_DATE
    ds.InstanceCreationTime = ds.StructureSetTime = SERIES_TIME
    ds.OperatorsName = ""
    ds.StructureSetLabel = "PHANTOM"
    ds.ApprovalStatus = "UNAPPROVED"
    ds.ReferencedFrameOfReferenceSequence = [_frame_of_reference(ds, image)]
    numbered = list(enumerate(scene.phantom.organs, start=FIRST_NUMBER))
    ds.StructureSetROISequence = [_roi(number, organ, ds.FrameOfReferenceUID) for number, organ in numbered]
    ds.ROIContourSequence = [_roi_contour(number, organ, image) for number, organ in reversed(numbered)]
    ds.RTROIObservationsSequence = [_observation(number, organ) for number, organ in numbered]
    path = scene.folder / "RTSTRUCT" / f"{image.modality}.dcm"
    write_dataset(ds, path, ImplicitVRLittleEndian)
    return Series(
        modality="RTSTRUCT",
        uid=str(ds.SeriesInstanceUID),
        sop_class=RTStructureSetStorage,
        sop_uids=(str(ds.SOPInstanceUID),),
        paths=(path,),
        grid=image.grid,
    )


def _frame_of_reference(ds: Dataset, image: Series) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = image.uid
    series.ContourImageSequence = [instance_reference(image.sop_class, uid) for uid in image.sop_uids]
    study = instance_reference(STUDY_MANAGEMENT, ds.StudyInstanceUID)
    study.RTReferencedSeriesSequence = [series]
    item = Dataset()
    item.FrameOfReferenceUID = ds.FrameOfReferenceUID
    item.RTReferencedStudySequence = [study]
    return item


def _roi(number: int, organ: Organ, frame_of_reference: str) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = frame_of_reference
    item.ROIName = organ.name
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _observation(number: int, organ: Organ) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIInterpretedType = {"body": "EXTERNAL", "GTV": "GTV"}.get(organ.name, "ORGAN")
    item.ROIInterpreter = ""
    return item


def _roi_contour(number: int, organ: Organ, image: Series) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(COLORS[number % len(COLORS)])
    item.ReferencedROINumber = number
    contours = []
    for k, sop_uid in enumerate(image.sop_uids):
        for polygon in trace_slice(organ.shape, image.grid, k):
            plane = np.column_stack([polygon, np.full(len(polygon), float(k))])
            contours.append(contour_item(image.grid.to_patient(plane), instance_reference(image.sop_class, sop_uid)))
    if contours:
        item.ContourSequence = contours
    return item


def contour_item(points: NDArray[np.float64], *images: Dataset, kind: str = "CLOSED_PLANAR") -> Dataset:
    """An item of ContourSequence from (n, 3) points, LPS mm, rounded to 10 nm.

    The text of ContourData goes in as it is: pydicom's decimal objects, one per number, took most of the time.
    """
    item = Dataset()
    if images:
        item.ContourImageSequence = list(images)
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.set_original_encoding(True, True, default_encoding)  # so that the raw text is written as it is
    text = contour_text(points).encode()
    item[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(text), text, 0, True, True)
    return item


def contour_text(points: NDArray[np.float64]) -> str:
    """ContourData: x, y, z of each point, backslashes between, an even number of characters."""
    numbers: Sequence[float] = (np.round(points, 5) + 0.0).ravel().tolist()  # + 0.0 turns -0.0 into 0.0
    text = "\\".join(f"{number:.5f}" for number in numbers)
    return text + " " * (len(text) % 2)
