"""NIfTI in: a file becomes a `Volume`, a label file a `Mask` on the grid of its image.

NIfTI-1 says where voxels are twice, as qform and as sform. The sform is taken where it is set, as nibabel does; where
both are set and disagree, that is the finding `nifti_forms_differ`, and so is a voxel size beside the sform that is
not its. World coordinates are RAS+ and become LPS; metres and micrometres become mm (`nifti_units`).
"""

import zlib
from collections.abc import Mapping, Sequence
from math import prod
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
LENGTH_UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 0.001)}
"""By the low three bits of xyzt_units (nifti1.h) the name of the unit and its mm; all other values are taken for mm."""
_MOST_LABELS = 255
_READABLE = (OSError, EOFError, ValueError, MemoryError, zlib.error)


def read_nifti(path: Path | str, *, modality: str | None = None, metadata: Mapping[str, Any] | None = None) -> Volume:
    """Read an image.

    Parameters
    ----------
    modality : "CT" makes the unit HU, and int16 of values that are all whole and fit
    metadata : what is known of the file beside it, kept with the volume

    Returns
    -------
    volume : (Z, Y, X), or (C, Z, Y, X) where there are further axes
        Of the stored type; float32 where slope and intercept are set, and whole numbers of 64 bits as int32 where
        they fit, else as float64. Further axes are the finding `several_channels`.

    Raises
    ------
    NiftiError
        The file cannot be read, has values that are no numbers, voxel sizes that are not positive, or axes that form no
        grid.
    """
    array, grid, findings = _read(Path(path))
    if array.ndim == 4:
        message = f"{len(array)} volumes on one grid, along the further axes of a NIfTI file"
        numbers = {"axis": "nifti", "channels": len(array)}
        findings.append(Finding(code="several_channels", message=message, numbers=numbers))
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
        negative (`label_not_whole`) or above 255, in channels above 1 (`label_too_large`).
    """
    path = Path(path)
    grid = reference.grid if isinstance(reference, Volume) else reference
    array, own, found = _read(path)
    if not own.is_close(grid, tolerance_mm=min(FORMS_TOLERANCE_MM, 0.5 * min(grid.spacing))):
        message = f"label {path.name} has {own.size} voxels of {_rounded(own.spacing)} mm at {_rounded(own.origin)}, "
        message += f"its image {grid.size} of {_rounded(grid.spacing)} mm at {_rounded(grid.origin)}: resample it first"
        raise NiftiError(message, [Finding(code="grid_mismatch", message=message)])
    values = _label_values(array, path.name)
    findings = tuple(found)
    if array.ndim == 4:
        if values[-1] > 1:
            message = f"label {path.name} has {len(array)} volumes and the value {values[-1]}: channels hold 0 and 1"
            raise NiftiError(message, [Finding(code="label_too_large", message=message)])
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


def millimetres(header: Any) -> float:
    """What a length of a nibabel header is in mm."""
    return LENGTH_UNITS.get(int(header["xyzt_units"]) & 7, ("mm", 1.0))[1]


def _read(path: Path) -> tuple[NDArray[Any], Grid, list[Finding]]:
    """Voxels, where they are, and what is unusual about the file."""
    image, pixdim = _open(path)
    array = _voxels(image, path.name)
    affine = np.diag([millimetres(image.header)] * 3 + [1.0]) @ image.affine
    grid = grid_of_affine(affine, array.shape[-3:], path.name)
    return array, grid, [*_form_findings(image, pixdim), *_unit_findings(image.header)]


def _open(path: Path) -> tuple[Any, NDArray[np.float64]]:
    """The image with all its bytes in memory, and its voxel size as it is written.

    Compressed files are read through ISA-L, which is several times as fast.
    """
    import nibabel
    from isal import igzip

    try:
        if path.name.lower().endswith(".gz"):
            with igzip.open(path, "rb") as file:
                content = file.read()
            written = _written_header(content, len(content), path.name)
            kind = nibabel.Nifti2Image if isinstance(written, nibabel.Nifti2Header) else nibabel.Nifti1Image
            image = kind.from_bytes(content)
        else:
            with path.open("rb") as file:
                size = path.stat().st_size
                written = _written_header(file.read(540), size, path.name) if path.suffix.lower() == ".nii" else None
            image = nibabel.load(path)
        return image, np.asarray((written or image.header)["pixdim"][1:4], dtype=np.float64)
    except (*_READABLE, nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        reason = str(error).splitlines()[0].replace(str(path), path.name) if str(error) else "it is cut short"
        raise NiftiError(f"{path.name} cannot be read as NIfTI: {reason}; get it again") from error


def _written_header(content: bytes, size: int, name: str) -> Any:
    """The header as it is written: nibabel makes 0 mm to 1 mm, and takes the sign of others away, without a word.

    None where this is no NIfTI, which nibabel says.

    Raises
    ------
    NiftiError
        An axis has no voxel, the file is shorter than its voxels, or only the voxel size says where they are, and it
        is not positive.
    """
    import nibabel

    kind = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
    start = content[:4]
    length = next((n for n in kind if start in (n.to_bytes(4, "little"), n.to_bytes(4, "big"))), 0)
    if not length or len(content) < length:
        return None
    header = kind[length](content[:length], check=False)
    n_axes = int(header["dim"][0])
    shape = [int(n) for n in header["dim"][1 : n_axes + 1]]
    if not 1 <= n_axes <= 7 or min(shape) < 1:
        raise NiftiError(f"{name} has {shape} voxels: its header is damaged; get it again")
    needed = int(header["vox_offset"]) + prod(shape) * int(header["bitpix"]) // 8
    if needed > size:
        raise NiftiError(f"{name} ends {needed - size} bytes before its {shape} voxels do: get it again")
    sizes = np.asarray(header["pixdim"][1 : min(n_axes, 3) + 1], dtype=np.float64)
    if not int(header["sform_code"]) and not (np.isfinite(sizes) & (sizes > 0)).all():
        message = f"{name} has the voxel size {_rounded(sizes)}, each must be positive, and no sform: its geometry is "
        raise NiftiError(message + "lost; set it from the original images")
    return header


def _voxels(image: Any, name: str) -> NDArray[Any]:
    """(Z, Y, X), or (C, Z, Y, X) with all further axes in one; native byte order, rescaled where the header says so."""
    try:
        slope, intercept = image.dataobj.slope, image.dataobj.inter
        stored = np.asarray(image.dataobj.get_unscaled())
    except _READABLE as error:
        raise NiftiError(f"{name}: its voxels cannot be read: {error}; get it again") from error
    if stored.dtype.kind not in "iuf":
        raise NiftiError(f"{name} has voxels of type {stored.dtype}: whole and real numbers can be read")
    if slope != 1 or intercept != 0:
        stored = (stored * np.float64(slope) + np.float64(intercept)).astype(np.float32)
    stored = _bearable(stored)
    array = stored.reshape(*stored.shape[:3], *[1] * (3 - stored.ndim), -1, order="F").T
    array = array[0] if len(array) == 1 else array
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _bearable(stored: NDArray[Any]) -> NDArray[Any]:
    """Without whole numbers of 64 bits and floats of 128, which neither kernels nor stores take."""
    if stored.dtype.kind in "iu" and stored.dtype.itemsize == 8:
        limits = np.iinfo(np.int32)
        fits = stored.size == 0 or (stored.min() >= limits.min and stored.max() <= limits.max)
        return stored.astype(np.int32 if fits else np.float64)
    return stored.astype(np.float64) if stored.dtype.itemsize > 8 else stored


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


def _unit_findings(header: Any) -> list[Finding]:
    code = int(header["xyzt_units"]) & 7
    if code not in LENGTH_UNITS:
        return []
    unit, factor = LENGTH_UNITS[code]
    message = f"its header gives lengths in {unit}: they became mm"
    return [Finding(code="nifti_units", message=message, numbers={"mm": factor})]


def _form_findings(image: Any, pixdim: NDArray[np.float64]) -> list[Finding]:
    """What sform, qform and voxel size say of one another."""
    sform, sform_code = image.header.get_sform(coded=True)
    try:
        with np.errstate(invalid="ignore"):  # of sizes that are infinite
            qform, qform_code = image.header.get_qform(coded=True)
    except ValueError:  # a quaternion that is none
        qform, qform_code = None, 1
    if not sform_code and not qform_code:
        message = "its header has neither sform nor qform: only the spacing is known, not the place in the patient"
        return [Finding(code="no_image_geometry", message=message)]
    if sform_code and not _is_size_of(pixdim, sform, image):
        message = f"sform has voxels of {_rounded(_lengths(sform))}, pixdim says {_rounded(pixdim)}: the sform is taken"
        return [Finding(code="nifti_forms_differ", message=message, numbers={"mm": None})]
    if not (sform_code and qform_code):
        return []
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in (*image.shape, 1, 1)[:3]], [1])).reshape(4, -1)
    apart = np.inf if qform is None else float(np.abs((sform - qform) @ corners).max()) * millimetres(image.header)
    if apart <= FORMS_TOLERANCE_MM:
        return []
    distance = f"{apart:.3g} mm" if np.isfinite(apart) else "as far as one can be, the qform being none,"
    message = f"sform and qform put voxels up to {distance} apart: the sform is taken"
    numbers = {"mm": apart if np.isfinite(apart) else None}
    return [Finding(code="nifti_forms_differ", message=message, numbers=numbers)]


def _is_size_of(pixdim: NDArray[np.float64], sform: NDArray[np.float64], image: Any) -> bool:
    """Whether the voxel size puts the last voxel of each axis where the sform does, so far as there are axes."""
    n = np.array((*image.shape, 1, 1)[:3])
    known = np.arange(3) < len(image.shape)
    apart = np.abs(pixdim - _lengths(sform)) * np.maximum(n - 1, 1) * millimetres(image.header)
    return bool((apart <= FORMS_TOLERANCE_MM)[known].all())  # not where it is nan


def _lengths(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a step along x, y, z."""
    lengths: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return lengths


def _triple(values: Sequence[float] | NDArray[Any]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _rounded(values: Sequence[float] | NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
