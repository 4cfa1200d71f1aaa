"""From slices of a series to one array of values, on all cores.

Uncompressed little-endian pixels are read from the file straight into their place in the volume, or into a buffer of
one slice, and get their values there by one compiled pass. JPEG lossless has a compiled decoder, in threads as well.
Everything else goes through pydicom's decoders and their plugins (other JPEG, JPEG-LS, JPEG 2000, RLE, big endian,
deflated), in processes, since these hold Python's lock.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DicomError
from ..findings import Finding
from ..kernels._jit import kernel
from .codestream import check_frames
from .direct import WIDEST, drop_unused, fill_directly, to_whole
from .elements import read_dataset
from .extent import is_repeated
from .frames import Frame
from .header import ImageHeader
from .lossless import decode_lossless, is_for_lossless
from .pixels import (
    NATIVE,
    Rescale,
    check_once,
    decode_frames,
    encapsulated_dataset,
    frame_parts,
    repeated_error,
    stored_dtype,
)
from .processes import HAS_FORK, all_in_processes, shared_empty

SMALL_BYTES = 4 << 20  # of pixels: below it threads cost more than they bring
_ALIGNMENT = 64  # bytes
_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # the flag is Windows'
_BATCHES = 8  # per thread: few enough to cost nothing, enough that threads end together

Planes = list[tuple[Frame, NDArray[Any]]]


def value_dtype(frames: Sequence[Frame], modality: str | None) -> np.dtype[Any]:
    """The type that holds the values of a series exactly if whole, without regard to what they are.

    PET is float32. Values that no slice rescales keep their stored type. Whole HU are int16 wherever they fit, which
    `read_values` finds out. All else is float32.
    """
    stored = {stored_dtype(header) for header in {id(frame.header): frame.header for frame in frames}.values()}
    if modality == "PT" or len(stored) > 1:
        return np.dtype(np.float32)
    only = stored.pop()
    rescales = {frame.rescale for frame in frames}
    if all(rescale.is_identity for rescale in rescales) and (modality != "CT" or only == np.int16):
        return only
    return np.dtype(np.int16 if all(rescale.is_whole for rescale in rescales) else np.float32)


def read_values(
    frames: Sequence[Frame], dtype: DTypeLike, *, factors: Mapping[int, float] | None = None, jobs: int | None = None
) -> NDArray[Any]:
    """The values of slices in the order given, (Z, Y, X).

    Parameters
    ----------
    dtype : as `value_dtype` gives it; int16 becomes float32 where a value does not fit
    factors : what rescaled values are multiplied by (PET), by ``id(frame.header)``; 1 where None. The products are
        float64 until the last rounding
    jobs : threads, or for most compressed pixels processes; the number of CPUs where None

    Raises
    ------
    DicomError
        Pixels are absent, cut short or cannot be decoded.
    """
    headers = list({id(frame.header): frame.header for frame in frames}.values())
    _check_lengths(frames)
    _check_compressed(headers)
    plane = frames[0].plane
    shape, kind = (len(frames), plane.rows, plane.columns), np.dtype(dtype)
    jobs = 1 if prod(shape) * kind.itemsize <= SMALL_BYTES else jobs or cpu_count()
    holds_lock = any(header.transfer_syntax not in NATIVE and not is_for_lossless(header) for header in headers)
    in_processes = jobs > 1 and holds_lock and HAS_FORK
    volume = _empty(shape, kind, in_processes)
    if factors is None and fill_directly(frames, volume, jobs, lambda file, frame: _check_end(file, frame.header)):
        return volume
    instances: dict[int, Planes] = defaultdict(list)
    for frame, out in zip(frames, volume, strict=True):
        instances[id(frame.header)].append((frame, out))
    if not _fill_all(list(instances.values()), factors or {}, jobs, in_processes):
        return read_values(frames, np.float32, factors=factors, jobs=jobs)
    return volume.copy() if in_processes else volume  # what is shared would be shared with later forks as well


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], is_shared: bool) -> NDArray[Any]:
    try:
        return shared_empty(shape, dtype) if is_shared else _aligned_empty(shape, dtype)
    except (MemoryError, OSError, OverflowError, ValueError) as error:  # each allocator has its own
        gib = prod(shape) * dtype.itemsize / 2**30
        message = f"{shape[0]} slices of {shape[1]} x {shape[2]} pixels need {gib:.1f} GiB, more than there is: {error}"
        raise DicomError(message, [Finding(code="not_decodable", message=message)]) from error


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A new array at a multiple of 64 bytes: `read` into memory at other offsets runs at a fourth of the speed."""
    n_bytes = prod(shape) * dtype.itemsize
    raw = np.empty(n_bytes + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def cpu_count() -> int:
    """CPUs that this process may use: fewer than the machine has in containers and batch jobs."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fill_all(instances: list[Planes], factors: Mapping[int, float], jobs: int, in_processes: bool) -> bool:
    if len(instances) < jobs:
        instances = [share for planes in instances for share in _shares(planes, jobs)]
    jobs = min(jobs, len(instances))
    if jobs < 2:
        return _fill_batch(instances, factors)
    if in_processes:
        return all_in_processes(lambda share: _fill_batch(share, factors), instances, jobs)
    size = -(-len(instances) // (jobs * _BATCHES))
    batches = [instances[start : start + size] for start in range(0, len(instances), size)]
    with ThreadPoolExecutor(jobs) as pool:
        return all(pool.map(lambda batch: _fill_batch(batch, factors), batches))


def _shares(planes: Planes, jobs: int) -> list[Planes]:
    """The slices of one instance in parts that can be decoded apart: its frames, where each can be found on its own."""
    header = planes[0][0].header
    if header.pixel_offset is None or len({frame.number for frame, _ in planes}) < len(planes):
        return [planes]
    return [planes[start::jobs] for start in range(min(jobs, len(planes)))]


def _fill_batch(instances: Sequence[Planes], factors: Mapping[int, float]) -> bool:
    return all(_fill_instance(planes, factors.get(id(planes[0][0].header), 1.0)) for planes in instances)


def _fill_instance(planes: Planes, factor: float) -> bool:
    """Fill the slices that come from one instance; False where whole values do not fit."""
    header = planes[0][0].header
    dtype = stored_dtype(header)
    if header.pixel_offset is None or header.transfer_syntax not in NATIVE:
        numbers = sorted({frame.number for frame, _ in planes})
        found = _decoded(header, numbers)
        stored = {number: np.require(plane, dtype, ["C", "W"]) for number, plane in zip(numbers, found, strict=True)}
        return all(_convert(_tile(frame, stored[frame.number]), frame, 0, factor, out) for frame, out in planes)
    unused = 8 * dtype.itemsize - header.values.get("BitsStored", 8 * dtype.itemsize)
    descriptor = os.open(header.path, _READ_ONLY)
    try:
        _check_end(descriptor, header)
        return all(_fill_native(descriptor, dtype, unused, frame, factor, out) for frame, out in planes)
    finally:
        os.close(descriptor)


def _decoded(header: ImageHeader, numbers: Sequence[int]) -> NDArray[Any]:
    """Stored values (frames, Y, X) of some frames of an instance that is compressed, or that only pydicom reads."""
    if header.pixel_offset is None:
        check_once(header.path)
    elif header.pixel_length < 0:
        parts = frame_parts(header, numbers)
        stored = decode_lossless(header, parts) if parts is not None and is_for_lossless(header) else None
        if stored is not None:
            return stored
        if parts is not None:
            stored = decode_frames(encapsulated_dataset(header, parts), header.name)
            return _checked_shape(header, stored, len(numbers))
    stored = decode_frames(read_dataset(header.path), header.name)
    n_frames = int(header.values.get("NumberOfFrames", 1))
    return _checked_shape(header, stored, n_frames)[list(numbers)]


def _fill_native(
    descriptor: int, dtype: np.dtype[Any], unused: int, frame: Frame, factor: float, out: NDArray[Any]
) -> bool:
    """Read one uncompressed slice to its place, and make values of it there where the sizes of both types agree."""
    header = frame.header
    shape = (header.values["Rows"], header.values["Columns"])
    in_place = frame.corner is None and dtype.itemsize == out.dtype.itemsize and out.dtype.kind in "iu"
    stored = out.view(dtype) if in_place else _scratch(shape, dtype)
    _read_native(descriptor, header, frame.number * stored.nbytes, stored)
    return _convert(_tile(frame, stored), frame, unused, factor, out)


_local = threading.local()


def _scratch(shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A buffer of this thread, used again for the next slice."""
    key = (shape, dtype.str)
    if getattr(_local, "key", None) != key:
        _local.key, _local.buffer = key, _aligned_empty(shape, dtype)
    buffer: NDArray[Any] = _local.buffer
    return buffer


def _tile(frame: Frame, stored: NDArray[Any]) -> NDArray[Any]:
    if frame.corner is None:
        return stored
    row, column = frame.corner
    tile = stored[row : row + frame.plane.rows, column : column + frame.plane.columns]
    return np.ascontiguousarray(tile)


def _checked_shape(header: ImageHeader, stored: NDArray[Any], n_frames: int) -> NDArray[Any]:
    stored = stored if stored.ndim == 3 else stored[None]
    expected = (n_frames, header.values["Rows"], header.values["Columns"])
    if stored.shape != expected:
        raise DicomError(f"{header.name} decodes to an array {stored.shape}, its header says {expected}")
    return stored


def _read_native(descriptor: int, header: ImageHeader, start: int, out: NDArray[Any]) -> None:
    target = out.data.cast("B")
    done = 0
    while done < out.nbytes:
        count = os.preadv(descriptor, [target[done:]], (header.pixel_offset or 0) + start + done)
        if not count:
            raise _cut(f"{header.name} is cut short: {done} of {out.nbytes} bytes of pixels are there")
        done += count


def _check_lengths(frames: Sequence[Frame]) -> None:
    """Whether uncompressed slices are there: before memory is asked for, which a damaged size would make endless."""
    for frame in frames:
        header = frame.header
        if header.pixel_offset is None or header.transfer_syntax not in NATIVE:
            continue
        values = header.values
        n_bytes = values["Rows"] * values["Columns"] * stored_dtype(header).itemsize
        if header.pixel_length < (frame.number + 1) * n_bytes:
            raise _too_short(header, (frame.number + 1) * n_bytes)


def _check_compressed(headers: Sequence[ImageHeader]) -> None:
    """As `_check_lengths`, of slices that are encapsulated; and that their PixelData are there once."""
    for header in headers:
        if header.pixel_offset is None or header.transfer_syntax in NATIVE or header.pixel_length >= 0:
            continue
        with header.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_frames(header.name, file, header.pixel_offset, size, header.transfer_syntax, header.values)
            if is_repeated(file, header.pixel_offset, header.pixel_length, size):
                raise repeated_error(header.name)


def _check_end(descriptor: int, header: ImageHeader) -> None:
    """Whether PixelData are there once: pydicom takes the last of two elements of one tag, others the first."""
    end, size = (header.pixel_offset or 0) + header.pixel_length, os.fstat(descriptor).st_size
    if end < size:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            if is_repeated(file, header.pixel_offset or 0, header.pixel_length, size):
                raise repeated_error(header.name)


def _too_short(header: ImageHeader, n_bytes: int) -> DicomError:
    rows, columns = header.values["Rows"], header.values["Columns"]
    return _cut(
        f"{header.name} has {max(header.pixel_length, 0)} bytes of PixelData (7FE0,0010), its {rows} x {columns} "
        f"pixels need {n_bytes}"
    )


def _cut(message: str) -> DicomError:
    return DicomError(message, [Finding(code="truncated_file", message=message)])


def _convert(stored: NDArray[Any], frame: Frame, unused: int, factor: float, out: NDArray[Any]) -> bool:
    """Values of one slice from what is stored; False where whole ones do not fit `out`, which may be `stored`."""
    rescale: Rescale = frame.rescale
    if out.dtype.kind == "f":
        _to_float(stored, max(unused, 0), rescale.slope * factor, rescale.intercept * factor, out)
        return True
    if rescale.is_identity and stored.dtype == out.dtype:
        if unused > 0:
            drop_unused(stored, unused)
        if not np.shares_memory(stored, out):
            out[...] = stored
        return True
    if not abs(rescale.slope) <= WIDEST or not abs(rescale.intercept) <= WIDEST:
        return False
    if unused > 0:
        drop_unused(stored, unused)
    if not np.may_share_memory(stored, out):
        np.copyto(out, stored, casting="unsafe")  # modulo 2^16, as the arithmetic that follows
    return bool(to_whole(stored, int(rescale.slope), int(rescale.intercept), out))


@kernel
def _to_float(stored: NDArray[Any], unused: int, slope: float, intercept: float, out: NDArray[Any]) -> None:
    """Rescale in float64 and round once."""
    source, target = stored.reshape(-1), out.reshape(-1)
    if unused > 0:
        drop_unused(stored, unused)
    for k in range(source.size):
        target[k] = source[k] * slope + intercept
