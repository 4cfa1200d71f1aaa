"""Segmentations against the NRRD files that their makers wrote beside them, and highdicom."""

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimagenet.dicom import read_mask, read_series
from medimagenet.dicom.seg import read_segments
from medimagenet.errors import DicomError, GeometryError
from medimagenet.geometry import Grid
from medimagenet.volume import Volume


def nrrd(path):
    return Volume.from_sitk(SimpleITK.ReadImage(str(path)))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("segmentation", "truth"),
    [
        ("seg/liver.dcm", "nrrd/liver_seg.nrrd"),
        ("seg/sparse-labelmap-ppv5.dcm", "nrrd/sparse_labelmap_ppv5_seg.nrrd"),
        ("seg/sparse-labelmap-noppv.dcm", "nrrd/sparse_labelmap_noppv_seg.nrrd"),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
    ],
)
def test_segments_equal_their_nrrd(realdata, segmentation, truth):
    expected = nrrd(realdata / "seg" / "dcmqi" / truth)
    mask = read_mask(realdata / "seg" / "dcmqi" / segmentation, expected)
    assert mask.names == ("Liver",)
    np.testing.assert_array_equal(mask.array[0], expected.array == 1)  # 5 is the padding of a plane without frame
    assert mask.findings == ()


@pytest.mark.realdata
def test_overlapping_segments_all_survive(realdata):
    folder = realdata / "seg" / "dcmqi"
    truths = [nrrd(folder / "nrrd" / f"partial_overlaps-{k}.nrrd") for k in (1, 2, 3)]
    mask = read_mask(folder / "seg" / "partial_overlaps.dcm", read_series(folder / "ct-3slice"))
    for number, channel in enumerate(mask.array, start=1):
        expected = np.logical_or.reduce([truth.array == number for truth in truths])
        np.testing.assert_array_equal(channel, expected)
    assert mask.overlap_voxels() > 0


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_frames_smaller_than_the_image_big_endian_ones_and_run_lengths_of_bits(realdata):
    volume = read_series(realdata / "seg" / "dcmqi" / "ct-3slice")
    expected = nrrd(realdata / "seg" / "dcmqi" / "nrrd" / "liver_seg.nrrd").array == 1
    for name in ("liver_nonbyte_aligned.dcm", "liver_expb.dcm", "liver_rle.dcm"):
        np.testing.assert_array_equal(read_mask(realdata / "seg" / "pydicom" / name, volume).array[0], expected)


@pytest.mark.realdata
def test_a_sparse_fractional_segmentation_equals_highdicom(realdata):
    folder = realdata / "breast_mri_nact_pilot" / "UCSF-BR-06"
    files = sorted((folder / "image_dce_3dfgre_orig").iterdir())
    volume = read_series([path for path in files if _instance(path) <= 60])
    path = folder / "mask" / "1-1.dcm"
    mask = read_mask(path, volume)
    frames = highdicom.seg.segread(path).pixel_array
    planes = read_segments(path).planes
    expected = np.zeros(volume.grid.shape, dtype=bool)
    for frame, plane in zip(frames, planes, strict=True):
        expected[round(volume.grid.to_index(plane.origin)[2])] = frame > 0
    np.testing.assert_array_equal(mask.array[0], expected)
    assert [finding.code for finding in mask.findings] == ["segment_values_binary"]


def _instance(path):
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["InstanceNumber"]).InstanceNumber


@pytest.mark.realdata
def test_true_fractions_are_cut_at_half_with_a_finding(realdata):
    path = realdata / "seg" / "highdicom" / "seg_image_ct_true_fractional.dcm"
    segmentation = read_segments(path)
    assert [finding.code for finding in segmentation.findings] == ["segment_thresholded"]
    assert segmentation.threshold == 127.5
    assert set(np.unique(segmentation.frames)) == {0, 64, 128}


@pytest.mark.realdata
def test_another_grid_is_refused(realdata):
    image = read_series(realdata / "seg" / "highdicom" / "ct_image.dcm")
    with pytest.raises(GeometryError, match=r'voxels off the grid of the image .* off_grid="nearest"'):
        read_mask(realdata / "seg" / "highdicom" / "seg_image_ct_binary.dcm", image)
    flipped = image.grid.turned((0, 1, 2), (True, False, False))
    path = realdata / "seg" / "highdicom" / "seg_image_ct_binary_single_frame.dcm"
    straight, turned = read_mask(path, image.grid), read_mask(path, flipped)
    np.testing.assert_array_equal(turned.array, straight.array[..., ::-1])
    part = read_mask(path, image.grid.crop((0, 0, 0), (64, 128, 1)))
    assert part.array.sum() < straight.array.sum()
    assert [finding.code for finding in part.findings] == ["segment_outside_image"]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seg/highdicom/seg_image_sm_control_labelmap.dcm", "frame 0 has no place in the patient"),
        ("seg/highdicom/ct_image.dcm", "is not a segmentation"),
    ],
)
def test_what_cannot_be_read_is_named(realdata, name, message):
    with pytest.raises(DicomError, match=message):
        read_segments(realdata / name)


WRITTEN = Grid((14, 11, 6), (0.8, 1.1, 2.5), (-10.0, 5.0, 40.0))


def source_images(grid, series="1.2.3"):
    """Headers of CT slices, as highdicom wants them."""
    images = []
    for z in range(grid.size[2]):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{z + 1}"
        image.SeriesInstanceUID, image.StudyInstanceUID, image.FrameOfReferenceUID = series, "1.2", "1.9"
        image.PatientID, image.PatientName, image.PatientBirthDate, image.PatientSex = "p", "p", "", ""
        image.StudyID = image.StudyDate = image.StudyTime = image.AccessionNumber = image.ReferringPhysicianName = ""
        image.Modality, image.SeriesNumber, image.InstanceNumber = "CT", 1, z + 1
        image.Rows, image.Columns = grid.shape[1:]
        image.PixelSpacing = [grid.spacing[1], grid.spacing[0]]
        image.SliceThickness = grid.spacing[2]
        image.ImageOrientationPatient = [f"{value:.9g}" for value in np.array(grid.direction)[:, :2].T.ravel()]
        image.ImagePositionPatient = grid.to_patient((0, 0, z)).tolist()
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        images.append(image)
    return images


def write_seg(path, masks, grid=WRITTEN, kind="BINARY", change=None, **options):
    """Masks (segments, Z, Y, X) as highdicom writes them."""
    organ = highdicom.sr.CodedConcept("10200004", "SCT", "Liver")
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"segment {number}",
            segmented_property_category=highdicom.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
            segmented_property_type=organ,
            algorithm_type="MANUAL",
            tracking_id=f"lesion {number}",
            tracking_uid=f"1.5.{number}",
        )
        for number in range(1, len(masks) + 1)
    ]
    segmentation = highdicom.seg.Segmentation(
        source_images=source_images(grid),
        pixel_array=np.moveaxis(masks, 0, -1),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid="1.2.9",
        series_number=9,
        sop_instance_uid="1.2.9.1",
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    if change is not None:
        change(segmentation)
    segmentation.save_as(path)
    return path


@pytest.fixture
def masks():
    """Three segments, of which the first two overlap; the third is in one plane."""
    found = np.random.default_rng(0).random((3, *WRITTEN.shape)) < 0.2
    found[2, :4] = found[2, 5:] = False
    return found


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
@pytest.mark.parametrize("omit_empty_frames", [True, False])
def test_what_highdicom_writes_is_read(tmp_path, masks, kind, omit_empty_frames):
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), kind=kind, omit_empty_frames=omit_empty_frames)
    mask = read_mask(path, WRITTEN)
    np.testing.assert_array_equal(mask.array, masks)
    own = read_mask(path)
    assert own.grid.is_close(WRITTEN)
    np.testing.assert_array_equal(own.array, masks)
    assert [finding.code for finding in mask.findings] == (["segment_values_binary"] if kind == "FRACTIONAL" else [])


@pytest.mark.parametrize(
    "columns",
    [
        ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),  # head first prone
        ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),  # feet first supine
        ((0, 1, 0), (0, 0, -1), (-1, 0, 0)),  # sagittal
        ((0.36, 0.48, -0.8), (-0.8, 0.6, 0), (0.48, 0.64, 0.6)),  # oblique
    ],
)
def test_planes_of_any_orientation(tmp_path, masks, columns):
    grid = Grid(WRITTEN.size, WRITTEN.spacing, WRITTEN.origin, tuple(zip(*columns, strict=True)))
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), grid)
    mask = read_mask(path, grid)
    np.testing.assert_array_equal(mask.array, masks)
    assert mask.findings == ()
    with pytest.raises(GeometryError, match="off the grid of the image"):
        read_mask(path, Grid(grid.size, grid.spacing, tuple(grid.to_patient((0.4, 0, 0))), grid.direction))


def test_a_label_map_of_highdicom(tmp_path, masks):
    masks = masks & ~np.r_[np.zeros_like(masks[:1]), np.logical_or.accumulate(masks, axis=0)[:-1]]
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), kind="LABELMAP")
    np.testing.assert_array_equal(read_mask(path, WRITTEN).array, masks)
    assert read_mask(path, WRITTEN).names == ("segment 1", "segment 2", "segment 3")


def test_fractions_are_kept_where_asked_for(tmp_path, masks):
    shares = np.where(masks, np.random.default_rng(1).integers(1, 256, masks.shape) / 255, 0)
    path = write_seg(tmp_path / "s.dcm", shares, kind="FRACTIONAL", max_fractional_value=255)
    found = read_mask(path, WRITTEN, fractional=True)
    np.testing.assert_allclose(found.array, shares, atol=0.5 / 255)
    np.testing.assert_array_equal(read_mask(path, WRITTEN).array, np.rint(shares * 255) >= 127.5)


def test_segments_keep_their_codes(tmp_path, masks):
    mask = read_mask(write_seg(tmp_path / "s.dcm", masks.astype(np.uint8)), WRITTEN)
    first = mask.metadata["segments"][0]
    assert (first["number"], first["name"], first["tracking_id"]) == (1, "segment 1", "lesion 1")
    assert first["type"] == {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
    assert first["category"]["meaning"] == "Anatomical Structure"
    assert first["algorithm_type"] == "MANUAL"


def test_on_the_voxels_of_any_turned_and_cropped_grid(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8))
    for axes in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)):
        for flips in ((False, True, False), (True, False, True)):
            turned = WRITTEN.turned(axes, flips)
            moved = masks.transpose(0, *(1 + 2 - axes[2 - k] for k in range(3)))
            expected = moved[(slice(None), *(slice(None, None, -1 if flips[2 - k] else 1) for k in range(3)))]
            np.testing.assert_array_equal(read_mask(path, turned).array, expected)
            part = read_mask(path, turned.crop((1, -1, 2), (3, 4, 20)))
            z = turned.size[2]
            np.testing.assert_array_equal(part.array[:, : z - 2, 1:4, :3], expected[:, 2:, :3, 1:4])
            assert part.array.sum() + sum(f.numbers["voxels"] for f in part.findings) == masks.sum()


def test_another_grid_takes_the_nearest_voxel_as_simpleitk_does(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8))
    other = Grid((25, 20, 9), (0.5, 0.63, 1.7), (-9.7, 5.2, 40.4), ((0.96, -0.28, 0), (0.28, 0.96, 0), (0, 0, 1)))
    found = read_mask(path, other, off_grid="nearest")
    assert [finding.code for finding in found.findings] == ["segment_resampled"]
    for channel, truth in zip(found.array, masks, strict=True):
        image = Volume(truth.astype(np.uint8), WRITTEN).to_sitk()
        like = Volume(np.zeros(other.shape, np.uint8), other).to_sitk()
        expected = SimpleITK.Resample(image, like, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
        np.testing.assert_array_equal(channel, SimpleITK.GetArrayFromImage(expected) > 0)
    assert found.array.any()


def test_files_that_contradict_themselves_are_read_with_a_finding(tmp_path, masks):
    def more_groups(dataset):
        dataset.PerFrameFunctionalGroupsSequence.append(dataset.PerFrameFunctionalGroupsSequence[0])

    def unknown_segment(dataset):
        group = dataset.PerFrameFunctionalGroupsSequence[0]
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7

    masks = masks.astype(np.uint8)
    plain = read_mask(write_seg(tmp_path / "s.dcm", masks), WRITTEN)
    mask = read_mask(write_seg(tmp_path / "m.dcm", masks, change=more_groups), WRITTEN)
    np.testing.assert_array_equal(mask.array, plain.array)
    assert [finding.code for finding in mask.findings] == ["segment_frames_unmatched"]
    mask = read_mask(write_seg(tmp_path / "u.dcm", masks, change=unknown_segment), WRITTEN)
    assert [(f.code, f.numbers) for f in mask.findings] == [("segment_frame_unknown", {"frames": 1, "segments": 1})]
    assert mask.array.sum() < plain.array.sum()


def to_one_place(dataset):
    """The frame of plane 1 of the first segment moves to plane 0."""
    groups = {
        group.PlanePositionSequence[0].ImagePositionPatient[2]: group
        for group in dataset.PerFrameFunctionalGroupsSequence
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    }
    groups[42.5].PlanePositionSequence = groups[40.0].PlanePositionSequence  # which segments share


def test_of_frames_of_a_segment_at_one_place_the_union_is_taken_and_said(tmp_path, masks):
    mask = read_mask(write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), change=to_one_place), WRITTEN)
    expected = masks.copy()
    expected[0, 0], expected[0, 1] = masks[0, 0] | masks[0, 1], False
    np.testing.assert_array_equal(mask.array, expected)
    (finding,) = mask.findings
    assert (finding.code, finding.numbers) == ("segment_frames_repeated", {"frames": 2, "segments": 1})
    assert "'segment 1'" in finding.message and "union" in finding.message


def test_of_fractions_at_one_place_the_largest_is_taken_and_said(tmp_path, masks):
    shares = np.where(masks, np.random.default_rng(1).integers(1, 256, masks.shape) / 255, 0)
    path = write_seg(tmp_path / "s.dcm", shares, kind="FRACTIONAL", max_fractional_value=255, change=to_one_place)
    found = read_mask(path, WRITTEN, fractional=True)
    expected = shares.copy()
    expected[0, 0], expected[0, 1] = np.maximum(shares[0, 0], shares[0, 1]), 0
    np.testing.assert_allclose(found.array, expected, atol=0.5 / 255)
    (message,) = [finding.message for finding in found.findings if finding.code == "segment_frames_repeated"]
    assert "largest" in message


def test_overlapping_frames_of_other_segments_are_no_repetition(tmp_path, masks):
    assert read_mask(write_seg(tmp_path / "s.dcm", masks.astype(np.uint8)), WRITTEN).findings == ()


def test_no_segment_is_lost_to_a_name_that_was_made_unique(tmp_path, masks):
    def change(dataset):
        for item, label in zip(dataset.SegmentSequence, ("A (segment 3)", "A", "A"), strict=True):
            item.SegmentLabel = label

    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), change=change)
    mask = read_mask(path, WRITTEN)
    assert mask.names == ("A (segment 3)", "A", "A (segment 3, 2)")
    np.testing.assert_array_equal(mask.array, masks)
    assert read_mask(path, WRITTEN, {"a": ["A"]}).array.sum() == (masks[1] | masks[2]).sum()


def test_segments_of_a_label_map_that_are_not_described_are_told(tmp_path, masks):
    masks = masks & ~np.r_[np.zeros_like(masks[:1]), np.logical_or.accumulate(masks, axis=0)[:-1]]

    def change(dataset):
        del dataset.SegmentSequence[2]  # the first is the background

    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), kind="LABELMAP", change=change)
    mask = read_mask(path, WRITTEN)
    np.testing.assert_array_equal(mask.array, masks[[0, 2]])
    (finding,) = mask.findings
    assert (finding.code, finding.numbers) == ("segment_frame_unknown", {"voxels": int(masks[1].sum()), "segments": 1})


def test_planes_farther_apart_than_slices_are_told_and_filled_where_asked_for(tmp_path):
    masks = np.random.default_rng(3).random((1, *WRITTEN.shape)) < 0.3
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), omit_empty_frames=False)
    fine = Grid((14, 11, 12), (0.8, 1.1, 1.25), WRITTEN.origin)
    mask = read_mask(path, fine)
    assert [(f.code, f.numbers) for f in mask.findings] == [("segment_planes_sparse", {"slices": 2})]
    np.testing.assert_array_equal(mask.array[:, ::2], masks)
    assert not mask.array[:, 1::2].any()
    filled = read_mask(path, fine, off_grid="nearest")
    assert [finding.code for finding in filled.findings] == ["segment_resampled"]
    image, like = Volume(masks[0].astype(np.uint8), WRITTEN).to_sitk(), Volume(filled.array[0] * 1, fine).to_sitk()
    for_sitk = SimpleITK.Resample(image, like, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
    expected = SimpleITK.GetArrayFromImage(for_sitk) > 0
    np.testing.assert_array_equal(filled.array[0, ::2], expected[::2])  # half-way between planes either is the nearest
    for z in range(1, 11, 2):
        np.testing.assert_array_equal(
            filled.array[0, z] | masks[0, z // 2] | masks[0, z // 2 + 1], masks[0, z // 2] | masks[0, z // 2 + 1]
        )
        assert filled.array[0, z].any()


def test_a_number_of_a_thousand_bytes_is_refused(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8))
    raw = path.read_bytes()
    at = raw.index(b"\x62\x00\x04\x00US\x02\x00")
    path.write_bytes(raw[: at + 7] + b"\x20" + raw[at + 8 :])
    with pytest.raises(DicomError):
        read_segments(path)


def test_two_segments_of_one_number_are_refused(tmp_path, masks):
    def change(dataset):
        dataset.SegmentSequence[1].SegmentNumber = 1

    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), change=change)
    with pytest.raises(DicomError, match=r"two segments of SegmentNumber \(0062,0004\) 1"):
        read_segments(path)


def test_pixels_that_are_there_twice_are_refused(tmp_path, masks):
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8))
    path.write_bytes(path.read_bytes() + b"\xe0\x7f\x10\x00OB\0\0\2\0\0\0ab")
    with pytest.raises(DicomError, match=r"PixelData \(7FE0,0010\) twice"):
        read_segments(path)


def test_frames_that_are_spread_over_the_world_form_no_grid(tmp_path, masks):
    def throw(dataset):
        dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[2] = -1e6

    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), change=throw)
    with pytest.raises(GeometryError, match="frames of the segmentation are spread over 4000"):
        read_mask(path)


def test_a_hundred_segments_and_many_frames(tmp_path):
    grid = Grid((8, 8, 30), (1.0, 1.0, 3.0))
    masks = np.random.default_rng(2).random((100, *grid.shape)) < 0.1
    path = write_seg(tmp_path / "s.dcm", masks.astype(np.uint8), grid)
    np.testing.assert_array_equal(read_mask(path, grid).array, masks)
