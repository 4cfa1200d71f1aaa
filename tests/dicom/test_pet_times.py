"""The moment at which a decaying activity equals its mean over a frame, and the times of tracers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.dicom.pet_times import _average_time
from medimagenet.dicom.pet_values import moment
from medimagenet.errors import DicomError


@given(st.floats(1, 7200), st.floats(60, 1e6))
def test_the_average_time_lies_before_the_middle(duration, half_life):
    time = _average_time(duration, half_life)
    assert 0 < time <= duration / 2 * (1 + 1e-6)
    grid = np.linspace(0, duration, 20_001)
    mean = np.trapezoid(2 ** (-grid / half_life), grid) / duration
    assert 2 ** (-time / half_life) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize(
    ("date", "time", "expected"),
    [
        ("20200229", "0015", "2020-02-29T00:15:00"),
        ("20200229", "001500.25", "2020-02-29T00:15:00.250000"),
        ("2020.02.29", "00:15:00", "2020-02-29T00:15:00"),
        ("20200229", "001500.5+0100", "2020-02-29T00:15:00.500000"),
    ],
)
def test_dates_and_times(date, time, expected):
    assert moment(date, time, "SeriesTime").isoformat() == expected


def test_what_is_no_time_is_named():
    with pytest.raises(DicomError, match=r"SeriesTime \(0008,0031\)"):
        moment("20200230", "000000", "SeriesTime")
