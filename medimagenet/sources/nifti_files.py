"""Headers of NIfTI files on disk, and what the ``dataset.json`` beside them says. Voxels are never read."""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from ..findings import Finding
from ..nifti import millimetres
from .base import SeriesRecord
from .nifti_names import MODALITY_WORDS, NiftiName, read_name
from .nifti_rows import LocalNifti, NiftiCollection, NiftiFile, NiftiHeader, nifti_records

SAMPLE_FILE = "sample.json"
"""Beside the NIfTI files of a sample that was converted: whose they are."""
DATASET_FILE = "dataset.json"
"""Of nnU-Net and the Medical Segmentation Decathlon."""


def read_nifti_header(path: Path) -> NiftiHeader | Finding:
    """The header of one file, or what is wrong with it."""
    try:
        image: Any = nibabel.load(path)
        header = image.header
        shape, spacing = tuple(map(int, header.get_data_shape())), header.get_zooms()
        is_placed = bool(header["sform_code"] or header["qform_code"])
        missing = _missing_bytes(path, image)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        message = (
            f"is called NIfTI and cannot be read as such: {str(error).splitlines()[0] if str(error) else 'it is cut'}"
        )
        return Finding(code="unreadable_file", message=message.replace(str(path), path.name))
    if missing > 0:
        message = f"ends {missing} bytes before its voxels do: get it again"
        return Finding(code="truncated_file", message=message, numbers={"bytes": missing})
    length = millimetres(header)
    affine = np.diag([length] * 3 + [1.0]) @ np.asarray(image.affine, dtype=np.float64)
    return NiftiHeader(
        shape=shape,
        spacing_mm=(*(float(value) * length for value in spacing[:3]), 1.0, 1.0, 1.0)[:3],
        affine=tuple(tuple(float(value) for value in row) for row in affine[:3]),
        orientation="".join(code or "?" for code in nibabel.aff2axcodes(affine)),
        is_placed=is_placed,
    )


def _missing_bytes(path: Path, image: Any) -> int:
    """How much of the voxels is not there; of compressed files that is not known without reading them."""
    if path.name.lower().endswith(".gz"):
        return 0
    n_voxels = int(np.prod(image.shape, dtype=np.int64))
    end = int(image.dataobj.offset) + n_voxels * int(image.header["bitpix"]) // 8
    return end - path.stat().st_size


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a ``dataset.json`` says."""

    channels: dict[int, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def read_dataset(folder: Path) -> Dataset:
    """The ``dataset.json`` of a folder; nothing where there is none or it is of another kind."""
    try:
        document = json.loads((folder / DATASET_FILE).read_text(encoding="utf-8"))
        channels = document.get("channel_names") or document.get("modality") or {}
        found = {int(number): MODALITY_WORDS.get(str(name).lower()) for number, name in channels.items()}
        return Dataset({number: name for number, name in found.items() if name}, _classes(document.get("labels") or {}))
    except (OSError, ValueError, AttributeError, TypeError):
        return Dataset()


def _classes(labels: dict[str, Any]) -> tuple[str, ...]:
    """Names without the background: of number -> name (the Decathlon) or name -> number (nnU-Net v2)."""
    if all(str(key).isdigit() for key in labels):
        return tuple(str(name) for number, name in sorted(labels.items(), key=lambda item: int(item[0])) if int(number))
    return tuple(name for name, number in labels.items() if number != 0)


def local_records(
    files: Iterable[tuple[LocalNifti, int]], root: Path, origin: dict[str, str | None], source: str
) -> Iterator[SeriesRecord]:
    """A row per file below a folder.

    Parameters
    ----------
    files
        Each with its size in bytes.
    root
        Folder that was indexed.
    origin
        collection_id, license, doi.
    source
        Value of the column.
    """
    by_dataset: dict[Path, list[NiftiFile]] = {}
    patients: dict[Path, str | None] = {}
    for local, size in files:
        name = read_name(local.path.relative_to(root).as_posix())
        folder = local.path.parent.parent if _is_split(name) else local.path.parent
        if local.path.parent not in patients:
            patients[local.path.parent] = _patient_of(local.path.parent)
        file = NiftiFile(
            name=name,
            uri=str(local.path.parent),
            file=local.path.name,
            size_bytes=size,
            content=json.dumps([size, local.header.shape, local.header.affine]),
            header=local.header,
            patient=patients[local.path.parent],
        )
        by_dataset.setdefault(folder, []).append(file)
    for folder, members in sorted(by_dataset.items()):
        dataset = read_dataset(folder)
        collection = NiftiCollection(
            source=source,
            place=origin.get("collection_id") or root.name,
            modality=dataset.channels.get(0) if len(dataset.channels) == 1 else None,
            channels=dataset.channels,
            classes=dataset.classes,
            origin=origin,
        )
        yield from nifti_records(members, collection)


def _patient_of(folder: Path) -> str | None:
    """The patient that the document of a converted sample names, in whose folder are files of that sample alone."""
    try:
        document = json.loads((folder / SAMPLE_FILE).read_text(encoding="utf-8"))
        return str(document["patient_id"]) if document["patient_id"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_split(name: NiftiName) -> bool:
    return name.group != Path(name.path).parent.as_posix()
