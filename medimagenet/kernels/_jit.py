"""The one decorator of all compiled code, and the cache of what it compiled.

``kernel`` is numba's njit with three choices:

- ``error_model="numpy"``: division by zero gives inf or nan, as in NumPy, and costs no branch;
- ``nogil=True``: loader threads run meanwhile;
- no fastmath: it lets the compiler assume that no voxel is nan.

Compiled code is kept on disk, in a per-user folder whose name carries the package version, numba's version and
a fingerprint of the kernel sources (numba itself keys by CPU). Numba's own cache is known to hand out wrong machine
code when several processes fill it at once (numba issue 4807): two of them can choose the same file name for
different signatures. Here a process holds a lock while it chooses the name, and the code is in place before the
index names it.
"""

import ctypes
import fcntl
import functools
import hashlib
import io
import itertools
import os
import pickle
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import caching, cgutils, config, environment, runtime, types
from numba.extending import intrinsic

from .._places import cache_dir
from .._version import __version__

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and numbers on its first call; the types stay those of the Python function."""
    dispatcher = numba.njit(error_model="numpy", nogil=True)(function)
    return _with_cache(dispatcher, function)


def parallel_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`, with `prange` loops on all threads. Not for code that loader threads call."""
    dispatcher = numba.njit(error_model="numpy", nogil=True, parallel=True)(function)
    return _with_cache(dispatcher, function, variant=".parallel")


prange = numba.prange


def c_function(result: str, *arguments: str) -> Callable[[int, tuple[int, ...]], int]:
    """How a kernel calls C functions of one signature: ``call(address, arguments)``.

    The address is an argument of the kernel, never a global: addresses change from process to process, and
    machine code that holds one could not be kept on disk. Pointers are integers too ("intp").

    Parameters
    ----------
    result, arguments
        "int32", "int64" or "intp", as the C declaration has them on this machine.
    """
    if config.DISABLE_JIT:
        prototype = ctypes.CFUNCTYPE(_CTYPES[result], *(_CTYPES[name] for name in arguments))
        return lambda address, values: prototype(address)(*(int(value) for value in values))
    signature = getattr(types, result)(*(getattr(types, name) for name in arguments))

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        wanted = signature.args
        given = zip(cgutils.unpack_tuple(builder, values[1]), own.args[1], wanted, strict=True)
        converted = [context.cast(builder, value, have, want) for value, have, want in given]
        prototype = ir.FunctionType(
            context.get_value_type(signature.return_type), [context.get_value_type(want) for want in wanted]
        )
        return builder.call(builder.inttoptr(values[0], prototype.as_pointer()), converted)

    @intrinsic
    def call(_: Any, address: Any, values: Any) -> Any:
        return signature.return_type(types.intp, values), generate

    return call


BLOCK = 16
"""Edge of what `block_transpose` turns: as many floats as fill a cache line."""


def block_transpose(*, is_streaming: bool) -> Callable[[Any, int, int, int, int], None]:
    """How a kernel writes the transpose of a 16 x 16 block of an array: ``call(array, row, column, address, stride)``.

    Row k of the transpose, contiguous, goes to ``address + k * stride``. The block stays in registers: the compiler
    does not find that by itself, and a loop takes five times as long.

    Parameters
    ----------
    is_streaming
        The values go to memory past the caches, which need not fetch first what is overwritten: for 4-byte values,
        each row of the transpose one cache line, to addresses that are multiples of 64. A kernel that streamed ends
        with `fence`.
    """
    if config.DISABLE_JIT:
        return _transpose_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> None:
        array = context.make_array(own.args[0])(context, builder, values[0])
        size = context.get_abi_sizeof(context.get_data_type(own.args[0].dtype))
        vector, word = ir.VectorType(ir.IntType(8 * size), BLOCK), ir.IntType(64)
        row_stride = cgutils.unpack_tuple(builder, array.strides)[0]
        start = builder.add(builder.ptrtoint(array.data, word), builder.mul(values[1], row_stride))
        start = builder.add(start, builder.mul(values[2], word(size)))

        def place(first: Any, stride: Any, k: int) -> Any:
            return builder.inttoptr(builder.add(first, builder.mul(stride, word(k))), vector.as_pointer())

        rows = [builder.load(place(start, row_stride, k), align=size) for k in range(BLOCK)]
        for k, row in enumerate(_interleaved(builder, rows)):
            align = BLOCK * size if is_streaming else size
            stored = builder.store(row, place(values[3], values[4], k), align=align)
            if is_streaming:
                stored.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    @intrinsic
    def call(_: Any, array: Any, row: Any, column: Any, address: Any, stride: Any) -> Any:
        return types.void(array, types.intp, types.intp, types.intp, types.intp), generate

    return call


def _interleaved(builder: Any, rows: list[Any]) -> list[Any]:
    """The transpose of vectors: four times, each half of them is interleaved with the other."""
    mask = ir.VectorType(ir.IntType(32), BLOCK)
    half = BLOCK // 2
    low = ir.Constant(mask, [lane for k in range(half) for lane in (k, BLOCK + k)])
    high = ir.Constant(mask, [lane for k in range(half, BLOCK) for lane in (k, BLOCK + k)])
    for _ in range(half.bit_length()):
        pairs = zip(rows[:half], rows[half:], strict=True)
        rows = [builder.shuffle_vector(a, b, part) for a, b in pairs for part in (low, high)]
    return rows


def byte_transpose() -> Callable[[int, int, int, int], None]:
    """How a kernel transposes 16 x 16 bytes: ``call(source, source_stride, target, target_stride)``, by addresses."""
    if config.DISABLE_JIT:
        return _byte_transpose_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        word, vector = ir.IntType(64), ir.VectorType(ir.IntType(8), BLOCK)

        def place(first: Any, stride: Any, k: int) -> Any:
            return builder.inttoptr(builder.add(first, builder.mul(stride, word(k))), vector.as_pointer())

        rows = [builder.load(place(values[0], values[1], k), align=1) for k in range(BLOCK)]
        for k, row in enumerate(_interleaved(builder, rows)):
            builder.store(row, place(values[2], values[3], k), align=1)
        return context.get_dummy_value()

    @intrinsic
    def call(_: Any, source: Any, source_stride: Any, target: Any, target_stride: Any) -> Any:
        return types.void(*[types.intp] * 4), generate

    return call


def _byte_transpose_slowly(source: int, source_stride: int, target: int, target_stride: int) -> None:
    rows = np.stack([_bytes_at(source + k * source_stride, BLOCK) for k in range(BLOCK)])
    for k in range(BLOCK):
        ctypes.memmove(int(target + k * target_stride), rows[:, k].tobytes(), BLOCK)


def bit_transpose() -> Callable[[int, int, int, Any], None]:
    """How a kernel puts the bits of 256 voxels of 16 bits together: ``call(address, stride, target, offsets)``.

    The planes of bitshuffle (Masui et al., Astronomy and Computing 12, 2015): 32 bytes of plane k, which hold bit k
    of each voxel, the first voxel lowest, are at ``address + k * stride``. Voxels 16 j to 16 j + 15 go to
    ``target + offsets[j]``. Both turns, of bits and of words, stay in registers: Blosc's own takes five times as long.
    """
    if config.DISABLE_JIT:
        return _bit_transpose_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        word, vector = ir.IntType(64), ir.VectorType(ir.IntType(16), BLOCK)
        offsets = context.make_array(own.args[3])(context, builder, values[3]).data

        def at(address: Any) -> Any:
            return builder.inttoptr(address, vector.as_pointer())

        starts = [builder.add(values[0], builder.mul(values[1], word(k))) for k in range(BLOCK)]
        rows = [builder.load(at(start), align=1) for start in starts]
        for k, row in enumerate(_interleaved(builder, _bits_turned(builder, rows, vector))):
            offset = builder.load(builder.gep(offsets, [word(k)]))
            builder.store(row, at(builder.add(values[2], offset)), align=1)
        return context.get_dummy_value()

    @intrinsic
    def call(_: Any, address: Any, stride: Any, target: Any, offsets: Any) -> Any:
        return types.void(types.intp, types.intp, types.intp, offsets), generate

    return call


def _bits_turned(builder: Any, rows: list[Any], vector: Any) -> list[Any]:
    """Each lane of 16 vectors is a matrix of 16 x 16 bits; transposed by swapping ever smaller quarters."""
    rows = list(rows)
    for step, mask in ((8, 0x00FF), (4, 0x0F0F), (2, 0x3333), (1, 0x5555)):
        shift = ir.Constant(vector, [step] * BLOCK)
        quarter = ir.Constant(vector, [mask] * BLOCK)
        for low in (k for k in range(BLOCK) if not k & step):
            a, b = rows[low], rows[low + step]
            differing = builder.and_(builder.xor(builder.lshr(a, shift), b), quarter)
            rows[low + step] = builder.xor(b, differing)
            rows[low] = builder.xor(a, builder.shl(differing, shift))
    return rows


def _bit_transpose_slowly(address: int, stride: int, target: int, offsets: Any) -> None:
    planes = np.stack([_bytes_at(address + k * stride, 2 * BLOCK) for k in range(BLOCK)])
    bits = np.unpackbits(planes, axis=1, bitorder="little")
    voxels = np.packbits(bits.T.copy(), axis=1, bitorder="little").reshape(BLOCK, 2 * BLOCK)
    for offset, line in zip(offsets, voxels, strict=True):
        ctypes.memmove(int(target + offset), line.tobytes(), 2 * BLOCK)


def _copy_16() -> Callable[[int, int], None]:
    if config.DISABLE_JIT:
        return _copy_16_slowly

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        loaded = builder.load(builder.inttoptr(values[1], vector.as_pointer()), align=1)
        builder.store(loaded, builder.inttoptr(values[0], vector.as_pointer()), align=1)
        return context.get_dummy_value()

    @intrinsic
    def call(_: Any, target: Any, source: Any) -> Any:
        return types.void(types.intp, types.intp), generate

    return call


def _copy_16_slowly(target: int, source: int) -> None:
    ctypes.memmove(int(target), int(source), BLOCK)


copy_16 = _copy_16()
"""Called in a kernel: copies 16 bytes, ``copy_16(target, source)``, without the price of a call."""


def _bytes_at(address: int, size: int) -> Any:
    return np.frombuffer(ctypes.string_at(int(address), size), dtype=np.uint8)


def _transpose_slowly(array: Any, row: int, column: int, address: int, stride: int) -> None:
    size = array.itemsize
    for k in range(BLOCK):
        line = array[row : row + BLOCK, column + k].tobytes()
        ctypes.memmove(int(address + k * stride), line, BLOCK * size)


def _fence() -> Callable[[], None]:
    if config.DISABLE_JIT:
        return lambda: None

    def generate(context: Any, builder: Any, own: Any, values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    @intrinsic
    def call(_: Any) -> Any:
        return types.void(), generate

    return call


fence = _fence()
"""Called in a kernel: what was streamed before is seen by every thread that sees what is written after."""

_CTYPES = {"int32": ctypes.c_int32, "int64": ctypes.c_int64, "intp": ctypes.c_ssize_t}


def _with_cache(dispatcher: Any, function: Callable[..., Any], *, variant: str = "") -> Any:
    if not config.DISABLE_JIT and _is_writable(_kernel_dir()):
        dispatcher._cache = _SharedCache(function, variant)
    return dispatcher


def _kernel_dir() -> Path:
    return _folder_below(cache_dir())


@functools.cache
def _folder_below(cache: Path) -> Path:
    stamp = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):  # a kernel may inline one of another module
        status = source.stat()
        stamp.update(f"{source.name} {status.st_size} {status.st_mtime_ns};".encode())
    return cache / "kernels" / f"{__version__}-numba{numba.__version__}-{stamp.hexdigest()[:12]}"


@functools.cache
def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


class _UserFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """Tells numba where the cache of a function is."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(_kernel_dir())

    def ensure_cache_path(self) -> None:
        """It is there: `_is_writable` made it, once for all kernels."""


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes: ClassVar = [_UserFolder]

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return super().get_filename_base(f"{Path(self.locator._py_file).parent.name}.{fullname}", abiflags)


class _LockedFiles(caching.IndexDataCacheFile):
    """Numba's index and data files, safe when many processes fill them at once."""

    def save(self, key: Hashable, data: Any) -> None:
        with Path(f"{self._index_path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            overloads = self._load_index()
            if key in overloads:
                return  # another process was faster
            taken = set(overloads.values())
            name = next(name for name in map(self._data_name, itertools.count(1)) if name not in taken)
            self._save_data(name, data)
            self._save_index({**overloads, key: name})

    def _load_data(self, name: str) -> Any:
        return _Loaded(io.BytesIO(Path(self._data_path(name)).read_bytes())).load()


class _Loaded(pickle.Unpickler):
    """Machine code with the environments of the functions in it, without importing the modules of these.

    An environment holds a function's constants and the names of its module. Compiled code looks at the constants
    alone, and the modules, numba's own, bring scipy.linalg: a quarter of a second.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == (environment.__name__, environment._rebuild_env.__name__):
            return _rebuilt_environment
        return super().find_class(module, name)


def _rebuilt_environment(module: str, constants: list[Any], name: str) -> Any:
    """As numba's `_rebuild_env`."""
    found = environment.lookup_environment(name)
    if found is None:
        names = sys.modules[module].__dict__ if module in sys.modules else {"__name__": module}
        found = environment.Environment(names)
        found.consts[:] = constants
        found.env_name = name
        environment.Environment._memo[name] = found
    return found


class _SharedCache(caching.FunctionCache):
    _impl_class = _Implementation

    def __init__(self, py_func: Callable[..., Any], variant: str) -> None:
        super().__init__(py_func)
        stamp = self._impl.locator.get_source_stamp()
        base = self._impl.filename_base + variant  # numba's key knows no options: twins of one body need two files
        self._cache_file = _LockedFiles(self._cache_path, base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba's, but of its refresh of all that it can compile, half a second, only what machine code needs."""
        runtime.rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """A cache that cannot be read or written (full disk, quota, a cut file) costs time, never the result."""
        with suppress(OSError, EOFError, pickle.UnpicklingError):
            yield


def set_threads(count: int) -> None:
    """Let `parallel_kernel` code use this many threads in this process: worker processes share the cores."""
    numba.set_num_threads(max(1, min(count, config.NUMBA_NUM_THREADS)))


def threads() -> int:
    """How many threads `parallel_kernel` code uses."""
    return int(numba.get_num_threads())


@kernel
def address_of(array: Any) -> int:
    """Where the first voxel of an array is, as a signed number: NumPy has it unsigned, and sums of both are floats."""
    return int(np.int64(array.ctypes.data))
