"""Parsing zarr.json: what zarr-python writes in each of its forms, and refusals that name what is not known."""

import copy
import json
import math

import numpy as np
import pytest
import zarr

from medimagenet.errors import StoreDamagedError, StoreFormatError
from medimagenet.store.metadata import array_document, parse_array, read_metadata


def document(**changes):
    """Of a sharded int16 array of ours."""
    made = array_document(
        (1, 4, 5, 6),
        np.dtype(np.int16),
        shard=(1, 4, 6, 6),
        chunk=(1, 2, 2, 2),
        codec="blosc-lz4",
        fill=-1024,
        dimension_names="czyx",
        attributes={"a": 1},
    )
    return {**made, **changes}


def test_zarr_python_understands_our_document(tmp_path):
    (tmp_path / "zarr.json").write_text(json.dumps(document()))
    array = zarr.open_array(tmp_path, mode="r")
    assert array.shape == (1, 4, 5, 6)
    assert array.shards == (1, 4, 6, 6)
    assert array.chunks == (1, 2, 2, 2)
    assert array.dtype == np.int16
    assert array.fill_value == -1024
    assert array.metadata.dimension_names == ("c", "z", "y", "x")
    assert array.attrs["a"] == 1


def test_our_own_document_reads_back():
    found = parse_array(document(), "array")
    assert (found.shape, found.shard, found.chunk) == ((1, 4, 5, 6), (1, 4, 6, 6), (1, 2, 2, 2))
    assert found.shards == (1, 1, 1, 1)
    assert found.chunks_per_shard == (1, 2, 3, 3)
    assert found.index_bytes == 18 * 16 + 4
    assert (found.codec, found.checksum, found.index_first, found.fill[()]) == ("blosc", True, False, -1024)
    assert found.shard_key((0, 1, 2, 3)) == "c/0/1/2/3"


@pytest.mark.parametrize("fill", [0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, 1e-40])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fill_values_as_zarr_python_writes_them(tmp_path, fill, dtype):
    zarr.create_array(tmp_path, shape=(4,), chunks=(4,), dtype=dtype, fill_value=fill)
    assert _uncompressed(tmp_path).fill.tobytes() == np.array(fill, dtype=dtype).tobytes()


def _uncompressed(folder):
    parts = read_metadata(folder, "array")  # its default codec is zstd, which a store of ours has only inside Blosc
    return parse_array({**parts, "codecs": parts["codecs"][:1]}, "array")


def test_a_fill_value_in_bits():
    parts = document(data_type="float32", fill_value="0x7fc00001")
    assert parse_array(parts, "array").fill.tobytes() == bytes([1, 0, 0xC0, 0x7F])


def changed(path, value):
    """The document with one entry, named by its path, replaced."""
    made = copy.deepcopy(document())
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


INNER = ("codecs", 0, "configuration")
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("zarr_format",), 4, "zarr_format is 4"),
        (("node_type",), "group", "node_type is 'group'"),
        (("data_type",), "complex64", "data_type is 'complex64'"),
        (("data_type",), {"name": "r8"}, "data_type is"),
        (("chunk_grid", "name"), "rectilinear", "chunk_grid is 'rectilinear'"),
        (("chunk_key_encoding", "name"), "v2", "chunk_key_encoding is 'v2'"),
        (("storage_transformers",), [{"name": "x"}], "storage_transformers is"),
        ((*INNER, "codecs"), [BYTES, {"name": "gzip", "configuration": {"level": 1}}], "'gzip'"),
        ((*INNER, "codecs"), [{"name": "transpose"}, BYTES], "'transpose'"),
        ((*INNER, "codecs"), [BIG], "'big'"),
        ((*INNER, "index_codecs"), [BIG], "'big'"),
        ((*INNER, "index_codecs"), [BYTES, {"name": "zstd"}], "'zstd'"),
        ((*INNER, "index_location"), "middle", "'middle'"),
        (("codecs",), [*document()["codecs"], {"name": "crc32c"}], "'crc32c'"),
    ],
)
def test_what_is_not_known_is_refused_by_name(path, value, words):
    with pytest.raises(StoreFormatError, match="sample p1, array image") as error:
        parse_array(changed(path, value), "sample p1, array image")
    assert words in str(error.value)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        changed(("shape",), None),
        changed(("shape",), [1, 2]),
        changed((*INNER, "chunk_shape"), [1, 3, 4, 6]),
        changed((*INNER, "chunk_shape"), [1, 0, 2, 2]),
        changed((*INNER, "codecs"), []),
        changed(("chunk_grid",), "regular"),
        changed(("fill_value",), "x"),
        changed(("fill_value",), 10**9),
    ],
)
def test_what_is_wrong_is_damage(parts):
    with pytest.raises((StoreDamagedError, StoreFormatError), match="array image"):
        parse_array(parts, "array image")


def test_a_document_that_is_no_object(tmp_path):
    (tmp_path / "zarr.json").write_text("[1]")
    with pytest.raises(StoreDamagedError, match="list"):
        read_metadata(tmp_path, "x")
