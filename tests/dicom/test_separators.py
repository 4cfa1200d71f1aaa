"""Private b-values and directions as vendors write them, and values as header texts."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.separators import plain, values_apart

from .conftest import image_dataset, save


@pytest.fixture
def apart(tmp_path):
    def read(change):
        dataset = image_dataset(np.zeros((2, 2), dtype=np.int16), "MR")
        change(dataset)
        return values_apart(read_image_header(save(dataset, tmp_path / "a.dcm")).elements)

    return read


def siemens(dataset: Dataset) -> None:
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0E, "FD", [0.5, -0.5, 0.25])


def ge(dataset: Dataset) -> None:
    dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [1000000700, 8, 0, 0])
    block = dataset.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for element, value in ((0xBB, "0.1"), (0xBC, "0.2"), (0xBD, "-0.9")):
        block.add_new(element, "DS", value)


def philips(dataset: Dataset) -> None:
    dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", 800.0)


def standard(dataset: Dataset) -> None:
    dataset.DiffusionBValue = 500.0
    siemens(dataset)


@pytest.mark.parametrize(
    ("change", "b_value", "direction"),
    [
        (siemens, 1000, (0.5, -0.5, 0.25)),
        (ge, 700, (0.1, 0.2, -0.9)),
        (philips, 800, None),
        (standard, 500, None),
    ],
)
def test_diffusion(apart, change, b_value, direction):
    found = apart(change)
    assert (found["DiffusionBValue"], found.get("DiffusionGradientOrientation")) == (b_value, direction)


def test_times_stay_text(apart):
    assert apart(lambda dataset: setattr(dataset, "ContentTime", "001500")) == {"ContentTime": "001500"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("5", 5), ("4.50", 4.5), (["1"], 1), (["M", "2"], ("M", 2)), ("nan", "nan"), ("1e400", "1e400"), ("", "")],
)
def test_plain(value, expected):
    assert plain(value) == expected
