"""NIfTI files as rows like those of DICOM: an image is a series, a label is a SEG that refers to its images.

What NIfTI has no word for is made: UIDs of the form that DICOM keeps for such (PS3.5 B.2), from the place of a file in
its collection, so that they stay the same when a tree moves. Files of one case share a study and a frame of reference.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..findings import Finding
from .base import SeriesRecord
from .nifti_names import NiftiName, by_case, images_of, joined

FORMAT = "nifti"
"""Value of the column `file_format`."""

_GRID_TOLERANCE = 1e-3  # mm, and of shares of an affine: float32 in headers
_KEY_LENGTH = 16  # hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiHeader:
    """What the header of a file tells."""

    shape: tuple[int, ...]
    """x, y, z, and further axes."""
    spacing_mm: tuple[float, ...]
    """x, y, z."""
    affine: tuple[tuple[float, ...], ...]
    """(3, 4): from voxel x, y, z, 1 to RAS mm."""
    orientation: str
    """Where x, y, z point to."""
    is_placed: bool
    """Whether the file says where it is; otherwise the affine is made of the spacing alone."""


class LocalNifti(NamedTuple):
    """A file on disk."""

    path: Path
    header: NiftiHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiFile:
    """One file of a collection."""

    name: NiftiName
    uri: str
    """Folder that holds it; of a file elsewhere its address."""
    file: str
    """Below `uri`."""
    size_bytes: int
    content: str
    """Names its content: a checksum, or what is known of it."""
    checksum: str | None = None
    header: NiftiHeader | None = None
    patient: str | None = None
    """Whose it is, where more than the name tells that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiCollection:
    """What all files of a collection have in common."""

    source: str
    place: str
    """Names the collection: UIDs are made from it."""
    modality: str | None = None
    """Of images whose names tell none."""
    channels: Mapping[int, str] | None = None
    """Modality of each channel of nnU-Net's names."""
    classes: Sequence[str] = ()
    """Names of what is drawn in labels, by number, without the background."""
    origin: Mapping[str, str | None]
    """collection_id, license, doi, agreement."""


def nifti_records(files: Iterable[NiftiFile], collection: NiftiCollection) -> Iterator[SeriesRecord]:
    """A row per file, sorted by case and path; the labels of a case that each name a region are one row together."""
    by_path = {file.name.path: file for file in files}
    cases = by_case(joined([file.name for _, file in sorted(by_path.items())]))
    for (group, case), names in sorted(cases.items()):
        uid = made_uid(collection.place, "case", group, case)
        regions: dict[tuple[str, tuple[str, ...]], list[NiftiFile]] = {}
        for name in names:
            file = replace(by_path[name.path], name=name)
            references = [
                image.path
                for image in (images_of(name, names) if name.is_label else ())
                if _same_grid(file, by_path[image.path])
            ]
            if name.region is None:
                yield _record([file], collection, uid, references)
            else:
                regions.setdefault((file.uri, tuple(references)), []).append(file)
        for (_, found), labels in regions.items():
            yield _record(labels, collection, uid, found)


def _record(
    files: Sequence[NiftiFile], collection: NiftiCollection, case_uid: str, references: Sequence[str]
) -> SeriesRecord:
    """Of one file, or of the labels of one folder and case, each of a region."""
    file = files[0]
    name, header = file.name, file.header
    uid = made_uid(collection.place, "file", name.path)
    content = file.content if len(files) == 1 else json.dumps([[each.file, each.content] for each in files])
    digest = hashlib.sha256(json.dumps([uid, file.file, content]).encode()).hexdigest()
    regions = tuple(each.name.region for each in files if each.name.region is not None)
    classes = regions or tuple(collection.classes)
    checksums = tuple(each.checksum for each in files if each.checksum is not None)
    return SeriesRecord(
        key=f"{uid}:{digest[:_KEY_LENGTH]}",
        source=collection.source,
        **collection.origin,  # type: ignore[arg-type]
        PatientID=file.patient or name.case,
        StudyInstanceUID=case_uid,
        FrameOfReferenceUID=case_uid,
        SeriesInstanceUID=uid,
        SeriesDescription=name.path,
        Modality="SEG" if name.is_label else _modality(name, collection),
        uri=file.uri,
        files=tuple(each.file for each in files),
        n_instances=len(files),
        size_bytes=sum(each.size_bytes for each in files),
        content_hash=hashlib.sha256(content.encode()).hexdigest()[:32],
        referenced_series=tuple(made_uid(collection.place, "file", path) for path in references),
        roi_names=classes if name.is_label else (),
        shape=None if header is None else _array_shape(header),
        spacing_mm=None if header is None else header.spacing_mm[:3],  # type: ignore[arg-type]
        orientation=None if header is None else header.orientation,
        findings=tuple(_findings(files)),
        file_format=FORMAT,
        checksums=checksums,
    )


def _modality(name: NiftiName, collection: NiftiCollection) -> str | None:
    channel = None if name.channel is None else (collection.channels or {}).get(name.channel)
    return channel or name.modality or collection.modality


def _array_shape(header: NiftiHeader) -> tuple[int, int, int]:
    x, y, z = (*header.shape, 1, 1, 1)[:3]
    return z, y, x


def _findings(files: Sequence[NiftiFile]) -> Iterator[Finding]:
    if any(file.header is not None and not file.header.is_placed for file in files):
        message = "its header has neither sform nor qform: only the spacing is known, not the place in the patient"
        yield Finding(code="no_image_geometry", message=message)


def _same_grid(one: NiftiFile, other: NiftiFile) -> bool:
    """Whether two files lie voxel on voxel; where headers are not known their names have to do."""
    if one.header is None or other.header is None:
        return True
    if _array_shape(one.header) != _array_shape(other.header):
        return False
    pairs = zip(_numbers(one.header.affine), _numbers(other.header.affine), strict=True)
    return all(abs(a - b) <= _GRID_TOLERANCE * max(1.0, abs(a)) for a, b in pairs)


def _numbers(affine: tuple[tuple[float, ...], ...]) -> list[float]:
    return [value for row in affine for value in row]


def made_uid(*parts: Any) -> str:
    """A UID that names `parts` and nothing else: 2.25 and a UUID as a number."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
