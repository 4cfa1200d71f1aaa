"""From a group of headers to the row that describes it."""

import hashlib
import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dicom.header_scan import InstanceHeader
from ..dicom.stack import plane_from_values, stack_of_values
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
    stack = _stack(group.headers)
    headers = group.headers if stack is None else stack.headers
    folder = Path(os.path.commonpath({header.file.rpartition(os.sep)[0] or os.sep for header in headers}))
    files = _below(folder, headers)
    content = _digest(f"{header.header_hash} {header.size_bytes}" for header in headers)[:_HASH_LENGTH]
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
        size_bytes=sum(header.size_bytes for header in headers),
        content_hash=content,
        referenced_series=references.series,
        referenced_instances=references.instances,
        roi_names=tuple(first.texts("ROINames") or first.texts("SegmentLabels")),
        findings=(*_findings(headers, stack, group.duplicates), *references.findings),
        **_geometry(stack),
    )


def _below(folder: Path, headers: Sequence[InstanceHeader]) -> tuple[str, ...]:
    """Paths below a folder, with forward slashes. As text: pathlib takes ten times as long."""
    begin = len(os.path.join(folder, ""))  # noqa: PTH118 - with the separator at its end
    return tuple(header.file[begin:].replace(os.sep, "/") for header in headers)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the slices of a series form."""

    headers: tuple[InstanceHeader, ...]
    """In the order of the volume."""
    grid: Grid | None
    findings: tuple[Finding, ...]


def _stack(headers: Sequence[InstanceHeader]) -> _Shape | None:
    """The stack that image slices form; None for objects and for images that are no slices of a patient."""
    if headers[0].modality in SINGLE_OBJECTS:
        return None
    if headers[0].modality not in _VOLUME_MODALITIES and not any(map(_has_position, headers)):
        return None
    is_framed = any("NumberOfFrames" in header.values for header in headers)
    stack = stack_of_values([header.values for header in headers])
    if any(finding.code in _LOOKED_INTO for finding in stack.findings) or (stack.grid is None and is_framed):
        shape = _look_into(headers)
        if shape is not None:
            return shape
    return _Shape(tuple(headers[k] for k in stack.order), stack.grid, stack.findings)


def _has_position(header: InstanceHeader) -> bool:
    return plane_from_values(header.values).position is not None


def _look_into(headers: Sequence[InstanceHeader]) -> _Shape | None:
    """What decoding makes of files that are no plain stack, from more of their headers; None where it fails."""
    by_path = {header.path: header for header in headers}
    layout = importlib.import_module("..dicom.layout", __package__)  # loads pydicom, which most folders never need
    try:
        found: Layout = layout.read_layout(list(by_path))
    except DicomError:
        return None
    paths = dict.fromkeys(found.frames[k].header.path for k in found.split.order)
    return _Shape(tuple(by_path[path] for path in paths), found.split.grid, found.split.findings)


def _geometry(stack: _Shape | None) -> dict[str, Any]:
    if stack is None or stack.grid is None:
        return {}
    grid = stack.grid
    return {"shape": grid.shape, "spacing_mm": grid.spacing, "orientation": grid.orientation}


def _findings(
    headers: Sequence[InstanceHeader], stack: _Shape | None, duplicates: Sequence[Duplicate]
) -> Iterator[Finding]:
    if duplicates:
        yield Finding(
            code="duplicate_file",
            message=f"{len(duplicates)} files with the same bytes as others of the series are left out",
            numbers={"files": len(duplicates)},
        )
    if headers[0].modality in SINGLE_OBJECTS:
        return
    yield from _identity_findings(headers)
    if stack is None:
        yield Finding(code="no_image_geometry", message="images without a place in the patient")
    else:
        yield from stack.findings
    yield from _pixel_findings(headers)


def _identity_findings(headers: Sequence[InstanceHeader]) -> Iterator[Finding]:
    """Where files of one series contradict each other."""
    contradictions = (
        ("mixed_study", "studies (StudyInstanceUID)", "StudyInstanceUID"),
        ("mixed_frame_of_reference", "frames of reference: their positions do not compare", "FrameOfReferenceUID"),
    )
    for code, what, keyword in contradictions:
        count = len({header.text(keyword) for header in headers} - {""})
        if count > 1:
            yield Finding(code=code, message=f"files of one series name {count} {what}", numbers={"different": count})


def _pixel_findings(headers: Sequence[InstanceHeader]) -> Iterator[Finding]:
    """What headers tell about the pixels."""
    empty = sum(not header.has_pixels for header in headers)
    if empty:
        yield _counted("no_pixel_data", "have no pixel data", empty, len(headers))
    colours = sorted(
        {header.text("PhotometricInterpretation") for header in headers} - {"MONOCHROME1", "MONOCHROME2", ""}
    )
    if colours:
        yield Finding(
            code="not_monochrome",
            message=f"pixels are {', '.join(colours)} (PhotometricInterpretation (0028,0004)), not grey values",
            numbers={"kinds": colours},
        )
    lossy = sum(_is_lossy(header.values) for header in headers)
    if lossy:
        yield _counted("lossy_compressed", "were compressed with loss", lossy, len(headers))


def _counted(code: str, what: str, count: int, total: int) -> Finding:
    return Finding(code=code, message=f"{count} of {total} images {what}", numbers={"images": count, "of": total})


def _is_lossy(values: Mapping[str, Any]) -> bool:
    return values.get("LossyImageCompression") == "01" or values.get("TransferSyntaxUID") in _LOSSY_SYNTAXES


def _first_text(headers: Sequence[InstanceHeader], keyword: str) -> str | None:
    return next((text for text in (header.text(keyword) for header in headers) if text), None)


def _first_number(headers: Sequence[InstanceHeader], keyword: str) -> float | None:
    values = (header.values.get(keyword) for header in headers)
    return next((float(value) for value in values if isinstance(value, int | float)), None)


def _frame_of_reference(headers: Sequence[InstanceHeader]) -> str | None:
    own = _first_text(headers, "FrameOfReferenceUID")
    return own or next(iter(headers[0].texts("ReferencedFrameOfReferenceUIDs")), None)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
