"""Write a store in the HDF5 form: sample by sample into a folder beside it, packed into files at the end.

The folder, ``<name>.partial``, is a Zarr store, with all that this brings: samples whole or not at all, from any number
of processes, rows that let them exist, a lock. `finish` packs its samples and those of an earlier run that are still
wanted into new files inside the folder; when all are on the disk, a list of them is, and only then are they renamed to
their places. A run that is killed between two renames is finished by the next one. Until then whoever has the store
open reads the old files.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._disk import flush
from ..errors import StoreExistsError, StoreFormatError
from .contents import hash_array, hash_sample
from .files import failures_of
from .form import Form
from .hdf5_files import SUFFIXES, first_file, is_hdf5_name, part_path
from .hdf5_form import Hdf5Form
from .hdf5_pack import Packing, size_of, split, write_file
from .layout import FOREGROUND, FORMAT, KEY, PARTIAL, LabelKind, SampleData, StoreConfig, check_format
from .table import build_table, table_bytes
from .zarr_backend import StoreWriter, check_recipe, create_store
from .zarr_form import ZarrForm

_PACKED = "packed"
_DONE = "done.json"
"""The list of the packed files; where it is, they are whole and only have to be renamed."""


def create_hdf5_store(
    path: Path | str,
    *,
    recipe: Mapping[str, Any],
    recipe_hash: str,
    classes: Sequence[str],
    label_kind: LabelKind,
    index_version: str,
    config: StoreConfig | None = None,
    max_file_bytes: int | None = None,
    resume: bool = False,
) -> "Hdf5Writer":
    """Create a store in the HDF5 form, or continue one that was made by the same recipe.

    Parameters
    ----------
    path
        Ends with .h5 or .hdf5.
    recipe, recipe_hash, classes, label_kind, index_version, config, resume
        As for `create_store`.
    max_file_bytes
        Where given, there are several files, ``lung-00000.h5``, ``lung-00001.h5``, ..., none larger than this unless it
        holds a single sample.

    Raises
    ------
    ValueError
        The name ends with something else, or `max_file_bytes` is below 1.
    StoreExistsError
        The path exists and `resume` is not set, or it is no store, or one of another recipe, or one that another
        process is writing.
    StoreFormatError
        The store to resume is of a format that this version does not know.
    """
    path = Path(path)
    if not is_hdf5_name(path):
        raise ValueError(f"a store in the HDF5 form is called {' or '.join('*' + s for s in SUFFIXES)}, got {path}")
    if max_file_bytes is not None and max_file_bytes < 1:
        raise ValueError(f"max_file_bytes must be at least 1, got {max_file_bytes}")
    if path.is_dir():
        raise StoreExistsError(f"{path} exists and is a folder: choose another path")
    packed = _find_packed(path, recipe_hash, resume=resume)
    staging = _open_staging(path, recipe, recipe_hash, classes, label_kind, index_version, config, resume)
    if _publish(path, staging):  # an earlier run had packed everything, and was killed before it was done
        packed = _find_packed(path, recipe_hash, resume=True)
        staging = _open_staging(path, recipe, recipe_hash, classes, label_kind, index_version, config, resume)
    own = {
        "format": FORMAT,
        "recipe": dict(recipe),
        "recipe_hash": recipe_hash,
        "classes": list(classes),
        "label_kind": label_kind,
        "index_version": index_version,
        "config": {**staging.config.to_dict(), "max_file_bytes": max_file_bytes},
    }
    return Hdf5Writer(path, staging, max_file_bytes, own, packed)


def _open_staging(
    path: Path,
    recipe: Mapping[str, Any],
    recipe_hash: str,
    classes: Sequence[str],
    label_kind: LabelKind,
    index_version: str,
    config: StoreConfig | None,
    resume: bool,
) -> StoreWriter:
    return create_store(
        path.with_name(f"{path.name}{PARTIAL}"),
        recipe=recipe,
        recipe_hash=recipe_hash,
        classes=classes,
        label_kind=label_kind,
        index_version=index_version,
        config=config,
        resume=resume,
    )


def _find_packed(path: Path, recipe_hash: str, *, resume: bool) -> Hdf5Form | None:
    """The store that an earlier run has finished, if there is one, and it is one to be continued."""
    first = first_file(path)
    if first is None:
        if path.is_symlink():
            raise StoreExistsError(f"{path} exists and is no store: choose another path")
        return None
    if not resume:
        raise StoreExistsError(f"{first} exists: choose another path, remove it, or continue it with resume")
    try:
        form = Hdf5Form(first)
    except StoreFormatError as error:
        raise StoreExistsError(f"{first} exists and is no store: choose another path") from error
    check_recipe(first, check_format(form.root(), str(first)), recipe_hash)
    return form


def _publish(path: Path, staging: StoreWriter) -> bool:
    """Rename packed files to their places, if all are whole; the folder goes when they are there."""
    folder = staging.path / _PACKED
    if not (folder / _DONE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        return False
    done = json.loads((folder / _DONE).read_bytes())
    for name in done["files"]:
        if (folder / name).exists():
            (folder / name).replace(path.with_name(name))
    for name in done["stale"]:
        path.with_name(name).unlink(missing_ok=True)
    flush(path.parent)
    staging.discard()
    return True


def _same(writer: StoreWriter) -> StoreWriter:
    return writer


@dataclass(frozen=True, slots=True)
class Hdf5Writer:
    """Where samples are written, in the way of `StoreWriter`. A worker process gets the folder's writer of it."""

    path: Path
    staging: StoreWriter
    """Of the folder beside the store."""
    max_file_bytes: int | None
    own: Mapping[str, Any]
    """Attributes of the root, without what is known at the end."""
    packed: Hdf5Form | None
    """What an earlier run has finished."""
    removed: set[str] = field(default_factory=set)
    """Samples of it that are not wanted any more."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (self.staging,)

    def write_sample(self, data: SampleData) -> dict[str, Any]:
        """Write one sample: see `StoreWriter.write_sample`."""
        return self.staging.write_sample(data)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the samples that exist, packed or not, sorted by id."""
        staged = self.staging.rows()
        return sorted([*self._kept(staged), *staged], key=lambda row: str(row["sample_id"]))

    def commit(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let written samples exist: see `StoreWriter.commit`."""
        self.staging.commit(rows)

    def remove(self, sample_id: str) -> None:
        """Take a sample out: from the folder now, from what is packed when the store is packed again."""
        self.staging.remove(sample_id)
        self.removed.add(sample_id)

    def close(self) -> None:
        """Let go of a store that is not finished: what is committed stays in the folder."""
        self.staging.close()

    def discard(self) -> None:
        """Remove the folder, with all that is committed in it. What is packed stays."""
        self.staging.discard()

    def finish(self, attribution_markdown: str, fingerprint: Mapping[str, Any]) -> None:
        """Pack all samples into new files, put them in their places, and remove the folder.

        Files that would hold the same as those that are there are not written anew.

        Parameters
        ----------
        attribution_markdown, fingerprint
            As for `StoreWriter.finish`.

        Raises
        ------
        StoreError
            They cannot be written, for instance on a full disk. What is committed stays, and so do the files of an
            earlier run.
        """
        own = {**self.own, "fingerprint": dict(fingerprint)}
        if self._is_packed(own, attribution_markdown):
            self.discard()
            return
        with failures_of(self.path, str(self.path)):
            self._pack(own, attribution_markdown)
            _publish(self.path, self.staging)

    def _kept(self, staged: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of what is packed and still wanted."""
        gone = self.removed.union(row["sample_id"] for row in staged)
        rows = [] if self.packed is None else self.packed.table().to_pylist()
        return [row for row in rows if row["sample_id"] not in gone]

    def _is_packed(self, own: Mapping[str, Any], attribution: str) -> bool:
        """Whether what is packed is all, and says what it should."""
        if self.packed is None or self.staging.rows() or len(self._kept([])) != len(self.packed.table()):
            return False
        there = dict(self.packed.root()[KEY])
        counts = there.pop("files", None)
        return counts is not None and there == own and self.packed.attribution() == attribution

    def _pack(self, own: Mapping[str, Any], attribution: str) -> None:
        staged = ZarrForm(self.staging.path)
        rows = {row["sample_id"]: _as_packed(staged, row) for row in self.staging.rows()}
        forms: dict[str, Form] = dict.fromkeys(rows, staged)
        for row in self._kept(list(rows.values())):
            rows[row["sample_id"]] = row
            forms[row["sample_id"]] = self._packed_form()
        table = table_bytes(build_table(rows.values()))
        samples = [(name, forms[name], _arrays(rows[name])) for name in sorted(rows)]
        sizes = [size_of(form, name, arrays, rows[name]["stored_bytes"]) for name, form, arrays in samples]
        counts = split(sizes, self.max_file_bytes, len(table))
        self._check_room(sum(sizes) + len(table))
        folder = self.staging.path / _PACKED
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        begin, names = 0, []
        for number, count in enumerate(counts):
            place = self.path if self.max_file_bytes is None else part_path(self.path, number)
            packing = Packing(
                attributes={KEY: {**own, "files": counts}},
                set=hashlib.sha256(table).hexdigest(),
                codec=self.staging.config.codec,
                samples=samples[begin : begin + count],
                table=table if number == 0 else None,
                attribution=attribution if number == 0 else None,
            )
            write_file(folder / place.name, packing)
            names.append(place.name)
            begin += count
        stale = [] if self.packed is None else [path.name for path in self.packed.files() if path.name not in names]
        listed = folder / f".{_DONE}"
        listed.write_text(json.dumps({"files": names, "stale": stale}), encoding="utf-8")
        flush(listed)
        listed.replace(folder / _DONE)
        flush(folder)

    def _packed_form(self) -> Hdf5Form:
        if self.packed is None:
            raise ValueError(f"{self.path} has no packed samples")
        return self.packed

    def _check_room(self, needed: int) -> None:
        """HDF5 tells a full disk badly, so it is told before."""
        if shutil.disk_usage(self.staging.path).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))


def _arrays(row: Mapping[str, Any]) -> list[str]:
    return sorted([*(array["name"] for array in row["arrays"]), FOREGROUND])


def _as_packed(form: Form, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a sample, its hashes of what is stored taken as they are in HDF5."""
    stored = {name: hash_array(form, row["sample_id"], name) for name in _arrays(row)}
    arrays = [
        {**array, **dict(zip(("stored_hash", "stored_bytes"), stored[array["name"]], strict=True))}
        for array in row["arrays"]
    ]
    content, size = hash_sample(stored)
    return {**row, "arrays": arrays, "stored_hash": content, "stored_bytes": size}
