"""References with padding, none and odd ones. Whole files are compared with pydicom in test_quick."""

import numpy as np
import pytest

from medimagenet.dicom.plain import OddValueError
from medimagenet.dicom.sequences import flatten_sequences


def element(group, number, value):
    """Of implicit VR."""
    return b"".join(part.to_bytes(size, "little") for part, size in ((group, 2), (number, 2), (len(value), 4))) + value


def flatten(*instances):
    items = [element(0xFFFE, 0xE000, element(8, 0x1155, value)) for value in instances]
    series = element(0xFFFE, 0xE000, element(8, 0x114A, b"".join(items)) + element(0x20, 0xE, b"1.2"))
    sequence = element(8, 0x1115, series)
    places = {"ReferencedSeriesSequence": (8, len(sequence))}
    return flatten_sequences(np.frombuffer(sequence, dtype=np.uint8), places, explicit=False, codec="ascii")


def test_each_once_in_order_without_padding():
    found = flatten(b"1.3.2\0", b"1.3.1 ", b"", b"\0", b"1.3.2")
    assert found == {"ReferencedSeriesUIDs": ["1.2"], "ReferencedSOPInstanceUIDs": ["1.3.2", "1.3.1"]}


@pytest.mark.parametrize("odd", [b" 1.3", b"1 3", b"1\\3", b"1.3\n", b"1.3\xe4"])
def test_what_is_no_uid_is_for_pydicom(odd):
    with pytest.raises(OddValueError):
        flatten(b"1.3.2", odd)


def test_nothing_is_referred_to():
    assert flatten() == {"ReferencedSeriesUIDs": ["1.2"]}
