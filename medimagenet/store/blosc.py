"""The C functions that decode Blosc chunks: those of the library that python-blosc2 brings.

They are called by address from compiled code, one call per chunk, without the GIL. Every thread has a context of
its own: the global functions of the library take a lock, and get slower with a second thread.
"""

import ctypes
import importlib.util
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import MissingPackageError

_LIBRARIES = ("lib/libblosc2.so*", "lib64/libblosc2.so*", "lib/libblosc2*.dylib", "blosc2_ext*.so")
"""Where wheels keep it, the last one linked into the extension itself."""


@dataclass(frozen=True, slots=True)
class BloscLibrary:
    """The library, and the addresses of what compiled code calls.

    Signatures (blosc2.h): ``int decompress(context, source, int32 source_size, target, int32 target_size)`` and
    ``int getitem(context, source, int32 source_size, int first, int count, target, int32 target_size)``; both
    return the number of bytes, or a negative code. They read chunks of Blosc 1, which Zarr's codec writes.
    """

    handle: ctypes.CDLL
    decompress: int
    getitem: int
    lz4_decompress: int
    """LZ4_decompress_safe (source, target, source_size, target_size); this and what follows: 0 where it is hidden."""
    lz4_compress: int
    """LZ4_compress_fast (source, target, source_size, target_size, acceleration)."""
    bitunshuffle: int
    """blosc2_bitunshuffle (typesize, size, source, target)."""
    bitshuffle: int


class _DecodingParameters(ctypes.Structure):
    """`blosc2_dparams`, passed by value. The tail is room for fields that later versions add, all zero by default."""

    _fields_ = (("threads", ctypes.c_int), ("pointers", ctypes.c_void_p * 3), ("later", ctypes.c_int64 * 8))


@lru_cache(maxsize=1)
def blosc_library() -> BloscLibrary:
    """Load the library, without importing python-blosc2 (which takes 0.3 s).

    Raises
    ------
    MissingPackageError
        python-blosc2 is not installed, or its wheel does not hold the functions.
    """
    spec = importlib.util.find_spec("blosc2")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    for path in sorted(match for pattern in _LIBRARIES for match in folder.glob(pattern)) if spec is not None else []:
        handle = ctypes.CDLL(str(path))
        if hasattr(handle, "blosc2_getitem_ctx"):
            return _open(handle)
    raise MissingPackageError(
        f"no Blosc library with blosc2_getitem_ctx in {folder if spec is not None else 'any package'}: "
        'pip install --force-reinstall "blosc2>=4.3"'
    )


def _open(handle: ctypes.CDLL) -> BloscLibrary:
    handle.blosc2_create_dctx.restype = ctypes.c_void_p
    handle.blosc2_create_dctx.argtypes = (_DecodingParameters,)
    handle.blosc2_free_ctx.restype = None
    handle.blosc2_free_ctx.argtypes = (ctypes.c_void_p,)
    handle.blosc2_init()
    needed = [_address(handle, name) for name in ("blosc2_decompress_ctx", "blosc2_getitem_ctx")]
    names = ("LZ4_decompress_safe", "LZ4_compress_fast", "blosc2_bitunshuffle", "blosc2_bitshuffle")
    parts = [_address(handle, name) for name in names]
    return BloscLibrary(handle, *needed, *(parts if all(parts) else [0] * len(parts)))


def _address(handle: ctypes.CDLL, name: str) -> int:
    """Where a function is; 0 if the library does not show it."""
    return ctypes.cast(getattr(handle, name), ctypes.c_void_p).value or 0 if hasattr(handle, name) else 0


class BloscContext:
    """The state of one decoding thread; freed with this object."""

    def __init__(self) -> None:
        library = blosc_library()
        context = library.handle.blosc2_create_dctx(_DecodingParameters(threads=1))
        if not context:
            raise MemoryError("Blosc could not create a decoding context")
        self.address: int = context
        """Of the C struct."""
        self.library = library
        """Where the functions are that take it."""
        weakref.finalize(self, library.handle.blosc2_free_ctx, context)
