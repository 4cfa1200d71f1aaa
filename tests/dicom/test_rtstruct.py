"""Structure sets: written ones of known content, and the masks of real patients, voxel for voxel."""

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom import read_mask, read_series, read_structures
from medimagenet.dicom.rtstruct import fill_roi
from medimagenet.errors import DicomError
from medimagenet.geometry import Grid

PATIENTS = ("001", "002", "008", "012", "019", "024", "025", "035", "040", "042", "047")
GRID = Grid((30, 20, 5), (0.75, 0.5, 3.0), (-10.0, -20.0, 100.0))


def box(x0, x1, y0, y1, z):
    """A rectangle around the centres of voxels x0 to x1, y0 to y1 in slice z, which may be fractional, in mm."""
    corners = [(x0 - 0.5, y0 - 0.5), (x1 + 0.5, y0 - 0.5), (x1 + 0.5, y1 + 0.5), (x0 - 0.5, y1 + 0.5)]
    return GRID.to_patient([(x, y, z) for x, y in corners])


def fill(path, grid=GRID):
    """Codes of findings and masks by name."""
    structures = read_structures(path)
    masks, codes = {}, []
    for roi in structures.rois:
        masks[roi.name] = np.zeros(grid.shape, dtype=bool)
        codes += [finding.code for finding in fill_roi(roi, grid, masks[roi.name])]
    return masks, codes


def test_regions_are_matched_by_number_not_by_place(write_rtstruct):
    path = write_rtstruct({(7, "seven"): [box(2, 4, 3, 3, 1)], (3, "three"): [box(0, 9, 0, 9, 2)], (4, "none"): []})
    masks, codes = fill(path)
    assert codes == ["roi_without_contours"]
    assert list(masks) == ["seven", "three", "none"]
    expected = np.zeros(GRID.shape, dtype=bool)
    expected[1, 3, 2:5] = True
    np.testing.assert_array_equal(masks["seven"], expected)
    assert masks["three"].sum() == 100
    assert not masks["none"].any()


def test_contours_of_a_region_may_be_spread_over_several_entries_and_point_to_none(write_rtstruct):
    path = write_rtstruct(
        {(1, "a"): [box(0, 1, 0, 1, 0)]},
        extra_contours=[((1, ""), [box(0, 1, 0, 1, 1)]), ((99, ""), [box(0, 1, 0, 1, 2)])],
    )
    assert fill(path)[0]["a"].sum(axis=(1, 2)).tolist() == [4, 4, 0, 0, 0]


def test_nested_contours_are_holes_and_islands(write_rtstruct):
    path = write_rtstruct({(1, "a"): [box(0, 11, 0, 11, 0), box(2, 9, 2, 9, 0), box(4, 7, 4, 7, 0)]})
    assert fill(path)[0]["a"].sum() == 144 - 64 + 16


@pytest.mark.parametrize("offset", [-0.48, -0.012, 0.012, 0.48])
def test_a_contour_goes_to_its_nearest_slice(write_rtstruct, offset):
    masks, codes = fill(write_rtstruct({(1, "a"): [box(1, 2, 1, 2, 3 + offset)]}))
    assert masks["a"].sum(axis=(1, 2)).tolist() == [0, 0, 0, 4, 0]
    assert codes == (["contour_between_slices"] if abs(offset) > 0.1 else [])


def test_contours_denser_than_slices_do_not_cancel_one_another(write_rtstruct):
    third = 1 / 3
    path = write_rtstruct({(1, "a"): [box(0, 4 + k % 3, 0, 3, 1 + (k - 3) * third) for k in range(7)]})
    masks, codes = fill(path)
    assert masks["a"].sum(axis=(1, 2)).tolist() == [5 * 4, 5 * 4, 5 * 4, 0, 0]
    assert codes == ["contour_between_slices"]


def test_what_lies_outside_is_clipped(write_rtstruct):
    path = write_rtstruct(
        {(1, "a"): [box(-5, 2, 0, 0, 0), box(0, 3, 0, 0, 5), box(0, 3, 0, 0, -1), box(0, 3, 0, 0, 1)]}
    )
    masks, codes = fill(path)
    assert masks["a"].sum(axis=(1, 2)).tolist() == [3, 4, 0, 0, 0]
    assert codes == ["contour_outside_image"]


def test_a_contour_between_the_centres_fills_nothing(write_rtstruct):
    sliver = GRID.to_patient([(1.1, 1.1, 0), (1.9, 1.1, 0), (1.5, 1.9, 0)])
    pair = GRID.to_patient([(1, 1, 1), (5, 5, 1)])
    structures = read_structures(write_rtstruct({(1, "a"): [sliver, pair]}))
    mask = np.zeros(GRID.shape, dtype=bool)
    (finding,) = fill_roi(structures.rois[0], GRID, mask)
    assert not mask.any()
    assert (finding.code, finding.numbers) == ("contour_fills_nothing", {"roi": "a", "contours": 2})


def test_contours_of_blanks_are_none(write_rtstruct):
    def change(dataset):
        for contour in dataset.ROIContourSequence[0].ContourSequence[:2]:
            contour.ContourData = "  "

    contours = [box(0, 1, 0, 1, 0), box(0, 1, 0, 1, 1), box(0, 1, 0, 1, 2)]
    masks, _ = fill(write_rtstruct({(1, "a"): contours}, change=change))
    assert masks["a"].sum(axis=(1, 2)).tolist() == [0, 0, 4, 0, 0]


def test_points_and_open_contours_are_found_and_not_filled(write_rtstruct):
    points = [("POINT", [(0, 0, 100)]), ("OPEN_PLANAR", box(0, 5, 0, 5, 0)), ("CLOSEDPLANAR_XOR", box(0, 1, 0, 1, 0))]
    masks, codes = fill(write_rtstruct({(1, "iso"): points}))
    assert codes == ["contour_not_closed"]
    assert masks["iso"].sum() == 4


def test_a_contour_across_the_slices_is_found_and_left_out(write_rtstruct):
    across = GRID.to_patient([(0, 0, 0), (9, 0, 0), (9, 9, 2), (0, 9, 2)])
    masks, codes = fill(write_rtstruct({(1, "a"): [across, box(0, 1, 0, 1, 0)]}))
    assert codes == ["contour_not_planar"]
    assert masks["a"].sum() == 4


def test_numbers_that_do_not_fit_are_found(write_rtstruct):
    path = write_rtstruct(
        {(1, "a"): [box(0, 1, 0, 1, 0)], (2, "b"): []}, extra_contours=[((9, ""), [box(0, 1, 0, 1, 1)])]
    )
    (finding,) = read_structures(path).findings
    assert (finding.code, finding.numbers) == ("contour_without_region", {"contours": 1, "numbers": [9]})

    def repeat(dataset):
        dataset.StructureSetROISequence[1].ROINumber = 1

    (finding,) = read_structures(write_rtstruct({(1, "a"): [box(0, 1, 0, 1, 0)], (2, "b"): []}, change=repeat)).findings
    assert (finding.code, finding.numbers) == ("roi_number_repeated", {"number": 1, "regions": 2})


def test_slices_of_any_orientation(write_rtstruct):
    cosines, sines = np.cos(0.4), np.sin(0.4)
    turned = Grid((30, 20, 5), (0.75, 0.5, 3.0), (1, 2, 3), ((cosines, 0, -sines), (0, 1, 0), (sines, 0, cosines)))
    corners = turned.to_patient([(1.5, 1.5, 2), (4.5, 1.5, 2), (4.5, 3.5, 2), (1.5, 3.5, 2)])
    masks, codes = fill(write_rtstruct({(1, "a"): [corners]}), turned)
    assert codes == []
    assert np.argwhere(masks["a"]).tolist() == [[2, y, x] for y in (2, 3) for x in (2, 3, 4)]


@pytest.mark.parametrize("towards_feet", [False, True])
@pytest.mark.parametrize(
    ("row", "column"),
    [((-1, 0, 0), (0, -1, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, 1, 0), (0, 0, -1)), ((0.36, 0.48, -0.8), (-0.8, 0.6, 0))],
)
def test_polygons_in_slices_of_any_patient_position_as_in_the_plane(write_rtstruct, row, column, towards_feet):
    normal = np.cross(row, column) * (-1 if towards_feet else 1)
    turned = Grid((30, 20, 5), (0.75, 0.5, 3.0), (1, 2, 3), tuple(zip(row, column, normal, strict=True)))
    random = np.random.default_rng(0)
    polygons = [random.uniform(-2, 30, (9, 2)) for _ in range(5)]
    contours = [turned.to_patient(np.column_stack([polygon, np.full(9, z)])) for z, polygon in enumerate(polygons)]
    masks, _ = fill(write_rtstruct({(1, "a"): contours}), turned)
    y, x = np.mgrid[:20, :30]
    for mask, polygon in zip(masks["a"], polygons, strict=True):  # every crossing to the left of a voxel flips it
        expected = np.zeros((20, 30), dtype=bool)
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            expected ^= ((y0 <= y) != (y1 <= y)) & (x > x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        np.testing.assert_array_equal(mask, expected)


def test_names_are_made_unique_and_read_in_their_character_set(write_rtstruct):
    def change(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"

    path = write_rtstruct({(1, "Lèvre"): [], (2, ""): [], (3, "Lèvre"): []}, change=change)
    structures = read_structures(path)
    assert structures.names == ("Lèvre", "ROI 2", "Lèvre (ROI 3)")
    assert [finding.code for finding in structures.findings] == ["roi_name_missing", "roi_name_repeated"]


def test_no_region_is_lost_to_a_name_that_was_made_unique(write_rtstruct):
    regions = {(1, "A (ROI 3)"): [box(0, 1, 0, 1, 0)], (2, "A"): [box(0, 2, 0, 1, 0)], (3, "A"): [box(0, 3, 0, 1, 0)]}

    def change(dataset):
        for item in dataset.StructureSetROISequence[1:]:
            item.ROINumber = 3

    structures = read_structures(write_rtstruct(regions))
    assert structures.names == ("A (ROI 3)", "A", "A (ROI 3, 2)")
    assert structures.labels == ("A (ROI 3)", "A", "A")
    assert [int(mask.sum()) for mask in fill(write_rtstruct(regions))[0].values()] == [4, 6, 8]
    assert read_structures(write_rtstruct(regions, change=change)).names == ("A (ROI 3)", "A", "A (ROI 3, 2)")


def test_a_file_that_names_no_regions_says_so(write_rtstruct):
    assert [finding.code for finding in read_structures(write_rtstruct({})).findings] == ["no_regions"]


def test_references_are_listed(write_rtstruct):
    def change(dataset):
        series = [Dataset(), Dataset(), Dataset()]
        for item, uid in zip(series, ("1.2.3", "1.2.4", "1.2.3"), strict=True):
            item.SeriesInstanceUID = uid
        study, frame = Dataset(), Dataset()
        study.RTReferencedSeriesSequence = series
        frame.FrameOfReferenceUID = "1.9"
        frame.RTReferencedStudySequence = [study]
        dataset.ReferencedFrameOfReferenceSequence = [frame]

    structures = read_structures(write_rtstruct({(1, "a"): []}, change=change))
    assert structures.referenced_series == ("1.2.3", "1.2.4")
    assert structures.frames_of_reference == ("1.9",)


def test_what_cannot_be_read_is_named(write_rtstruct, write_series):
    def cut(dataset):
        dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2"]

    with pytest.raises(DicomError, match=r"RS\.dcm has a ContourData \(3006,0050\) of 2 numbers"):
        read_structures(write_rtstruct({(1, "a"): [box(0, 1, 0, 1, 0)]}, change=cut))
    (image,) = write_series(np.zeros((1, 2, 2), dtype=np.int16)).iterdir()
    with pytest.raises(DicomError, match="is not an RTSTRUCT object"):
        read_structures(image)


@pytest.mark.realdata
@pytest.mark.parametrize("patient", PATIENTS)
def test_masks_equal_the_reference_masks_voxel_for_voxel(realdata, patient):
    for modality in ("CT", "PET", "MR_T1"):
        folder = realdata / "sts" / f"STS_{patient}" / modality
        mask = read_mask(folder / "mask" / "RS.dcm", read_series(folder / "image"))
        reference = nibabel.load(realdata / "sts_reference" / f"STS_{patient}" / f"{modality}_mask.nii.gz")
        np.testing.assert_array_equal(mask.array[0], np.asarray(reference.dataobj).transpose(2, 1, 0))
        assert mask.names == (f"GTV_Mass_{modality}",)
        assert {finding.code for finding in mask.findings} <= {"contour_fills_nothing"}


@pytest.mark.realdata
def test_two_planes_of_a_real_pet_fill_nothing(realdata):
    folder = realdata / "sts" / "STS_035" / "PET"
    volume = read_series(folder / "image")
    mask = read_mask(folder / "mask" / "RS.dcm", volume)
    (roi,) = read_structures(folder / "mask" / "RS.dcm").rois
    planes = {round(volume.grid.to_index(contour.points)[0, 2]) for contour in roi.contours}
    assert len(planes) == 31
    assert mask.array[0].any(axis=(1, 2)).sum() == 29
    (finding,) = mask.findings
    assert (finding.code, finding.numbers["contours"]) == ("contour_fills_nothing", 3)  # two of them in one plane


@pytest.mark.realdata
def test_the_mask_of_the_ct_phantom(realdata):
    folder = realdata / "phantoms" / "ibsi_1_ct"
    (path,) = (folder / "dicom" / "mask").iterdir()
    mask = read_mask(path, read_series(folder / "dicom" / "image"))
    (reference,) = (folder / "nifti" / "mask").iterdir()
    expected = np.asarray(nibabel.load(reference).dataobj).transpose(2, 1, 0) > 0
    np.testing.assert_array_equal(mask.array[0], expected)


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_points_of_a_planning_system_without_preamble(realdata):
    path = realdata / "rtdose" / "pydicom_tps" / "rtstruct.dcm"
    structures = read_structures(path)
    assert structures.names == ("patient", "Isocenter 1", "Isocenter 2")
    assert [roi.contours[0].geometric_type for roi in structures.rois] == ["CLOSED_PLANAR", "POINT", "POINT"]
