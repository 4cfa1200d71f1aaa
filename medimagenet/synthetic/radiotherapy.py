"""RTPLAN and RTDOSE of a phantom (PS3.3 A.20, A.18): the references that lead from a dose to the image.

RTDOSE refers to RTPLAN, that to RTSTRUCT, that to the image.
"""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage, RTPlanStorage
from pydicom.valuerep import DSfloat

from .images import decimals
from .scene import SERIES_TIME, STUDY_DATE, Scene, Series, instance_reference, series_dataset, write_dataset

DOSE_STEP_GY = "0.001"
"""DoseGridScaling. 16 bits hold 65 Gy in such steps. Not 32 bits, though DICOM allows them: dciodvfy of dicom3tools
1.00 (2022-06-18) stops there at an assertion, and nothing else would judge the object."""


def write_rtplan(scene: Scene) -> tuple[Series]:
    """Write a plan without beams: a prescription and the structure set it refers to."""
    ds = series_dataset(scene, "RTPLAN", RTPlanStorage, "RTPLAN")
    ds.SOPInstanceUID = scene.uid("RTPLAN", "instance")
    ds.InstanceCreationDate = ds.RTPlanDate = STUDY_DATE
    ds.InstanceCreationTime = ds.RTPlanTime = SERIES_TIME
    ds.OperatorsName = ""
    ds.RTPlanLabel = "PHANTOM"
    ds.RTPlanGeometry = "PATIENT"
    ds.PlanIntent = "RESEARCH"
    ds.ApprovalStatus = "UNAPPROVED"
    ds.ReferencedStructureSetSequence = [_reference(scene.written["RTSTRUCT"][0])]
    ds.FractionGroupSequence = [_fractions()]
    return (_write_one(scene, ds),)


def write_rtdose(scene: Scene) -> tuple[Series]:
    """Write the dose field: Gy in steps of `DOSE_STEP_GY`, unsigned 16 bit, one frame per plane."""
    grid = scene.grids["RTDOSE"]
    ds = series_dataset(scene, "RTDOSE", RTDoseStorage, "RTDOSE")
    ds.SOPInstanceUID = scene.uid("RTDOSE", "instance")
    ds.InstanceNumber = 1
    ds.InstanceCreationDate = ds.ContentDate = STUDY_DATE
    ds.InstanceCreationTime = ds.ContentTime = SERIES_TIME
    ds.OperatorsName = ""
    cosines = np.asarray(grid.direction)
    ds.ImagePositionPatient = decimals(np.asarray(grid.origin))
    ds.ImageOrientationPatient = decimals(np.concatenate([cosines[:, 0], cosines[:, 1]]))
    ds.PixelSpacing = decimals(np.array([grid.spacing[1], grid.spacing[0]]))
    ds.SliceThickness = DSfloat(grid.spacing[2], auto_format=True)
    ds.NumberOfFrames = grid.size[2]
    ds.FrameIncrementPointer = 0x3004000C
    ds.GridFrameOffsetVector = decimals(np.arange(grid.size[2]) * grid.spacing[2])  # from the first plane (C.8.8.3.2)
    ds.Columns, ds.Rows = grid.size[0], grid.size[1]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    ds.DoseGridScaling = DOSE_STEP_GY
    ds.TissueHeterogeneityCorrection = "IMAGE"
    ds.ReferencedRTPlanSequence = [_reference(scene.written["RTPLAN"][0])]
    ds.PixelData = np.rint(scene.dose.on(grid) / float(DOSE_STEP_GY)).astype("<u2").tobytes()
    return (_write_one(scene, ds),)


def _reference(series: Series) -> Dataset:
    return instance_reference(series.sop_class, series.sop_uids[0])


def _fractions() -> Dataset:
    item = Dataset()
    item.FractionGroupNumber = 1
    item.NumberOfFractionsPlanned = 30
    item.NumberOfBeams = 0
    item.NumberOfBrachyApplicationSetups = 0
    return item


def _write_one(scene: Scene, ds: Dataset) -> Series:
    modality = str(ds.Modality)
    path = scene.folder / modality / f"{modality}.dcm"
    write_dataset(ds, path)
    return Series(
        modality=modality,
        uid=str(ds.SeriesInstanceUID),
        sop_class=str(ds.SOPClassUID),
        sop_uids=(str(ds.SOPInstanceUID),),
        paths=(path,),
        grid=scene.grids.get(modality, scene.annotated[0].grid),
    )
