"""What is stored of a sample whatever its form: attributes, and the chunks as they are, still encoded.

A store in the HDF5 form is packed from these, and the hashes in its table are taken of them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreDamagedError
from .form import Chunks, Form
from .layout import FOREGROUND
from .metadata import ArrayMetadata

Frame = tuple[tuple[int, ...], bytes]
"""First voxel of a chunk along each axis, and its bytes."""

Stored = tuple[str, int]
"""SHA-256 (hex), and bytes."""


def frames(chunks: Chunks, what: str) -> Iterator[Frame]:
    """The chunks of an array that are not only fill, in C order, however many files they are in.

    Raises
    ------
    StoreDamagedError
        A file is missing or cut. `what` is the array.
    """
    shard = chunks.metadata.shard
    counts = [ceil(n / s) for n, s in zip(chunks.metadata.shape, shard, strict=True)]
    places = [
        (corner, position, offset, length)
        for position in product(*map(range, counts))
        for corner, offset, length in _places(chunks, position)
    ]
    for corner, position, offset, length in sorted(places):
        yield corner, _read(chunks, position, offset, length, what)


def _places(chunks: Chunks, position: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    metadata = chunks.metadata
    index = _index(chunks, position)
    for inner, (offset, length) in zip(product(*map(range, metadata.chunks_per_shard)), index.tolist(), strict=True):
        steps = zip(position, metadata.shard, inner, metadata.chunk, strict=True)
        corner = tuple(p * s + k * c for p, s, k, c in steps)
        if offset >= 0 and all(a < n for a, n in zip(corner, metadata.shape, strict=True)):
            yield corner, offset, length


def _index(chunks: Chunks, position: tuple[int, ...]) -> NDArray[np.int64]:
    descriptor, index = _open(chunks, position)
    os.close(descriptor)
    return index


def _open(chunks: Chunks, position: tuple[int, ...]) -> tuple[int, NDArray[np.int64]]:
    a, b, c, d = (*(1,) * (4 - len(chunks.metadata.shard)), *chunks.metadata.shard)
    return chunks.open(position, (0, 0, 0, 0), (a, b, c, d))


def _read(chunks: Chunks, position: tuple[int, ...], offset: int, length: int, what: str) -> bytes:
    descriptor, _ = _open(chunks, position)
    try:
        content = os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
    if len(content) != length:
        path = chunks.file(position)
        raise StoreDamagedError(f"{what}: a chunk is cut off by the end of the file ({path})")
    return content


def hash_array(form: Form, sample_id: str, name: str) -> Stored:
    """Of the layout, the attributes and the encoded chunks of an array.

    Raises
    ------
    StoreDamagedError
        Something cannot be read.
    """
    chunks = form.chunks(sample_id, name)
    attributes = chunks.metadata.attributes if name == FOREGROUND else form.attributes(sample_id, name)
    return hash_frames(name, chunks.metadata, attributes, frames(chunks, f"sample {sample_id}, array {name}"))


def hash_frames(name: str, metadata: ArrayMetadata, attributes: Mapping[str, Any], encoded: Iterable[Frame]) -> Stored:
    """As `hash_array`, of what was read already."""
    line = json.dumps([name, describe(metadata), attributes], sort_keys=True).encode() + b"\n"
    stamp, total = hashlib.sha256(line), len(line)
    for corner, content in encoded:
        stamp.update(f"{corner} {len(content)}\n".encode() + content)
        total += len(content)
    return stamp.hexdigest(), total


def hash_sample(arrays: Mapping[str, Stored]) -> Stored:
    """Of a sample, from those of its arrays and its foreground by name."""
    lines = [f"{name} {size} {content}\n" for name, (content, size) in sorted(arrays.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest(), sum(size for _, size in arrays.values())


def describe(metadata: ArrayMetadata) -> dict[str, Any]:
    """Layout of an array as JSON values: what every form of it has."""
    return {
        "shape": list(metadata.shape),
        "dtype": metadata.dtype.name,
        "chunk": list(metadata.chunk),
        "codec": metadata.codec if prod(metadata.shape) else None,  # HDF5 gives none to what has no chunks
        "fill": metadata.fill.tobytes().hex(),
    }
