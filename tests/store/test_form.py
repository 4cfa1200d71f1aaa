"""checked_index: what an index of chunks may say about a file."""

import numpy as np
import pytest

from medimagenet.errors import StoreDamagedError
from medimagenet.store.form import MARGIN, checked_index
from medimagenet.store.metadata import array_document, parse_array

METADATA = parse_array(
    array_document(
        (8, 4), np.dtype("int16"), shard=(8, 4), chunk=(4, 4), codec="blosc-lz4", fill=0, dimension_names="yx",
        attributes={},
    ),
    "array",
)  # fmt: skip
LONGEST = 4 * 4 * 2 + MARGIN


def test_chunks_inside_the_file_and_missing_ones_pass():
    index = np.array([[10, LONGEST], [-1, -1]])
    assert checked_index(index, 10 + LONGEST, METADATA, "array", "folder/file") is index


@pytest.mark.parametrize("wrong", [[11, LONGEST], [0, LONGEST + 1], [-2, 5], [5, -2], [2**62, 8], [-1, 5]])
def test_others_are_damage(wrong):
    with pytest.raises(StoreDamagedError, match=r"sample p1: the index of file points outside its .* bytes \(a/file\)"):
        checked_index(np.array([[0, 8], wrong]), 10 + LONGEST, METADATA, "sample p1", "a/file")
