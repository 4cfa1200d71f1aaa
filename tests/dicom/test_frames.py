"""Multi-frame objects against highdicom, dcm2niix and reference images, and written ones against their truth."""

import warnings

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom import read_series
from medimagenet.dicom.frames import frames_of
from medimagenet.dicom.header import read_image_header
from medimagenet.errors import DicomError

from .conftest import image_dataset, save


def group(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def enhanced(stored, places, change=None):
    """An enhanced MR of frames (n, rows, columns) at heights; `change(item, k)` alters the groups of a frame."""
    dataset = image_dataset(stored[0], "MR")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset.SeriesInstanceUID, dataset.InstanceNumber = "1.2.3", 1
    dataset.NumberOfFrames, dataset.PixelData = len(stored), stored.tobytes()
    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = group(PixelSpacing=[2, 3], SliceThickness=4)
    shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=0, RescaleType="US")
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for k, z in enumerate(places):
        item = Dataset()
        item.PlanePositionSequence = group(ImagePositionPatient=[-1, -2, z])
        if change is not None:
            change(item, k)
        dataset.PerFrameFunctionalGroupsSequence.append(item)
    return dataset


STORED = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)


def test_frames_stand_by_their_positions_with_their_own_rescale(tmp_path):
    def change(item, k):
        item.PixelValueTransformationSequence = group(RescaleSlope=k + 1, RescaleIntercept=-k, RescaleType="US")

    places = [10, 0, 5, 15, 25, 20]
    volume = read_series(save(enhanced(STORED, places, change), tmp_path / "e.dcm"))
    order = np.argsort(places)
    expected = np.stack([STORED[k].astype(float) * (k + 1) - k for k in order])
    np.testing.assert_array_equal(volume.array, expected)
    assert (volume.grid.spacing, volume.grid.origin) == ((3.0, 2.0, 5.0), (-1.0, -2.0, 0.0))
    assert [finding.code for finding in volume.findings] == ["mixed_rescale"]


def test_echoes_are_channels(tmp_path):
    def change(item, k):
        item.MREchoSequence = group(EffectiveEchoTime=[9.2, 4.6][k % 2])

    volume = read_series(save(enhanced(STORED, [0, 0, 5, 5, 10, 10], change), tmp_path / "e.dcm"))
    assert volume.metadata["channels"] == {"axis": "EchoTime", "values": [4.6, 9.2]}
    np.testing.assert_array_equal(volume.array, [STORED[1::2], STORED[0::2]])


@pytest.mark.parametrize(
    ("sequence", "keyword", "values", "axis"),
    [
        ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase", (0.0, 50.0), None),
        ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", (30.0, 70.0), None),
        ("FrameContentSequence", "TemporalPositionIndex", (1, 2), "TemporalPositionIdentifier"),
        ("MRVelocityEncodingSequence", "VelocityEncodingDirection", ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]), None),
        ("MRArterialSpinLabelingSequence", "ASLContext", ("CONTROL", "LABEL"), None),
        ("MRTimingAndRelatedParametersSequence", "FlipAngle", (5, 20), None),
        ("MRImageFrameTypeSequence", "ComplexImageComponent", ("MAGNITUDE", "PHASE"), None),
        ("CTXRayDetailsSequence", "KVP", (80, 140), None),
        ("CTReconstructionSequence", "ConvolutionKernel", ("B30f", "B70f"), None),
    ],
)
def test_what_functional_groups_tell_apart(tmp_path, sequence, keyword, values, axis):  # PS3.3 C.8.13.5, C.8.15.3
    def change(item, k):
        setattr(item, sequence, group(**{keyword: values[1 - k % 2]}))

    volume = read_series(save(enhanced(STORED, [0, 0, 5, 5, 10, 10], change), tmp_path / "e.dcm"))
    told = [list(value) if isinstance(value, list) else value for value in values]
    assert volume.metadata["channels"] == {"axis": axis or keyword, "values": told}
    np.testing.assert_array_equal(volume.array, [STORED[1::2], STORED[0::2]])


def test_one_frame_of_an_enhanced_class(tmp_path):
    volume = read_series(save(enhanced(STORED[:1], [7]), tmp_path / "e.dcm"))
    assert (volume.grid.origin, volume.grid.spacing) == ((-1.0, -2.0, 7.0), (3.0, 2.0, 4.0))


def test_groups_that_are_not_as_many_as_frames(tmp_path):
    dataset = enhanced(STORED, range(6))
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    with pytest.raises(DicomError, match=r"NumberOfFrames .* 6 but 5 items"):
        frames_of(read_image_header(save(dataset, tmp_path / "e.dcm")))


def test_pixels_that_are_not_as_many_as_frames(tmp_path):
    dataset = enhanced(STORED, [0, 3, 6, 9, 12, 15])
    dataset.PixelData = dataset.PixelData[:-40]
    with pytest.raises(DicomError, match=r"has 200 bytes of PixelData .* need 240"):
        read_series(save(dataset, tmp_path / "e.dcm"))


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        ("hyperfine", "hyperfine_ground_truth.nii.gz"),
        ("philips_anatomical", "philips_anatomical_ground_truth.nii.gz"),
        ("siemens_anatomical", "siemens_anatomical_ground_truth.nii.gz"),
        ("siemens_xa10_fmri", "siemens_xa10_fmri_reference/Siemens_REST1_w_SMS_PF7-8_6.nii"),
    ],
)
def test_enhanced_images_equal_their_references(realdata, folder, reference):
    place = realdata / "oddities" / "enhanced"
    volume = read_series(place / folder)
    ours = nibabel.as_closest_canonical(volume.to_nibabel())
    judge = nibabel.as_closest_canonical(nibabel.load(place / reference))
    values = np.asarray(judge.dataobj)
    np.testing.assert_allclose(np.asarray(ours.dataobj), values.reshape(ours.shape), rtol=1e-6)
    np.testing.assert_allclose(ours.affine, judge.affine, atol=2e-4)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["pydicom/eCT_Supplemental.dcm", "siemens_xa10_fmri/6_1.dcm"])
def test_enhanced_images_equal_highdicom(realdata, name):
    path = realdata / "oddities" / "enhanced" / name
    volume = read_series(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judge = highdicom.Image.from_dataset(pydicom.dcmread(path)).get_volume(apply_real_world_transform=False)
    judge = judge.to_patient_orientation("".join(reversed(volume.grid.orientation)))
    np.testing.assert_array_equal(volume.array, judge.array)
    np.testing.assert_allclose(volume.grid.spacing[::-1], judge.spacing, rtol=1e-5)
    np.testing.assert_allclose(volume.grid.origin, judge.affine[:3, 3], atol=1e-4)


@pytest.mark.realdata
def test_a_diffusion_series_names_its_b_values_and_directions(realdata):
    folder = realdata / "oddities" / "enhanced" / "philips_dti"
    channels = read_series(folder).metadata["channels"]
    assert channels["axis"] == "DiffusionBValue, DiffusionGradientOrientation"
    assert [value[0] for value in channels["values"]] == [0, 1300, 1300, 1300]
