"""A series of single-frame CT, MR or PET images to a `Volume`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ..errors import DicomError, GeometryError
from ..findings import Finding, Severity
from ..volume import Volume
from .header import METADATA, ImageHeader, keyword_values, read_image_header
from .pixels import Rescale, is_lossy, read_values, rescale_of, stored_dtype, value_dtype
from .stack import plane_from_values, stack_slices
from .suv import pet_scale

Pet = Literal["suv", "bqml"]


def read_series(files: Path | Sequence[Path], *, pet: Pet = "suv") -> Volume:
    """Decode a series into a volume, slices ordered by position along their normal, rescaled slice by slice.

    Parameters
    ----------
    files : the files of one series, in any order, or a folder that holds one series of images
    pet : PET as body-weight SUV in g/ml, or as activity concentration in Bq/ml

    Returns
    -------
    volume : (Z, Y, X)
        CT: int16 HU where slope, intercept and range allow it, else float32. MR and others: as stored, rescaled
        where a slope is given. PET: float32. Its findings are those of the stack and of the pixels.

    Raises
    ------
    GeometryError
        The slices form no volume: its `findings` say why.
    DicomError
        A file cannot be read or decoded, there are no images or several series, or a PET lacks what SUV needs.
    """
    if pet not in ("suv", "bqml"):
        raise ValueError(f"pet must be 'suv' or 'bqml', got {pet!r}")
    headers = _one_series(_image_headers(files))
    stack = stack_slices([plane_from_values(header.values) for header in headers])
    series_uid = headers[0].values.get("SeriesInstanceUID", "")
    if stack.grid is None:
        reasons = [finding for finding in stack.findings if finding.severity is Severity.ERROR]
        raise GeometryError(
            f"series {_short(series_uid)} of {len(headers)} files forms no volume: "
            f"{'; '.join(f.message for f in reasons)}. Give read_series the files of one even stack, or leave it out",
            reasons,
        )
    ordered = [headers[k] for k in stack.order]
    modality = ordered[0].values.get("Modality")
    try:
        return _volume(ordered, modality, pet, stack.findings, stack.grid)
    except DicomError as error:
        raise type(error)(f"series {_short(series_uid)}: {error}", error.findings) from error


def _volume(headers: list[ImageHeader], modality: str | None, pet: Pet, stack: Sequence[Finding], grid: Any) -> Volume:
    _check_grey(headers)
    rescales = [rescale_of(header) for header in headers]
    unit = "HU" if modality == "CT" else None
    factor = 1.0
    if modality == "PT":
        scale = pet_scale(headers, to_suv=pet == "suv")
        unit, factor = scale.unit, scale.factor
    array = read_values(headers, rescales, value_dtype(headers, rescales, modality), factor=factor)
    metadata = MappingProxyType(keyword_values(headers[0].elements, METADATA))
    findings = (*stack, *_pixel_findings(headers, rescales, modality))
    return Volume(array, grid, unit, metadata, findings)


def _image_headers(files: Path | Sequence[Path]) -> list[ImageHeader]:
    """Headers of the files given, which must be images, or of those of a folder that are."""
    if isinstance(files, str | Path):
        path = Path(files)
        if not path.is_dir():
            return [_image_header(path)]
        found = list(_images_of(path))
        if not found:
            raise DicomError(f"no DICOM image in folder {path.name}")
        return found
    if not files:
        raise DicomError("no files given: a series has at least one")
    return [_image_header(Path(file)) for file in files]


def _images_of(folder: Path) -> Iterator[ImageHeader]:
    """Of a folder's own files those that are images; others may lie beside them."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            header = read_image_header(path)
        except DicomError:
            continue
        if "Rows" in header.values:
            yield header


def _image_header(path: Path) -> ImageHeader:
    header = read_image_header(path)
    if "Rows" not in header.values:
        raise DicomError(f"{path.name} is not an image: it has no Rows (0028,0010)")
    return header


def _one_series(headers: list[ImageHeader]) -> list[ImageHeader]:
    series = sorted({header.values.get("SeriesInstanceUID", "") for header in headers})
    if len(series) > 1:
        names = ", ".join(map(_short, series[:5]))
        raise DicomError(f"{len(headers)} files belong to {len(series)} series ({names}): give those of one")
    return headers


def _check_grey(headers: Sequence[ImageHeader]) -> None:
    for header in headers:
        try:
            stored_dtype(header)
        except DicomError as error:
            finding = Finding(code="not_monochrome", message=str(error))
            raise DicomError(str(error), [finding]) from error


def _pixel_findings(
    headers: Sequence[ImageHeader], rescales: Sequence[Rescale], modality: str | None
) -> Iterator[Finding]:
    lossy = sum(map(is_lossy, headers))
    if lossy:
        message = f"{lossy} of {len(headers)} slices went through lossy compression"
        yield Finding(code="lossy_compressed", message=message, numbers={"slices": lossy, "of": len(headers)})
    if any(header.values.get("PhotometricInterpretation") == "MONOCHROME1" for header in headers):
        yield Finding(code="monochrome1", message="MONOCHROME1: low values are shown bright; they are kept as stored")
    slopes = np.array([(rescale.slope, rescale.intercept) for rescale in rescales])
    if modality != "PT" and len(np.unique(slopes, axis=0)) > 1:  # PET slices are scaled one by one as a rule
        low, high = slopes.min(axis=0).tolist(), slopes.max(axis=0).tolist()
        message = f"slope and intercept differ from slice to slice, from {low} to {high}"
        yield Finding(code="mixed_rescale", message=message, numbers={"lowest": low, "highest": high})
    if modality == "CT" and not all("RescaleSlope" in header.values for header in headers):
        message = "a CT without RescaleSlope (0028,1053): its stored values are taken as HU"
        yield Finding(code="no_rescale", message=message)


def _short(uid: str) -> str:
    """A UID as messages show it: the first arcs and the last digits."""
    return uid if len(uid) <= 16 else f"{uid[:5]}…{uid[-4:]}"
