"""Slices that are read by one compiled call per batch, against exact arithmetic; and what is left to `decode`."""

import numpy as np
import pytest

from medimagenet.dicom.direct import fill_directly
from medimagenet.dicom.frames import frames_of
from medimagenet.dicom.header import read_image_header


def fill(folder, jobs=2, dtype=np.int16):
    frames = [frame for path in sorted(folder.iterdir()) for frame in frames_of(read_image_header(path))]
    frames.sort(key=lambda frame: frame.plane.position[2])
    volume = np.full((len(frames), frames[0].plane.rows, frames[0].plane.columns), 99, dtype)
    seen = []
    is_filled = fill_directly(frames, volume, jobs, lambda descriptor, frame: seen.append((descriptor, frame.name)))
    assert not is_filled or len({name for _, name in seen}) == len(frames)
    return is_filled, volume


@pytest.mark.parametrize("jobs", [1, 2, 7])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize(("slope", "intercept", "bits"), [(1, -1024, 16), (1, 0, 12), (-3, 7, 12), (2, -30000, 13)])
def test_slices_are_slope_times_stored_plus_intercept(write_series, jobs, dtype, slope, intercept, bits):
    top = 1 << (bits - 1 if np.dtype(dtype).kind == "i" else bits)
    top = min(top, (32767 - abs(intercept) - 11) // abs(slope))
    low = -top + 1 if np.dtype(dtype).kind == "i" and intercept > -30000 else 0
    values = np.random.default_rng(bits).integers(low, top, (11, 6, 5)).astype(dtype)

    def change(dataset, k):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept - k
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        rubbish = 0 if bits == 16 else np.uint16(0b101 << 13 if bits == 12 else 1 << 15)
        kept = values[k].view(np.uint16) & np.uint16((1 << bits) - 1)
        dataset.PixelData = (kept | rubbish).astype(np.uint16).tobytes()

    expected = values.astype(np.int64) * slope + intercept - np.arange(11)[:, None, None]
    is_filled, volume = fill(write_series(values, change=change), jobs)
    assert is_filled
    np.testing.assert_array_equal(volume, expected)


def test_what_is_not_as_usual_is_left_alone(write_series):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    changes = {
        "half": lambda dataset, _: setattr(dataset, "RescaleSlope", 0.5),
        "huge": lambda dataset, _: setattr(dataset, "RescaleIntercept", 2**31),
        "packed": lambda dataset, _: dataset.compress("1.2.840.10008.1.2.4.80"),
        "mixed": lambda dataset, k: setattr(dataset, "PixelRepresentation", int(k != 1)),
    }
    for name, change in changes.items():
        is_filled, volume = fill(write_series(stored, change=change, folder=name))
        assert not is_filled, name
        assert (volume == 99).all(), name
    assert not fill(write_series(stored, folder="float"), dtype=np.float32)[0]
    assert not fill(write_series(stored.astype(np.uint8), folder="bytes"))[0]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_slice_that_is_cut_short_or_does_not_fit_is_told(write_series, jobs):
    stored = np.zeros((5, 4, 5), dtype=np.uint16)
    stored[3, 2, 1] = 40000
    assert not fill(write_series(stored), jobs)[0]
    folder = write_series(stored[:3], folder="cut")
    path = sorted(folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])
    assert not fill(folder, jobs)[0]
