"""Compiled: the part of a box that lies in one shard, from the file into the caller's array, in one call.

Each chunk that the box touches is read by `pread` into a buffer of the thread, decoded there as far as it is needed,
and copied to its place row by row. The GIL is not held, and nothing is allocated.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import c_function, kernel

OK, CUT, DAMAGED = 0, 1, 2
"""Results: done; the file ends inside a chunk or cannot be read; a chunk does not decode to its size."""

Quad = tuple[int, int, int, int]
Outcome = tuple[int, int]

_pread = c_function("intp", "int32", "intp", "intp", "int64")
_memcpy = c_function("intp", "intp", "intp", "intp")
_decompress = c_function("int32", "intp", "intp", "int32", "intp", "int32")
_getitem = c_function("int32", "intp", "intp", "int32", "int32", "int32", "intp", "int32")


@kernel
def read_box(
    descriptor: int,
    index: NDArray[np.int64],
    counts: Quad,
    chunk: Quad,
    start: Quad,
    stop: Quad,
    target: int,
    strides: Quad,
    fill_row: NDArray[np.uint8],
    encoded: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
    is_blosc: bool,
    functions: tuple[int, int, int, int, int],
) -> Outcome:
    """Copy the box `start` to `stop` of a shard to `target`.

    Parameters
    ----------
    descriptor
        Open file of the shard.
    index : (chunks, 2) int64
        Offset and length in bytes of each chunk in C order, -1 where it is missing; lengths fit `encoded`.
    counts, chunk
        Chunks of the shard along each axis, and voxels of one chunk along each axis.
    start, stop
        Box in voxels of the shard, not empty.
    target, strides
        Address of the voxel that `start` goes to, and bytes from one voxel to the next along each axis; the last
        one is the size of a voxel.
    fill_row : (bytes of a chunk's last axis,) uint8
        The fill value, repeated.
    encoded, decoded : uint8
        Buffers of this thread, for one chunk each.
    is_blosc
        Else a chunk's bytes are its voxels.
    functions
        Addresses of pread, memcpy, blosc2_decompress_ctx, blosc2_getitem_ctx, and of the thread's context.

    Returns
    -------
    result : OK, CUT or DAMAGED
    chunk : number of the chunk that it is about
    """
    itemsize = strides[3]
    for c in range(start[0] // chunk[0], (stop[0] - 1) // chunk[0] + 1):
        for z in range(start[1] // chunk[1], (stop[1] - 1) // chunk[1] + 1):
            for y in range(start[2] // chunk[2], (stop[2] - 1) // chunk[2] + 1):
                for x in range(start[3] // chunk[3], (stop[3] - 1) // chunk[3] + 1):
                    corner = (c * chunk[0], z * chunk[1], y * chunk[2], x * chunk[3])
                    low, high = _overlap(corner, chunk, start, stop)
                    first, last = _range(low, high, chunk)
                    number = ((c * counts[1] + z) * counts[2] + y) * counts[3] + x
                    offset, length = index[number, 0], index[number, 1]
                    source = 0
                    if offset >= 0:
                        span = (first * itemsize, last * itemsize)
                        size = chunk[0] * chunk[1] * chunk[2] * chunk[3] * itemsize
                        if is_blosc:
                            result = _fetch_blosc(descriptor, offset, length, span, size, encoded, decoded, functions)
                        else:
                            result = _fetch_raw(descriptor, offset, length, span, size, decoded, functions)
                        if result != OK:
                            return result, number
                        source = decoded.ctypes.data - first * itemsize
                    place = target
                    for axis in range(4):
                        place += (corner[axis] + low[axis] - start[axis]) * strides[axis]
                    _copy_rows(source, chunk, low, high, place, strides, fill_row, functions[1])
    return OK, 0


@kernel
def _overlap(corner: Quad, chunk: Quad, start: Quad, stop: Quad) -> tuple[Quad, Quad]:
    """The part of a box that lies in a chunk, in voxels of the chunk."""
    low = (
        max(start[0] - corner[0], 0),
        max(start[1] - corner[1], 0),
        max(start[2] - corner[2], 0),
        max(start[3] - corner[3], 0),
    )
    high = (
        min(stop[0] - corner[0], chunk[0]),
        min(stop[1] - corner[1], chunk[1]),
        min(stop[2] - corner[2], chunk[2]),
        min(stop[3] - corner[3], chunk[3]),
    )
    return low, high


@kernel
def _range(low: Quad, high: Quad, chunk: Quad) -> tuple[int, int]:
    """First and one past the last voxel of a box of a chunk, in C order."""
    first = ((low[0] * chunk[1] + low[1]) * chunk[2] + low[2]) * chunk[3] + low[3]
    last = ((high[0] * chunk[1] - chunk[1] + high[1] - 1) * chunk[2] + high[2] - 1) * chunk[3] + high[3]
    return first, last


@kernel
def _pread_all(descriptor: int, address: int, length: int, offset: int, pread: int) -> bool:
    """Read exactly `length` bytes; a single call may give fewer (a signal, 2 GiB)."""
    done = 0
    while done < length:
        got = _pread(pread, (descriptor, address + done, length - done, offset + done))
        if got <= 0:
            return False
        done += got
    return True


@kernel
def _fetch_raw(
    descriptor: int,
    offset: int,
    length: int,
    span: tuple[int, int],
    size: int,
    decoded: NDArray[np.uint8],
    functions: tuple[int, int, int, int, int],
) -> int:
    """Bytes `span` of a chunk that is not compressed."""
    if length != size:
        return DAMAGED
    if not _pread_all(descriptor, decoded.ctypes.data, span[1] - span[0], offset + span[0], functions[0]):
        return CUT
    return OK


@kernel
def _fetch_blosc(
    descriptor: int,
    offset: int,
    length: int,
    span: tuple[int, int],
    size: int,
    encoded: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
    functions: tuple[int, int, int, int, int],
) -> int:
    """Bytes `span` of a Blosc chunk; its blocks that hold none of them are not decoded.

    Header (c-blosc, README_CHUNK_FORMAT): typesize at byte 3, nbytes, blocksize and cbytes as uint32 from byte 4.
    """
    source, goal = encoded.ctypes.data, decoded.ctypes.data
    if not _pread_all(descriptor, source, length, offset, functions[0]):
        return CUT
    if length < 16 or _uint32(encoded, 4) != size or _uint32(encoded, 12) != length:
        return DAMAGED
    typesize, wanted = int(encoded[3]), span[1] - span[0]
    is_aligned = typesize > 0 and span[0] % typesize == 0 and wanted % typesize == 0
    if wanted == size or not is_aligned:
        if _decompress(functions[2], (functions[4], source, length, goal, size)) != size:
            return DAMAGED
        if wanted != size:
            _memcpy(functions[1], (goal, goal + span[0], wanted))
        return OK
    first, count = span[0] // typesize, wanted // typesize
    got = _getitem(functions[3], (functions[4], source, length, first, count, goal, decoded.size))
    return OK if got == wanted else DAMAGED


@kernel
def _uint32(buffer: NDArray[np.uint8], at: int) -> int:
    """Little-endian number at a byte of a buffer."""
    value = 0
    for k in range(4):
        value += int(buffer[at + k]) << (8 * k)
    return value


@kernel
def _copy_rows(
    source: int, chunk: Quad, low: Quad, high: Quad, place: int, strides: Quad, fill_row: NDArray[np.uint8], memcpy: int
) -> None:
    """Copy the box `low` to `high` of a chunk to `place`; where `source` is 0, the fill value."""
    itemsize = strides[3]
    length = (high[3] - low[3]) * itemsize
    for c in range(low[0], high[0]):
        for z in range(low[1], high[1]):
            for y in range(low[2], high[2]):
                goal = place + (c - low[0]) * strides[0] + (z - low[1]) * strides[1] + (y - low[2]) * strides[2]
                voxel = ((c * chunk[1] + z) * chunk[2] + y) * chunk[3] + low[3]
                origin = source + voxel * itemsize if source != 0 else fill_row.ctypes.data
                _memcpy(memcpy, (goal, origin, length))
