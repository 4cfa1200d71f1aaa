"""SUV factors by hand, with the tag that is in the way where there is none, and the one of a real series."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom.header import read_image_header
from medimagenet.dicom.suv import pet_scale
from medimagenet.errors import DicomError

WEIGHT, DOSE, HALF_LIFE = 71.0, 4e8, 6588.0


def pet(**changes):
    """Slices whose acquisition began with the series, one hour after the injection."""

    def change(dataset, k):
        dataset.SeriesDate, dataset.SeriesTime = "20200229", "001500"
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20200229", f"00{15 + k:02d}00.000"
        dataset.PatientWeight = WEIGHT
        dataset.Units, dataset.DecayCorrection, dataset.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
        tracer = Dataset()
        tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = DOSE, HALF_LIFE
        tracer.RadiopharmaceuticalStartTime = "231500"
        dataset.RadiopharmaceuticalInformationSequence = [tracer]
        for keyword, value in changes.items():
            target = tracer if keyword.startswith("Radio") else dataset
            if value is None:
                delattr(target, keyword)
            elif callable(value):
                value(dataset)
            else:
                setattr(target, keyword, value)

    return change


@pytest.fixture
def scale(write_series):
    def compute(*, to_suv=True, **changes):
        folder = write_series(np.ones((2, 2, 2), dtype=np.uint16), "PT", pet(**changes))
        return pet_scale([read_image_header(path) for path in sorted(folder.iterdir())], to_suv=to_suv)

    return compute


def factor_after(seconds):
    return WEIGHT * 1000 / (DOSE * 2 ** (-seconds / HALF_LIFE))


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 3600),  # the injection was before midnight
        ({"SeriesTime": "004500"}, 3600),  # series written anew: the earliest acquisition counts
        ({"RadiopharmaceuticalStartDateTime": "20200228231400.5"}, 3659.5),
        ({"RadiopharmaceuticalStartTime": "000000"}, 900),
        ({"DecayCorrection": "ADMIN"}, 0),
        ({"AcquisitionTime": None}, 3600),
    ],
)
def test_body_weight_suv(scale, changes, seconds):
    result = scale(**changes)
    assert result.factor == pytest.approx(factor_after(seconds), rel=1e-12)
    assert result.unit == "SUVbw g/ml"


def philips(dataset):
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00025")
    block.add_new(0x09, "DS", "1.5")


def test_counts_of_philips_use_its_private_factors(write_series):
    folder = write_series(np.ones((1, 2, 2), dtype=np.uint16), "PT", pet(Units="CNTS", PatientWeight=philips))
    headers = [read_image_header(path) for path in folder.iterdir()]
    assert pet_scale(headers, to_suv=True).factor == 0.00025
    assert pet_scale(headers, to_suv=False).factor == 1.5


def test_ge_keeps_the_scan_time_of_a_series_written_anew(scale):
    def ge(dataset):
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", "20200229001000.00")

    assert scale(SeriesTime="004500", Manufacturer=ge).factor == pytest.approx(factor_after(3300), rel=1e-12)


def test_units_that_need_no_factor(scale):
    assert scale(Units="GML").factor == 1.0


def test_activity_needs_no_weight(scale):
    result = scale(to_suv=False, PatientWeight=None)
    assert (result.factor, result.unit) == (1.0, "Bq/ml")


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"PatientWeight": None}, "PatientWeight (0010,1030) is absent"),
        ({"PatientWeight": 0}, "PatientWeight (0010,1030) is '0.0'"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose (0018,1074) is absent"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife (0018,1075) is absent"),
        ({"RadiopharmaceuticalStartTime": None}, "RadiopharmaceuticalStartTime (0018,1072) is absent"),
        ({"RadiopharmaceuticalStartDateTime": "20200301120000"}, "RadiopharmaceuticalStartDateTime (0018,1078)"),
        ({"RadiopharmaceuticalStartDateTime": "20190101120000"}, "hours before the scan"),
        ({"RadiopharmaceuticalInformationSequence": None}, "(0054,0016) is absent"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage (0028,0051) is without ATTN"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection (0054,1102) is 'NONE'"),
        ({"SeriesTime": "noon"}, "SeriesTime (0008,0031)"),
        ({"Units": "CNTS"}, "Units (0054,1001) is CNTS"),
        ({"Units": "CPS"}, "Units (0054,1001) is 'CPS'"),
        ({"Units": "GML", "SUVType": "LBM"}, "SUVType (0054,1006) is 'LBM'"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_number_where_a_value_is_in_the_way(scale, changes, tag):
    if "RadiopharmaceuticalInformationSequence" in changes:
        changes = {"PatientID": lambda dataset: delattr(dataset, "RadiopharmaceuticalInformationSequence")}
    with pytest.raises(DicomError) as caught:
        scale(**changes)
    assert tag in str(caught.value)
    assert [finding.code for finding in caught.value.findings] == ["suv_not_computable"]


@pytest.mark.realdata
def test_the_factor_of_a_real_series(realdata):
    folder = realdata / "sts_raw" / "STS_001" / "FDG_PET" / "image"
    headers = [read_image_header(path) for path in sorted(folder.iterdir())]
    assert pet_scale(headers, to_suv=True).factor == pytest.approx(2.429030e-4, rel=1e-6)
