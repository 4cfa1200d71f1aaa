"""Blosc chunks of version 1 as we write them: LZ4 in small blocks, so that a reader decodes only those it needs.

The format is c-blosc's (README_CHUNK_FORMAT), and every reader of Blosc reads it; only numcodecs, which zarr-python
writes with, cannot be told to make blocks of LZ4 smaller than 64 kB. Equal input gives equal bytes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import address_of, c_function, kernel
from .blosc import blosc_library

_HEADER = 16
_MEMCPYED, _BITSHUFFLED, _UNSPLIT, _LZ4_FORMAT = 0x2, 0x4, 0x10, 0x20
_ACCELERATION = 5
"""Of LZ4: what Blosc makes of its level 5."""

_compress = c_function("int32", "intp", "intp", "int32", "int32", "int32")
_shuffle = c_function("int32", "int32", "int32", "intp", "intp")


def can_encode(size: int, blocksize: int, typesize: int) -> bool:
    """Whether `encode` takes a chunk of `size` bytes: bitshuffle works on eights of voxels.

    (Decoders disagree about what remains.)
    """
    return blosc_library().lz4_compress != 0 and size % (8 * typesize) == 0 and blocksize % (8 * typesize) == 0


def encode(block: NDArray[Any], blocksize: int, *, bitshuffle: bool) -> bytes:
    """One chunk as a Blosc frame.

    Parameters
    ----------
    block
        C-contiguous.
    blocksize
        Bytes that are compressed as one.
    """
    source = block.reshape(-1).view(np.uint8)
    library = blosc_library()
    blocks = -(-source.size // blocksize)
    out = np.empty(_HEADER + source.size + blocks * (8 + blocksize // 255 + 16), dtype=np.uint8)
    functions = library.lz4_compress, library.bitshuffle
    size = _encode(source, blocksize, block.itemsize, bitshuffle, out, np.empty(blocksize, np.uint8), functions)
    return out[:size].tobytes()


@kernel
def _encode(
    source: NDArray[np.uint8],
    blocksize: int,
    typesize: int,
    bitshuffle: bool,
    out: NDArray[np.uint8],
    shuffled: NDArray[np.uint8],
    functions: tuple[int, int],
) -> int:
    """Write the frame, return its length. Blocks that do not get smaller stand as they are."""
    blocks = (source.size + blocksize - 1) // blocksize
    place = _HEADER + 4 * blocks
    for block in range(blocks):
        whole = min(blocksize, source.size - block * blocksize)
        origin = address_of(source) + block * blocksize
        if bitshuffle:
            _shuffle(functions[1], (typesize, whole, origin, shuffled.ctypes.data))
            origin = address_of(shuffled)
        room = out.size - place - 4
        length = _compress(functions[0], (origin, address_of(out) + place + 4, whole, room, _ACCELERATION))
        if length <= 0 or length >= whole:
            length = whole
            if bitshuffle:
                out[place + 4 : place + 4 + whole] = shuffled[:whole]
            else:
                out[place + 4 : place + 4 + whole] = source[block * blocksize : block * blocksize + whole]
        _put_uint32(out, _HEADER + 4 * block, place)
        _put_uint32(out, place, length)
        place += 4 + length
    flags = _UNSPLIT | _LZ4_FORMAT | (_BITSHUFFLED if bitshuffle else 0)
    if place >= _HEADER + source.size:
        out[_HEADER : _HEADER + source.size] = source
        place = _HEADER + source.size
        flags |= _MEMCPYED
    out[0], out[1], out[2], out[3] = 2, 1, flags, typesize
    _put_uint32(out, 4, source.size)
    _put_uint32(out, 8, blocksize)
    _put_uint32(out, 12, place)
    return place


@kernel
def _put_uint32(out: NDArray[np.uint8], at: int, value: int) -> None:
    """Write a little-endian number."""
    for k in range(4):
        out[at + k] = value >> (8 * k) & 255
