"""CT, MR and PET series of a phantom, one file per slice (PS3.3 A.3, A.4, A.21).

Stored values: CT is HU + 1024, unsigned. MR is the signal itself, without a rescale. PET is Bq/ml with a slope of
its own in every slice, as scanners write it, and all that SUVbw needs (weight, dose, half life, start times).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage
from pydicom.valuerep import DSfloat

from ..geometry import Grid
from .scene import SERIES_TIME, STUDY_DATE, Scene, Series, series_dataset, write_dataset

CT_INTERCEPT = -1024
CT_TEXTURE, CT_SIGMA = 10.0, 18.0  # HU: a routine abdominal CT has 10 to 20 HU of noise
MR_TEXTURE, MR_SIGMA = 20.0, 15.0  # of a signal of 300 in muscle
PT_TEXTURE, PT_SIGMA = 0.1, 0.1  # SUV
INJECTION_TIME = "091500"  # one hour before SERIES_TIME
UPTAKE_S = 3600.0
F18_HALF_LIFE_S = 6586.2


def write_ct(scene: Scene) -> tuple[Series]:
    """A CT: int16 HU from unsigned storage with intercept -1024."""

    def fill(ds: Dataset, k: int) -> None:
        hu = scene.scanned_slice("CT", k, texture=CT_TEXTURE, sigma=CT_SIGMA)
        _set_pixels(ds, np.rint(hu) - CT_INTERCEPT)

    return (_write_slices(scene, "CT", CTImageStorage, _ct_header(scene.grids["CT"]), fill),)


def write_mr(scene: Scene) -> tuple[Series]:
    """An MR: the signal as stored, no rescale."""

    def fill(ds: Dataset, k: int) -> None:
        _set_pixels(ds, np.rint(scene.scanned_slice("MR", k, texture=MR_TEXTURE, sigma=MR_SIGMA)))

    return (_write_slices(scene, "MR", MRImageStorage, _mr_header(scene.grids["MR"]), fill),)


def write_pt(scene: Scene) -> tuple[Series]:
    """A PET in Bq/ml, decay-corrected to its start. SUVbw = Bq/ml * weight (g) / activity left at the start (Bq)."""
    dose = float(scene.rng("dose").integers(200, 400)) * 1e6
    bqml_per_suv = dose * 0.5 ** (UPTAKE_S / F18_HALF_LIFE_S) / (scene.weight_kg * 1000.0)

    def fill(ds: Dataset, k: int) -> None:
        suv = np.maximum(scene.scanned_slice("PT", k, texture=PT_TEXTURE, sigma=PT_SIGMA), 0.0)
        bqml = suv * bqml_per_suv
        slope = DSfloat(max(float(bqml.max()), 1.0) / 32767.0, auto_format=True)
        ds.RescaleIntercept, ds.RescaleSlope = 0, slope
        _set_pixels(ds, np.rint(bqml / float(str(slope))))
        ds.ImageIndex = k + 1

    return (_write_slices(scene, "PT", PositronEmissionTomographyImageStorage, _pt_header(scene, dose), fill),)


def _write_slices(
    scene: Scene, modality: str, sop_class: str, header: Dataset, fill: Callable[[Dataset, int], None]
) -> Series:
    """Write one file per slice; `fill` sets what differs from slice to slice."""
    grid = scene.grids[modality]
    ds = series_dataset(scene, modality, sop_class, modality)
    ds.update(header)
    ds.update(_plane_header(grid))
    sop_uids, paths = [], []
    for k in range(grid.size[2]):
        ds.SOPInstanceUID = scene.uid(modality, "instance", k)
        ds.InstanceNumber = k + 1
        ds.ImagePositionPatient = decimals(grid.to_patient((0, 0, k)))
        fill(ds, k)
        path = scene.folder / modality / f"{k + 1:04d}.dcm"
        write_dataset(ds, path)
        sop_uids.append(str(ds.SOPInstanceUID))
        paths.append(path)
    return Series(
        modality=modality,
        uid=str(ds.SeriesInstanceUID),
        sop_class=sop_class,
        sop_uids=tuple(sop_uids),
        paths=tuple(paths),
        grid=grid,
    )


def _plane_header(grid: Grid) -> Dataset:
    """Image plane and image pixel modules (PS3.3 C.7.6.2, C.7.6.3) of an unsigned 16-bit image."""
    ds = Dataset()
    cosines = np.asarray(grid.direction)
    ds.ImageOrientationPatient = decimals(np.concatenate([cosines[:, 0], cosines[:, 1]]))
    ds.PixelSpacing = decimals(np.array([grid.spacing[1], grid.spacing[0]]))  # between rows, then between columns
    ds.SliceThickness = DSfloat(grid.spacing[2], auto_format=True)
    ds.Columns, ds.Rows = grid.size[0], grid.size[1]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate = ds.ContentDate = STUDY_DATE
    ds.AcquisitionTime = ds.ContentTime = SERIES_TIME
    return ds


def _ct_header(grid: Grid) -> Dataset:
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "ABDOMEN"
    ds.KVP = "120"
    ds.ConvolutionKernel = "B30f"
    ds.GantryDetectorTilt = "0"
    ds.RescaleIntercept, ds.RescaleSlope = CT_INTERCEPT, 1
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    ds.ReconstructionDiameter = DSfloat(grid.size[0] * grid.spacing[0], auto_format=True)
    return ds


def _mr_header(grid: Grid) -> Dataset:
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "ABDOMEN"
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "NONE", ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "500", "10", 1
    ds.MagneticFieldStrength = "1.5"
    ds.SpacingBetweenSlices = DSfloat(grid.spacing[2], auto_format=True)
    ds.WindowCenter, ds.WindowWidth = 350, 700
    return ds


def _pt_header(scene: Scene, dose_bq: float) -> Dataset:
    """PET series, isotope and image modules (PS3.3 C.8.9.1, C.8.9.2, C.8.9.4)."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.BodyPartExamined = "ABDOMEN"
    ds.PatientWeight = DSfloat(scene.weight_kg, auto_format=True)
    ds.PatientSize = "1.7"
    ds.Units = "BQML"
    ds.CountsSource = "EMISSION"
    ds.SeriesType = ["STATIC", "IMAGE"]
    ds.NumberOfSlices = scene.grids["PT"].size[2]
    ds.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"]
    ds.DecayCorrection = "START"
    ds.CollimatorType = "NONE"
    ds.FrameReferenceTime = "0"
    ds.ActualFrameDuration = 180000  # ms
    ds.DecayFactor = "1"
    ds.RadiopharmaceuticalInformationSequence = [_tracer(dose_bq)]
    ds.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
    ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [_code("40199007", "SCT", "supine")]
    ds.PatientGantryRelationshipCodeSequence = [_code("102540008", "SCT", "headfirst")]
    return ds


def _tracer(dose_bq: float) -> Dataset:
    item = Dataset()
    item.Radiopharmaceutical = "FDG"
    item.RadiopharmaceuticalStartTime = INJECTION_TIME
    item.RadiopharmaceuticalStartDateTime = STUDY_DATE + INJECTION_TIME
    item.RadionuclideTotalDose = DSfloat(dose_bq, auto_format=True)
    item.RadionuclideHalfLife = DSfloat(F18_HALF_LIFE_S, auto_format=True)
    item.RadionuclidePositronFraction = "0.967"
    item.RadionuclideCodeSequence = [_code("77004003", "SCT", "^18^Fluorine")]
    item.RadiopharmaceuticalCodeSequence = [_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _set_pixels(ds: Dataset, stored: NDArray[np.float64]) -> None:
    ds.PixelData = np.clip(stored, 0, 65535).astype("<u2").tobytes()


def decimals(values: NDArray[np.floating[Any]]) -> list[DSfloat]:
    """Decimal strings of at most 16 characters (PS3.5 6.2), as close to the values as these hold."""
    return [DSfloat(float(value) + 0.0, auto_format=True) for value in values]
