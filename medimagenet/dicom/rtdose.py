"""RTDOSE: a dose grid to a `Volume` in Gy (DICOM PS3.3 C.8.8.3)."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ..errors import DicomError, GeometryError
from ..findings import Finding, Severity
from ..volume import Volume
from .elements import read_dataset, read_elements
from .header import METADATA, keyword_values
from .pixels import decode_frames
from .stack import SlicePlane, Stack, plane_from_values, stack_slices

RTDOSE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"


def read_dose(file: Path) -> Volume:
    """Decode a dose grid: stored values x DoseGridScaling (3004,000E), planes by GridFrameOffsetVector (3004,000C).

    Returns
    -------
    dose : (Z, Y, X), float32, Gy
        Where DoseUnits (3004,0002) is not GY the unit is None, and there is a finding `dose_not_absolute`.

    Raises
    ------
    GeometryError
        The planes are not evenly spaced, or their number is not that of the frames.
    DicomError
        The file is not a readable RTDOSE object.
    """
    path = Path(file)
    dataset = read_dataset(path)
    if dataset.SOPClassUID != RTDOSE_STORAGE:
        raise DicomError(f"{path.name} is not an RTDOSE object: its SOPClassUID (0008,0016) is {dataset.SOPClassUID}")
    if "DoseGridScaling" not in dataset:
        raise DicomError(f"{path.name} has no DoseGridScaling (3004,000E): its values have no meaning")
    stored = decode_frames(dataset, path.name)
    stored = stored if stored.ndim == 3 else stored[None]
    stack = _stack(dataset, len(stored), path.name)
    array = stored[list(stack.order)] * float(dataset.DoseGridScaling)
    metadata = keyword_values(read_elements(path, header_only=True), METADATA)
    for keyword in ("DoseUnits", "DoseType", "DoseSummationType"):
        metadata[keyword] = str(dataset.get(keyword, ""))
    findings = list(stack.findings)
    if metadata["DoseUnits"] != "GY":
        message = f"DoseUnits (3004,0002) is {metadata['DoseUnits']!r}, not GY: the values are no absolute dose"
        findings.append(Finding(code="dose_not_absolute", message=message))
    unit = "Gy" if metadata["DoseUnits"] == "GY" else None
    if stack.grid is None:
        reasons = [finding for finding in stack.findings if finding.severity is Severity.ERROR]
        raise GeometryError(f"{path.name} forms no volume: {'; '.join(f.message for f in reasons)}", reasons)
    return Volume(array.astype(np.float32), stack.grid, unit, MappingProxyType(metadata), tuple(findings))


def _stack(dataset: pydicom.Dataset, n_frames: int, name: str) -> Stack:
    """The planes of the frames as a stack of slices."""
    values = {element.keyword: element.value for element in dataset if element.tag.group in (0x0018, 0x0020, 0x0028)}
    base = plane_from_values({**values, "NumberOfFrames": 1})
    if base.position is None or base.orientation is None:
        return stack_slices([base])
    offsets = _offsets(dataset, n_frames, base.position[2], name)
    cosines = np.array(base.orientation).reshape(2, 3)
    positions = np.array(base.position) + np.outer(offsets, np.cross(cosines[0], cosines[1]))
    return stack_slices([_moved(base, position) for position in positions.tolist()])


def _moved(plane: SlicePlane, position: list[float]) -> SlicePlane:
    x, y, z = position
    return SlicePlane(
        position=(x, y, z),
        orientation=plane.orientation,
        pixel_spacing=plane.pixel_spacing,
        rows=plane.rows,
        columns=plane.columns,
        slice_thickness=plane.slice_thickness,
    )


def _offsets(dataset: pydicom.Dataset, n_frames: int, first_z: float, name: str) -> NDArray[np.float64]:
    """Offset of each plane from the first along the normal, mm; the file may give them as absolute z instead."""
    vector: Any = dataset.get("GridFrameOffsetVector")
    if n_frames == 1:
        return np.zeros(1)
    if vector is None or len(vector) != n_frames:
        count = 0 if vector is None else len(vector)
        raise GeometryError(f"{name} has {n_frames} frames but {count} offsets in GridFrameOffsetVector (3004,000C)")
    offsets = np.array(vector, dtype=np.float64)
    if offsets[0] != 0 and abs(offsets[0] - first_z) > 0.01:
        raise GeometryError(
            f"{name}: GridFrameOffsetVector (3004,000C) begins with {offsets[0]:g}, which is neither 0 nor the z of "
            f"ImagePositionPatient (0020,0032), {first_z:g} mm"
        )
    return offsets - offsets[0]
