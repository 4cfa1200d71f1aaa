"""One value of many files at once: text joined for Python to part, numbers as an array. Compiled.

What is not plainly regular is left to `plain`, value by value.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import kernel
from .decimals import ODD, parse_decimals, parse_integer

MOST_NUMBERS = 6  # of a value: an orientation; longer ones seldom differ from slice to slice

_SPACE, _LAST_PRINTED, _BACKSLASH, _NEW_LINE = 32, 126, 92, 10


def join_texts(buffer: NDArray[np.uint8], places: NDArray[np.int64]) -> list[str] | None:
    """Texts without their padding, empty where absent; None where one is several or has letters beyond ASCII.

    Parameters
    ----------
    places : (files, 2)
        Where each value begins and ends in the buffer; both 0 where there is none.
    """
    room = int((places[:, 1] - places[:, 0]).sum()) + len(places)
    joined = np.empty(room, dtype=np.uint8)
    length = _join(buffer, places, joined)
    return None if length == ODD else joined[:length].tobytes().decode("ascii").split("\n")[:-1]


def read_numbers(
    buffer: NDArray[np.uint8], places: NDArray[np.int64], *, is_whole: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Numbers of each file (files, `MOST_NUMBERS`), and how many there are of each; `ODD`: only Python may judge.

    Parameters
    ----------
    places : (files, 2)
        As of `join_texts`.
    is_whole
        Whether they are integer strings, one to a file.
    """
    numbers = np.zeros((len(places), MOST_NUMBERS))
    counts = np.empty(len(places), dtype=np.int64)
    _parse(buffer, places, is_whole, numbers, counts)
    return numbers, counts


@kernel
def _join(buffer: NDArray[np.uint8], places: NDArray[np.int64], joined: NDArray[np.uint8]) -> int:
    """Write each text and a new line behind it; give the length."""
    end = 0
    for number in range(len(places)):
        start, stop = places[number]
        while stop > start and (buffer[stop - 1] == _SPACE or buffer[stop - 1] == 0):
            stop -= 1
        while start < stop and buffer[start] == _SPACE:
            start += 1
        for at in range(start, stop):
            if not _SPACE <= buffer[at] <= _LAST_PRINTED or buffer[at] == _BACKSLASH:
                return ODD
            joined[end] = buffer[at]
            end += 1
        joined[end] = _NEW_LINE
        end += 1
    return end


@kernel
def _parse(
    buffer: NDArray[np.uint8],
    places: NDArray[np.int64],
    is_whole: bool,
    numbers: NDArray[np.float64],
    counts: NDArray[np.int64],
) -> None:
    for number in range(len(places)):
        start, stop = places[number]
        if is_whole:
            counts[number] = parse_integer(buffer, start, stop, numbers[number])
        else:
            counts[number] = parse_decimals(buffer, start, stop, numbers[number])
