"""One sample: decoded, preprocessed where there is a recipe, and written. Runs in a worker."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import store as stores
from .._disk import flush_tree
from ..errors import DicomError, ExportError, GridTooLargeError
from ..export.hdf5 import write_hdf5
from ..export.nifti import write_nifti
from ..export.nnunet import image_path, label_path, write_json
from ..geometry import Grid
from .convert_content import Content, read_content
from .convert_files import PARTIAL, SafeNames, Settings, record_path
from .convert_plan import Item
from .convert_record import document, image_record, mask_record
from .report import Result, unique_findings
from .sample import not_made, why_not
from .workers import Tell


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
    stored = None if item.store is None else stores.open_store(item.store).row(item.sample_id)
    row = document(item, written.images, written.masks, findings, content.provenance, stored)
    sizes = {name: _staged(work, name).stat().st_size for name in written.files}
    row |= {"input_hash": item.input_hash, "settings_hash": settings.settings_hash, "files": sizes}
    write_json(work / "document.json", row, flush=False)
    flush_tree(work)
    record = settings.out / record_path(item, settings.to)
    record.unlink(missing_ok=True)  # from here until the end the sample is not there
    for name in written.files:
        place = settings.out / name
        place.parent.mkdir(parents=True, exist_ok=True)
        _staged(work, name).replace(place)
    record.parent.mkdir(parents=True, exist_ok=True)
    (work / "document.json").replace(record)
    return row


def _staged(work: Path, name: str) -> Path:
    """Where a file is until it is moved. All lie in one folder: folders cost the disk more than small files."""
    return work / name.replace("/", "+")


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
        write_nifti(_staged(work, file), array, grid, level=settings.level or 0, unit=unit, flush=False)
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
    write_hdf5(_staged(work, file), parts(), identity, level=settings.level, flush=False)
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
        write_nifti(
            _staged(work, file), volume.array, content.grid, level=settings.level or 0, unit=volume.unit, flush=False
        )
        written.files.append(file)
        written.images.append(image_record(name, file, volume))
    label = np.zeros(content.grid.shape, dtype=np.uint8) if content.label is None else content.label
    file = label_path(item.sample_id, is_training=is_training)
    write_nifti(_staged(work, file), label, content.grid, level=settings.level or 0, flush=False)
    written.files.append(file)
    written.masks += _map_records(file, content)
    return written


def _map_records(file: str, content: Content) -> list[dict[str, Any]]:
    label = content.label
    if label is None:
        return []
    return [mask_record(name, file, label, content.grid, value) for value, name in enumerate(content.classes, start=1)]


_WRITERS = {"nifti": _write_nifti, "hdf5": _write_hdf5, "nnunet": _write_nnunet}
