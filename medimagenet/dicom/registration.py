"""REG: spatial registrations (DICOM PS3.3 A.39.1), rigid ones applied to a `Volume` by moving its grid.

Each item of RegistrationSequence (0070,0308) maps a source frame of reference into the registered one, which is that
of the object: ``registered = matrix @ source``, both LPS mm (C.20.2.1). A rigid matrix keeps voxels as they are; only
their place changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from ..errors import DicomError, GeometryError
from ..geometry import ORTHONORMAL_TOLERANCE, Grid
from ..volume import Volume
from .elements import read_dataset, read_elements
from .header import METADATA, keyword_values

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom")  # slow, and plain series do without

REGISTRATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.1"
DEFORMABLE_STORAGE = "1.2.840.10008.5.1.4.1.1.66.3"


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """The content of a REG object."""

    frame_of_reference: str
    """Of the registered space."""
    matrices: Mapping[str, NDArray[np.float64]]
    """(4, 4) by source frame of reference UID: LPS mm there to LPS mm in the registered space."""
    metadata: Mapping[str, Any]

    def matrix(self, source: str, target: str) -> NDArray[np.float64]:
        """(4, 4): maps LPS mm of one frame of reference to those of another.

        Raises
        ------
        GeometryError
            The object does not register one of them.
        """
        for frame in (source, target):
            if frame not in self.matrices:
                known = ", ".join(self.matrices)
                raise GeometryError(f"the registration does not know the frame of reference {frame}; it has {known}")
        return np.asarray(np.linalg.solve(self.matrices[target], self.matrices[source]), dtype=np.float64)

    def move(self, volume: Volume, target: str) -> Volume:
        """The volume in another frame of reference: the same voxels on a moved grid.

        Raises
        ------
        GeometryError
            The volume has no FrameOfReferenceUID, one of the frames is not registered, or the matrix scales or shears.
        """
        source = volume.metadata.get("FrameOfReferenceUID")
        if not source:
            raise GeometryError("a volume without FrameOfReferenceUID (0020,0052) cannot be registered")
        grid = _moved(volume.grid, self.matrix(source, target))
        metadata = MappingProxyType({**volume.metadata, "FrameOfReferenceUID": target})
        return replace(volume.with_array(volume.array, grid), metadata=metadata)


def read_registration(file: Path) -> Registration:
    """Read a REG file.

    Raises
    ------
    DicomError
        The file is no rigid or affine spatial registration, or its matrices cannot be read.
    """
    path = Path(file)
    dataset = read_dataset(path)
    try:
        dataset.walk(lambda *_: None)  # every value becomes what its VR says, or fails here
    except Exception as error:  # values that break their VR's rules raise whatever they meet
        raise DicomError(f"{path.name} has a header that cannot be read: {error}") from error
    if dataset.SOPClassUID == DEFORMABLE_STORAGE:
        raise DicomError(f"{path.name} is a deformable registration: only matrices can be read")
    if dataset.SOPClassUID != REGISTRATION_STORAGE:
        raise DicomError(f"{path.name} is not a REG object: its SOPClassUID (0008,0016) is {dataset.SOPClassUID}")
    registered = str(dataset.get("FrameOfReferenceUID") or "")
    if not registered:
        raise DicomError(f"{path.name} has no FrameOfReferenceUID (0020,0052): it registers to nothing")
    matrices = {registered: np.eye(4)}
    for number, item in enumerate(_items(dataset, "RegistrationSequence", path.name)):
        frame = str(item.get("FrameOfReferenceUID") or "")
        if not frame:
            raise DicomError(f"{path.name}: RegistrationSequence[{number}] names no FrameOfReferenceUID (0020,0052)")
        matrix = _matrix(item, f"{path.name}: RegistrationSequence[{number}]")
        if frame in matrices and not np.allclose(matrices[frame], matrix, atol=1e-6):
            raise DicomError(f"{path.name} has two different matrices for the frame of reference {frame}")
        matrices[frame] = matrix
    metadata = keyword_values(read_elements(path, header_only=True), METADATA)
    return Registration(registered, MappingProxyType(matrices), MappingProxyType(metadata))


def _items(dataset: "pydicom.Dataset", keyword: str, place: str) -> "Sequence[pydicom.Dataset]":
    """Of a sequence; none where it is absent."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, pydicom.Sequence):
        return value or ()
    raise DicomError(f"{place} has a {keyword} that is no sequence, but {type(value).__name__}")


def _matrix(item: "pydicom.Dataset", place: str) -> NDArray[np.float64]:
    """The matrices of an item, the first applied first."""
    whole = np.eye(4)
    for registration in _items(item, "MatrixRegistrationSequence", place):
        for part in _items(registration, "MatrixSequence", place):
            values = part.get("FrameOfReferenceTransformationMatrix")
            try:
                matrix = np.array(values, dtype=np.float64).reshape(4, 4)
            except (TypeError, ValueError) as error:
                raise DicomError(f"{place} has a FrameOfReferenceTransformationMatrix (3006,00C6) {values}") from error
            if not np.isfinite(matrix).all() or not np.allclose(matrix[3], [0, 0, 0, 1]):
                raise DicomError(f"{place} has a matrix whose last row is {matrix[3].tolist()}, not 0 0 0 1")
            whole = matrix @ whole
    return whole


def _moved(grid: Grid, matrix: NDArray[np.float64]) -> Grid:
    """The grid of the same voxels after a rigid motion."""
    rotation = matrix[:3, :3]
    deviation = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if deviation > ORTHONORMAL_TOLERANCE:
        raise GeometryError(
            f"the registration scales or shears by {deviation:.3g} (tolerance {ORTHONORMAL_TOLERANCE}): "
            "a grid of voxels cannot follow it"
        )
    left, _, right = np.linalg.svd(rotation)  # the nearest rotation: matrices are decimal strings
    exact = left @ right
    origin = rotation @ np.asarray(grid.origin) + matrix[:3, 3]
    rows = [(float(x), float(y), float(z)) for x, y, z in exact @ np.asarray(grid.direction)]
    return Grid(
        grid.size, grid.spacing, (float(origin[0]), float(origin[1]), float(origin[2])), (rows[0], rows[1], rows[2])
    )
