"""What `zarr.json` of an array says (Zarr v3 core specification; sharding: its codec `sharding_indexed`, 1.0).

Only what a store of ours is made of is understood; everything else is refused by name, never guessed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreDamagedError, StoreFormatError

MISSING = np.uint64(2**64 - 1)
"""Offset and length, in the index of a shard, of a chunk that holds nothing but the fill value."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ArrayMetadata:
    """Layout of one array on disk; all shapes have as many axes as the array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shard: tuple[int, ...]
    """Voxels of one file."""
    chunk: tuple[int, ...]
    """Voxels of one chunk inside it; equal to `shard` where the array is not sharded."""
    codec: Literal["raw", "blosc"]
    sharded: bool
    checksum: bool
    """Whether the index ends with its CRC32C."""
    index_first: bool
    """Whether the index stands at the start of the file."""
    fill: NDArray[Any]
    """() of `dtype`."""
    separator: str
    """Between the numbers of a chunk key: "/" or "."."""
    attributes: Mapping[str, Any]

    @property
    def shards(self) -> tuple[int, ...]:
        """Number of files along each axis."""
        return tuple(ceil(n / s) for n, s in zip(self.shape, self.shard, strict=True))

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        """Number of chunks of one file along each axis."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        """Size of a shard's index: offset and length per chunk, and the checksum."""
        return 16 * prod(self.chunks_per_shard) + 4 * self.checksum

    def shard_key(self, position: Sequence[int]) -> str:
        """Path of one file, relative to the array's folder."""
        return self.separator.join(("c", *map(str, position)))


def read_metadata(folder: Path, what: str) -> dict[str, Any]:
    """The content of `zarr.json` in a folder.

    Raises
    ------
    StoreDamagedError
        It is missing, or no JSON object. `what` names it in the message.
    """
    try:
        content = (folder / "zarr.json").read_bytes()
    except OSError as error:
        raise StoreDamagedError(f"{what}: its zarr.json cannot be read: {error.strerror}") from error
    return parse_document(content, what)


def parse_document(content: bytes, what: str) -> dict[str, Any]:
    """The JSON object that the bytes of a `zarr.json` hold.

    Raises
    ------
    StoreDamagedError
        They hold none. `what` names it in the message.
    """
    try:
        document = json.loads(content)
    except ValueError as error:
        raise StoreDamagedError(f"{what}: its zarr.json is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise StoreDamagedError(f"{what}: its zarr.json holds {type(document).__name__}, not an object")
    return document


def parse_array(document: Mapping[str, Any], what: str) -> ArrayMetadata:
    """Understand the `zarr.json` of an array.

    Raises
    ------
    StoreFormatError
        It uses something of Zarr that this reader does not know; the message names it. `what` is the array.
    StoreDamagedError
        A field is missing or of a wrong type.
    """
    try:
        return _parse(document, what)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise StoreDamagedError(f"{what}: its zarr.json is not right: {error!r}") from error


def _parse(document: Mapping[str, Any], what: str) -> ArrayMetadata:
    _expect(what, "zarr_format", document["zarr_format"], (3,))
    _expect(what, "node_type", document["node_type"], ("array",))
    _expect(what, "chunk_grid", document["chunk_grid"]["name"], ("regular",))
    _expect(what, "chunk_key_encoding", document["chunk_key_encoding"]["name"], ("default",))
    _expect(what, "storage_transformers", list(document.get("storage_transformers", [])), ([],))
    dtype = _dtype(document["data_type"], what)
    shard = tuple(map(int, document["chunk_grid"]["configuration"]["chunk_shape"]))
    chunk, codec, sharded, checksum, index_first = _codecs(document["codecs"], shard, dtype, what)
    shape = tuple(map(int, document["shape"]))
    if not len(shape) == len(shard) == len(chunk) or min((*shard, *chunk)) < 1:
        raise ValueError(f"shape {shape}, shard {shard} and chunk {chunk} do not fit one another")
    if any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise ValueError(f"shard {shard} is not a multiple of chunk {chunk}")
    return ArrayMetadata(
        shape=shape,
        dtype=dtype,
        shard=shard,
        chunk=chunk,
        codec=codec,
        sharded=sharded,
        checksum=checksum,
        index_first=index_first,
        fill=_fill(document["fill_value"], dtype),
        separator=document["chunk_key_encoding"].get("configuration", {}).get("separator", "/"),
        attributes=document.get("attributes", {}),
    )


def _expect(what: str, name: str, value: Any, known: Sequence[Any]) -> None:
    if value not in known:
        raise StoreFormatError(f"{what}: {name} is {value!r}, this reader knows {', '.join(map(repr, known))}")


def _dtype(name: Any, what: str) -> np.dtype[Any]:
    sized = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
    _expect(what, "data_type", name, (*sized, "bool", "float16", "float32", "float64"))
    return np.dtype(name).newbyteorder("<")


Chain = tuple[tuple[int, ...], Literal["raw", "blosc"], bool, bool, bool]


def _codecs(codecs: Sequence[Mapping[str, Any]], shard: tuple[int, ...], dtype: np.dtype[Any], what: str) -> Chain:
    """Chunk shape, codec, is it sharded, has its index a checksum, does the index come first."""
    if codecs[0]["name"] != "sharding_indexed":
        return shard, _chunk_codec(codecs, dtype, what), False, False, False
    if len(codecs) > 1:
        raise StoreFormatError(
            f"{what}: codec {codecs[1]['name']!r} after sharding_indexed is not known to this reader"
        )
    inner = codecs[0]["configuration"]
    location = inner.get("index_location", "end")
    _expect(what, "index_location", location, ("start", "end"))
    index = [codec["name"] for codec in inner["index_codecs"]]
    _expect(what, "index_codecs", index, (["bytes"], ["bytes", "crc32c"]))
    _expect(what, "endian of the index", inner["index_codecs"][0]["configuration"]["endian"], ("little",))
    chunk = tuple(map(int, inner["chunk_shape"]))
    return chunk, _chunk_codec(inner["codecs"], dtype, what), True, len(index) == 2, location == "start"


def _chunk_codec(codecs: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], what: str) -> Literal["raw", "blosc"]:
    names = [codec["name"] for codec in codecs]
    _expect(what, "codecs", names, (["bytes"], ["bytes", "blosc"]))
    if dtype.itemsize > 1:
        _expect(what, "endian", codecs[0]["configuration"]["endian"], ("little",))
    return "blosc" if len(names) == 2 else "raw"


def _fill(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The fill value, in the forms that the specification gives it: number, "NaN", "-Infinity", "0x7fc00000"."""
    if isinstance(value, str) and value.startswith("0x"):
        return np.frombuffer(bytes.fromhex(value[2:])[::-1], dtype=dtype).reshape(())
    return np.array(float(value) if isinstance(value, str) else value, dtype=dtype)


def array_document(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    *,
    shard: Sequence[int],
    chunk: Sequence[int],
    codec: str,
    fill: float,
    dimension_names: Sequence[str],
    attributes: Mapping[str, Any],
    blocksize: int = 0,
) -> dict[str, Any]:
    """The `zarr.json` of a sharded array, in the words of the specification."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    chain: list[dict[str, Any]] = [little if dtype.itemsize > 1 else {"name": "bytes"}]
    if codec != "none":
        blosc = {
            "cname": codec.removeprefix("blosc-"),
            "clevel": LEVELS[codec],
            "shuffle": SHUFFLE[dtype.itemsize] if codec == "blosc-lz4" else "bitshuffle",
            "typesize": dtype.itemsize,
            "blocksize": blocksize if codec == "blosc-lz4" else 0,
        }
        chain.append({"name": "blosc", "configuration": blosc})
    sharding = {
        "chunk_shape": list(chunk),
        "codecs": chain,
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": list(dimension_names),
        "attributes": dict(attributes),
    }


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The `zarr.json` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


LEVELS = {"blosc-lz4": 5, "blosc-zstd": 3}
"""Compression level per codec: higher ones take several times the time to write and save about a hundredth."""

SHUFFLE = {1: "noshuffle", 2: "bitshuffle", 4: "bitshuffle", 8: "bitshuffle"}
"""Filter before LZ4, per size of a voxel: labels are runs of equal bytes, which LZ4 finds and decodes by itself."""


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a `zarr.json`: keys in the order given, numbers that read back exactly, no nan."""
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
