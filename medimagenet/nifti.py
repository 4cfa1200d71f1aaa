"""NIfTI in: a file becomes a `Volume`, a label file a `Mask` on the grid of its image.

NIfTI-1 says where voxels are twice, as qform and as sform. The sform is taken where it is set, as nibabel does; where
both are set and disagree, that is the finding `nifti_forms_differ`. World coordinates are RAS+ mm and become LPS.
"""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NiftiError
from .findings import Finding
from .geometry import ORTHONORMAL_TOLERANCE, Grid
from .volume import Mask, Volume

FORMS_TOLERANCE_MM = 0.1
"""Distance of a corner voxel between sform and qform from which they differ: quaternions in float32 err less."""
_MOST_LABELS = 255


def read_nifti(path: Path | str, *, modality: str | None = None, metadata: Mapping[str, Any] | None = None) -> Volume:
    """Read an image.

    Parameters
    ----------
    modality : "CT" makes the unit HU, and int16 of values that are all whole and fit
    metadata : what is known of the file beside it, kept with the volume

    Returns
    -------
    volume : (Z, Y, X), or (C, Z, Y, X) where there are further axes
        Of the stored type; float32 where slope and intercept are set.

    Raises
    ------
    NiftiError
        The file cannot be read, has values that are no numbers, or axes that form no grid.
    """
    image = _open(Path(path))
    array, affine, findings = _voxels(image, Path(path).name), image.affine, list(_form_findings(image))
    grid = grid_of_affine(affine, array.shape[-3:], Path(path).name)
    if modality == "CT" and array.dtype.kind == "f":
        array = _whole(array)
    known = {"Modality": modality, **(metadata or {})}
    unit = "HU" if modality == "CT" else None
    return Volume(array, grid, unit, MappingProxyType(known), tuple(findings))


def read_nifti_mask(path: Path | str, reference: Grid | Volume, names: Sequence[str] = ()) -> Mask:
    """Read a label file: a map of whole numbers, or one channel of 0 and 1 per class along a fourth axis.

    Parameters
    ----------
    reference : the image that was labelled, or its grid; the file must be on it
    names : of the values 1, 2, ..., or of the channels; without them the values that occur are "label_1", ...

    Raises
    ------
    NiftiError
        The file cannot be read, is on another grid than the image (`grid_mismatch`), or has values that are not whole,
        negative (`label_not_whole`) or above 255 (`label_too_large`).
    """
    path = Path(path)
    grid = reference.grid if isinstance(reference, Volume) else reference
    image = _open(path)
    array = _voxels(image, path.name)
    own = grid_of_affine(image.affine, array.shape[-3:], path.name)
    if not own.is_close(grid, tolerance_mm=FORMS_TOLERANCE_MM):
        message = f"label {path.name} has {own.size} voxels of {_rounded(own.spacing)} mm at {_rounded(own.origin)}, "
        message += f"its image {grid.size} of {_rounded(grid.spacing)} mm at {_rounded(grid.origin)}: resample it first"
        raise NiftiError(message, [Finding(code="grid_mismatch", message=message)])
    values = _label_values(array, path.name)
    findings = tuple(_form_findings(image))
    if array.ndim == 4:
        labels = list(names) if len(names) == len(array) else [f"label_{k}" for k in range(1, len(array) + 1)]
        return Mask(array != 0, grid, tuple(labels), findings=findings)
    wanted = dict(enumerate(names, start=1)) if names else {int(value): f"label_{value}" for value in values if value}
    unnamed = [int(value) for value in values if value and value not in wanted]
    wanted |= {value: f"label_{value}" for value in unnamed}
    channels = np.zeros((len(wanted), *array.shape), dtype=np.bool_)
    for channel, value in zip(channels, wanted, strict=True):
        np.equal(array, value, out=channel)
    return Mask(channels, grid, tuple(wanted.values()), findings=findings)


def grid_of_affine(affine: NDArray[Any], shape: Sequence[int], name: str) -> Grid:
    """The grid of an affine, (4, 4) from x, y, z to RAS mm, and a shape (Z, Y, X).

    Raises
    ------
    NiftiError
        A spacing is zero or not finite, or the axes are not at right angles.
    """
    matrix = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)[:3]
    spacing = np.linalg.norm(matrix[:, :3], axis=0)
    if not (np.isfinite(matrix).all() and (spacing > 0).all()):
        raise NiftiError(f"{name} has the spacing {_rounded(spacing)} mm: each must be positive; its header is damaged")
    direction = matrix[:, :3] / spacing
    deviation = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if deviation > ORTHONORMAL_TOLERANCE:
        message = f"the axes of {name} are not at right angles (cosine {deviation:.3g}): resample it to a grid first"
        raise NiftiError(message, [Finding(code="skewed_axes", message=message, numbers={"cosine": deviation})])
    z, y, x = shape
    return Grid((x, y, z), _triple(spacing), _triple(matrix[:, 3]), tuple(_triple(row) for row in direction))  # type: ignore[arg-type]


def _open(path: Path) -> Any:
    """The image with all its bytes in memory; compressed ones through ISA-L, which is several times as fast."""
    import nibabel
    from isal import igzip

    try:
        if not path.name.lower().endswith(".gz"):
            return nibabel.load(path)
        with igzip.open(path, "rb") as file:
            content = file.read()
        kind = nibabel.Nifti2Image if content[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
        return kind.from_bytes(content)
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        reason = str(error).splitlines()[0].replace(str(path), path.name) if str(error) else "it is cut short"
        raise NiftiError(f"{path.name} cannot be read as NIfTI: {reason}; get it again") from error


def _voxels(image: Any, name: str) -> NDArray[Any]:
    """(Z, Y, X), or (C, Z, Y, X) with all further axes in one; native byte order, rescaled where the header says so."""
    try:
        slope, intercept = image.dataobj.slope, image.dataobj.inter
        stored = np.asarray(image.dataobj.get_unscaled())
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise NiftiError(f"{name}: its voxels cannot be read: {error}; get it again") from error
    if stored.dtype.kind not in "iuf":
        raise NiftiError(f"{name} has voxels of type {stored.dtype}: whole and real numbers can be read")
    if slope != 1 or intercept != 0:
        stored = (stored * np.float64(slope) + np.float64(intercept)).astype(np.float32)
    array = stored.reshape(*stored.shape[:3], *[1] * (3 - stored.ndim), -1, order="F").T
    array = array[0] if len(array) == 1 else array
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _whole(array: NDArray[Any]) -> NDArray[Any]:
    """HU that were stored as floats, as int16, where that changes none."""
    limits = np.iinfo(np.int16)
    if not np.isfinite(array).all() or array.min() < limits.min or array.max() > limits.max:
        return array
    whole = array.astype(np.int16)
    return whole if np.array_equal(whole, array) else array


def _label_values(array: NDArray[Any], name: str) -> NDArray[np.int64]:
    """The values that occur, rising.

    Raises
    ------
    NiftiError
        One is not whole, negative or above 255.
    """
    values = np.unique(array)
    if not np.isfinite(values).all() or (values != np.floor(values)).any() or values[0] < 0:
        wrong = next(float(v) for v in values if not np.isfinite(v) or v != np.floor(v) or v < 0)
        message = f"label {name} has the value {wrong:g}: labels are whole numbers from 0; is it an image?"
        raise NiftiError(message, [Finding(code="label_not_whole", message=message, numbers={"value": str(wrong)})])
    if values[-1] > _MOST_LABELS:
        message = f"label {name} has the value {values[-1]:g}: a label holds at most {_MOST_LABELS} classes"
        raise NiftiError(message, [Finding(code="label_too_large", message=message)])
    return values.astype(np.int64)


def _form_findings(image: Any) -> list[Finding]:
    """What sform and qform say of one another."""
    sform, sform_code = image.header.get_sform(coded=True)
    try:
        qform, qform_code = image.header.get_qform(coded=True)
    except ValueError:  # a quaternion that is none
        qform, qform_code = None, 1
    if not sform_code and not qform_code:
        message = "its header has neither sform nor qform: only the spacing is known, not the place in the patient"
        return [Finding(code="no_image_geometry", message=message)]
    if not (sform_code and qform_code):
        return []
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in (*image.shape, 1, 1)[:3]], [1])).reshape(4, -1)
    apart = np.inf if qform is None else float(np.abs((sform - qform) @ corners).max())
    if apart <= FORMS_TOLERANCE_MM:
        return []
    distance = f"{apart:.3g} mm" if np.isfinite(apart) else "as far as one can be, the qform being none,"
    message = f"sform and qform put voxels up to {distance} apart: the sform is taken"
    numbers = {"mm": apart if np.isfinite(apart) else None}
    return [Finding(code="nifti_forms_differ", message=message, numbers=numbers)]


def _triple(values: Sequence[float] | NDArray[Any]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _rounded(values: Sequence[float] | NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
