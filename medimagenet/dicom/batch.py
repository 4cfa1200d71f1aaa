"""The headers of many files in one compiled call: open, read, walk, hash, close, with Python's lock released.

A thread fills the next batch while Python makes values of the last one. What was found stays as places in one buffer.
"""

import _hashlib
import ctypes
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import address_of, c_function, kernel
from .locate import ABSENT, CUT, DONE, ODD, PREAMBLE, long_at, scan_header

STATUS, OFFSET, KEPT, SIZE, EXPLICIT, PIXELS, VALUE, PIXEL_LENGTH, CHANGES_END, IS_CLOSED = range(10)
"""Columns of `Batch.outcomes`: how the walk ended; where the first bytes of the file are in the buffer, and how many;
size of the file; what `scan_header` gives; where its changes end; whether encapsulated pixels end as they should."""

DIGEST = 32  # bytes of SHA-256
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
BUFFER = 4 << 20  # bytes: a batch ends where the headers of its files fill it

_UNDEFINED = 0xFFFFFFFF
_ITEM, _DELIMITER = 0xE000FFFE, 0xE0DDFFFE  # as the bytes of a tag lie, element before group
_SEEK_END = 2

Functions = tuple[int, int, int, int, int]
"""Addresses of open, lseek, pread, close and SHA256 (0 where the library does not show it)."""

_open = c_function("int32", "intp", "int32")
_seek = c_function("int64", "int32", "int64", "int32")
_pread = c_function("intp", "int32", "intp", "intp", "int64")
_close = c_function("int32", "int32")
_sha256 = c_function("intp", "intp", "intp", "intp")


def _functions() -> Functions:
    library = ctypes.CDLL(None)
    names = ("open", "lseek", "pread", "close")
    found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names]
    return found[0], found[1], found[2], found[3], _openssl_sha256()


def _openssl_sha256() -> int:
    """The one that hashlib calls, from the library that it is linked to."""
    try:
        function = ctypes.CDLL(_hashlib.__file__).SHA256
    except (AttributeError, OSError):  # linked into Python, without names
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


FUNCTIONS = _functions()


class Batch(NamedTuple):
    """What was found in the first files of a list; the others are for the next call."""

    buffer: NDArray[np.uint8]
    outcomes: NDArray[np.int64]
    found: NDArray[np.int64]
    """(files, slots, 2), as `scan_header` fills it; places count from the file's first byte."""
    changes: NDArray[np.int64]
    """(all, 3): slot, begin and end of each value that is not that of the last file before that was `DONE`."""
    digests: bytes
    """SHA-256 of each header, 32 bytes each; empty where Python has to hash."""


def read_batch(paths: Sequence[str], wanted: NDArray[np.int64], first_block: int, growth: int, largest: int) -> Batch:
    """Read the headers of the first of these files, of one at least.

    Parameters
    ----------
    wanted : (slots, 2)
        Tags and VRs, as `scan_header` takes them.
    first_block, growth, largest : bytes, factor, bytes
        What is read at once of a file, how many times as much where that was not enough, and the most.

    Raises
    ------
    ValueError
        A path holds a zero byte.
    """
    joined = os.fsencode("\0".join(paths)) + b"\0"
    if joined.count(b"\0") != len(paths):
        raise ValueError("embedded null byte in a path")
    names = np.frombuffer(bytearray(joined), dtype=np.uint8)
    size = max(BUFFER, first_block)
    while True:
        buffer = np.empty(size, dtype=np.uint8)
        outcomes = np.zeros((len(paths), 10), dtype=np.int64)
        found = np.empty((len(paths), len(wanted), 2), dtype=np.int64)
        changes = np.empty((len(paths) * len(wanted), 3), dtype=np.int64)
        digests = np.empty(len(paths) * DIGEST, dtype=np.uint8)
        count = _read_headers(
            FUNCTIONS, names, FLAGS, first_block, growth, largest, wanted, buffer, outcomes, found, changes, digests
        )
        if count:
            break
        size = min(size * growth, largest + first_block)
    n_changes = int(outcomes[count - 1, CHANGES_END])
    hashed = digests[: count * DIGEST].tobytes() if FUNCTIONS[4] else b""
    return Batch(buffer, outcomes[:count], found[:count], changes[:n_changes], hashed)


@kernel
def _read_headers(
    functions: Functions,
    names: NDArray[np.uint8],
    flags: int,
    first_block: int,
    growth: int,
    largest: int,
    wanted: NDArray[np.int64],
    buffer: NDArray[np.uint8],
    outcomes: NDArray[np.int64],
    found: NDArray[np.int64],
    changes: NDArray[np.int64],
    digests: NDArray[np.uint8],
) -> int:
    """Fill the arrays; give the number of files that found room in the buffer."""
    nothing = np.full((len(wanted), 2), ABSENT, dtype=np.int64)
    scratch = np.empty(8, dtype=np.uint8)
    at, offset, n_changes, before = 0, 0, 0, -1
    for number in range(len(outcomes)):
        outcome = outcomes[number]
        outcome[OFFSET] = offset
        if offset + first_block > len(buffer):
            return number
        begin = 0 if before < 0 else outcomes[before, OFFSET]
        last = buffer[begin:begin] if before < 0 else buffer[begin : begin + outcomes[before, KEPT]]
        descriptor = _open(functions[0], (address_of(names) + at, flags))
        while names[at]:
            at += 1
        at += 1
        outcome[STATUS] = ODD
        if descriptor >= 0:
            _read_one(
                functions,
                descriptor,
                first_block,
                growth,
                largest,
                wanted,
                buffer,
                last,
                nothing if before < 0 else found[before],
                outcome,
                found[number],
                changes[n_changes:],
                scratch,
            )
            _close(functions[3], (descriptor,))
        if outcome[STATUS] == _NO_ROOM:
            return number
        if outcome[STATUS] == DONE:
            n_changes += outcome[CHANGES_END]
            offset += outcome[KEPT]
            before = number
            if functions[4]:
                _sha256(
                    functions[4],
                    (address_of(buffer) + outcome[OFFSET], outcome[KEPT], address_of(digests) + number * DIGEST),
                )
        outcome[CHANGES_END] = n_changes
    return len(outcomes)


_NO_ROOM = 3  # beside the ways in which a walk ends: the buffer is full


@kernel
def _read_one(
    functions: Functions,
    descriptor: int,
    first_block: int,
    growth: int,
    largest: int,
    wanted: NDArray[np.int64],
    buffer: NDArray[np.uint8],
    last: NDArray[np.uint8],
    last_found: NDArray[np.int64],
    outcome: NDArray[np.int64],
    found: NDArray[np.int64],
    changes: NDArray[np.int64],
    scratch: NDArray[np.uint8],
) -> None:
    """Read the header of an open file, its first block and more of it as far as needed, and fill its outcome."""
    offset = outcome[OFFSET]
    size = _seek(functions[1], (descriptor, 0, _SEEK_END))
    read = _pread(functions[2], (descriptor, address_of(buffer) + offset, first_block, 0))
    asked = first_block
    if size <= 0 or read < PREAMBLE or not _is_dicom(buffer, offset):
        return
    while True:
        status, explicit, pixels, value, length, count = scan_header(
            buffer[offset : offset + read], size, wanted, last, last_found, found, changes
        )
        if status != CUT or read < asked or asked >= min(size, largest):
            break
        asked = min(asked * growth, largest)
        if offset + asked > len(buffer):
            outcome[STATUS] = _NO_ROOM
            return
        more = _pread(functions[2], (descriptor, address_of(buffer) + offset + read, asked - read, read))
        read += max(more, 0)
    outcome[STATUS], outcome[SIZE], outcome[EXPLICIT], outcome[CHANGES_END] = status, size, explicit, count
    outcome[PIXELS], outcome[VALUE], outcome[PIXEL_LENGTH] = pixels, value, length
    outcome[KEPT] = read if pixels == ABSENT else pixels
    if status == DONE and length == _UNDEFINED:
        outcome[IS_CLOSED] = _are_fragments_closed(functions, descriptor, value, size, scratch)


@kernel
def _is_dicom(buffer: NDArray[np.uint8], offset: int) -> bool:
    return (
        buffer[offset + 128] == 68
        and buffer[offset + 129] == 73
        and buffer[offset + 130] == 67
        and buffer[offset + 131] == 77
    )


@kernel
def _are_fragments_closed(
    functions: Functions, descriptor: int, start: int, size: int, head: NDArray[np.uint8]
) -> bool:
    """Whether the items of encapsulated pixel data (PS3.5 A.4) lead to their delimiter."""
    at = start
    while at + 8 <= size:
        if _pread(functions[2], (descriptor, address_of(head), 8, at)) != 8:
            return False
        tag = long_at(head, 0)
        if tag == _DELIMITER:
            return True
        if tag != _ITEM:
            return False
        at += 8 + long_at(head, 4)
    return False
