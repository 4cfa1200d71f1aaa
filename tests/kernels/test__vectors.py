"""Sums in registers against sums in the order that the module states, by NumPy."""

import numpy as np
import pytest

from medimagenet.kernels._jit import kernel
from medimagenet.kernels._vectors import LANES, block_squares, block_sums

COUNT = 4 * LANES
_sums, _chosen_sums = block_sums(is_masked=False), block_sums(is_masked=True)
_squares, _chosen_squares = block_squares(is_masked=False), block_squares(is_masked=True)


@kernel
def sums(voxels, chosen, masked, nonzero):
    if masked:
        return _chosen_sums(voxels, chosen, LANES, COUNT, nonzero)
    return _sums(voxels, chosen, LANES, COUNT, nonzero)


@kernel
def squares(voxels, chosen, masked, nonzero, mean):
    if masked:
        return _chosen_squares(voxels, chosen, LANES, COUNT, nonzero, mean)
    return _squares(voxels, chosen, LANES, COUNT, nonzero, mean)


def in_lanes(values):
    """Lane by lane, then the lanes from the first to the last."""
    lanes = np.zeros(LANES)
    for line in values.reshape(-1, LANES):
        lanes = lanes + line
    total = lanes[0]
    for lane in lanes[1:]:
        total = total + lane
    return total


@pytest.mark.parametrize("nonzero", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint32])
def test_a_block_is_summed_in_the_stated_order(dtype, masked, nonzero):
    random = np.random.default_rng(4)
    voxels = random.normal(1000, 300, COUNT + 2 * LANES).astype(dtype)
    voxels[::3] = 0
    if np.dtype(dtype).kind == "f":
        voxels[20], voxels[21], voxels[22] = np.nan, np.inf, -np.inf
    chosen = random.random(len(voxels)) < 0.6
    block = slice(LANES, LANES + COUNT)
    asked = (chosen[block] | (not masked)) & ((voxels[block] != 0) | (not nonzero))
    exact = voxels[block].astype(np.float64)
    counts = asked & np.isfinite(exact)
    taken = np.where(counts, exact, 0.0)
    expected = (counts.sum(), (asked & ~counts).sum(), in_lanes(taken), exact[counts].min(), exact[counts].max())
    assert sums(voxels, chosen, masked, nonzero) == expected
    distance = np.where(counts, taken - 500.5, 0.0)
    assert squares(voxels, chosen, masked, nonzero, 500.5) == in_lanes(distance * distance)
