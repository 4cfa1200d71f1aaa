"""Write a store as Zarr v3: samples whole or not at all, in any order, from any number of processes.

A sample is written below ``.partial/``, its bytes are flushed, and it is renamed to ``samples/<id>``; it exists when
its row is in samples.parquet. What a killed run has left is removed when the store is opened for resuming.
"""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from .._disk import flush, flush_tree
from .._lazy import LazyModule
from ..errors import StoreExistsError
from .files import failures_of, hash_files
from .layout import (
    ATTRIBUTION,
    FOREGROUND,
    FORMAT,
    KEY,
    LABEL,
    LEVEL,
    PARTIAL,
    ROOT_METADATA,
    SAMPLES,
    TABLE,
    LabelKind,
    SampleData,
    StoreConfig,
    StoredArray,
    check_format,
    content_hash,
    ome_multiscales,
)
from .metadata import group_document, read_metadata, write_json
from .statistics import statistics
from .table import GIVEN, build_table, merge_tables, read_table, write_table

if TYPE_CHECKING:
    from . import shards
else:
    shards = LazyModule("medimagenet.store.shards")  # compiled code, which workers alone need


def create_store(
    path: Path | str,
    *,
    recipe: Mapping[str, Any],
    recipe_hash: str,
    classes: Sequence[str],
    label_kind: LabelKind,
    index_version: str,
    config: StoreConfig | None = None,
    resume: bool = False,
) -> "StoreWriter":
    """Create an empty store, or continue one that was made by the same recipe.

    Parameters
    ----------
    recipe
        JSON values; they are kept in the store.
    classes
        Of the label: one channel each ("channels"), or the values 1, 2, ... ("map").
    resume
        Whether a store that exists is continued. What an interrupted run left behind is removed first.

    Raises
    ------
    StoreExistsError
        The path exists and `resume` is not set, or it is no store, or one of another recipe, or one that another
        process is writing.
    StoreFormatError
        The store to resume is of a format that this version does not know.
    """
    path = Path(path)
    writer = StoreWriter(path, recipe_hash, tuple(classes), label_kind, config or StoreConfig())
    own = {
        "format": FORMAT,
        "recipe": dict(recipe),
        "recipe_hash": recipe_hash,
        "classes": list(classes),
        "label_kind": label_kind,
        "index_version": index_version,
        "config": writer.config.to_dict(),
        "fingerprint": None,
    }
    with failures_of(path, str(path)):
        if path.exists() or path.is_symlink():
            _check_resumable(path, recipe_hash, resume=resume)
        else:
            _create(path, {KEY: own})
        _lock(path)
        _clean(path)
    return writer


def _create(path: Path, attributes: Mapping[str, Any]) -> None:
    """Make the store beside its place and rename it there, so that it never exists without its attributes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{glob.escape(_beside(path))}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=_beside(path), dir=path.parent))
    try:
        partial.chmod(0o777 & ~_umask())
        (partial / SAMPLES).mkdir()
        write_json(partial / SAMPLES / ROOT_METADATA, group_document({}))
        write_json(partial / ROOT_METADATA, group_document(attributes))
        write_table(partial, build_table([]))
        flush_tree(partial)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    flush(path.parent)


def _beside(path: Path) -> str:
    """How folders begin that are no store yet, or no longer: what a kill leaves of them goes with the next run."""
    return f".{path.name}.partial-"


def _umask() -> int:
    """The permissions that new files lack; there is no way to ask without setting."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _check_resumable(path: Path, recipe_hash: str, *, resume: bool) -> None:
    if not resume:
        raise StoreExistsError(f"{path} exists: choose another path, remove it, or continue it with resume")
    if not (path / ROOT_METADATA).is_file():
        raise StoreExistsError(f"{path} exists and is no store: choose another path")
    check_recipe(path, check_format(read_metadata(path, str(path)).get("attributes", {}), str(path)), recipe_hash)


def check_recipe(path: Path, own: Mapping[str, Any], recipe_hash: str) -> None:
    """Raise StoreExistsError unless a store, whose own attributes these are, was made by the recipe."""
    if own.get("recipe_hash") != recipe_hash:
        raise StoreExistsError(
            f"{path} was made by another recipe (hash {str(own.get('recipe_hash'))[:12]}, this one is "
            f"{recipe_hash[:12]}): choose another path, or compile with the recipe it was made by"
        )


_locks: dict[Path, int] = {}


def _lock(path: Path) -> None:
    """Hold the store for this process until it ends or finishes: two runs would remove each other's partial samples.

    A POSIX lock, which forked workers do not inherit. Where the file system has none, nothing is held.
    """
    _unlock(path)  # of a run in this process that failed: closing any descriptor of the file would give up its lock
    (path / PARTIAL).mkdir(exist_ok=True)
    descriptor = os.open(path / PARTIAL / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            os.close(descriptor)
            raise StoreExistsError(f"{path} is being written by another process") from error
    _locks[path.resolve()] = descriptor


def _unlock(path: Path) -> None:
    descriptor = _locks.pop(path.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _clean(path: Path) -> None:
    """Remove what an interrupted run has left: partial samples, samples without a row, rows without a sample."""
    for leftover in (*path.glob(f"{PARTIAL}/*/"), *path.glob(f".{TABLE}.*")):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    table = read_table(path)
    rows = table.column("sample_id").to_pylist()
    folders = {folder.name for folder in path.glob(f"{SAMPLES}/*/")}
    for name in folders.difference(rows):
        shutil.rmtree(path / SAMPLES / name)
    if not folders.issuperset(rows):
        write_table(path, table.filter([name in folders for name in rows]).combine_chunks())


@dataclass(frozen=True, slots=True)
class StoreWriter:
    """Where samples are written. It holds no file, so it can be sent to worker processes."""

    path: Path
    recipe_hash: str
    classes: tuple[str, ...]
    label_kind: LabelKind
    config: StoreConfig

    def write_sample(self, data: SampleData) -> dict[str, Any]:
        """Write one sample. May run in any process, for different samples at the same time.

        One that exists must be removed before it is written anew: else a run killed between the two would leave
        its old row beside its new bytes.

        Returns
        -------
        row : what `commit` takes; the sample does not exist before it.

        Raises
        ------
        ValueError
            A column of `data.row` or a class of `data.foreground` is unknown, or the label does not fit the classes.
        StoreError
            The sample cannot be written, for instance on a full disk. Nothing of it is left behind.
        """
        self._check(data)
        with failures_of(self.path, f"sample {data.sample_id} of {self.path}"):
            partial = Path(tempfile.mkdtemp(prefix=f"{data.sample_id}.", dir=self.path / PARTIAL))
            try:
                row = self._write(data, partial / data.sample_id)
                self._publish(partial / data.sample_id, partial / "replaced")
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return row

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the samples that exist, sorted by id."""
        rows: list[dict[str, Any]] = read_table(self.path).to_pylist()
        return rows

    def commit(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let written samples exist: add their rows to samples.parquet. Only one process may, so let the parent do it.

        A row replaces the one of the same id. The whole table is written, so commit many samples at once.
        """
        table = merge_tables(read_table(self.path), build_table(rows))
        with failures_of(self.path, f"the table of {self.path}"):
            flush(self.path / SAMPLES)  # the names of the samples before their rows
            write_table(self.path, table)

    def remove(self, sample_id: str) -> None:
        """Take a sample out: first its row, then its bytes."""
        table = read_table(self.path)
        with failures_of(self.path, f"the table of {self.path}"):
            write_table(self.path, table.filter(pc.not_equal(table.column("sample_id"), sample_id)).combine_chunks())
            shutil.rmtree(self.path / SAMPLES / sample_id, ignore_errors=True)

    def finish(self, attribution_markdown: str, fingerprint: Mapping[str, Any]) -> None:
        """Write what describes the whole store: ATTRIBUTION.md, and the fingerprint among the root's attributes.

        Parameters
        ----------
        fingerprint
            JSON values: what all samples together are like (counts, spacings, intensities).
        """
        document = read_metadata(self.path, str(self.path))
        document["attributes"][KEY]["fingerprint"] = dict(fingerprint)
        with failures_of(self.path, str(self.path)):
            partial = self.path / PARTIAL
            (partial / ATTRIBUTION).write_text(attribution_markdown, encoding="utf-8")
            write_json(partial / ROOT_METADATA, document)
            for name in (ATTRIBUTION, ROOT_METADATA):
                flush(partial / name)
                (partial / name).replace(self.path / name)
            shutil.rmtree(partial)
            flush(self.path)
        _unlock(self.path)

    def close(self) -> None:
        """Let go of a store that is not finished: what is committed stays, what is partial goes."""
        shutil.rmtree(self.path / PARTIAL, ignore_errors=True)
        _unlock(self.path)

    def discard(self) -> None:
        """Remove the store, with all that is committed: away by one rename, so that no kill leaves half of one."""
        self.close()
        going = Path(tempfile.mkdtemp(prefix=_beside(self.path), dir=self.path.parent))
        self.path.rename(going / self.path.name)
        shutil.rmtree(going)

    def _check(self, data: SampleData) -> None:
        unknown = sorted(set(data.row) - set(GIVEN))
        if unknown:
            raise ValueError(f"unknown columns {unknown} in the row of a sample; known are {', '.join(GIVEN)}")
        strangers = sorted(set(data.foreground) - set(self.classes))
        if strangers:
            raise ValueError(f"foreground of {strangers}, but the classes of the store are {list(self.classes)}")
        if LABEL in data.arrays:
            self._check_label(data.arrays[LABEL].array)

    def _check_label(self, label: NDArray[Any]) -> None:
        is_map = self.label_kind == "map"
        channels, largest = (1, len(self.classes)) if is_map else (len(self.classes), 1)
        if len(label) != channels or label.dtype != np.uint8 or int(label.max()) > largest:
            raise ValueError(
                f"a {self.label_kind} label of the classes {list(self.classes)} must be uint8 with {channels} channels "
                f"and values up to {largest}, got {label.dtype} with {len(label)} and values up to {label.max()}"
            )

    def _write(self, data: SampleData, folder: Path) -> dict[str, Any]:
        folder.mkdir()
        write_json(folder / ROOT_METADATA, group_document({}))
        arrays = [self._write_image(folder / name, name, stored) for name, stored in data.arrays.items()]
        foreground = self._write_foreground(folder / FOREGROUND, data.foreground)
        flush_tree(folder)
        stored_hash, stored_bytes = hash_files(folder)
        return {
            **data.row,
            "sample_id": data.sample_id,
            "recipe_hash": self.recipe_hash,
            "shape": arrays[0]["shape"],
            "spacing_mm": arrays[0]["spacing_mm"],
            "class_voxels": self._class_voxels(data.arrays.get(LABEL)),
            "arrays": arrays,
            "foreground_hash": foreground,
            "stored_hash": stored_hash,
            "stored_bytes": stored_bytes,
        }

    def _write_image(self, folder: Path, name: str, stored: StoredArray) -> dict[str, Any]:
        content = content_hash(stored.array)
        figures = statistics(stored.array)
        own = stored.attributes(content)
        if name == LABEL:
            own = {**own, "classes": list(self.classes), "label_kind": self.label_kind}
        folder.mkdir()
        write_json(folder / ROOT_METADATA, group_document({"ome": ome_multiscales(name, stored.grid), KEY: own}))
        fill = 0 if name == LABEL or figures["min"] is None else figures["min"]
        shards.write_array(folder / LEVEL, stored.array, self.config, fill=fill)
        stored_hash, stored_bytes = hash_files(folder)
        return {
            "name": name,
            "shape": list(stored.array.shape),
            "dtype": stored.array.dtype.name,
            "spacing_mm": list(stored.grid.spacing),
            **figures,
            "normalization": own["normalization"],
            "hash": content,
            "stored_hash": stored_hash,
            "stored_bytes": stored_bytes,
        }

    def _write_foreground(self, folder: Path, foreground: Mapping[str, NDArray[np.int32]]) -> str:
        """All classes in one array, in the order of the store's; the attributes say where each begins and ends."""
        parts = [np.asarray(foreground.get(name, np.empty((0, 3))), dtype=np.int32) for name in self.classes]
        ends = np.cumsum([0, *map(len, parts)]).tolist()
        points = np.concatenate([np.empty((0, 3), dtype=np.int32), *parts])
        content = content_hash(points)
        rows = [
            {"name": name, "start": start, "stop": stop}
            for name, start, stop in zip(self.classes, ends, ends[1:], strict=False)
        ]
        attributes = {KEY: {"classes": rows, "axes": ["z", "y", "x"], "hash": content}}
        shards.write_array(folder, points, self.config, dimension_names=("point", "axis"), attributes=attributes)
        return content

    def _class_voxels(self, label: StoredArray | None) -> list[dict[str, Any]]:
        if label is None:
            return []
        if self.label_kind == "channels":
            counts = [int(np.count_nonzero(channel)) for channel in label.array]
        else:
            planes = [np.bincount(plane.reshape(-1), minlength=256) for plane in label.array[0]]
            counts = np.sum(planes, axis=0)[1 : len(self.classes) + 1].tolist()
        return [{"name": name, "voxels": n} for name, n in zip(self.classes, counts, strict=True)]

    def _publish(self, written: Path, replaced: Path) -> None:
        """Rename a sample to its place; one that is there moves out of the way first."""
        place = self.path / SAMPLES / written.name
        with contextlib.suppress(FileNotFoundError):
            place.rename(replaced)
        written.rename(place)
