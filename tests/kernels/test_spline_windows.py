"""Windows of coefficients: scipy's values in tall volumes, and the very bits that all rows at once give."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from medimagenet.kernels import spline_windows
from medimagenet.kernels.resample import resample
from medimagenet.kernels.spline import spline_axis

HEIGHT = 190


def volume(dtype, shape=(3, HEIGHT, 4)):
    return np.random.default_rng(5).integers(0, 250, shape).astype(dtype)


def resampled(source, step, start, rows, **choices):
    matrix, offset = np.diag([0.7, step, 0.9]), (0.1, start, 0.2)
    return resample(source, matrix, offset, (2, rows, 3), interpolation="cubic", **choices)


@pytest.fixture
def used(monkeypatch):
    """Per call the rows of a window that were chosen."""
    chosen, choose = [], spline_windows.window_rows
    monkeypatch.setattr(spline_windows, "window_rows", lambda *given: chosen.append(choose(*given)) or chosen[-1])
    return chosen


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(
    ("step", "start", "rows"), [(1.0, 0.3, 189), (0.47, 0.0, 400), (-3.3, 188.5, 57), (1.1, 60, 40)]
)
def test_values_are_those_of_scipy_in_every_window(used, step, start, rows, parallel):
    source = volume(np.float64)
    exact = ndimage.affine_transform(
        source, np.diag([0.7, step, 0.9]), (0.1, start, 0.2), (2, rows, 3), order=3, mode="mirror"
    )
    found = resampled(source, step, start, rows, parallel=parallel)
    assert used == [spline_windows.FEWEST_ROWS]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("border", ["edge", "constant"])
@pytest.mark.parametrize(("step", "start", "rows"), [(0.9, -8.0, 230), (-2.5, 200.0, 90), (40.0, 3.0, 5)])
def test_windows_change_no_bit(monkeypatch, dtype, border, step, start, rows):
    source = volume(dtype)
    found = resampled(source, step, start, rows, border=border, fill=7)
    monkeypatch.setattr(spline_windows, "window_rows", lambda shape, *_: shape[1])
    np.testing.assert_array_equal(found, resampled(source, step, start, rows, border=border, fill=7))


def test_a_reflected_border_goes_to_and_fro_and_takes_all_rows_at_once(used):
    source = volume(np.float64)
    twice = np.concatenate([source[:, ::-1], source, source[:, ::-1]], axis=1)
    found = resampled(source, 1.0, -20.0, 230, border="reflect")
    assert used == [HEIGHT]
    inner = slice(30, 200)  # away from the border the spline is that of the volume that is reflected
    np.testing.assert_allclose(found[:, inner], resampled(twice, 1.0, HEIGHT - 20.0, 230)[:, inner], rtol=0, atol=1e-3)


def test_both_buffers_are_an_eighth_of_the_output_where_that_is_enough():
    taps = spline_axis(4000, np.arange(4000.0)).taps
    shape, itemsize, halo, out_bytes = (100, 4000, 500), 4, 32, 1 << 30
    rows = spline_windows.window_rows(shape, itemsize, out_bytes, halo, taps)
    held = rows + 2 * (halo + spline_windows.OVERLAP)
    assert 0.99 * out_bytes / 8 < held * 100 * 500 * itemsize <= out_bytes / 8
    assert spline_windows.window_rows(shape, itemsize, 1, halo, taps) == spline_windows.FEWEST_ROWS
    assert spline_windows.window_rows(shape, itemsize, 1 << 40, halo, taps) == 4000


@pytest.mark.parametrize("rows", [48, 70, 190])
def test_windows_follow_one_another_and_serve_each_output_row_once(rows):
    halo, taps = 32, spline_axis(HEIGHT, np.linspace(189, 0, 77)).taps
    found = list(spline_windows.windows(HEIGHT, rows, halo, taps))
    served = sorted(row for window in found for row in range(*window.rows))
    assert served == list(range(77))
    for window in found:
        begin, _, _, end = window.limits.tolist()
        assert (taps[slice(*window.rows)] >= begin).all()
        assert (taps[slice(*window.rows)] < window.stop).all()
        assert end == min(window.stop + halo, HEIGHT)
    for window, following in pairwise(found):
        assert (window.limits[2], window.limits[3]) == (following.limits[0], following.limits[1])
