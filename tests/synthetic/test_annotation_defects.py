"""Each defect of a structure set, as pydicom sees it."""

import numpy as np
import pydicom
import pytest

from medimagenet.geometry import Grid
from medimagenet.synthetic import write_patient

GRID = Grid((16, 14, 9), (15.0, 15.0, 20.0), (10.5, -20.25, 100.0))


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    def write(name):
        truth = write_patient(tmp_path_factory.mktemp("p"), grid=GRID, defects=(name,))
        return truth, pydicom.dcmread(truth.paths["RTSTRUCT"][0])

    return write


def added(ds):
    """Kind and index coordinates of the contours that come last in the tumour's ROI and name no image."""
    numbers = {roi.ROIName: roi.ROINumber for roi in ds.StructureSetROISequence}
    (roi,) = [item for item in ds.ROIContourSequence if item.ReferencedROINumber == numbers["GTV"]]
    contours = [item for item in roi.ContourSequence if "ContourImageSequence" not in item]
    points = [np.array(item.ContourData, dtype=float).reshape(-1, 3) for item in contours]
    return [
        (item.ContourGeometricType, (p - GRID.origin) / GRID.spacing) for item, p in zip(contours, points, strict=True)
    ]


def test_contour_outside_image(planted):
    ((kind, points),) = added(planted("contour_outside_image")[1])
    assert kind == "CLOSED_PLANAR"
    np.testing.assert_allclose(points[:, 2], 10)  # the last slice is 8


def test_contour_fills_nothing(planted):
    ((_, points),) = added(planted("contour_fills_nothing")[1])
    np.testing.assert_allclose(points[:, 2], 4)
    assert (np.floor(points[:, :2]) == 5).all()  # strictly between the centres 5 and 6 along both axes
    assert (points[:, :2] % 1 > 0.1).all()


def test_contour_between_slices(planted):
    ((_, points),) = added(planted("contour_between_slices")[1])
    np.testing.assert_allclose(points[:, 2], 4.4)


def test_contour_not_planar(planted):
    ((_, points),) = added(planted("contour_not_planar")[1])
    np.testing.assert_allclose(points[:, 2], [4, 4, 4, 5])


def test_contour_not_closed(planted):
    assert [(kind, len(points)) for kind, points in added(planted("contour_not_closed")[1])] == [
        ("OPEN_PLANAR", 3),
        ("POINT", 1),
    ]


def test_roi_without_contours(planted):
    _, ds = planted("roi_without_contours")
    named = {roi.ROINumber: roi.ROIName for roi in ds.StructureSetROISequence}
    drawn = {roi.ReferencedROINumber for roi in ds.ROIContourSequence}
    assert [name for number, name in named.items() if number not in drawn] == ["couch"]


def test_roi_name_missing(planted):
    assert [roi.ROIName for roi in planted("roi_name_missing")[1].StructureSetROISequence].count("") == 1


def test_roi_name_repeated(planted):
    assert [roi.ROIName for roi in planted("roi_name_repeated")[1].StructureSetROISequence].count("GTV") == 2


def test_dangling_reference(planted):
    truth, ds = planted("dangling_reference")
    assert "ReferencedFrameOfReferenceSequence" in ds
    assert [path.name for path in truth.folder.rglob("*.dcm")] == ["CT.dcm"]
    assert not any(path.exists() for path in truth.paths["CT"])


def test_referenced_by_frame(planted):
    truth, ds = planted("referenced_by_frame")
    frame = pydicom.dcmread(truth.paths["CT"][0]).FrameOfReferenceUID
    assert ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID == frame
    assert not refers_to(ds, "ReferencedSOPInstanceUID", "SeriesInstanceUID")


def test_no_reference(planted):
    truth, ds = planted("no_reference")
    frame = pydicom.dcmread(truth.paths["CT"][0]).FrameOfReferenceUID
    assert frame not in {str(element.value) for element in ds.iterall() if element.VR == "UI"}
    assert not refers_to(ds, "ReferencedSOPInstanceUID", "SeriesInstanceUID")


def refers_to(ds, *keywords):
    own = {str(ds.SeriesInstanceUID)}
    return [e.value for e in ds.iterall() if e.keyword in keywords and str(e.value) not in own]
