"""SUV of an enhanced PET against arithmetic, its real world values against highdicom."""

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from medimagenet.dicom import read_series
from medimagenet.errors import DicomError

from .conftest import image_dataset, save

WEIGHT, DOSE, HALF_LIFE = 71.0, 4e8, 6588.0
STORED = np.random.default_rng(0).integers(0, 4000, (4, 5, 6), dtype=np.uint16)
SLOPES = (1.5, 0.5, 2.0, 0.25)


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def real_world(slope, unit):
    code = item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    return item(
        RealWorldValueSlope=slope, RealWorldValueIntercept=0.0, LUTLabel="1", LUTExplanation="1",
        RealWorldValueFirstValueMapped=0, RealWorldValueLastValueMapped=65535, MeasurementUnitsCodeSequence=[code],
    )  # fmt: skip


def enhanced_pet(unit="Bq/ml", change=None):
    dataset = image_dataset(STORED[0], "PT")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.130"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.InstanceNumber = "1.2.3", "1.2", 1
    dataset.FrameOfReferenceUID = "1.2.4"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames, dataset.PixelData = len(STORED), STORED.tobytes()
    dataset.PatientWeight, dataset.SeriesDate, dataset.SeriesTime = WEIGHT, "20200229", "003000"
    dataset.AttenuationCorrected = dataset.DecayCorrected = "YES"
    dataset.DecayCorrectionDateTime = "20200229001500"
    dataset.RadiopharmaceuticalInformationSequence = [
        item(
            RadionuclideTotalDose=DOSE, RadionuclideHalfLife=HALF_LIFE,
            RadiopharmaceuticalStartDateTime="20200228231500",
        )
    ]  # fmt: skip
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[2, 3], SliceThickness=4)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-1, -2, 4 * k])],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")],
            RealWorldValueMappingSequence=[real_world(slope, unit)],
        )
        for k, slope in enumerate(SLOPES)
    ]
    if change is not None:
        change(dataset)
    return dataset


@pytest.fixture
def written(tmp_path):
    return lambda *given, **changes: save(enhanced_pet(*given, **changes), tmp_path / "pet.dcm")


ACTIVITY = STORED * np.array(SLOPES)[:, None, None]


def test_activity_is_that_of_highdicom(written):
    path = written()
    volume = read_series(path, pet="bqml")
    assert volume.unit == "Bq/ml"
    judge = highdicom.Image.from_dataset(pydicom.dcmread(path)).get_frames(apply_real_world_transform=True)
    np.testing.assert_array_equal(volume.array, judge)


def test_suv_refers_to_the_moment_of_decay_correction(written):
    volume = read_series(written())
    factor = WEIGHT * 1000 / (DOSE * 2 ** (-3600 / HALF_LIFE))
    np.testing.assert_allclose(volume.array, ACTIVITY * factor, rtol=1e-6)
    assert volume.unit == "SUVbw g/ml"


def test_values_that_are_suv(written):
    unit = codes.UCUM.StandardizedUptakeValueBodyWeight.value
    np.testing.assert_array_equal(read_series(written(unit)).array, ACTIVITY.astype(np.float32))


def uncorrected(keyword):
    return lambda dataset: setattr(dataset, keyword, "NO")


def other_line(dataset):
    dataset.PerFrameFunctionalGroupsSequence[1].RealWorldValueMappingSequence[0].RealWorldValueSlope = 0.75


def other_unit(dataset):
    dataset.PerFrameFunctionalGroupsSequence[1].RealWorldValueMappingSequence = [real_world(0.5, "{counts}")]


def without_mapping(dataset):
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        del groups.RealWorldValueMappingSequence


def without_moment(dataset):
    del dataset.DecayCorrectionDateTime


@pytest.mark.parametrize(
    ("unit", "change", "message"),
    [
        ("Bq/ml", uncorrected("AttenuationCorrected"), "CorrectedImage (0028,0051) is without ATTN"),
        ("Bq/ml", uncorrected("DecayCorrected"), "AcquisitionTime (0008,0032) is absent"),
        ("Bq/ml", other_line, "Units (0054,1001) is unknown: the real world values, [0.75, 0.0], are not"),
        ("Bq/ml", other_unit, "Units (0054,1001) is not one: real world values of frames are in Bq/ml, {counts}"),
        ("Bq/ml", without_mapping, "Units (0054,1001) is None"),
        ("Bq/ml", without_moment, "DecayCorrection (0054,1102) is None"),
        ("g/ml{SUVlbm}", None, "SUVType (0054,1006) is 'LBM'"),
        ("kg", None, "Units (0054,1001) is 'kg'"),
    ],
)
def test_no_number_where_something_is_in_the_way(written, unit, change, message):
    with pytest.raises(DicomError) as caught:
        read_series(written(unit, change=change))
    assert message in str(caught.value)
    assert [finding.code for finding in caught.value.findings] == ["suv_not_computable"]
