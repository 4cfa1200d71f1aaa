"""SUV factors by hand, with the tag that is in the way where there is none, and the one of a real series."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimagenet.dicom import read_series
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
    def compute(*, kind="suv", **changes):
        folder = write_series(np.ones((2, 2, 2), dtype=np.uint16), "PT", pet(**changes))
        return pet_scale([read_image_header(folder / name) for name in ("001.dcm", "000.dcm")], kind)

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
    assert result.factors == pytest.approx([factor_after(seconds)] * 2, rel=1e-12)
    assert result.unit == "SUVbw g/ml"


def philips(dataset):
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00025")
    block.add_new(0x09, "DS", "1.5")


def test_counts_of_philips_use_its_private_factors(write_series):
    folder = write_series(np.ones((1, 2, 2), dtype=np.uint16), "PT", pet(Units="CNTS", PatientWeight=philips))
    headers = [read_image_header(path) for path in folder.iterdir()]
    assert pet_scale(headers).factor == 0.00025
    assert pet_scale(headers, "bqml").factor == 1.5


def test_ge_keeps_the_scan_time_of_a_series_written_anew(scale):
    def ge(dataset):
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x0D, "DT", "20200229001000.00")

    assert scale(SeriesTime="004500", Manufacturer=ge).factor == pytest.approx(factor_after(3300), rel=1e-12)


@pytest.mark.parametrize(
    ("corrected_to", "changes", "seconds"),
    [
        ("20200229001400.00", {}, 3540),  # before the series' own time
        ("20200229001400.00", {"SeriesTime": "004500"}, 3540),  # a series written anew
        ("20130704001400.00", {}, 3540),  # dates were shifted, private ones were not
        ("20200228235900", {"SeriesTime": "000100", "AcquisitionTime": "000100"}, 2640),  # over midnight
        ("20200229001400.00", {"DecayCorrectionDateTime": "20200229001300"}, 3480),  # the standard's goes before
        ("20200229001400.00", {"DecayCorrection": "ADMIN"}, 0),
    ],
)
def test_siemens_says_to_when_values_are_corrected(scale, corrected_to, changes, seconds):
    """Judge: the formula; the meaning of (0071,xx22) is that of Siemens' conformance statements."""

    def siemens(dataset):
        block = dataset.private_block(0x0071, "SIEMENS MED PT", create=True)
        block.add_new(0x22, "DT", corrected_to)

    assert scale(**changes, Manufacturer=siemens).factor == pytest.approx(factor_after(seconds), rel=1e-12)


def test_siemens_date_that_is_none(scale):
    def siemens(dataset):
        block = dataset.private_block(0x0071, "SIEMENS MED PT", create=True)
        block.add_new(0x22, "LO", "yesterday")

    with pytest.raises(DicomError, match="DecayCorrectionDateTime"):
        scale(Manufacturer=siemens)


def test_units_that_need_no_factor(scale):
    assert scale(Units="GML").factor == 1.0


def test_activity_needs_no_weight(scale):
    result = scale(kind="bqml", PatientWeight=None)
    assert (result.factor, result.unit) == (1.0, "Bq/ml")


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"PatientWeight": None}, "PatientWeight (0010,1030) is absent"),
        ({"PatientWeight": 0}, "PatientWeight (0010,1030) is '0.0'"),
        ({"PatientWeight": 71000}, "PatientWeight (0010,1030) is '71000.0', which no weight in kilograms is"),
        ({"RadiopharmaceuticalStartTime": "003000"}, "RadiopharmaceuticalStartTime (0018,1072) is 23.8 hours before"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose (0018,1074) is absent"),
        ({"RadionuclideHalfLife": None}, "RadionuclideHalfLife (0018,1075) is absent"),
        ({"RadiopharmaceuticalStartTime": None}, "RadiopharmaceuticalStartTime (0018,1072) is absent"),
        ({"RadiopharmaceuticalStartDateTime": "20200301120000"}, "RadiopharmaceuticalStartDateTime (0018,1078)"),
        ({"RadiopharmaceuticalStartDateTime": "20190101120000"}, "StartDateTime (0018,1078) is 10164.2 hours before"),
        ({"RadiopharmaceuticalInformationSequence": None}, "(0054,0016) is absent"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage (0028,0051) is without ATTN"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection (0054,1102) is 'NONE', though CorrectedImage"),
        ({"DecayCorrection": "SCAN"}, "DecayCorrection (0054,1102) is 'SCAN'"),
        ({"DecayCorrection": "NONE", "CorrectedImage": "ATTN"}, "ActualFrameDuration (0018,1242) is absent"),
        ({"RadionuclideTotalDose": 370}, "RadionuclideTotalDose (0018,1074) is '370.0', which is not in Bq"),
        ({"RadiopharmaceuticalStartDateTime": "20200228221400"}, "RadiopharmaceuticalStartTime (0018,1072) is 231500"),
        ({"Units": "PROPCPS"}, "Units (0054,1001) is PROPCPS, without a usable private factor"),
        ({"Units": "CM2ML", "SUVType": "BW"}, "SUVType (0054,1006) is 'BW'"),
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


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("Units", "GML", "Units (0054,1001) is 'BQML' of one slice and 'GML' of another"),
        ("DecayCorrection", "ADMIN", "DecayCorrection (0054,1102) is 'START' of one slice and 'ADMIN' of another"),
        ("PatientWeight", 80, "PatientWeight (0010,1030) is '71.0' of one slice and '80.0' of another"),
        ("PatientSex", "F", "PatientSex (0010,0040) is absent of one slice and 'F' of another"),
        ("RadionuclideTotalDose", 3e8, "(0054,0016) is of 2 injections that differ"),
    ],
)
def test_slices_that_contradict_one_another(write_series, keyword, value, message):
    def change(dataset, k):
        pet()(dataset, k)
        target = dataset.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else dataset
        if k == 1:
            setattr(target, keyword, value)

    with pytest.raises(DicomError) as caught:
        read_series(write_series(np.ones((3, 2, 2), dtype=np.uint16), "PT", change))
    assert message in str(caught.value)
    assert [finding.code for finding in caught.value.findings] == ["suv_not_computable"]


def test_two_injections(scale):
    def again(dataset):
        other = Dataset()
        other.RadionuclideTotalDose, other.RadionuclideHalfLife = DOSE / 2, HALF_LIFE
        other.RadiopharmaceuticalStartTime = "234500"
        dataset.RadiopharmaceuticalInformationSequence.append(other)

    with pytest.raises(DicomError, match=r"\(0054,0016\) is of 2 injections that differ"):
        scale(Manufacturer=again)


def test_an_injection_with_a_date_of_a_scan_without(scale):
    with pytest.raises(DicomError, match=r"SeriesDate \(0008,0021\) is absent, as is AcquisitionDate"):
        scale(SeriesDate=None, AcquisitionDate=None, RadiopharmaceuticalStartDateTime="20200228231500")


def test_a_scan_without_a_date_needs_none_where_the_injection_has_none(scale):
    assert scale(SeriesDate=None, AcquisitionDate=None).factor == pytest.approx(factor_after(3600), rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"DecayCorrectionDateTime": "20200229002000"}, 3900),
        ({"RadiopharmaceuticalStartDateTime": "20200228231530"}, 3570),  # agrees with the time to the minute
        ({"SeriesTime": "001400", "AcquisitionDate": None, "AcquisitionTime": "001400"}, 3540),
    ],
)
def test_moments(scale, changes, seconds):
    assert scale(**changes).factor == pytest.approx(factor_after(seconds), rel=1e-12)


def test_a_scan_over_midnight_whose_slices_have_no_date(scale):
    changes = {"SeriesTime": "235900", "AcquisitionDate": None, "AcquisitionTime": "000500"}
    result = scale(**changes, RadiopharmaceuticalStartTime="225900")
    assert result.factor == pytest.approx(factor_after(3600), rel=1e-12)


def test_the_injection_that_ge_keeps(scale):
    def ge(dataset):
        block = dataset.private_block(0x0009, "GEMS_PETD_01", create=True)
        block.add_new(0x3B, "DT", "20200228234500.00")

    result = scale(RadiopharmaceuticalStartTime=None, Manufacturer=ge)
    assert result.factor == pytest.approx(factor_after(1800), rel=1e-12)


def test_without_decay_correction_each_frame_has_its_own_factor(scale):
    duration_s = 1200.0
    result = scale(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration=1000 * duration_s)
    time = np.linspace(0, duration_s, 200_001)
    mean = np.trapezoid(2 ** (-time / HALF_LIFE), time) / duration_s  # of the activity over the frame, by quadrature
    expected = [factor_after(3600 + 60 * k) / mean for k in (0, 1)]
    assert result.factors == pytest.approx(expected, rel=1e-9)


KINDS = ("suvbw", "suvlbm", "suvlbm_james", "suvibw", "suvbsa")
BODIES = {  # weight kg, height m, sex -> sizes by hand, g or cm2
    ("71.0", "1.63", "M"): dict(zip(KINDS, (71000, 52856, 53814, 59660, 17660), strict=True)),
    ("60.0", "1.70", "F"): dict(zip(KINDS, (60000, 40171, 45764, 61880, 16949), strict=True)),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_the_body(scale, body, kind):
    weight, height, sex = body
    changes = {"PatientWeight": weight, "PatientSize": height, "PatientSex": sex, "DecayCorrection": "ADMIN"}
    result = scale(kind=kind, **changes)
    assert result.factor == pytest.approx(BODIES[body][kind] / DOSE, rel=2e-4)
    assert result.unit.startswith("SUV" + kind[3:6].rstrip("_"))


@pytest.mark.parametrize(
    ("kind", "present", "changes"),
    [("suvlbm", "suvbw", {"Units": "GML"}), ("suvbw", "suvbsa", {"Units": "CM2ML", "SUVType": "BSA"})],
)
def test_a_suv_of_one_kind_becomes_another(scale, kind, present, changes):
    sizes = BODIES["71.0", "1.63", "M"]
    result = scale(kind=kind, PatientWeight="71.0", PatientSize="1.63", PatientSex="M", **changes)
    assert result.factor == pytest.approx(sizes[kind] / sizes[present], rel=2e-4)


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"PatientSex": None}, "PatientSex (0010,0040) is absent"),
        ({"PatientSex": "O"}, "PatientSex (0010,0040) is 'O'"),
        ({"PatientSize": None}, "PatientSize (0010,1020) is absent"),
        ({"PatientSize": "163"}, "PatientSize (0010,1020) is '163'"),
    ],
)
def test_sizes_that_cannot_be_told(scale, changes, tag):
    body = {"PatientSize": "1.63", "PatientSex": "M"} | changes
    with pytest.raises(DicomError) as caught:
        scale(kind="suvlbm", **{keyword: value for keyword, value in body.items() if value is not None})
    assert tag in str(caught.value)


@pytest.mark.realdata
def test_the_factor_of_a_real_series(realdata):
    folder = realdata / "sts_raw" / "STS_001" / "FDG_PET" / "image"
    headers = [read_image_header(path) for path in sorted(folder.iterdir())]
    assert pet_scale(headers).factor == pytest.approx(2.429030e-4, rel=1e-6)


MIRP = """
import sys
import numpy
from mirp import extract_images

((images, _),) = extract_images(
    image=sys.argv[1], image_modality="pet", write_images=False, export_images=True, image_export_format="numpy"
)
numpy.save(sys.argv[2], images[0])
"""


@pytest.mark.realdata
def test_voxels_of_a_real_series_are_those_of_mirp(realdata, tmp_path):
    """MIRP needs an environment of its own: that of the benchmarks' peers, or the one MEDIMAGENET_PEERS names."""
    peers = Path(os.environ.get("MEDIMAGENET_PEERS", Path(__file__).parents[2] / ".venv-peers"))
    if not list(peers.glob("lib/python*/site-packages/mirp")):
        pytest.skip(f"no MIRP in {peers}: `make bench` installs it")
    folder = realdata / "sts_raw" / "STS_001" / "FDG_PET" / "image"
    (tmp_path / "mirp_suv.py").write_text(MIRP)
    command = [peers / "bin" / "python", tmp_path / "mirp_suv.py", folder, tmp_path / "suv.npy"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    theirs, ours = np.load(tmp_path / "suv.npy"), read_series(folder).array
    assert ours.shape == theirs.shape == (267, 128, 128)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)
