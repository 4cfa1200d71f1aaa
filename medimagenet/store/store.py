"""Open a store and read from it."""

import importlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreError, StoreFormatError
from ..volume import Mask
from .form import Form
from .hdf5_files import first_file, is_hdf5_name
from .hdf5_form import Hdf5Form
from .layout import FOREGROUND, KEY, PARTIAL, ROOT_METADATA, check_format
from .patient import Interpolation, to_patient
from .reader import ArrayReader, ShardedArray
from .remote_form import RemoteForm
from .remote_hdf5 import RemoteHdf5Form
from .remote_objects import address_of
from .zarr_form import ZarrForm

_OPEN_ARRAYS = 4096
"""Parsed arrays that a store keeps, the last used ones; 16 bytes per chunk. Memory must not grow with samples."""


def open_store(
    path: Path | str,
    storage_options: Mapping[str, Any] | None = None,
    cache_dir: Path | str | None = None,
    cache_bytes: int | None = None,
) -> "Store":
    """Open a store that `create_store` or `medimagenet compile` has made.

    Parameters
    ----------
    path
        Of its folder, or of any of its files in the HDF5 form; or such an address, behind ``s3://``, ``gs://``,
        ``http://`` or ``https://``.
    storage_options, cache_dir, cache_bytes
        For addresses alone: what obstore is told (``endpoint``, ``region``, credentials, ``headers``), the folder on
        this machine that keeps what was fetched, and the bytes that it may take. See `remote_objects.Objects` and
        `remote_cache.NodeCache`.

    Raises
    ------
    StoreError
        There is nothing at the path, or a server cannot be reached or refuses.
    StoreFormatError
        What is there is no store, or one of a format that this version does not know.
    StoreDamagedError
        Its table of samples is missing, cut or damaged.
    """
    address = address_of(path)
    if address is not None:
        kind = RemoteHdf5Form if is_hdf5_name(Path(address)) else RemoteForm
        remote = kind(address, storage_options, cache_dir, cache_bytes)
        return Store(remote, check_format(remote.root(), address), remote.table())
    path = Path(path)
    form = find_form(path)
    if form is not None:
        return Store(form, check_format(form.root(), str(path)), form.table())
    unpacked = path.with_name(f"{path.name}{PARTIAL}")
    if not path.exists() and unpacked.exists():
        raise StoreError(
            f'{path} is not packed yet: run the same "medimagenet compile" again to finish it, or look into {unpacked}'
        )
    if not path.exists():
        raise StoreError(f'there is no store at {path}: make one with "medimagenet compile"')
    raise StoreFormatError(f"{path} is no store: it has no {ROOT_METADATA}, and is no HDF5 file (.h5)")


def find_form(path: Path) -> Form | None:
    """What a store at a path is kept in; None where there is none.

    A store in the HDF5 form is found by its name, by any of its files, and by the folder that its files are in.

    Raises
    ------
    StoreFormatError, StoreDamagedError
        A file is called as one in the HDF5 form, and is not, or cannot be read.
    """
    if (path / ROOT_METADATA).is_file():
        return ZarrForm(path)
    first = first_file(path)
    return None if first is None else Hdf5Form(first)


class Store:
    """A store that is open for reading. Holds no file; safe in threads, after a fork, and when pickled."""

    def __init__(self, form: Form, attributes: Mapping[str, Any], samples: pa.Table) -> None:
        self._form = form
        self._path = form.path
        self._attributes = attributes
        self._samples = samples
        self._rows = {name: row for row, name in enumerate(samples.column("sample_id").to_pylist())}
        self._open: OrderedDict[tuple[str, str], ArrayReader] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = self._form.arguments if isinstance(self._form, RemoteForm | RemoteHdf5Form) else (self._path,)
        return open_store, arguments

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Store({str(self._path)!r}, samples={len(self)}, classes={list(self.classes)})"

    @property
    def path(self) -> Path | str:
        """The store's folder, its file, or its address."""
        return self._path

    @property
    def form(self) -> Form:
        """Where its bytes are."""
        return self._form

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Our attributes of the root: format, recipe, recipe_hash, classes, label_kind, fingerprint, index_version."""
        return self._attributes

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the labels: one channel each ("channels"), or the values 1, 2, ... ("map")."""
        return tuple(self._attributes["classes"])

    @property
    def label_kind(self) -> str:
        """ "channels" or "map"."""
        return str(self._attributes["label_kind"])

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe that made it, as JSON values."""
        recipe: Mapping[str, Any] = self._attributes["recipe"]
        return recipe

    @property
    def recipe_hash(self) -> str:
        """Of the recipe and the version of the code that applied it."""
        return str(self._attributes["recipe_hash"])

    @property
    def is_finished(self) -> bool:
        """Whether the run that made it came to its end. The samples of one that did not are whole nevertheless."""
        return self._attributes.get("fingerprint") is not None

    @property
    def samples(self) -> pa.Table:
        """One row per sample, sorted by id; columns as in `table.SCHEMA`."""
        return self._samples

    def ids(self, split: str | None = None) -> tuple[str, ...]:
        """The samples of a split ("train", "val", "test"), or all, sorted."""
        if split is None:
            return tuple(self._rows)
        splits = self._samples.column("split").to_pylist()
        return tuple(name for name, row in self._rows.items() if splits[row] == split)

    def row(self, sample_id: str) -> dict[str, Any]:
        """What samples.parquet says about a sample.

        Raises
        ------
        KeyError
            There is no such sample.
        """
        row: dict[str, Any] = self._samples.slice(self._row_number(sample_id), 1).to_pylist()[0]
        return row

    def names(self, sample_id: str) -> tuple[str, ...]:
        """The arrays of a sample, the leading image first."""
        arrays = self._samples.column("arrays")[self._row_number(sample_id)].as_py()
        return tuple(array["name"] for array in arrays)

    def array(self, sample_id: str, name: str = "image") -> ArrayReader:
        """One array of a sample.

        Raises
        ------
        KeyError
            There is no such sample, or it has no such array.
        StoreDamagedError
            The array's metadata are missing or wrong.
        """
        with self._lock:
            reader = self._open.get((sample_id, name))
            if reader is not None:
                self._open.move_to_end((sample_id, name))
                return reader
        if name not in self.names(sample_id):
            raise KeyError(f"sample {sample_id} has no array {name!r}; it has {', '.join(self.names(sample_id))}")
        reader = ArrayReader(self._form, sample_id=sample_id, name=name)
        with self._lock:
            self._open[sample_id, name] = reader
            while len(self._open) > _OPEN_ARRAYS:
                self._open.popitem(last=False)
        return reader

    def foreground(self, sample_id: str, class_name: str) -> NDArray[np.int32]:
        """Voxels of a class, at most as many as the recipe says.

        Returns
        -------
        points : (n, 3), z, y, x, voxel indices in C order; n is 0 where the class is absent

        Raises
        ------
        KeyError
            There is no such sample or class.
        StoreDamagedError
            The points cannot be read.
        """
        self._row_number(sample_id)
        if class_name not in self.classes:
            raise KeyError(f"no class {class_name!r} in {self._path}; there are {', '.join(self.classes)}")
        what = f"sample {sample_id}, {FOREGROUND}"
        points = ShardedArray(self._form.chunks(sample_id, FOREGROUND), what)
        try:
            rows = points.metadata.attributes[KEY]["classes"]
            start, stop = next((row["start"], row["stop"]) for row in rows if row["name"] == class_name)
        except (KeyError, TypeError, StopIteration) as error:
            raise StoreDamagedError(f"{what}: its attributes do not say where class {class_name!r} is") from error
        out = np.empty((stop - start, 3), dtype=np.int32)
        return points.read_box((start, 0), (stop, 3), out) if stop > start else out

    def to_patient(self, sample_id: str, prediction: NDArray[Any], *, interpolation: Interpolation = "nearest") -> Mask:
        """A prediction on the stored grid of a sample, brought back to the grid of its scan.

        Parameters
        ----------
        prediction : (Z, Y, X) map of the values 0, 1, 2, ..., or (C, Z, Y, X), one channel per class of the store
            In the store's own order of axes; `train.to_stored_order` gives it from what a network saw.
        interpolation : as in `store.patient.to_patient`

        Raises
        ------
        KeyError
            There is no such sample.
        ValueError
            The prediction does not fit the sample, or the store does not know the grid of the scan.
        """
        array = self.array(sample_id)
        if array.source_grid is None:
            raise ValueError(f"sample {sample_id} does not know the grid of its scan (source_grid)")
        return to_patient(prediction, array.grid, array.source_grid, self.classes, interpolation=interpolation)

    def to_tf_dataset(self, **options: Any) -> Any:
        """A ``tf.data.Dataset`` of random patches, the batches of a `PatchLoader` with the same settings.

        Parameters
        ----------
        options
            As for `train.to_tf_dataset`; patch_size is needed.

        Raises
        ------
        MissingPackageError
            TensorFlow is not installed.
        """
        return importlib.import_module("medimagenet.train.tensorflow").to_tf_dataset(self, **options)

    def _row_number(self, sample_id: str) -> int:
        try:
            return self._rows[sample_id]
        except KeyError:
            raise KeyError(f"no sample {sample_id!r} among the {len(self)} of {self._path}") from None
