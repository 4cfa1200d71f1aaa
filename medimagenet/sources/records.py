"""From a group of headers to the row that describes it."""

import hashlib
import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dicom.header_scan import HeaderRun, InstanceHeader
from ..dicom.instance import text_of
from ..dicom.stack import plane_from_values, stack_of_columns
from ..errors import DicomError
from ..findings import Finding
from ..geometry import Grid
from .base import SINGLE_OBJECTS, SeriesRecord
from .grouping import Duplicate, Group
from .references import References

if TYPE_CHECKING:
    from ..dicom.layout import Layout

_TEXT_KEYWORDS = (
    *("PatientID", "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "StudyDescription"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesDescription", "Modality", "SOPClassUID"),
    *("BodyPartExamined", "Manufacturer", "ManufacturerModelName", "TransferSyntaxUID"),
)
_VOLUME_MODALITIES = ("CT", "MR", "PT")  # where an image without position is a fault, not the nature of the thing
_LOOKED_INTO = frozenset(
    {
        *("multi_frame", "mosaic", "duplicate_slices"),
        *("localizer_mixed_in", "mixed_size", "mixed_orientation", "mixed_spacing"),
    }
)
"""Findings of a stack that more of the headers may explain: several volumes, channels, frames."""
_LOSSY_SYNTAXES = frozenset(  # DICOM PS3.5 A.4: those that are always lossy, or lossy unless the header denies it
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81)
)
_KEY_LENGTH = 16  # hex digits
_HASH_LENGTH = 32


def make_record(group: Group, references: References, root: Path, **origin: str | None) -> SeriesRecord:
    """Describe one group.

    Parameters
    ----------
    group
        Its files.
    references
        What its objects refer to, resolved.
    root
        Folder that was indexed; the key holds the place below it, so that a tree that moves keeps its keys.
    origin
        `source`, `collection_id`, `license`, `doi`.
    """
    first = group.headers[0]
    unordered = HeaderRun.of(group.headers)
    stack = _stack(unordered)
    headers = unordered if stack is None else stack.headers
    folder = Path(os.path.commonpath({file.rpartition(os.sep)[0] or os.sep for file in headers.files}))
    files = _below(folder, headers)
    hashed = zip(headers.hashes, headers.sizes, strict=True)
    content = _digest(f"{header_hash} {size}" for header_hash, size in hashed)[:_HASH_LENGTH]
    place = folder.relative_to(root).as_posix()
    values: dict[str, Any] = {keyword: _first_text(headers, keyword) for keyword in _TEXT_KEYWORDS}
    return SeriesRecord(
        **values,
        **origin,  # type: ignore[arg-type]
        key=f"{first.series_uid}:{_digest([first.series_uid, place, *sorted(files), content])[:_KEY_LENGTH]}",
        SOPInstanceUID=first.sop_instance_uid or None if first.modality in SINGLE_OBJECTS else None,
        FrameOfReferenceUID=_frame_of_reference(headers),
        SliceThickness=_first_number(headers, "SliceThickness"),
        uri=str(folder),
        files=files,
        n_instances=len(headers),
        size_bytes=sum(headers.sizes),
        content_hash=content,
        referenced_series=references.series,
        referenced_instances=references.instances,
        roi_names=tuple(first.texts("ROINames") or first.texts("SegmentLabels")),
        findings=(*_findings(headers, stack, group.duplicates), *references.findings),
        **_geometry(stack),
    )


def _below(folder: Path, headers: HeaderRun) -> tuple[str, ...]:
    """Paths below a folder, with forward slashes. As text: pathlib takes ten times as long."""
    begin = len(os.path.join(folder, ""))  # noqa: PTH118 - with the separator at its end
    return tuple([file[begin:].replace(os.sep, "/") for file in headers.files])


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the slices of a series form."""

    headers: HeaderRun
    """In the order of the volume."""
    grid: Grid | None
    findings: tuple[Finding, ...]


def _stack(headers: HeaderRun) -> _Shape | None:
    """The stack that image slices form; None for objects and for images that are no slices of a patient."""
    modality = _first_text(headers, "Modality")
    if modality in SINGLE_OBJECTS:
        return None
    if modality not in _VOLUME_MODALITIES and not any(map(_has_position, headers)):
        return None
    is_framed = bool(headers.present("NumberOfFrames"))
    stack = stack_of_columns(headers.common, headers.columns, len(headers))
    if any(finding.code in _LOOKED_INTO for finding in stack.findings) or (stack.grid is None and is_framed):
        shape = _look_into(headers)
        if shape is not None:
            return shape
    return _Shape(headers.take(stack.order), stack.grid, stack.findings)


def _has_position(header: InstanceHeader) -> bool:
    return plane_from_values(header.values).position is not None


def _look_into(headers: HeaderRun) -> _Shape | None:
    """What decoding makes of files that are no plain stack, from more of their headers; None where it fails."""
    by_path = {Path(file): place for place, file in enumerate(headers.files)}
    layout = importlib.import_module("..dicom.layout", __package__)  # loads pydicom, which most folders never need
    try:
        found: Layout = layout.read_layout(list(by_path))
    except DicomError:
        return None
    paths = dict.fromkeys(found.frames[k].header.path for k in found.split.order)
    return _Shape(headers.take([by_path[path] for path in paths]), found.split.grid, found.split.findings)


def _geometry(stack: _Shape | None) -> dict[str, Any]:
    if stack is None or stack.grid is None:
        return {}
    grid = stack.grid
    return {"shape": grid.shape, "spacing_mm": grid.spacing, "orientation": grid.orientation}


def _findings(headers: HeaderRun, stack: _Shape | None, duplicates: Sequence[Duplicate]) -> Iterator[Finding]:
    if duplicates:
        yield Finding(
            code="duplicate_file",
            message=f"{len(duplicates)} files with the same bytes as others of the series are left out",
            numbers={"files": len(duplicates)},
        )
    if _first_text(headers, "Modality") in SINGLE_OBJECTS:
        return
    yield from _identity_findings(headers)
    if stack is None:
        yield Finding(code="no_image_geometry", message="images without a place in the patient")
    else:
        yield from stack.findings
    yield from _pixel_findings(headers)


def _identity_findings(headers: HeaderRun) -> Iterator[Finding]:
    """Where files of one series contradict each other."""
    contradictions = (
        ("mixed_study", "studies (StudyInstanceUID)", "StudyInstanceUID"),
        ("mixed_frame_of_reference", "frames of reference: their positions do not compare", "FrameOfReferenceUID"),
    )
    for code, what, keyword in contradictions:
        count = len({*headers.texts(keyword)} - {""})
        if count > 1:
            yield Finding(code=code, message=f"files of one series name {count} {what}", numbers={"different": count})


def _pixel_findings(headers: HeaderRun) -> Iterator[Finding]:
    """What headers tell about the pixels."""
    empty = len(headers) - sum(headers.pixels)
    if empty:
        yield _counted("no_pixel_data", "have no pixel data", empty, len(headers))
    colours = sorted({*headers.texts("PhotometricInterpretation")} - {"MONOCHROME1", "MONOCHROME2", ""})
    if colours:
        yield Finding(
            code="not_monochrome",
            message=f"pixels are {', '.join(colours)} (PhotometricInterpretation (0028,0004)), not grey values",
            numbers={"kinds": colours},
        )
    lossy = sum(map(_is_lossy, headers.column("LossyImageCompression"), headers.column("TransferSyntaxUID")))
    if lossy:
        yield _counted("lossy_compressed", "were compressed with loss", lossy, len(headers))


def _counted(code: str, what: str, count: int, total: int) -> Finding:
    return Finding(code=code, message=f"{count} of {total} images {what}", numbers={"images": count, "of": total})


def _is_lossy(said: Any, syntax: Any) -> bool:
    return said == "01" or syntax in _LOSSY_SYNTAXES


def _first_text(headers: HeaderRun, keyword: str) -> str | None:
    if keyword not in headers.columns:
        return text_of(headers.common.get(keyword, "")) or None
    return next((text for text in headers.texts(keyword) if text), None)


def _first_number(headers: HeaderRun, keyword: str) -> float | None:
    return next((float(value) for value in headers.present(keyword) if isinstance(value, int | float)), None)


def _frame_of_reference(headers: HeaderRun) -> str | None:
    own = _first_text(headers, "FrameOfReferenceUID")
    return own or next(iter(headers[0].texts("ReferencedFrameOfReferenceUIDs")), None)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
