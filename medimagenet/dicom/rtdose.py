"""RTDOSE: a dose grid to a `Volume` in Gy (DICOM PS3.3 C.8.8.3), on its own grid or on that of an image."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, GeometryError
from ..findings import Finding, Severity
from ..geometry import Grid
from ..volume import Volume
from .elements import read_dataset, read_elements
from .header import METADATA, keyword_values
from .onto import resample_onto, voxels_outside
from .pixels import check_once, decode_frames
from .stack import SlicePlane, Stack, plane_from_values, stack_slices

if TYPE_CHECKING:
    import pydicom

RTDOSE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"

WHOLE = ("PLAN", "MULTI_PLAN", "PLAN_OVERVIEW", "RECORD", "")  # what a sum of doses may be of, absent included
TRANSVERSE = 0.9999  # cosine between normal and z from which on planes may be placed by z: within 0.8 degrees
IMPLAUSIBLE_GY = 500.0  # above what brachytherapy puts beside its sources


def read_dose(file: Path, reference: Grid | Volume | None = None, *, parallel: bool = False) -> Volume:
    """Decode a dose grid: stored values x DoseGridScaling (3004,000E), planes by GridFrameOffsetVector (3004,000C).

    Parameters
    ----------
    reference : an image, or its grid, to put the dose on; None keeps the dose's own grid
        Dose is linear between the centres of its voxels. Voxels outside of them get 0, and a finding says how many.
    parallel : use all threads of numba; off where the caller has threads or processes of its own

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
    try:
        dataset.walk(lambda *_: None)  # every value becomes what its VR says, or fails here
    except Exception as error:  # values that break their VR's rules raise whatever they meet
        raise DicomError(f"{path.name} has a header that cannot be read: {error}") from error
    if dataset.SOPClassUID != RTDOSE_STORAGE:
        raise DicomError(f"{path.name} is not an RTDOSE object: its SOPClassUID (0008,0016) is {dataset.SOPClassUID}")
    check_once(path)
    stored = decode_frames(dataset, path.name)
    stored = stored if stored.ndim == 3 else stored[None]
    stack = _stack(dataset, len(stored), path.name)
    array = _doses(stored[list(stack.order)], dataset, path.name)
    metadata = keyword_values(read_elements(path, header_only=True), METADATA)
    for keyword in ("DoseUnits", "DoseType", "DoseSummationType"):
        metadata[keyword] = str(dataset.get(keyword, ""))
    if stack.grid is None:
        reasons = [finding for finding in stack.findings if finding.severity is Severity.ERROR]
        raise GeometryError(f"{path.name} forms no volume: {'; '.join(f.message for f in reasons)}", reasons)
    findings = [*stack.findings, *_dose_findings(dataset, len(stored), metadata, float(array.max(initial=0.0)))]
    unit = "Gy" if metadata["DoseUnits"] == "GY" else None
    dose = Volume(array, stack.grid, unit, MappingProxyType(metadata), tuple(findings))
    return dose if reference is None else _onto(dose, reference, parallel)


def _doses(stored: NDArray[Any], dataset: "pydicom.Dataset", name: str) -> NDArray[np.float32]:
    """Stored values x scaling."""
    scaling = _scaling(dataset, name)
    greatest = float(np.abs(stored.astype(np.float64)).max(initial=0)) * scaling
    if greatest > float(np.finfo(np.float32).max):
        raise DicomError(f"{name} has DoseGridScaling (3004,000E) {scaling:g}, by which doses are up to {greatest:g}")
    return (stored * scaling).astype(np.float32)


def _scaling(dataset: "pydicom.Dataset", name: str) -> float:
    if "DoseGridScaling" not in dataset:
        raise DicomError(f"{name} has no DoseGridScaling (3004,000E): its values have no meaning")
    try:
        scaling = float(dataset.DoseGridScaling)
    except (TypeError, ValueError) as error:
        raise DicomError(f"{name} has DoseGridScaling (3004,000E) {dataset.DoseGridScaling!r}, no number") from error
    if not (isfinite(scaling) and scaling > 0):
        raise DicomError(f"{name} has DoseGridScaling (3004,000E) {scaling}: it must be above 0")
    return scaling


def _dose_findings(
    dataset: "pydicom.Dataset", frames: int, metadata: Mapping[str, Any], greatest: float
) -> Iterator[Finding]:
    """What keeps a dose from being that of a treatment in Gy."""
    if metadata["DoseUnits"] != "GY":
        message = f"DoseUnits (3004,0002) is {metadata['DoseUnits']!r}, not GY: the values are no absolute dose"
        yield Finding(code="dose_not_absolute", message=message)
    if metadata["DoseType"] == "ERROR":
        message = "DoseType (3004,0004) is ERROR: the values are differences between doses"
        yield Finding(code="dose_not_absolute", message=message)
    if metadata["DoseSummationType"] not in WHOLE:
        message = f"DoseSummationType (3004,000A) is {metadata['DoseSummationType']!r}: it is not that of a whole plan"
        yield Finding(code="dose_not_whole_plan", message=message)
    if metadata["DoseUnits"] == "GY" and greatest > IMPLAUSIBLE_GY:
        message = f"the greatest dose is {greatest:.5g} Gy, more than {IMPLAUSIBLE_GY:g}: the unit may be another"
        yield Finding(code="dose_implausible", message=message, numbers={"greatest": greatest})
    stated = dataset.get("NumberOfFrames") or 1
    if stated != frames:
        message = f"NumberOfFrames (0028,0008) is {stated}, but its pixel data hold {frames} frames"
        yield Finding(code="dose_frames_unmatched", message=message, numbers={"frames": frames, "stated": stated})
    offsets = dataset.get("GridFrameOffsetVector")
    normal_z = np.cross(*np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3))[2]
    if frames > 1 and float(offsets[0]) != 0 and normal_z < 0:
        message = "GridFrameOffsetVector (3004,000C) has coordinates z though its planes point to the feet: taken as z"
        yield Finding(code="dose_offsets_unusual", message=message)
    if frames == 1 and offsets is not None and np.size(offsets) != 1:
        message = f"it has 1 frame but {np.size(offsets)} offsets in GridFrameOffsetVector (3004,000C)"
        about = {"frames": frames, "offsets": int(np.size(offsets))}
        yield Finding(code="dose_frames_unmatched", message=message, numbers=about)


def _onto(dose: Volume, reference: Grid | Volume, parallel: bool) -> Volume:
    """The dose on another grid."""
    grid = reference.grid if isinstance(reference, Volume) else reference
    findings = list(dose.findings)
    if isinstance(reference, Volume):
        frame, own = (each.metadata.get("FrameOfReferenceUID") for each in (reference, dose))
        if frame and own and frame != own:
            message = "the dose is in another frame of reference than the image (FrameOfReferenceUID (0020,0052))"
            findings.append(Finding(code="wrong_image", message=message))
    array = resample_onto(dose.array, dose.grid, grid, interpolation="linear", parallel=parallel)
    outside = voxels_outside(dose.grid, grid)
    if outside:
        message = f"{outside} voxels lie outside the dose grid and have 0 Gy"
        findings.append(Finding(code="dose_outside_grid", message=message, numbers={"voxels": outside}))
    return replace(dose, array=array, grid=grid, findings=tuple(findings))


def _stack(dataset: "pydicom.Dataset", n_frames: int, name: str) -> Stack:
    """The planes of the frames as a stack of slices."""
    values = {element.keyword: element.value for element in dataset if element.tag.group in (0x0018, 0x0020, 0x0028)}
    try:
        base = plane_from_values({**values, "NumberOfFrames": 1})
    except (TypeError, ValueError) as error:
        raise DicomError(f"{name} does not say where its planes are: {error}") from error
    if base.position is None or base.orientation is None:
        return stack_slices([base])
    cosines = np.array(base.orientation).reshape(2, 3)
    normal = np.cross(cosines[0], cosines[1])
    offsets = _offsets(dataset, n_frames, base.position[2], float(normal[2]), name)
    positions = np.array(base.position) + np.outer(offsets, normal)
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


def _offsets(
    dataset: "pydicom.Dataset", n_frames: int, first_z: float, normal_z: float, name: str
) -> NDArray[np.float64]:
    """Offset of each plane from the first along the normal, mm.

    The file gives them so, beginning with 0, or as z of the patient, beginning with that of the first plane, which is
    for transverse planes alone (C.8.8.3.2). Of these some have a normal that points to the feet: z rises against it.
    """
    vector: Any = dataset.get("GridFrameOffsetVector")
    if n_frames == 1:
        return np.zeros(1)
    count = 0 if vector is None else np.size(vector)
    if count != n_frames:
        raise GeometryError(f"{name} has {n_frames} frames but {count} offsets in GridFrameOffsetVector (3004,000C)")
    try:
        offsets = np.array(vector, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DicomError(f"{name} has a GridFrameOffsetVector (3004,000C) that is not numbers: {error}") from error
    if not np.isfinite(offsets).all():
        raise DicomError(f"{name} has a GridFrameOffsetVector (3004,000C) that is not numbers: {list(vector)}")
    if offsets[0] != 0 and abs(offsets[0] - first_z) > 0.01:
        raise GeometryError(
            f"{name}: GridFrameOffsetVector (3004,000C) begins with {offsets[0]:g}, which is neither 0 nor the z of "
            f"ImagePositionPatient (0020,0032), {first_z:g} mm"
        )
    if offsets[0] == 0:
        return offsets
    if abs(normal_z) < TRANSVERSE:
        raise GeometryError(
            f"{name}: GridFrameOffsetVector (3004,000C) begins with {offsets[0]:g}, as coordinates z do, but its "
            "planes are not transverse: they cannot be placed by z"
        )
    return (offsets - offsets[0]) * np.sign(normal_z)
