"""Compiled: the part of a box that lies in one shard, from the file to the caller's array, in one call.

The box is worked off in layers, one row of chunks (along z and x) at a time. Chunks are read by `pread`, of their
blocks those are decoded that hold voxels of the box, into a layer in the shape of the volume that fits the processor's
cache; from there the voxels go to their place, cast, normalised and turned. The GIL is not held.

Blosc chunks with LZ4 whose blocks are whole rows (those that `frames` writes) are decoded here block by block, the
bits of 16-bit voxels put together on the way to the layer. Any other Blosc chunk goes through the library's functions.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import address_of, bit_transpose, c_function, copy_16, kernel
from ..kernels.crop import move

OK, CUT, DAMAGED = 0, 1, 2
"""Results: done; the file ends inside a chunk or cannot be read; a chunk does not decode to its size."""

RAW, BLOSC = 0, 1
"""What chunks are: their voxels, or Blosc frames of version 1."""

GROUP = 256
"""Voxels whose bits are put together at once."""

SPARE_ROWS = 1
"""Rows of a layer behind those of each plane: without them planes are powers of two apart, and the lines of a column,
which are turned together, would fall into one set of the processor's cache (2.5 times slower)."""

Quad = tuple[int, int, int, int]
Outcome = tuple[int, int]
Rows = tuple[int, int, int, int]
"""First and one past the last row of a chunk that are wanted, in C order, and those along y of each plane."""
Functions = tuple[int, int, int, int, int, int, int]
"""Addresses of pread, memcpy, blosc2_decompress_ctx, blosc2_getitem_ctx, of the thread's Blosc context, and of
LZ4_decompress_safe and blosc2_bitunshuffle (both 0 where the library does not show them)."""

_pread = c_function("intp", "int32", "intp", "intp", "int64")
_memcpy = c_function("intp", "intp", "intp", "intp")
_decompress = c_function("int32", "intp", "intp", "int32", "intp", "int32")
_getitem = c_function("int32", "intp", "intp", "int32", "int32", "int32", "intp", "int32")
_lz4 = c_function("int32", "intp", "intp", "int32", "int32")
_unshuffle = c_function("int32", "int32", "int32", "intp", "intp")
_join_bits = bit_transpose()

_HEADER = 16
_WORD = 16
_SHUFFLED, _MEMCPYED, _BITSHUFFLED, _UNSPLIT, _LZ4_FORMAT = 0x1, 0x2, 0x4, 0x10, 0x20


@kernel
def read_box(
    descriptor: int,
    index: NDArray[np.int64],
    codec: int,
    counts: Quad,
    chunk: Quad,
    start: Quad,
    stop: Quad,
    target: NDArray[np.generic],
    is_scaled: bool,
    constants: NDArray[np.float32],
    fill: NDArray[np.generic],
    memory: NDArray[np.generic],
    encoded: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
    functions: Functions,
) -> Outcome:
    """Write the box `start` to `stop` of a shard to `target`.

    Parameters
    ----------
    descriptor
        Open file of the shard.
    index : (chunks, 2) int64
        Offset and length in bytes of each chunk in C order, -1 where it is missing; lengths fit `encoded`.
    codec : RAW or BLOSC
    counts, chunk
        Chunks of the shard along each axis, and voxels of one chunk along each axis.
    start, stop
        Box in voxels of the shard, not empty.
    target : (C, z, y, x), the shape of the box
        Any dtype and strides.
    is_scaled, constants
        As for `move`.
    fill : (1,)
        The voxel of missing chunks, in the dtype of the stored ones.
    memory
        Room for one layer, with `SPARE_ROWS`, in the dtype of the stored voxels.
    encoded, decoded : uint8
        Buffers: of a row of chunks as they are in the file, and twice a chunk.
    functions
        See `Functions`.

    Returns
    -------
    result : OK, CUT or DAMAGED
    chunk : number of the chunk that it is about
    """
    z, x = (start[1] // chunk[1], (stop[1] - 1) // chunk[1] + 1), (start[3] // chunk[3], (stop[3] - 1) // chunk[3] + 1)
    shape = (chunk[0], (z[1] - z[0]) * chunk[1], chunk[2] + SPARE_ROWS, (x[1] - x[0]) * chunk[3])
    layer = memory[: shape[0] * shape[1] * shape[2] * shape[3]].reshape(shape)
    offsets, whole = _offsets(chunk[3], layer), (z[0], z[1], x[0], x[1])
    for c in range(start[0] // chunk[0], (stop[0] - 1) // chunk[0] + 1):
        c0, c1 = max(start[0] - c * chunk[0], 0), min(stop[0] - c * chunk[0], chunk[0])
        for y in range(start[2] // chunk[2], (stop[2] - 1) // chunk[2] + 1):
            y0, y1 = max(start[2] - y * chunk[2], 0), min(stop[2] - y * chunk[2], chunk[2])
            goal = target[
                c * chunk[0] + c0 - start[0] : c * chunk[0] + c1 - start[0],
                :,
                y * chunk[2] + y0 - start[2] : y * chunk[2] + y1 - start[2],
            ]
            first = (c * counts[1] * counts[2] + y) * counts[3]
            inner = _present(index[first:], counts[2] * counts[3], z, x)
            if inner[0] < inner[1] and goal.itemsize != 1:
                inner = whole
            elif inner != whole:  # most of a label is background, and bytes are quickly filled
                _spread(fill, goal, is_scaled, constants)
            if inner[0] == inner[1]:
                continue
            for k in range(inner[0], inner[1]):
                low, high = max(start[1] - k * chunk[1], 0), min(stop[1] - k * chunk[1], chunk[1])
                rows = (c0 * chunk[1] + low) * chunk[2] + y0, ((c1 - 1) * chunk[1] + high - 1) * chunk[2] + y1, y0, y1
                part = layer[:, (k - z[0]) * chunk[1] : (k - z[0] + 1) * chunk[1], :, (inner[2] - x[0]) * chunk[3] :]
                number = first + k * counts[2] * counts[3] + inner[2]
                span = index[number : number + inner[3] - inner[2]]
                result, place = _read_row(
                    descriptor, span, codec, chunk, rows, part, fill, offsets, encoded, decoded, functions
                )
                if result != OK:
                    return result, number + place
            z0, z1 = max(inner[0] * chunk[1], start[1]), min(inner[1] * chunk[1], stop[1])
            x0, x1 = max(inner[2] * chunk[3], start[3]), min(inner[3] * chunk[3], stop[3])
            corner = c0, z0 - z[0] * chunk[1], y0, x0 - x[0] * chunk[3]
            goal = goal[:, z0 - start[1] : z1 - start[1], :, x0 - start[3] : x1 - start[3]]
            move(layer, corner, goal, is_scaled, constants)
    return OK, 0


@kernel
def _present(index: NDArray[np.int64], step: int, z: tuple[int, int], x: tuple[int, int]) -> Quad:
    """First and one past the last chunk that is there along z, and along x, of a layer; equal where none is.

    `index` begins with the layer's first chunk; a step along z is `step` chunks.
    """
    z0, z1, x0, x1 = z[1], z[0], x[1], x[0]
    for k in range(z[0], z[1]):
        for i in range(x[0], x[1]):
            if index[k * step + i, 0] >= 0:
                z0, z1, x0, x1 = min(z0, k), max(z1, k + 1), min(x0, i), max(x1, i + 1)
    return (z0, z1, x0, x1) if z0 < z1 else (z[0], z[0], x[0], x[0])


@kernel
def _spread(
    voxel: NDArray[np.generic], goal: NDArray[np.generic], is_scaled: bool, constants: NDArray[np.float32]
) -> None:
    """Fill a part of the target with one voxel, in the order of its memory."""
    move(voxel.reshape((1, 1, 1, 1)), (0, 0, 0, 0), goal[:1, :1, :1, :1], is_scaled, constants)
    value = goal[0, 0, 0, 0]
    z, y, x = abs(goal.strides[1]), abs(goal.strides[2]), abs(goal.strides[3])
    axis = 3 if x <= z and x <= y else 1 if z <= y else 2
    if goal.itemsize == 1 and abs(goal.strides[axis]) == 1 and goal.shape[axis] >= _WORD:
        _spread_bytes(value, goal, axis)
        return
    for c in range(goal.shape[0]):
        if axis == 3:
            goal[c] = value
        elif axis == 1:
            for column in range(goal.shape[3]):
                for row in range(goal.shape[2]):
                    goal[c, :, row, column] = value
        else:
            for column in range(goal.shape[3]):
                for plane in range(goal.shape[1]):
                    goal[c, plane, :, column] = value


@kernel
def _spread_bytes(value: int, goal: NDArray[np.generic], axis: int) -> None:
    """Fill lines of bytes that are next to one another along an axis, sixteen at a time."""
    words = np.empty(_WORD, dtype=np.uint8)
    words[:] = value
    word = address_of(words)
    outer, inner = (1, 2) if axis == 3 else (3, 2) if axis == 1 else (3, 1)
    size = goal.shape[axis]
    begin = address_of(goal) + (1 - size if goal.strides[axis] < 0 else 0)
    for c in range(goal.shape[0]):
        for i in range(goal.shape[outer]):
            for k in range(goal.shape[inner]):
                line = begin + c * goal.strides[0] + i * goal.strides[outer] + k * goal.strides[inner]
                for at in range(0, size - _WORD, _WORD):
                    copy_16(line + at, word)
                copy_16(line + size - _WORD, word)


@kernel
def _offsets(width: int, layer: NDArray[np.generic]) -> NDArray[np.int64]:
    """Where in a layer each 16 voxels of a group go, from its first, in bytes."""
    offsets = np.zeros(16, dtype=np.int64)
    if width % 16 == 0 and GROUP % width == 0:
        for k in range(16):
            offsets[k] = k // (width // 16) * layer.strides[2] + k % (width // 16) * 16 * layer.strides[3]
    return offsets


@kernel
def _read_row(
    descriptor: int,
    span: NDArray[np.int64],
    codec: int,
    chunk: Quad,
    rows: Rows,
    part: NDArray[np.generic],
    fill: NDArray[np.generic],
    offsets: NDArray[np.int64],
    encoded: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
    functions: Functions,
) -> Outcome:
    """Rows of chunks that are next to one another along x, into their part of the layer (chunk, z, y, x)."""
    first, is_whole = -1, False
    if codec == BLOSC:
        first, is_whole = _read_together(descriptor, span, encoded, functions)
    for k in range(len(span)):
        piece = part[:, :, :, k * chunk[3] : (k + 1) * chunk[3]]
        offset, length = span[k, 0], span[k, 1]
        if offset < 0:
            piece[...] = fill[0]
            continue
        if codec == RAW:
            result = _place_raw(descriptor, offset, length, chunk, rows, piece, decoded, functions)
        else:
            source = encoded[offset - first : offset - first + length] if is_whole else encoded[:length]
            if not is_whole and not _pread_all(descriptor, address_of(source), length, offset, functions[0]):
                return CUT, k
            result = _place_blosc(source, chunk, rows, piece, offsets, decoded, functions)
        if result != OK:
            return result, k
    return OK, 0


@kernel
def _read_together(
    descriptor: int, span: NDArray[np.int64], encoded: NDArray[np.uint8], functions: Functions
) -> tuple[int, bool]:
    """Read a row of chunks by one call if they stand one after the other: offset of the first, and whether it was."""
    first, last, total = -1, 0, 0
    for k in range(len(span)):
        if span[k, 0] >= 0:
            offset, length = int(span[k, 0]), int(span[k, 1])
            first = offset if first < 0 else min(first, offset)
            last = max(last, offset + length)
            total += length
    if first < 0 or last - first != total or total > encoded.size:
        return first, False
    return first, _pread_all(descriptor, address_of(encoded), total, first, functions[0])


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
def _place_raw(
    descriptor: int,
    offset: int,
    length: int,
    chunk: Quad,
    rows: Rows,
    piece: NDArray[np.generic],
    decoded: NDArray[np.uint8],
    functions: Functions,
) -> int:
    """Rows of a chunk that is not compressed."""
    width = chunk[3] * piece.itemsize
    if length != chunk[0] * chunk[1] * chunk[2] * width:
        return DAMAGED
    size = (rows[1] - rows[0]) * width
    if not _pread_all(descriptor, address_of(decoded), size, offset + rows[0] * width, functions[0]):
        return CUT
    _copy_rows(address_of(decoded), rows, chunk, piece, functions[1])
    return OK


@kernel
def _place_blosc(
    frame: NDArray[np.uint8],
    chunk: Quad,
    rows: Rows,
    piece: NDArray[np.generic],
    offsets: NDArray[np.int64],
    decoded: NDArray[np.uint8],
    functions: Functions,
) -> int:
    """Rows of a Blosc chunk.

    Header (c-blosc, README_CHUNK_FORMAT): version, version of the codec, flags, typesize; nbytes, blocksize and cbytes
    as uint32; then the offset of each block, which begins with its length where it is not split.
    """
    width = chunk[3] * piece.itemsize
    size = chunk[0] * chunk[1] * chunk[2] * width
    if len(frame) < _HEADER or _uint32(frame, 4) != size or _uint32(frame, 12) != len(frame):
        return DAMAGED
    flags, typesize, blocksize = int(frame[2]), int(frame[3]), _uint32(frame, 8)
    is_ours = frame[0] == 2 and flags & ~_BITSHUFFLED == _UNSPLIT | _LZ4_FORMAT and functions[5] != 0
    is_ours = is_ours and (flags & _BITSHUFFLED == 0 or (typesize == piece.itemsize and _is_in_eights(frame, size)))
    if not is_ours or blocksize <= 0 or blocksize > size or blocksize % width or blocksize * 2 > decoded.size:
        return _place_by_library(frame, chunk, rows, piece, decoded, functions)
    per_block = blocksize // width
    if len(frame) < _HEADER + 4 * ((size + blocksize - 1) // blocksize):
        return DAMAGED
    for block in range(rows[0] // per_block, (rows[1] - 1) // per_block + 1):
        whole = min(blocksize, size - block * blocksize)
        source = _inflate(frame, block, whole, decoded, functions)
        if source == 0:
            return DAMAGED
        first, last = block * per_block, block * per_block + whole // width
        wanted = max(rows[0], first), min(rows[1], last), rows[2], rows[3]
        if flags & _BITSHUFFLED == 0:
            source += (wanted[0] - first) * width
            _copy_rows(source, wanted, chunk, piece, functions[1])
        elif piece.itemsize == 2 and offsets[15] != 0 and chunk[2] * width % (2 * GROUP) == 0 and chunk[0] == 1:
            _place_bits(source, first, whole, wanted, chunk, piece, offsets)
        else:
            goal = address_of(decoded) + blocksize
            _unshuffle(functions[6], (typesize, whole, source, goal))
            goal += (wanted[0] - first) * width
            _copy_rows(goal, wanted, chunk, piece, functions[1])
    return OK


@kernel
def _is_in_eights(frame: NDArray[np.uint8], size: int) -> bool:
    """Whether every block is whole eights of voxels: of what remains, versions of bitshuffle make different bytes."""
    eight = 8 * int(frame[3])
    return size % eight == 0 and _uint32(frame, 8) % eight == 0


@kernel
def _inflate(frame: NDArray[np.uint8], block: int, whole: int, decoded: NDArray[np.uint8], functions: Functions) -> int:
    """Address of a block's `whole` bytes, before their shuffling is undone; 0 if it is damaged."""
    begin = _uint32(frame, _HEADER + 4 * block)
    if begin < _HEADER or begin + 4 > len(frame):
        return 0
    length = _uint32(frame, begin)
    if length <= 0 or begin + 4 + length > len(frame):
        return 0
    source = address_of(frame) + begin + 4
    if length == whole:
        return source
    goal = address_of(decoded)
    return goal if _lz4(functions[5], (source, goal, length, whole)) == whole else 0


@kernel
def _place_bits(
    source: int,
    first: int,
    whole: int,
    wanted: Rows,
    chunk: Quad,
    piece: NDArray[np.generic],
    offsets: NDArray[np.int64],
) -> None:
    """Put the bits of a block of 16-bit voxels together, in the groups that hold rows that are wanted.

    A block begins with row `first` and has `whole` bytes, a sixteenth of them for each bit. Groups never reach
    beyond a plane of the chunk.
    """
    height = GROUP // chunk[3]
    base = address_of(piece)
    for group in range((wanted[0] - first) // height, (wanted[1] - 1 - first) // height + 1):
        row = first + group * height
        place = base + row // chunk[2] * piece.strides[1] + row % chunk[2] * piece.strides[2]
        _join_bits(source + group * (GROUP // 8), whole // 16, place, offsets)


@kernel
def _place_by_library(
    frame: NDArray[np.uint8],
    chunk: Quad,
    rows: Rows,
    piece: NDArray[np.generic],
    decoded: NDArray[np.uint8],
    functions: Functions,
) -> int:
    """Rows of a Blosc chunk of any kind; where it can be asked for items, only their blocks are decoded."""
    width, goal = chunk[3] * piece.itemsize, address_of(decoded)
    size = chunk[0] * chunk[1] * chunk[2] * width
    begin, wanted, typesize = rows[0] * width, (rows[1] - rows[0]) * width, int(frame[3])
    if wanted == size or typesize == 0 or begin % typesize or wanted % typesize:
        if _decompress(functions[2], (functions[4], address_of(frame), len(frame), goal, size)) != size:
            return DAMAGED
        goal += begin
    else:
        asked = (functions[4], address_of(frame), len(frame), begin // typesize, wanted // typesize, goal, decoded.size)
        if _getitem(functions[3], asked) != wanted:
            return DAMAGED
    _copy_rows(goal, rows, chunk, piece, functions[1])
    return OK


@kernel
def _uint32(buffer: NDArray[np.uint8], at: int) -> int:
    """Little-endian number at a byte of a buffer."""
    value = 0
    for k in range(4):
        value += int(buffer[at + k]) << (8 * k)
    return value


@kernel
def _copy_rows(source: int, rows: Rows, chunk: Quad, piece: NDArray[np.generic], memcpy: int) -> None:
    """Copy rows of a chunk, of which the first is at `source`, to their places in the layer, plane by plane."""
    width = chunk[3] * piece.itemsize
    begin, stride = rows[0], piece.strides[2]
    while begin < rows[1]:
        plane, low = begin // chunk[2], begin % chunk[2]
        high = min(chunk[2], low + rows[1] - begin)
        goal = address_of(piece) + plane % chunk[1] * piece.strides[1] + plane // chunk[1] * piece.strides[0]
        for y in range(max(low, rows[2]), min(high, rows[3])):
            _copy(goal + y * stride, source + (y - low) * width, width, memcpy)
        source += (high - low) * width
        begin += high - low


@kernel
def _copy(goal: int, source: int, width: int, memcpy: int) -> None:
    """Copy the bytes of a row; where they are few and even, without the price of a call."""
    if width % 16 or width > 256:
        _memcpy(memcpy, (goal, source, width))
    else:
        for at in range(0, width, 16):
            copy_16(goal + at, source + at)
