"""A CSV of image-label pairs of NIfTI files becomes an index, whose samples compile and convert like those of DICOM."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import SourceError
from ..findings import Finding
from ..index import Index
from ..sources.nifti_files import read_nifti_header
from ..sources.nifti_names import NiftiName
from ..sources.nifti_rows import NiftiCollection, NiftiFile, nifti_records

COLUMNS = ("image", "label", "patient", "modality")
SOURCE = "folder"


def index_pairs(
    path: Path | str,
    *,
    classes: tuple[str, ...] = (),
    collection_id: str | None = None,
    license: str | None = None,
    doi: str | None = None,
) -> Index:
    """Index a CSV file whose lines are an image and its label.

    Parameters
    ----------
    path : CSV with the columns image, label and, where they are known, patient and modality (CT, MR, PT)
        Paths are absolute or below the folder of the CSV; label may be empty. Without a patient each line is one.
    classes : names of the label's values 1, 2, ...

    Raises
    ------
    SourceError
        The file cannot be read or lacks a column, or a line names a file that is absent or no NIfTI.
    """
    path = Path(path)
    origin = {"collection_id": collection_id, "license": license, "doi": doi}
    records = []
    for number, line in enumerate(_lines(path), start=2):
        files = list(_files(line, path, number))
        collection = NiftiCollection(
            source=SOURCE,
            place=collection_id or path.stem,
            modality=line.get("modality") or None,
            classes=classes,
            origin=origin,
        )
        records += list(nifti_records(files, collection))
    return Index.from_records(records)


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [
                {key.strip().lower(): (value or "").strip() for key, value in line.items() if key} for line in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read as CSV: {error}") from error
    if not lines or "image" not in lines[0]:
        raise SourceError(f"{path} must have a first line with the columns {', '.join(COLUMNS)}, and lines below it")
    return lines


def _files(line: Mapping[str, str], path: Path, number: int) -> Iterator[NiftiFile]:
    for column in ("image", "label"):
        name = line.get(column)
        if not name:
            if column == "image":
                raise SourceError(f"{path}, line {number}: no image")
            continue
        place = (path.parent / name).resolve()
        header = read_nifti_header(place) if place.is_file() else None
        if header is None or isinstance(header, Finding):
            reason = "is not there" if header is None else header.message
            raise SourceError(f"{path}, line {number}: {column} {name} {reason}")
        yield NiftiFile(
            name=NiftiName(
                path=name, group=str(number), case=line.get("patient") or f"line{number}", is_label=column == "label"
            ),
            uri=str(place.parent),
            file=place.name,
            size_bytes=place.stat().st_size,
            content=json.dumps([place.stat().st_size, header.shape, header.affine]),
            header=header,
        )
