"""Pixels of a SEG, frame by frame: bits are unpacked when their frame is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._lazy import LazyModule
from ..errors import DicomError
from ..kernels._jit import kernel
from .codestream import RLE, RLE_GROWTH
from .elements import PIXEL_DATA, Elements, read_dataset
from .extent import is_repeated
from .pixels import NATIVE, decode_frames, repeated_error

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom", "encaps")  # slow, and plain series do without

_RLE_HEADER = 64  # bytes: how many segments there are, and where each begins, 32 bit little endian (PS3.5 G.5)


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPixels:
    """The frames of a segmentation: bits of one long string, or an array."""

    shape: tuple[int, int, int]
    """Frames, rows, columns."""
    data: NDArray[Any]
    """(frames, rows, columns), or (bytes,) uint8 of which each bit is a pixel, the lowest first (PS3.5 8.1.1)."""

    def __getitem__(self, number: int) -> NDArray[Any]:
        """(rows, columns) of one frame; not to be changed. The bits of frames follow each other without a gap."""
        if self.data.ndim == 3:
            frame: NDArray[Any] = self.data[number]
            return frame
        count = self.shape[1] * self.shape[2]
        first, skipped = divmod(number * count, 8)
        packed = self.data[first : -(-(number + 1) * count // 8)]
        return np.unpackbits(packed, bitorder="little")[skipped : skipped + count].reshape(self.shape[1:])

    @property
    def is_packed(self) -> bool:
        """Whether each pixel is a bit."""
        return self.data.ndim == 1

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[number] for number in range(len(self)))


@kernel
def set_bits(
    data: NDArray[np.uint8],
    number: int,
    rows: int,
    columns: int,
    first_row: int,
    row_step: int,
    first_column: int,
    column_step: int,
    plane: NDArray[np.bool_],
    is_there: bool,
) -> tuple[int, int]:
    """Set the voxels of a plane (rows, columns) whose pixels are 1; give how many are 1, and how many of them inside.

    Pixel (row, column) of frame `number` is voxel ``first_row + row_step * row``, likewise along columns. Where the
    plane is not there, pixels are only counted.
    """
    start, stop = number * rows * columns, (number + 1) * rows * columns
    count, inside = 0, 0
    for at in range(start // 8, (stop + 7) // 8):
        byte = data[at]
        if byte == 0:
            continue
        row, column = divmod(8 * at - start, columns)  # once per byte: division is what takes the time
        for bit in range(8):
            if byte >> bit & 1 and 0 <= 8 * at + bit - start < stop - start:
                count += 1
                y, x = first_row + row_step * row, first_column + column_step * column
                if is_there and 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]:
                    plane[y, x] = True
                    inside += 1
            column += 1
            if column == columns:
                row, column = row + 1, 0
    return count, inside


def read_pixels(path: Path, elements: Elements, shape: tuple[int, int, int], bits: int) -> SegmentPixels:
    """The pixels of a file whose header is known.

    Raises
    ------
    DicomError
        They are absent, cut short, or no decoder reads them.
    """
    row = elements.fields().get(PIXEL_DATA)
    if row is not None and elements.of_file:
        _check_once(path, elements.rows[row])
    if bits == 1 and elements.of_file and elements.transfer_syntax in NATIVE and row is not None:
        return SegmentPixels(shape, _map_bits(path, elements.rows[row], shape))
    dataset = read_dataset(path)
    if bits == 1 and elements.transfer_syntax == RLE and "PixelData" in dataset:
        return SegmentPixels(shape, _unpack_runs(dataset, shape, path.name))
    frames = decode_frames(dataset, path.name)
    frames = frames if frames.ndim == 3 else frames[np.newaxis]
    return SegmentPixels((len(frames), frames.shape[1], frames.shape[2]), frames)


def _check_once(path: Path, row: list[int]) -> None:
    with path.open("rb") as file:
        if is_repeated(file, row[1], row[2], path.stat().st_size):
            raise repeated_error(path.name)


def _map_bits(path: Path, row: list[int], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The bytes of the pixels, mapped: only those that are looked at are read."""
    _, offset, length, _ = row
    pixels = prod(shape)  # of numbers in a file that may be anything: NumPy's would run over
    needed = -(-pixels // 8)
    there = min(length, path.stat().st_size - offset)
    if there < needed:
        raise DicomError(f"{path.name} is cut short: {8 * max(there, 0)} of {pixels} pixels are there")
    if not needed:
        return np.empty(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(needed,))


def _unpack_runs(dataset: "pydicom.Dataset", shape: tuple[int, int, int], name: str) -> NDArray[np.uint8]:
    """RLE of packed bits, which pydicom does not decode: each frame one segment of bytes (PS3.5 annex G)."""
    count = shape[1] * shape[2]
    try:
        parts = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=shape[0]))
    except ValueError as error:
        raise DicomError(f"{name}: its fragments of pixels cannot be told apart: {error}") from error
    if len(parts) != shape[0]:
        raise DicomError(f"{name} has {len(parts)} fragments of pixels for {shape[0]} frames")
    if any(count > 8 * RLE_GROWTH * len(part) for part in parts):
        raise DicomError(f"{name} has frames of {shape[1]} x {shape[2]} pixels: more than its runs can hold")
    frames = np.zeros(shape, dtype=np.uint8)
    for frame, part in zip(frames, parts, strict=True):
        starts = np.frombuffer(part[:_RLE_HEADER], dtype="<u4")
        bounds = [*starts[1 : 1 + int(starts[0])].tolist(), len(part)]
        plain = b"".join(_unpacked(part[first:last]) for first, last in pairwise(bounds))
        if 8 * len(plain) < count:
            raise DicomError(f"{name} is cut short: a frame has {8 * len(plain)} of {count} pixels")
        frame.reshape(-1)[:] = np.unpackbits(np.frombuffer(plain, dtype=np.uint8), count=count, bitorder="little")
    return frames


def _unpacked(runs: bytes) -> bytes:
    """PackBits: n < 128 is followed by n + 1 bytes as they are, n > 128 by one byte that is there 257 - n times."""
    plain, at = bytearray(), 0
    while at < len(runs) - 1:
        head = runs[at]
        if head < 128:
            plain += runs[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            plain += runs[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2 if head > 128 else 1
    return bytes(plain)
