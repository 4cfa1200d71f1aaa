"""A series of CT, MR or PET images, of single frames, multi-frame or mosaic, to its `Volume` or volumes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from ..errors import DicomError, GeometryError
from ..findings import Finding, Severity
from ..geometry import Grid
from ..volume import Volume
from .decode import read_values, value_dtype
from .dicomdir import is_dicomdir, media_files
from .frames import Frame
from .header import METADATA, ImageHeader, Known, keyword_values, read_image_header
from .layout import Layout, layout_of
from .pixels import NATIVE, is_lossy, padding_value, stored_dtype, surplus_bytes
from .repair import FIXES, Repair, apply_repair, plan_repair, provenance
from .split import Part
from .suv import KINDS, Pet, pet_scale

MODALITY_LUT = 0x00283000
_READ_BY_OTHERS = {
    "1.2.840.10008.5.1.4.1.1.481.2": ("a dose", "read_dose"),
    "1.2.840.10008.5.1.4.1.1.66.4": ("a segmentation", "read_mask"),
    "1.2.840.10008.5.1.4.1.1.66.7": ("a segmentation", "read_mask"),
}
"""SOP class -> what such an object is, and what gives its pixels their meaning: here they would be bare numbers."""


def read_series(
    files: Path | Sequence[Path], *, pet: Pet = "suv", fix: Collection[str] = (), jobs: int | None = None
) -> Volume:
    """Decode a series into a volume, slices ordered by position along their normal, rescaled slice by slice.

    Parameters
    ----------
    files : the files of one series, in any order, a folder that holds one series of images, or a DICOMDIR of one
    pet : PET as SUV by body weight ("suv" or "suvbw"), by lean body mass of Janmahasatian ("suvlbm") or of James
        ("suvlbm_james"), by ideal body weight ("suvibw"), in g/ml, by body surface ("suvbsa") in cm2/ml, or as activity
        concentration ("bqml") in Bq/ml
    fix : codes of findings that are repaired instead of refused: a ``"gantry_tilt"`` by resampling to a straight
        stack, ``"missing_slices"`` (up to three in a row) by interpolation; see `repair`. The volume then has the
        finding `tilt_resampled` or `slices_interpolated`, and ``metadata["repairs"]`` says what was done
    jobs : threads that decode, or processes where pixels are compressed; the number of CPUs where None

    Returns
    -------
    volume : (Z, Y, X), or (C, Z, Y, X) of a series with several slices at every place
        CT: int16 HU where slope, intercept and range allow it, else float32. MR and others: as stored, rescaled
        where a slope is given. PET: float32. Its findings are those of the stack and of the pixels. What channels are
        is in its metadata: ``"channels": {"axis": "EchoTime", "values": [4.6, 9.2]}``; so is the ``"padding_value"``
        that stands for no measurement, where the header states one, or the ``"padding_range"`` (lowest, highest); where
        slices differ in it ``"padding_values"`` is a list of both forms. Voxels that have it keep it.

    Raises
    ------
    GeometryError
        The slices form no volume, or several that share no grid: its `findings` say why. See `read_volumes`.
    DicomError
        A file cannot be read or decoded, there are no images or several series, or a PET lacks what SUV needs.
    """
    layout = _layout(files, pet, fix)
    part = layout.split.parts[0]
    if len(layout.split.parts) > 1:
        raise _no_volume(layout)
    repair = _repair(layout, part, fix)
    if part.grid is None and repair is None:
        raise _no_volume(layout)
    return _part_volume(layout, part, repair, pet, jobs)


def read_volumes(
    files: Path | Sequence[Path], *, pet: Pet = "suv", fix: Collection[str] = (), jobs: int | None = None
) -> list[Volume]:
    """Decode every volume of a series: one by orientation, size, spacing, localizer, or group that shares no grid.

    Parameters are those of `read_series`.

    Returns
    -------
    volumes : each as `read_series` gives it
        By the order of their first slices. Where there are several, `metadata["volume"]` is the number of each, from
        0, and `metadata["volumes"]` how many there are.

    Raises
    ------
    GeometryError
        The slices of one of them form no volume. Nothing is left out in silence.
    DicomError
        As `read_series`.
    """
    layout = _layout(files, pet, fix)
    parts = layout.split.parts
    repairs = [_repair(layout, part, fix) for part in parts]
    if any(part.grid is None and repair is None for part, repair in zip(parts, repairs, strict=True)):
        raise _no_volume(layout, parts)
    pairs = zip(parts, repairs, strict=True)
    volumes = [_part_volume(layout, part, repair, pet, jobs) for part, repair in pairs]
    if len(parts) == 1:
        return volumes
    return [
        replace(volume, metadata=MappingProxyType({**volume.metadata, "volume": k, "volumes": len(parts)}))
        for k, volume in enumerate(volumes)
    ]


def _layout(files: Path | Sequence[Path], pet: Pet, fix: Collection[str]) -> Layout:
    if pet not in KINDS:
        raise ValueError(f"pet must be one of {', '.join(KINDS)}, got {pet!r}")
    if not set(fix) <= set(FIXES):
        raise ValueError(f"fix takes {', '.join(FIXES)}, got {', '.join(map(repr, fix))}")
    headers = _one_series(_image_headers(files))
    _check_class(headers)
    _check_grey(headers)
    return layout_of(headers)


def _no_volume(layout: Layout, parts: Sequence[Part] = ()) -> GeometryError:
    """The error of a series that is not one volume; where all its volumes were asked for, of those that are none."""
    found = [*layout.split.findings, *(finding for part in parts for finding in part.findings)]
    reasons = [finding for finding in found if finding.severity is Severity.ERROR]
    reasons = list({(finding.code, finding.message): finding for finding in reasons}.values())
    uid = _series_uid(layout.frames[0].header)
    n_files = len({id(frame.header) for frame in layout.frames})
    several = len(layout.split.parts) > 1 and not parts
    remedy = "Read them with read_volumes" if several else "Give read_series the files of one even stack"
    return GeometryError(
        f"series {_short(uid)} of {n_files} files forms no volume: {'; '.join(f.message for f in reasons)}. "
        f"{remedy}, or leave it out",
        reasons,
    )


def _repair(layout: Layout, part: Part, fix: Collection[str]) -> Repair | None:
    if part.grid is not None or not fix:
        return None
    return plan_repair([frame.plane for frame in layout.frames_of_part(part)], part.findings, fix)


def _part_volume(layout: Layout, part: Part, repair: Repair | None, pet: Pet, jobs: int | None) -> Volume:
    frames = layout.frames_of_part(part)
    try:
        volume = _volume(frames, part, pet, jobs) if repair is None else _repaired(frames, part, repair, pet, jobs)
    except DicomError as error:
        uid = _series_uid(frames[0].header)
        raise type(error)(f"series {_short(uid)}: {error}", error.findings) from error
    return volume


def _repaired(frames: list[Frame], part: Part, repair: Repair, pet: Pet, jobs: int | None) -> Volume:
    plain = Grid((frames[0].plane.columns, frames[0].plane.rows, len(frames)), (1.0, 1.0, 1.0))
    volume = _volume(frames, replace(part, grid=plain, findings=repair.findings), pet, jobs)
    metadata = MappingProxyType({**volume.metadata, "repairs": provenance(repair)})
    return replace(volume, array=apply_repair(repair, volume.array), grid=repair.grid, metadata=metadata)


def _volume(frames: list[Frame], part: Part, pet: Pet, jobs: int | None) -> Volume:
    headers = list({id(frame.header): frame.header for frame in frames}.values())
    _check_frame_of_reference(headers)
    modality = headers[0].values.get("Modality")
    _check_meaning(headers[0])
    unit = _ct_unit(frames) if modality == "CT" else None
    factors = None
    if modality == "PT":
        scale = pet_scale(headers, pet)
        unit = scale.unit
        factors = {id(header): factor for header, factor in zip(headers, scale.factors, strict=True)}
    array = read_values(frames, value_dtype(frames, modality), factors=factors, jobs=jobs)
    metadata = keyword_values(headers[0].elements, METADATA)
    if part.axis is not None:
        array = array.reshape(len(part.channels), -1, *array.shape[1:])
        metadata["channels"] = {"axis": part.axis, "values": list(part.values)}
    metadata |= {} if modality == "PT" else _padding(frames)
    findings = (*part.findings, *_pixel_findings(frames, headers, modality), *_length_findings(headers))
    return Volume(array, cast(Grid, part.grid), unit, MappingProxyType(metadata), findings)


def _padding(frames: Sequence[Frame]) -> dict[str, Any]:
    """What stands for no measurement, as metadata: one value, or a range; of slices rescaled apart a list of them."""
    keywords = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    apart = {(*map(frame.header.values.get, keywords), frame.rescale): frame for frame in frames}
    found = set()
    for frame in apart.values():
        value, limit = (padding_value(frame.header, frame.rescale, keyword) for keyword in keywords)
        if value is not None:
            found.add((value,) if limit is None else (min(value, limit), max(value, limit)))
    ordered = sorted(found)
    if len(ordered) != 1:
        return {"padding_values": [list(values) for values in ordered]} if ordered else {}
    (values,) = ordered
    return {"padding_value": values[0]} if len(values) == 1 else {"padding_range": list(values)}


def _ct_unit(frames: Sequence[Frame]) -> str | None:
    """HU where no Rescale Type is stated (PS3.3 C.11.1.1.2), else what it says; None where that is unspecified."""
    kinds = {frame.rescale.kind or "HU" for frame in frames}
    return None if len(kinds) > 1 or "US" in kinds else kinds.pop()


def _image_headers(files: Path | Sequence[Path]) -> list[ImageHeader]:
    """Headers of the files given, which must be images, or of those of a folder that are."""
    if isinstance(files, str | Path):
        path = Path(files)
        if not path.is_dir():
            return _image_headers(_named_files(path)) if is_dicomdir(path) else [_image_header(path)]
        found = list(_images_of(path))
        if not found:
            raise DicomError(f"no DICOM image in folder {path.name}")
        return found
    if not files:
        raise DicomError("no files given: a series has at least one")
    known: Known = {}
    paths = (file if isinstance(file, Path) else Path(file) for file in files)  # a Path of a Path is parsed again
    return [_image_header(path, known) for path in paths]


def _named_files(dicomdir: Path) -> list[Path]:
    """The files of a DICOMDIR, all of which must be there."""
    listed = media_files(dicomdir)
    if listed.missing:
        few = ", ".join(listed.missing[:3]) + (", ..." if len(listed.missing) > 3 else "")
        raise DicomError(f"{dicomdir.name} names {len(listed.missing)} files that are not there: {few}")
    if not listed.files:
        raise DicomError(f"{dicomdir.name} names no files")
    return list(listed.files)


def _images_of(folder: Path) -> Iterator[ImageHeader]:
    """Of a folder's own files those that are images; others may lie beside them."""
    known: Known = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            header = read_image_header(path, known)
        except DicomError:
            continue
        if "Rows" in header.values:
            yield header


def _image_header(path: Path, known: Known | None = None) -> ImageHeader:
    header = read_image_header(path, known)
    if "Rows" not in header.values:
        message = f"{path.name} is not an image: it has no Rows (0028,0010)"
        raise DicomError(message, [Finding(code="no_pixel_data", message=message)])
    return header


def _one_series(headers: list[ImageHeader]) -> list[ImageHeader]:
    series = sorted({_series_uid(header) for header in headers})
    if len(series) > 1:
        names = ", ".join(map(_short, series[:5]))
        raise DicomError(f"{len(headers)} files belong to {len(series)} series ({names}): give those of one")
    kinds = sorted({header.values.get("Modality", "none") for header in headers})
    if len(kinds) > 1:
        message = f"files of one series are of Modality (0008,0060) {', '.join(kinds)}: their values do not compare"
        raise DicomError(message, [Finding(code="mixed_modality", message=message)])
    return headers


def _check_frame_of_reference(headers: Sequence[ImageHeader]) -> None:
    found = {header.values["FrameOfReferenceUID"] for header in headers if "FrameOfReferenceUID" in header.values}
    if len(found) > 1:
        message = f"its slices are in {len(found)} frames of reference (0020,0052): their positions do not compare"
        raise GeometryError(message, [Finding(code="mixed_frame_of_reference", message=message)])


def _series_uid(header: ImageHeader) -> str:
    """SeriesInstanceUID (0020,000E); as it is written where a backslash makes several of it."""
    uid: str | list[str] = header.values.get("SeriesInstanceUID", "")
    return uid if isinstance(uid, str) else "\\".join(uid)


def _check_class(headers: Sequence[ImageHeader]) -> None:
    for header in headers:
        known = _READ_BY_OTHERS.get(header.values.get("SOPClassUID", ""))
        if known is not None:
            message = f"{header.name} is {known[0]}, not an image of a scanner: read it with {known[1]}"
            raise DicomError(message, [Finding(code="not_decodable", message=message)])


def _check_meaning(header: ImageHeader) -> None:
    """Whether stored bits are values by nothing but slope and intercept. Files of a series do not differ in this.

    HighBit (0028,0102) is one less than BitsStored today (PS3.5 8.1.1); old files may keep values further up.
    """
    message = ""
    if MODALITY_LUT in header.elements.fields():
        message = "its values are those of a ModalityLUTSequence (0028,3000), which is not applied"
    stored = header.values.get("BitsStored", 0)
    high = header.values.get("HighBit", stored - 1)
    if stored and header.transfer_syntax in NATIVE and high != stored - 1:
        message = f"HighBit (0028,0102) {high} and BitsStored (0028,0101) {stored}: values are not in the lowest bits"
    if message:
        message = f"{header.name}: {message}"
        raise DicomError(message, [Finding(code="not_decodable", message=message)])


def _check_grey(headers: Sequence[ImageHeader]) -> None:
    for header in headers:
        try:
            stored_dtype(header)
        except DicomError as error:
            finding = Finding(code="not_monochrome", message=str(error))
            raise DicomError(str(error), [finding]) from error


def _pixel_findings(frames: Sequence[Frame], headers: Sequence[ImageHeader], modality: str | None) -> Iterator[Finding]:
    lossy = sum(is_lossy(frame.header) for frame in frames)
    if lossy:
        message = f"{lossy} of {len(frames)} slices went through lossy compression"
        yield Finding(code="lossy_compressed", message=message, numbers={"slices": lossy, "of": len(frames)})
    if any(header.values.get("PhotometricInterpretation") == "MONOCHROME1" for header in headers):
        yield Finding(code="monochrome1", message="MONOCHROME1: low values are shown bright; they are kept as stored")
    slopes = np.array([(frame.rescale.slope, frame.rescale.intercept) for frame in frames])
    if modality != "PT" and len(np.unique(slopes, axis=0)) > 1:  # PET slices are scaled one by one as a rule
        low, high = slopes.min(axis=0).tolist(), slopes.max(axis=0).tolist()
        message = f"slope and intercept differ from slice to slice, from {low} to {high}"
        yield Finding(code="mixed_rescale", message=message, numbers={"lowest": low, "highest": high})
    if modality == "CT" and not all(frame.has_rescale for frame in frames):
        message = "a CT without RescaleSlope (0028,1053): its stored values are taken as HU"
        yield Finding(code="no_rescale", message=message)
    kinds = sorted({frame.rescale.kind for frame in frames} - {"", "HU"})
    if modality == "CT" and kinds:
        of = sum(frame.rescale.kind in kinds for frame in frames)
        message = f"RescaleType (0028,1054) of {of} of {len(frames)} slices is {', '.join(kinds)}, not HU"
        yield Finding(code="rescale_not_hu", message=message, numbers={"types": kinds, "slices": of})


def _length_findings(headers: Sequence[ImageHeader]) -> Iterator[Finding]:
    surplus = {header.name: count for header in headers if (count := surplus_bytes(header))}
    if surplus:
        name, count = next(iter(surplus.items()))
        message = (
            f"PixelData (7FE0,0010) of {len(surplus)} of {len(headers)} files are longer than Rows, Columns and "
            f"NumberOfFrames say, in {name} by {count} bytes: what is beyond is left out"
        )
        yield Finding(code="pixel_data_too_long", message=message, numbers={"files": len(surplus), "bytes": count})


def _short(uid: str) -> str:
    """A UID as messages show it: the first arcs and the last digits."""
    return uid if len(uid) <= 16 else f"{uid[:5]}…{uid[-4:]}"
