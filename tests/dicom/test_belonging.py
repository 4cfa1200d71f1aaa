"""Structure sets whose references are written here, on images whose series and frame of reference are known."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom import read_mask
from medimagenet.geometry import Grid
from medimagenet.volume import Volume

GRID = Grid((10, 8, 3))


def square(x0, x1, y0, y1, z):
    return [(x0 - 0.5, y0 - 0.5, z), (x1 + 0.5, y0 - 0.5, z), (x1 + 0.5, y1 + 0.5, z), (x0 - 0.5, y1 + 0.5, z)]


def image_of(series, frame):
    return Volume(np.zeros(GRID.shape), GRID, metadata={"SeriesInstanceUID": series, "FrameOfReferenceUID": frame})


def referring(series, frames):
    def change(dataset):
        dataset.ReferencedFrameOfReferenceSequence = []
        for frame in frames:
            item, study = Dataset(), Dataset()
            study.RTReferencedSeriesSequence = [Dataset() for _ in series]
            for entry, uid in zip(study.RTReferencedSeriesSequence, series, strict=True):
                entry.SeriesInstanceUID = uid
            item.FrameOfReferenceUID, item.RTReferencedStudySequence = frame, [study]
            dataset.ReferencedFrameOfReferenceSequence.append(item)

    return change


@pytest.mark.parametrize(
    ("series", "frames", "expected"),
    [
        (["1.1"], ["9.1"], []),
        ([], ["9.1"], []),
        (["1.1"], [], []),
        (["1.1", "1.2"], ["9.1"], ["several_series_referenced"]),
        (["1.2"], ["9.1"], ["referenced_by_frame"]),
        (["1.1"], ["9.2"], ["frame_of_reference_differs"]),
        (["1.2"], ["9.2"], ["wrong_image"]),
    ],
)
def test_whether_regions_belong_to_the_image(write_rtstruct, series, frames, expected):
    path = write_rtstruct({(1, "a"): [square(0, 3, 0, 3, 0)]}, change=referring(series, frames))
    mask = read_mask(path, image_of("1.1", "9.1"))
    assert [finding.code for finding in mask.findings] == expected
    assert mask.array.sum() == 16
    assert read_mask(path, GRID).findings == ()


def test_a_region_of_another_frame_of_reference_is_left_empty(write_rtstruct):
    def change(dataset):
        for item, frame in zip(dataset.StructureSetROISequence, ("9.1", "9.2"), strict=True):
            item.ReferencedFrameOfReferenceUID = frame

    box = [square(0, 3, 0, 3, 0)]
    mask = read_mask(write_rtstruct({(1, "here"): box, (2, "there"): box}, change=change), image_of("1.1", "9.1"))
    assert mask.array.sum(axis=(1, 2, 3)).tolist() == [16, 0]
    assert [(f.code, f.numbers) for f in mask.findings] == [("roi_in_other_frame", {"roi": "there"})]


def test_an_image_without_frame_of_reference_excludes_no_region(write_rtstruct):
    def change(dataset):
        dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "9.1"

    box = [square(0, 3, 0, 3, 0)]
    mask = read_mask(write_rtstruct({(1, "told"): box, (2, "untold"): box}, change=change), image_of("1.1", None))
    assert mask.array.sum(axis=(1, 2, 3)).tolist() == [16, 16]
    assert mask.findings == ()
