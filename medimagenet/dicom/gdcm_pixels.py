"""JPEG lossless and JPEG-LS of CT slices through GDCM, as SimpleITK brings it: twice as fast as pydicom's plugins.

SimpleITK gives rescaled values; the stored ones are what the rescale was applied to. It is used only where that is
exact: single-frame CT (GDCM takes slope and intercept of other classes from elsewhere) of whole slope and intercept.
Whatever it does not read is left to pydicom, which reads it or says what is wrong.
"""

from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from .header import ImageHeader
from .pixels import Rescale, stored_dtype

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80))
"""JPEG lossless, JPEG lossless of the first selection value, JPEG-LS lossless."""


def is_for_gdcm(header: ImageHeader, rescale: Rescale) -> bool:
    """Whether GDCM gives exactly what is stored, and sooner."""
    values = header.values
    return (
        header.transfer_syntax in SYNTAXES
        and header.pixel_offset is not None
        and values.get("SOPClassUID") == CT_STORAGE
        and values.get("PhotometricInterpretation") == "MONOCHROME2"
        and values.get("BitsAllocated") == 16
        and "NumberOfFrames" not in values
        and rescale.is_whole
    )


def decode_by_gdcm(header: ImageHeader, rescale: Rescale) -> NDArray[Any] | None:
    """Stored values (rows, columns); None where GDCM does not read them, or they do not fit their own type."""
    try:
        image = SimpleITK.ReadImage(str(header.path), imageIO="GDCMImageIO")
    except RuntimeError:
        return None
    values = SimpleITK.GetArrayFromImage(image)
    if values.dtype.kind not in "iu" or values.shape != (1, header.values["Rows"], header.values["Columns"]):
        return None
    stored, rest = np.divmod(values[0].astype(np.int64) - int(rescale.intercept), int(rescale.slope))
    limits = np.iinfo(stored_dtype(header))
    if rest.any() or stored.min() < limits.min or stored.max() > limits.max:
        return None
    return stored.astype(limits.dtype)
