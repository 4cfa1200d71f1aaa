"""One sample: decoded, preprocessed where there is a recipe, and written. Runs in a worker."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DicomError, ExportError, GridTooLargeError
from ..export.hdf5 import write_hdf5
from ..export.nifti import COMPRESSION_LEVEL, write_nifti
from ..export.nnunet import image_path, label_path, write_json
from ..geometry import Grid
from ..preprocess import Recipe
from ..store import open_store
from .convert_content import Content, SafeNames, read_content, safe_name
from .convert_plan import Item, To
from .convert_record import document, image_record, mask_record
from .sample import Result, not_made, unique_findings, why_not
from .workers import Tell

PARTIAL = ".partial"
"""Where samples are written before their files are moved to their places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How files are written."""

    out: Path
    to: To
    recipe: Recipe | None = None
    level: int | None = COMPRESSION_LEVEL
    """Of compression; None writes NIfTI as .nii and HDF5 without filter."""
    settings_hash: str = ""

    @property
    def suffix(self) -> str:
        """Of image files."""
        return ".nii" if self.level is None else ".nii.gz"


def record_path(item: Item, to: To) -> str:
    """Where the document of a sample is, below the output folder. A sample is there when this file is."""
    patient = safe_name(item.patient_id)
    places = {
        "nifti": f"{patient}/{item.sample_id}/sample.json",
        "hdf5": f"{patient}/{item.sample_id}.json",
        "nnunet": f"metadata/{item.sample_id}.json",
    }
    return places[to]


def convert_sample(item: Item, settings: Settings, tell: Tell | None = None) -> Result:
    """Write the files of one sample, then the document that says that they are whole.

    Parameters
    ----------
    tell : called with the sample's name and what a step that takes long says of its progress

    Raises
    ------
    RecipeError
        The recipe says "fail" for a finding of the sample.
    ExportError
        A file cannot be written, or nnU-Net cannot hold the sample.
    """
    as_map = settings.to == "nnunet" or (settings.recipe is not None and settings.recipe.label == "map")
    try:
        progress = None if tell is None else partial(tell, item.sample_id)
        content = read_content(item, settings.recipe, as_map=as_map, progress=progress)
    except (DicomError, GridTooLargeError) as error:
        return not_made(item.sample_id, (*item.findings, *why_not(error)), settings.recipe)
    if settings.recipe is not None and settings.recipe.action(content.findings) != "keep":
        return not_made(item.sample_id, unique_findings(content.findings), settings.recipe)
    work = settings.out / PARTIAL / f"{item.sample_id}.{os.getpid()}"
    try:
        row = _write(item, content, settings, work)
    except OSError as error:
        raise ExportError(f"cannot write sample {item.sample_id}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Result(sample_id=item.sample_id, row=row, findings=unique_findings(content.findings))


def _write(item: Item, content: Content, settings: Settings, work: Path) -> Mapping[str, Any]:
    written = _WRITERS[settings.to](item, content, settings, work)
    findings = unique_findings(content.findings)
    stored = None if item.store is None else open_store(item.store).row(item.sample_id)
    row = document(item, written.images, written.masks, findings, content.provenance, stored)
    sizes = {name: (work / name).stat().st_size for name in written.files}
    row |= {"input_hash": item.input_hash, "settings_hash": settings.settings_hash, "files": sizes}
    write_json(work / "document.json", row)
    record = settings.out / record_path(item, settings.to)
    record.unlink(missing_ok=True)  # from here until the end the sample is not there
    for name in written.files:
        place = settings.out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (work / name).replace(place)
    record.parent.mkdir(parents=True, exist_ok=True)
    (work / "document.json").replace(record)
    return row


@dataclass(slots=True)
class _Written:
    """What was written below the work folder, under the names it gets below the output folder."""

    images: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def _write_nifti(item: Item, content: Content, settings: Settings, work: Path) -> _Written:
    folder = str(Path(record_path(item, "nifti")).parent)
    written = _Written()

    def write(name: str, array: NDArray[Any], grid: Grid, unit: str | None = None) -> str:
        file = f"{folder}/{name}{settings.suffix}"
        write_nifti(work / file, array, grid, level=settings.level or 0, unit=unit)
        written.files.append(file)
        return file

    names = SafeNames()
    for name, volume in content.images.items():
        file = write(names.of(name), volume.array, volume.grid, volume.unit)
        written.images.append(image_record(name, file, volume))
    if content.label is not None:
        written.masks += _map_records(write(names.of("label"), content.label, content.grid), content)
    for name, mask in content.masks():
        file = write(names.of(f"mask_{name}"), mask, content.grid)
        written.masks.append(mask_record(name, file, mask, content.grid))
    return written


def _write_hdf5(item: Item, content: Content, settings: Settings, work: Path) -> _Written:
    file = str(Path(record_path(item, "hdf5")).with_suffix(".h5"))
    written = _Written(files=[file])

    def parts() -> Iterator[tuple[str, NDArray[Any], Grid, Mapping[str, Any]]]:
        names = SafeNames()
        for name, volume in content.images.items():
            record = image_record(name, f"{file}#images/{name}", volume)
            written.images.append(record)
            kept = {key: record[key] for key in ("unit", "normalization", "statistics", "dicom")}
            yield f"images/{name}", volume.array, volume.grid, kept
        if content.label is not None:
            written.masks += _map_records(f"{file}#label", content)
            yield "label", content.label, content.grid, {"classes": list(content.classes)}
        for name, mask in content.masks():
            place = f"masks/{names.of(name)}"
            written.masks.append(mask_record(name, f"{file}#{place}", mask, content.grid))
            yield place, mask, content.grid, {"name": name}

    identity = {"sample_id": item.sample_id, "patient_id": item.patient_id, "split": item.split}
    write_hdf5(work / file, parts(), identity, level=settings.level)
    return written


def _write_nnunet(item: Item, content: Content, settings: Settings, work: Path) -> _Written:
    is_training = item.split != "test"
    written = _Written()
    for channel, (name, volume) in enumerate(content.images.items()):
        if not volume.grid.is_close(content.grid):
            raise ExportError(
                f"sample {item.sample_id}: {name} stands on another grid than the leading image, nnU-Net wants one for "
                "all channels: say grid: common in the recipe"
            )
        file = image_path(item.sample_id, channel, is_training=is_training)
        write_nifti(work / file, volume.array, content.grid, level=settings.level or 0, unit=volume.unit)
        written.files.append(file)
        written.images.append(image_record(name, file, volume))
    label = np.zeros(content.grid.shape, dtype=np.uint8) if content.label is None else content.label
    file = label_path(item.sample_id, is_training=is_training)
    write_nifti(work / file, label, content.grid, level=settings.level or 0)
    written.files.append(file)
    written.masks += _map_records(file, content)
    return written


def _map_records(file: str, content: Content) -> list[dict[str, Any]]:
    label = content.label
    if label is None:
        return []
    return [mask_record(name, file, label, content.grid, value) for value, name in enumerate(content.classes, start=1)]


_WRITERS = {"nifti": _write_nifti, "hdf5": _write_hdf5, "nnunet": _write_nnunet}


def is_whole(item: Item, settings: Settings) -> Mapping[str, Any] | None:
    """The document of a sample that is there, from the same input and settings, with all its files; else None."""
    try:
        row: Mapping[str, Any] = json.loads((settings.out / record_path(item, settings.to)).read_bytes())
        sizes = {name: (settings.out / name).stat().st_size for name in row["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    same = row.get("input_hash") == item.input_hash and row.get("settings_hash") == settings.settings_hash
    return row if same and row["split"] == item.split and sizes == row["files"] else None
