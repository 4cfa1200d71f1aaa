"""Read boxes of voxels from a store: our own reader, which returns what zarr-python and h5py return, bit for bit.

Where the chunks are is what `form.Chunks` says. A read gets a descriptor and an index from it, reads and decodes the
chunks that the box touches into the caller's array without holding the GIL, and closes the descriptor: nothing leaks
into forked processes, and a store of any number of samples needs no more than one descriptor per thread.
"""

import ctypes
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreDamagedError
from ..geometry import Grid, Size
from ..volume import Normalization
from .blosc import BloscContext
from .decode import BLOSC, CUT, OK, RAW, SPARE_ROWS, Functions, Quad, read_box
from .form import MARGIN, Chunks, Form
from .layout import KEY
from .metadata import ArrayMetadata

_C = ctypes.CDLL(None)
_PREAD = ctypes.cast(getattr(_C, "pread64", _C.pread), ctypes.c_void_p).value or 0
_MEMCPY = ctypes.cast(_C.memcpy, ctypes.c_void_p).value or 0

_AS_IT_IS = np.array([-inf, inf, 0, 1], dtype=np.float32)


class ShardedArray:
    """An array of up to four axes. Safe to use from many threads at once.

    Parameters
    ----------
    what
        How errors name the array.
    """

    def __init__(self, chunks: Chunks, what: str) -> None:
        self._chunks = chunks
        self._what = what
        self._metadata = chunks.metadata
        self._bits = np.dtype(f"u{self._metadata.dtype.itemsize}")
        self._fill = self._metadata.fill.reshape(1)
        self._codec = BLOSC if self._metadata.codec == "blosc" else RAW
        self._counts = _quad(self._metadata.chunks_per_shard, 1)
        self._chunk = _quad(self._metadata.chunk, 1)

    @property
    def metadata(self) -> ArrayMetadata:
        """Its layout on disk."""
        return self._metadata

    def read_box(self, start: Sequence[int], stop: Sequence[int], out: NDArray[Any]) -> NDArray[Any]:
        """Read voxels `start` to `stop` (one number per axis) into `out`, of this array's dtype.

        Raises
        ------
        StoreDamagedError
            A file is missing, cut, or does not decode.
        """
        bits = self._bits  # any two dtypes of one size are copied by the same machine code
        view = out.view(bits)[(None,) * (4 - out.ndim)]
        self._read(start, stop, view, bits, is_scaled=False, constants=_AS_IT_IS)
        return out

    def read_scaled(
        self, start: Sequence[int], stop: Sequence[int], target: NDArray[Any], constants: NDArray[np.float32] | None
    ) -> None:
        """Read voxels `start` to `stop` of four axes, cast and normalised, into a view in their order.

        Parameters
        ----------
        constants : (4,) float32
            Lowest and highest value, what is subtracted, and by what is divided; None only casts.
        """
        dtype = self._metadata.dtype
        is_scaled = constants is not None
        if not is_scaled and target.dtype == dtype:
            target, dtype = target.view(self._bits), self._bits
        self._read(
            start, stop, target, dtype, is_scaled=is_scaled, constants=_AS_IT_IS if constants is None else constants
        )

    def _read(
        self,
        start: Sequence[int],
        stop: Sequence[int],
        target: NDArray[Any],
        dtype: np.dtype[Any],
        *,
        is_scaled: bool,
        constants: NDArray[np.float32],
    ) -> None:
        shard = self._metadata.shard
        touched = [range(a // s, (b - 1) // s + 1) for a, b, s in zip(start, stop, shard, strict=True)]
        lead = (slice(None),) * (4 - len(shard))
        for position in itertools.product(*touched):
            corner = [p * s for p, s in zip(position, shard, strict=True)]
            low = [max(a - c, 0) for a, c in zip(start, corner, strict=True)]
            high = [min(b - c, s) for b, c, s in zip(stop, corner, shard, strict=True)]
            boxes = (slice(c + a - f, c + b - f) for c, a, b, f in zip(corner, low, high, start, strict=True))
            part = target[(*lead, *boxes)]
            self._read_shard(position, _quad(low, 0), _quad(high, 1), part, dtype, is_scaled, constants)

    def _read_shard(
        self,
        position: tuple[int, ...],
        low: Quad,
        high: Quad,
        target: NDArray[Any],
        dtype: np.dtype[Any],
        is_scaled: bool,
        constants: NDArray[np.float32],
    ) -> None:
        descriptor, index = self._chunks.open(position, low, high)
        try:
            layer, encoded, decoded, functions = _buffers.get(self._chunk, low, high, dtype)
            result, number = read_box(
                descriptor,
                index,
                self._codec,
                self._counts,
                self._chunk,
                low,
                high,
                target,
                is_scaled,
                constants,
                self._fill.view(dtype),
                layer,
                encoded,
                decoded,
                functions,
            )
        finally:
            os.close(descriptor)
        if result != OK:
            raise StoreDamagedError(self._complaint(result, number, self._chunks.file(position)))

    def _complaint(self, result: int, number: int, path: str) -> str:
        name = path.rsplit("/", 1)[-1]
        chunk = tuple(int(n) for n in np.unravel_index(number, self._metadata.chunks_per_shard))
        reason = "is cut off by the end of the file" if result == CUT else "does not decode to its size"
        return f'{self._what}: chunk {chunk} of {name} {reason} ({path}); "medimagenet verify" lists all damage'


class ArrayReader:
    """One image of a store: (C, Z, Y, X) voxels and where they are. Safe to use from many threads at once."""

    def __init__(self, form: Form, *, sample_id: str, name: str) -> None:
        what = f"sample {sample_id}, array {name}"
        self._attributes: Mapping[str, Any] = form.attributes(sample_id, name).get(KEY, {})
        self._array = ShardedArray(form.chunks(sample_id, name), what)
        shape = self._array.metadata.shape
        if len(shape) != 4 or "grid" not in self._attributes:
            raise StoreDamagedError(f"{what}: shape {shape} with attributes {sorted(self._attributes)} is no image")
        self._what = what

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(C, Z, Y, X)."""
        c, z, y, x = self._array.metadata.shape
        return c, z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels as they are stored."""
        return self._array.metadata.dtype

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Our attributes of the image: grid, source_grid, crop, normalization, unit, hash."""
        return self._attributes

    @property
    def grid(self) -> Grid:
        """Where the voxels are in the patient, LPS mm."""
        return Grid.from_dict(self._attributes["grid"])

    @property
    def source_grid(self) -> Grid | None:
        """The patient's own grid, before resampling and cropping."""
        source = self._attributes.get("source_grid")
        return None if source is None else Grid.from_dict(source)

    @property
    def crop(self) -> tuple[Size, Size] | None:
        """Start and size (x, y, z) of the box that was kept, in voxels of the grid before cropping."""
        crop = self._attributes.get("crop")
        return None if crop is None else (tuple(crop["start"]), tuple(crop["size"]))

    @property
    def normalization(self) -> Normalization | None:
        """How training wants the values."""
        constants = self._attributes.get("normalization")
        return None if constants is None else Normalization.from_dict(constants)

    def read(
        self,
        start: Sequence[int] = (0, 0, 0),
        shape: Sequence[int] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Read a box of all channels.

        Parameters
        ----------
        start
            First voxel, z, y, x.
        shape
            Voxels along z, y, x; None reads to the end.
        out : (C, *shape) of `dtype`
            Where the voxels go; its last axis is contiguous, others may have any stride. None allocates.

        Returns
        -------
        out : (C, z, y, x)

        Raises
        ------
        ValueError
            The box is empty or leaves the array, or `out` does not fit it.
        StoreDamagedError
            A file is missing, cut, or does not decode.
        """
        size = self.shape[1:]
        box = [n - a for n, a in zip(size, start, strict=True)] if shape is None else list(shape)
        if not all(a >= 0 and n >= 1 and a + n <= s for a, n, s in zip(start, box, size, strict=True)):
            raise ValueError(
                f"box of shape {tuple(box)} at {tuple(start)} is not inside {size} (z, y, x; {self._what})"
            )
        full = (self.shape[0], *box)
        if out is None:
            out = np.empty(full, dtype=self.dtype)
        elif out.shape != full or out.dtype != self.dtype or out.strides[-1] != out.itemsize or not out.flags.writeable:
            raise ValueError(
                f"out must be a writeable {self.dtype} array of shape {full} with a contiguous last axis, "
                f"got {out.dtype} {out.shape} with strides {out.strides}"
            )
        stop = [a + n for a, n in zip(start, box, strict=True)]
        return self._array.read_box((0, *start), (self.shape[0], *stop), out)

    def read_cast(
        self, start: Sequence[int], target: NDArray[Any], constants: NDArray[np.float32] | None = None
    ) -> None:
        """Read a box of all channels straight into what training wants, cast and normalised on the way.

        Parameters
        ----------
        start
            First voxel, z, y, x. The box, which has the shape of the target, must lie inside: nothing is checked here.
        target : (C, z, y, x)
            Any strides, negative ones too; any dtype, floating where there are constants.
        constants : (4,) float32
            Lowest and highest value, what is subtracted, and by what is divided.

        Raises
        ------
        StoreDamagedError
            A file is missing, cut, or does not decode.
        """
        channels, depth, rows, columns = target.shape
        stop = (channels, start[0] + depth, start[1] + rows, start[2] + columns)
        self._array.read_scaled((0, *start), stop, target, constants)


class _Buffers(threading.local):
    """Memory and Blosc context of one thread, kept between reads: fresh pages cost more than the copy into them."""

    def __init__(self) -> None:
        context = BloscContext()
        library = context.library
        self._context = context
        self._functions: Functions = (
            _PREAD,
            _MEMCPY,
            library.decompress,
            library.getitem,
            context.address,
            library.lz4_decompress,
            library.bitunshuffle,
        )
        self._layer, self._encoded, self._decoded = (_aligned(1 << 16) for _ in range(3))

    def get(
        self, chunk: Quad, low: Quad, high: Quad, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], Functions]:
        """Room for one layer of a box, for its encoded chunks along x, and for two decoded chunks."""
        depth = (high[1] - 1) // chunk[1] + 1 - low[1] // chunk[1]
        width = (high[3] - 1) // chunk[3] + 1 - low[3] // chunk[3]
        one = prod(chunk) * dtype.itemsize
        layer = depth * width * (one + one // chunk[2] * SPARE_ROWS)
        if layer > self._layer.size:
            self._layer = _aligned(layer)
        if width * (one + MARGIN) > self._encoded.size:
            self._encoded = _aligned(width * (one + MARGIN))
        if 2 * one > self._decoded.size:
            self._decoded = _aligned(2 * one)
        return self._layer[:layer].view(dtype), self._encoded, self._decoded, self._functions


def _aligned(size: int) -> NDArray[np.uint8]:
    """Memory that begins at a page: `read` into other offsets can be five times slower."""
    memory = np.empty(size + 4096, dtype=np.uint8)
    skip = -memory.ctypes.data % 4096
    return memory[skip : skip + size]


_buffers = _Buffers()


def _quad(values: Sequence[int], lead: int) -> Quad:
    """Four numbers: those of a shorter array with `lead` before them."""
    a, b, c, d = (*[lead] * (4 - len(values)), *map(int, values))
    return a, b, c, d
