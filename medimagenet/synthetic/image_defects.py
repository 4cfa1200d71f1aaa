"""Defects of the leading image series: its slices, their places, their pixels. Each function plants one."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from .edit import edited, leading_slices, next_uid
from .images import decimals
from .truth import PatientTruth

TILT_DEGREES = 15.0


def missing_slices(truth: PatientTruth) -> None:
    """Remove the middle slice."""
    paths = leading_slices(truth)
    paths[len(paths) // 2].unlink()


def duplicate_slices(truth: PatientTruth) -> None:
    """Add a second slice, with a UID of its own, at the position of the middle one."""
    paths = leading_slices(truth)
    middle = paths[len(paths) // 2]
    twin = middle.with_name(f"{len(paths) + 1:04d}.dcm")
    twin.write_bytes(middle.read_bytes())
    with edited(twin) as ds:
        ds.SOPInstanceUID = next_uid(ds.SOPInstanceUID, "twin")
        ds.InstanceNumber = len(paths) + 1


def nonuniform_spacing(truth: PatientTruth) -> None:
    """Move the middle slice by 4 % of a step: more than rounding explains, too little to matter."""
    _move_middle_slice(truth, 0.04)


def uneven_slices(truth: PatientTruth) -> None:
    """Move the middle slice by 30 % of a step: no even grid describes the stack."""
    _move_middle_slice(truth, 0.3)


def gantry_tilt(truth: PatientTruth) -> None:
    """Shear the stack along its columns by 15 degrees, as a tilted gantry does, and say so in the CT's header."""
    grid = truth.grids[truth.leading]
    shear = np.tan(np.radians(TILT_DEGREES)) * grid.spacing[2] * np.asarray(grid.direction)[:, 1]
    for k, path in enumerate(leading_slices(truth)):
        with edited(path) as ds:
            ds.ImagePositionPatient = decimals(_position(ds) + k * shear)
            if truth.leading == "CT":
                ds.GantryDetectorTilt = DSfloat(TILT_DEGREES, auto_format=True)


def mixed_orientation(truth: PatientTruth) -> None:
    """Turn the upper third of the slices about their rows by 90 degrees."""
    cosines = np.asarray(truth.grids[truth.leading].direction)
    paths = leading_slices(truth)
    for path in paths[-(len(paths) // 3) :]:
        with edited(path) as ds:
            ds.ImageOrientationPatient = decimals(np.concatenate([cosines[:, 0], cosines[:, 2]]))


def localizer_mixed_in(truth: PatientTruth) -> None:
    """Add a scout to the series: a plane across the slices, of larger pixels, typed LOCALIZER."""
    grid = truth.grids[truth.leading]
    cosines = np.asarray(grid.direction)
    paths = leading_slices(truth)
    scout = paths[0].with_name("scout.dcm")
    scout.write_bytes(paths[0].read_bytes())
    with edited(scout) as ds:
        ds.SOPInstanceUID = next_uid(ds.SOPInstanceUID, "scout")
        ds.InstanceNumber = len(paths) + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        ds.ImageOrientationPatient = decimals(np.concatenate([cosines[:, 0], -cosines[:, 2]]))
        ds.PixelSpacing = decimals(2.0 * np.array([grid.spacing[1], grid.spacing[0]]))


def mixed_spacing(truth: PatientTruth) -> None:
    """Give the upper half of the slices pixels that are larger by 10 %."""
    paths = leading_slices(truth)
    for path in paths[len(paths) // 2 :]:
        with edited(path) as ds:
            ds.PixelSpacing = decimals(1.1 * np.array([float(value) for value in ds.PixelSpacing]))


def mixed_size(truth: PatientTruth) -> None:
    """Cut the last row off the middle slice."""
    paths = leading_slices(truth)
    with edited(paths[len(paths) // 2]) as ds:
        ds.PixelData = ds.PixelData[: -ds.Columns * 2] + b"\0" * (ds.Columns * 2 * (ds.Rows - 1) % 2)
        ds.Rows = ds.Rows - 1


def no_position(truth: PatientTruth) -> None:
    """Take the position out of the middle slice."""
    paths = leading_slices(truth)
    with edited(paths[len(paths) // 2]) as ds:
        del ds.ImagePositionPatient


def single_slice(truth: PatientTruth) -> None:
    """Keep only the middle slice."""
    paths = leading_slices(truth)
    for k, path in enumerate(paths):
        if k != len(paths) // 2:
            path.unlink()


def mixed_modality(truth: PatientTruth) -> None:
    """Let the first slice claim another modality."""
    with edited(leading_slices(truth)[0]) as ds:
        ds.Modality = "OT"


def mixed_rescale(truth: PatientTruth) -> None:
    """Store every other CT slice in half steps, so that the slopes differ and the HU do not."""
    for path in truth.paths["CT"][::2]:
        with edited(path) as ds:
            stored = np.frombuffer(ds.PixelData, "<u2").astype(np.uint32) * 2
            ds.PixelData = np.minimum(stored, 65535).astype("<u2").tobytes()
            ds.RescaleSlope = DSfloat(float(ds.RescaleSlope) / 2, auto_format=True)


def lossy_compressed(truth: PatientTruth) -> None:
    """Declare that the pixels went through lossy compression once (PS3.3 C.7.6.1.1.5)."""
    for path in leading_slices(truth):
        with edited(path) as ds:
            ds.LossyImageCompression = "01"
            ds.LossyImageCompressionRatio = "10"
            ds.LossyImageCompressionMethod = "ISO_10918_1"


def not_monochrome(truth: PatientTruth) -> None:
    """Turn the slices into 8-bit colour, as secondary captures have it."""
    for path in leading_slices(truth):
        with edited(path) as ds:
            grey = (np.frombuffer(ds.PixelData, "<u2") >> 8).astype(np.uint8)
            data = np.repeat(grey, 3).tobytes()
            ds.PixelData = data + b"\0" * (len(data) % 2)
            ds["PixelData"].VR = "OB"
            ds.SamplesPerPixel, ds.PlanarConfiguration, ds.PhotometricInterpretation = 3, 0, "RGB"
            ds.BitsAllocated = ds.BitsStored = 8
            ds.HighBit = 7


def constant_image(truth: PatientTruth) -> None:
    """Set every pixel to the same value."""
    for path in leading_slices(truth):
        with edited(path) as ds:
            ds.PixelData = b"\0" * len(ds.PixelData)


def suv_not_computable(truth: PatientTruth) -> None:
    """Take the patient's weight out of the PET."""
    for path in truth.paths["PT"]:
        with edited(path) as ds:
            del ds.PatientWeight


NEEDED: Mapping[str, str] = MappingProxyType({"mixed_rescale": "CT", "suv_not_computable": "PT"})
"""Defects that need one modality; the others take the leading image, whatever it is."""


def _position(ds: Dataset) -> NDArray[np.float64]:
    return np.array([float(value) for value in ds.ImagePositionPatient])


def _move_middle_slice(truth: PatientTruth, steps: float) -> None:
    grid = truth.grids[truth.leading]
    paths = leading_slices(truth)
    with edited(paths[len(paths) // 2]) as ds:
        ds.ImagePositionPatient = decimals(_position(ds) + steps * grid.matrix[:, 2])
