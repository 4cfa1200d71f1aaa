"""The seam between reading a store and where its bytes are: what a form of the store has to say.

A form is one way to keep the same tree: a Zarr directory (`zarr_form`), HDF5 files (`hdf5_form`), and either behind an
address (`remote_form`, `remote_hdf5`). `open_store` finds the form of a path and makes a `Store` of it; `Store`,
`ArrayReader` and `verify` then ask the `Form` for what they need, and nobody else touches a file::

    Store, verify --> Form      root attributes, table, attributes of an image, hashes of what is stored
    ShardedArray  --> Chunks    for a box in a shard: an open file, and offset and length of each chunk in it

A shard is what has one descriptor and one index: a file of a Zarr array, a whole array inside an HDF5 file, a cached
object. The voxels then come out of it in one call without the GIL (`decode.read_box`), the same for every form, so
what a form costs is what `Chunks.open` costs. A form must be safe in many threads at once and after a fork, and must
keep no descriptor: a store of any number of samples needs one per thread.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import StoreDamagedError
from .metadata import ArrayMetadata

MARGIN = 64
"""Bytes that an encoded chunk may be longer than its voxels, beside what its blocks take."""


class Chunks(Protocol):
    """Where the chunks of one array are. Safe in many threads at once; keeps no descriptor."""

    @property
    def metadata(self) -> ArrayMetadata:
        """Shape, dtype, chunks and codec; `shard` is what one call of `open` gives access to."""

    def open(
        self, position: tuple[int, ...], low: tuple[int, int, int, int], high: tuple[int, int, int, int]
    ) -> tuple[int, NDArray[np.int64]]:
        """A descriptor that `pread` works on, which the caller closes, and where the chunks of a shard are in it.

        Parameters
        ----------
        position
            Of the shard, along each axis of the array.
        low, high
            Box of voxels of the shard that will be read (four axes, ones before those of a shorter array). The
            chunks that it touches must be in the file; about others nothing is asked.

        Returns
        -------
        descriptor
        index : (chunks, 2) int64
            Offset and length in bytes of each chunk of the shard in C order, -1 where it is only fill; as
            `checked_index` passes them.

        Raises
        ------
        StoreDamagedError
            The file is missing or cut, or its index is wrong. The message begins with the sample and the array.
        """

    def file(self, position: tuple[int, ...]) -> str:
        """Path or address of the file of a shard, for messages."""


class Form(Protocol):
    """One way to keep a store. Safe in many threads at once; keeps no descriptor; what it raises names the sample."""

    @property
    def path(self) -> Path | str:
        """What `open_store` was given; it opens the same store again, in another process too."""

    def root(self) -> Mapping[str, Any]:
        """The attributes of the root, in which `layout.KEY` are ours."""

    def table(self) -> pa.Table:
        """samples.parquet."""

    def attributes(self, sample_id: str, name: str) -> Mapping[str, Any]:
        """All attributes of an image's group: `layout.KEY` are ours, "ome" those of OME-Zarr."""

    def chunks(self, sample_id: str, name: str) -> Chunks:
        """The voxels of an image, or the points of the foreground."""

    def sample_ids(self) -> set[str]:
        """Samples whose bytes are there, whether the table knows them or not."""

    def stored(self, sample_id: str, name: str | None = None) -> tuple[str, int]:
        """Hash and size of the bytes that are stored of a sample, or of one of its arrays: what its row says."""

    def attribution(self) -> str | None:
        """The text of ATTRIBUTION.md; None where there is none."""

    def defects(self) -> list[str]:
        """What is wrong with the store as a whole, a sentence each: it is being written, a file of it is missing."""


def checked_index(
    index: NDArray[np.int64], size: int, metadata: ArrayMetadata, what: str, file: str
) -> NDArray[np.int64]:
    """The index, if all its chunks lie inside a file of `size` bytes and none is longer than a chunk can be.

    Raises
    ------
    StoreDamagedError
        One does not. `what` is the array.
    """
    present = index[(index != -1).any(axis=1)]
    longest = prod(metadata.chunk) * metadata.dtype.itemsize + MARGIN
    if ((present < 0).any() or (present[:, 1] > longest).any()) or (present.sum(axis=1) > size).any():
        name = Path(file).name
        raise StoreDamagedError(f"{what}: the index of {name} points outside its {size} bytes ({file})")
    return index
