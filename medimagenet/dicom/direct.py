"""The usual CT: uncompressed slices of 16 bits that become int16, read and rescaled by one compiled call per batch.

Slice by slice in Python, threads wait for its lock. What is not as usual, or fails, is left to `decode`, which reads it
or says what is wrong.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import c_function, kernel
from .frames import Frame
from .pixels import INT16, NATIVE, stored_dtype

WIDEST = 2.0**30  # a slope or intercept beyond it leaves int16 with any stored value but 0; 64 bits never overflow
INT16_MIN, INT16_MAX = int(INT16.min), int(INT16.max)

_BATCHES = 4  # per thread: few enough to cost nothing, enough that threads end together
_call_pread = c_function("intp", "int32", "intp", "intp", "int64")


@cache
def _pread() -> int:
    """The address of ``ssize_t pread(int, void *, size_t, off_t)``; 0 where there is none of 64 bits."""
    if os.name != "posix" or ctypes.sizeof(ctypes.c_long) != 8:
        return 0
    function = getattr(ctypes.CDLL(None), "pread", None)
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0


def fill_directly(
    frames: Sequence[Frame], volume: NDArray[Any], jobs: int, check: Callable[[int, Frame], None]
) -> bool:
    """Fill a volume (Z, Y, X) with the values of its slices; False where that is to be done slice by slice.

    Parameters
    ----------
    check : called with each file's descriptor; what it raises ends the reading
    """
    dtypes = {stored_dtype(header) for header in {id(frame.header): frame.header for frame in frames}.values()}
    if volume.dtype != np.int16 or len(dtypes) > 1 or not all(map(_is_usual, frames)) or not _pread():
        return False
    (dtype,) = dtypes
    if dtype.itemsize != volume.dtype.itemsize or not volume.size:
        return False
    size = -(-len(frames) // (jobs * _BATCHES))
    starts = range(0, len(frames), size)

    def fill(start: int) -> bool:
        return _fill(frames[start : start + size], volume[start : start + size], dtype, check)

    if jobs < 2:
        return all(map(fill, starts))
    with ThreadPoolExecutor(jobs) as pool:
        return all(pool.map(fill, starts))


def _is_usual(frame: Frame) -> bool:
    header, rescale = frame.header, frame.rescale
    return (
        header.transfer_syntax in NATIVE
        and header.pixel_offset is not None
        and frame.corner is None
        and (frame.plane.rows, frame.plane.columns) == (header.values["Rows"], header.values["Columns"])
        and rescale.is_whole
        and abs(rescale.slope) <= WIDEST
        and abs(rescale.intercept) <= WIDEST
    )


def _fill(
    frames: Sequence[Frame], values: NDArray[np.int16], dtype: np.dtype[Any], check: Callable[[int, Frame], None]
) -> bool:
    n_bytes = values[0].nbytes
    plan = np.empty((len(frames), 5), dtype=np.int64)
    descriptors: list[int] = []
    try:
        for row, frame in zip(plan, frames, strict=True):
            header = frame.header
            descriptors.append(os.open(header.path, os.O_RDONLY))
            check(descriptors[-1], frame)
            unused = max(0, 16 - header.values.get("BitsStored", 16))
            start = (header.pixel_offset or 0) + frame.number * n_bytes
            row[:] = descriptors[-1], start, int(frame.rescale.slope), int(frame.rescale.intercept), unused
        return bool(_read_batch(_pread(), plan, values.view(dtype), values))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@kernel
def _read_batch(pread: int, plan: NDArray[np.int64], stored: NDArray[Any], values: NDArray[np.int16]) -> bool:
    """Read and rescale slices; `stored` and `values` are the same memory. False where one is cut short or too large."""
    for k in range(len(plan)):
        descriptor, offset, slope, intercept, unused = plan[k]
        start, size, done = stored[k].ctypes.data, stored[k].nbytes, 0
        while done < size:
            count = _call_pread(pread, (descriptor, start + done, size - done, offset + done))
            if count <= 0:
                return False
            done += count
        if unused > 0:
            drop_unused(stored[k], unused)
        if not to_whole(stored[k], slope, intercept, values[k]):
            return False
    return True


@kernel
def drop_unused(stored: NDArray[Any], unused: int) -> None:
    """Clear the bits above those that are stored, where overlays once lived, and let the sign reach the top."""
    flat = stored.reshape(-1)
    for k in range(flat.size):
        flat[k] = flat[k] << unused
        flat[k] = flat[k] >> unused


@kernel
def to_whole(stored: NDArray[Any], slope: int, intercept: int, out: NDArray[np.int16]) -> bool:
    """Rescale the whole numbers of `stored`, which are in `out` modulo 2^16; False where one does not fit.

    Arithmetic modulo 2^16 is exact where the result fits. Each loop uses one array and its own narrow type: with two
    arrays that may be the same memory, or with 64 bits, it is not vectorised and takes eight times as long.
    """
    source, target = stored.reshape(-1), out.reshape(-1)
    lowest, highest = source[0], source[0]
    for k in range(source.size):
        lowest, highest = min(lowest, source[k]), max(highest, source[k])
    first, last = np.int64(lowest) * slope + intercept, np.int64(highest) * slope + intercept
    if min(first, last) < INT16_MIN or max(first, last) > INT16_MAX:
        return False
    _scale(target, np.int16(slope), np.int16(intercept))
    return True


@kernel
def _scale(target: NDArray[np.int16], slope: np.int16, intercept: np.int16) -> None:
    for k in range(target.size):
        target[k] = target[k] * slope + intercept
