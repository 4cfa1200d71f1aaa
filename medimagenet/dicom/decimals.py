r"""Decimal strings (DS) and integer strings (IS) to numbers, compiled (DICOM PS3.5 6.2).

Digits are gathered in a whole number below 2^53 that is divided once by a power of ten up to 10^22: both are exact in
binary, so the result is rounded once and correctly (Clinger, PLDI 1990). Anything else, such as an exponent, is for
Python.
"""

import numpy as np
from numpy.typing import NDArray

from ..kernels._jit import kernel

ODD = -1  # instead of a number of numbers: there is something that only Python may judge

_SPACE, _PLUS, _MINUS, _POINT, _ZERO, _NINE, _BACKSLASH = 32, 43, 45, 46, 48, 57, 92
_LARGEST = 9007199254740992  # 2^53
_SMALLEST_POWER = -22
_MOST_DIGITS = 9  # of an integer string: more may not fit into 32 bits


@kernel
def parse_decimals(data: NDArray[np.uint8], start: int, stop: int, numbers: NDArray[np.float64]) -> int:
    """Parse numbers separated by backslashes.

    Parameters
    ----------
    start, stop
        Where the value begins and ends in `data`.
    numbers : (n,), out
        The first of them.

    Returns
    -------
    count : of the numbers, 0 where the value is empty; `ODD` where this parser may not, or there are more than n
    """
    at, count, end = start, 0, _end_of_text(data, start, stop)
    while at < end:
        if count == len(numbers):
            return ODD
        at = _parse_one(data, at, end, numbers, count)
        count += 1
        if at == ODD or at == end - 1:  # a backslash that nothing follows
            return ODD
        at += 1
    return count


@kernel
def parse_integer(data: NDArray[np.uint8], start: int, stop: int, numbers: NDArray[np.float64]) -> int:
    """As `parse_decimals`, of one integer of few digits."""
    end, n_digits = _end_of_text(data, start, stop), 0
    for at in range(start, end):
        if data[at] in (_POINT, _BACKSLASH):
            return ODD
        n_digits += _ZERO <= data[at] <= _NINE
    return ODD if n_digits > _MOST_DIGITS else parse_decimals(data, start, end, numbers)


@kernel
def _end_of_text(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Where padding begins."""
    while stop > start and (data[stop - 1] == _SPACE or data[stop - 1] == 0):
        stop -= 1
    return stop


@kernel
def _parse_one(data: NDArray[np.uint8], at: int, end: int, numbers: NDArray[np.float64], which: int) -> int:
    """Parse a number; give where it ends, which is at a backslash or at `end`, or `ODD`."""
    at = _skip_spaces(data, at, end)
    is_negative = at < end and data[at] == _MINUS
    if at < end and (data[at] == _MINUS or data[at] == _PLUS):
        at += 1
    start, mantissa, power, is_fraction = at, np.int64(0), 0, False
    while at < end and (_ZERO <= data[at] <= _NINE or (data[at] == _POINT and not is_fraction)):
        if data[at] == _POINT:
            is_fraction = True
        else:
            mantissa = mantissa * 10 + (data[at] - _ZERO)
            power -= is_fraction
            if mantissa > _LARGEST:
                return ODD
        at += 1
    if at - start - is_fraction == 0 or power < _SMALLEST_POWER:
        return ODD
    value = mantissa / 10.0**-power
    numbers[which] = -value if is_negative else value
    at = _skip_spaces(data, at, end)
    return at if at == end or data[at] == _BACKSLASH else ODD


@kernel
def _skip_spaces(data: NDArray[np.uint8], at: int, end: int) -> int:
    while at < end and data[at] == _SPACE:
        at += 1
    return at
