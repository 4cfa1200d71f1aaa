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

STATUS, OFFSET, KEPT, SIZE, EXPLICIT, PIXELS, VALUE, PIXEL_LENGTH, IS_CLOSED, RUN = range(10)
"""Columns of `Batch.outcomes`: how the walk ended; where the first bytes of the file are in the buffer, and how many;
size of the file; what `scan_header` gives; whether encapsulated pixels end as they should; the run it belongs to."""

DIGEST = 32  # bytes of SHA-256
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
BUFFER = 8 << 20  # bytes: a batch ends where the headers of its files fill it

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
    varying: NDArray[np.bool_]
    """(runs, slots): which values are not the same in all files of a run."""
    digests: bytes
    """SHA-256 of each header, 32 bytes each; empty where Python has to hash."""


class Blocks(NamedTuple):
    """What is read of a file."""

    first: int
    """Bytes read at once."""
    growth: int
    """How many times as much where that was not enough."""
    largest: int
    """Bytes, the most."""


class _Output(NamedTuple):
    """What the compiled code fills."""

    buffer: NDArray[np.uint8]
    outcomes: NDArray[np.int64]
    found: NDArray[np.int64]
    digests: NDArray[np.uint8]
    leaders: NDArray[np.int64]
    """First file of each run."""
    varying: NDArray[np.bool_]


def read_batch(paths: Sequence[str], wanted: NDArray[np.int64], series: int, blocks: Blocks) -> Batch:
    """Read the headers of the first of these files, of one at least, and part them into runs.

    Parameters
    ----------
    wanted : (slots, 3)
        Tags and VRs, as `scan_header` takes them, and whether files of one run may differ in it.
    series
        The slot that tells most of what is not of one run: Series Instance UID (0020,000E).

    Raises
    ------
    ValueError
        A path holds a zero byte.
    """
    joined = os.fsencode("\0".join(paths)) + b"\0"
    if joined.count(b"\0") != len(paths):
        raise ValueError("embedded null byte in a path")
    names = np.frombuffer(bytearray(joined), dtype=np.uint8)
    size = max(BUFFER, blocks.first)
    while True:
        output = _output(size, len(paths), len(wanted))
        count, n_runs = _read_headers(FUNCTIONS, names, FLAGS, blocks, wanted, series, output)
        if count:
            break
        size = min(size * blocks.growth, blocks.largest + blocks.first)
    hashed = output.digests[: count * DIGEST].tobytes() if FUNCTIONS[4] else b""
    return Batch(output.buffer, output.outcomes[:count], output.found[:count], output.varying[:n_runs], hashed)


def _output(size: int, n_files: int, n_slots: int) -> _Output:
    return _Output(
        buffer=np.empty(size, dtype=np.uint8),
        outcomes=np.zeros((n_files, 10), dtype=np.int64),
        found=np.empty((n_files, n_slots, 2), dtype=np.int64),
        digests=np.empty(n_files * DIGEST, dtype=np.uint8),
        leaders=np.empty(n_files, dtype=np.int64),
        varying=np.zeros((n_files, n_slots), dtype=np.bool_),
    )


@kernel
def _read_headers(
    functions: Functions,
    names: NDArray[np.uint8],
    flags: int,
    blocks: Blocks,
    wanted: NDArray[np.int64],
    series: int,
    output: _Output,
) -> tuple[int, int]:
    """Fill the arrays; give the number of files that found room in the buffer, and of runs."""
    scratch = np.empty(8, dtype=np.uint8)
    at, offset, n_runs = 0, 0, 0
    for number in range(len(output.outcomes)):
        outcome = output.outcomes[number]
        outcome[OFFSET], outcome[RUN] = offset, ABSENT
        if offset + blocks.first > len(output.buffer):
            return number, n_runs
        descriptor = _open(functions[0], (address_of(names) + at, flags))
        at = _behind_zero(names, at)
        outcome[STATUS] = ODD
        if descriptor >= 0:
            _read_one(functions, descriptor, blocks, wanted, output, number, scratch)
            _close(functions[3], (descriptor,))
        if outcome[STATUS] == _NO_ROOM:
            return number, n_runs
        if outcome[STATUS] == DONE:
            offset += outcome[KEPT]
            n_runs = _join_run(number, n_runs, wanted, series, output)
            if functions[4]:
                start, digest = address_of(output.buffer) + outcome[OFFSET], address_of(output.digests)
                _sha256(functions[4], (start, outcome[KEPT], digest + number * DIGEST))
    return len(output.outcomes), n_runs


@kernel
def _behind_zero(names: NDArray[np.uint8], at: int) -> int:
    """Where the next name begins."""
    while names[at]:
        at += 1
    return at + 1


_NO_ROOM = 3  # beside the ways in which a walk ends: the buffer is full
_NEAREST = 32  # runs that a file is compared with, so that a folder of thousands of series costs no square of it


@kernel
def _join_run(number: int, n_runs: int, wanted: NDArray[np.int64], series: int, output: _Output) -> int:
    """Put a file into the last run that it fits into, or into a new one; give the number of runs."""
    for run in range(n_runs - 1, max(-1, n_runs - 1 - _NEAREST), -1):
        leader = output.leaders[run]
        if _is_same(output, number, leader, series) and _fits(output, number, leader, wanted):
            for slot in range(len(wanted)):
                if wanted[slot, 2] and not output.varying[run, slot]:
                    output.varying[run, slot] = not _is_same(output, number, leader, slot)
            output.outcomes[number, RUN] = run
            return n_runs
    output.leaders[n_runs], output.outcomes[number, RUN] = number, n_runs
    return n_runs + 1


@kernel
def _fits(output: _Output, number: int, leader: int, wanted: NDArray[np.int64]) -> bool:
    """Whether two files differ in nothing that is the same in all of a run."""
    slot = 0
    while slot < len(wanted) and (wanted[slot, 2] or _is_same(output, number, leader, slot)):
        slot += 1
    return slot == len(wanted)


@kernel
def _is_same(output: _Output, one: int, other: int, slot: int) -> bool:
    """Whether a value has the same bytes in two files. From the end: numbers that count are there."""
    first, second = output.found[one, slot], output.found[other, slot]
    length = first[1] - first[0]
    if length != second[1] - second[0] or (first[1] == ABSENT) != (second[1] == ABSENT):
        return False
    here, there = output.outcomes[one, OFFSET] + first[0], output.outcomes[other, OFFSET] + second[0]
    while length > 0 and output.buffer[here + length - 1] == output.buffer[there + length - 1]:
        length -= 1
    return length == 0


@kernel
def _read_one(
    functions: Functions,
    descriptor: int,
    blocks: Blocks,
    wanted: NDArray[np.int64],
    output: _Output,
    number: int,
    scratch: NDArray[np.uint8],
) -> None:
    """Read the header of an open file, its first block and more of it as far as needed, and fill its outcome."""
    buffer, outcome = output.buffer, output.outcomes[number]
    offset = outcome[OFFSET]
    size = _seek(functions[1], (descriptor, 0, _SEEK_END))
    read = _pread(functions[2], (descriptor, address_of(buffer) + offset, blocks.first, 0))
    asked = blocks.first
    if size <= 0 or read < PREAMBLE or not _is_dicom(buffer, offset):
        return
    while True:
        status, explicit, pixels, value, length = scan_header(
            buffer[offset : offset + read], size, wanted, output.found[number]
        )
        if status != CUT or read < asked or asked >= min(size, blocks.largest):
            break
        asked = min(asked * blocks.growth, blocks.largest)
        if offset + asked > len(buffer):
            outcome[STATUS] = _NO_ROOM
            return
        more = _pread(functions[2], (descriptor, address_of(buffer) + offset + read, asked - read, read))
        read += max(more, 0)
    outcome[STATUS], outcome[SIZE], outcome[EXPLICIT] = status, size, explicit
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
