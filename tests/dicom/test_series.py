"""Volumes against reference images, SimpleITK and written truth."""

import zipfile

import nibabel
import numpy as np
import pytest
import SimpleITK

from medimagenet.dicom import read_series
from medimagenet.errors import DicomError, GeometryError

PATIENTS = ("001", "002", "008", "012", "019", "024", "025", "035", "040", "042", "047")


def test_slices_are_ordered_by_position(write_series):
    stored = np.random.default_rng(1).integers(-1000, 1000, (7, 5, 6), dtype=np.int16)
    folder = write_series(stored)
    volume = read_series(folder)
    np.testing.assert_array_equal(volume.array, stored)
    assert (volume.array.dtype, volume.unit, volume.findings) == (np.int16, "HU", ())
    assert volume.grid.spacing == (0.75, 0.5, 3.0)
    assert volume.grid.origin == (-10.0, -20.0, 0.0)
    assert volume.metadata["Modality"] == "CT"
    np.testing.assert_array_equal(read_series(sorted(folder.iterdir())[::-1]).array, stored)


def test_descending_positions_are_turned_over(write_series):
    stored = np.random.default_rng(1).integers(-1000, 1000, (4, 5, 6), dtype=np.int16)
    volume = read_series(write_series(stored, step=-2.0))
    np.testing.assert_array_equal(volume.array, stored[::-1])
    assert volume.grid.origin[2] == -6.0


def test_ct_is_whole_where_it_can_be(write_series):
    def change(dataset, k):
        dataset.RescaleIntercept, dataset.RescaleSlope = -1024, (1, 0.5)[change.halves]

    stored = np.arange(40, dtype=np.uint16).reshape(2, 4, 5)
    change.halves = False
    assert read_series(write_series(stored, change=change)).array.dtype == np.int16
    change.halves = True
    volume = read_series(write_series(stored, change=change, folder="halves"))
    np.testing.assert_array_equal(volume.array, (stored * 0.5 - 1024).astype(np.float32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "is a dose, .* read it with read_dose"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "is a segmentation, .* read it with read_mask"),
        ({"BitsStored": 12, "HighBit": 15}, r"HighBit \(0028,0102\) 15 and BitsStored \(0028,0101\) 12"),
        ({"ModalityLUTSequence": []}, r"ModalityLUTSequence \(0028,3000\)"),
        ({"NumberOfFrames": 0}, r"NumberOfFrames \(0028,0008\) '0', not a whole number"),
    ],
)
def test_numbers_that_would_not_be_values_are_refused(write_series, values, message):
    def change(dataset, _):
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    with pytest.raises(DicomError, match=message) as caught:
        read_series(write_series(np.arange(40, dtype=np.uint16).reshape(2, 4, 5), change=change))
    assert [finding.code for finding in caught.value.findings] == ["not_decodable"]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["rtdose/pydicom_tps/rtdose_1frame.dcm", "oddities/broken/badVR.dcm"])
def test_a_dose_is_not_given_as_stored(realdata, name):
    with pytest.raises(DicomError, match="read it with read_dose"):
        read_series(realdata / name)


def test_mr_is_as_stored(write_series):
    stored = np.arange(40, dtype=np.uint16).reshape(2, 4, 5)
    volume = read_series(write_series(stored, "MR"))
    assert (volume.array.dtype, volume.unit) == (np.uint16, None)


def plant(k_planted, **values):
    def change(dataset, k):
        if k == k_planted:
            for keyword, value in values.items():
                setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (plant(1, ImagePositionPatient=[-10, -20, 4.5]), ["uneven_slices"]),
        (plant(1, ImagePositionPatient=[-10, -20, 6]), ["duplicate_slices"]),
        (plant(1, PixelSpacing=[0.6, 0.75]), ["mixed_spacing", "several_volumes"]),
        (plant(2, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), ["mixed_orientation", "several_volumes"]),
    ],
)
def test_a_stack_without_a_grid_is_refused_with_its_findings(write_series, change, codes):
    with pytest.raises(GeometryError) as caught:
        read_series(write_series(np.zeros((5, 4, 4), dtype=np.int16), change=change))
    assert [finding.code for finding in caught.value.findings] == codes
    assert "of 5 files forms no volume" in str(caught.value)
    assert "…" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_findings_of_the_pixels(write_series):
    def change(dataset, k):
        dataset.LossyImageCompression = "01"
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.RescaleSlope = k + 1

    volume = read_series(write_series(np.zeros((3, 4, 4), dtype=np.int16), change=change))
    assert [finding.code for finding in volume.findings] == ["lossy_compressed", "monochrome1", "mixed_rescale"]


@pytest.mark.parametrize(
    ("kinds", "unit", "found"),
    [
        ((None, None), "HU", None),
        (("HU", None), "HU", None),
        (("US", "US"), None, {"types": ["US"], "slices": 2}),
        (("HU", "US"), None, {"types": ["US"], "slices": 1}),
        (("MGML", "MGML"), "MGML", {"types": ["MGML"], "slices": 2}),
        (("HU_MOD", "EDW"), None, {"types": ["EDW", "HU_MOD"], "slices": 2}),
    ],
)
def test_the_unit_of_ct_is_what_its_rescale_type_says(write_series, kinds, unit, found):  # PS3.3 C.11.1.1.2
    def change(dataset, k):
        if kinds[k] is not None:
            dataset.RescaleType = kinds[k]

    volume = read_series(write_series(np.ones((2, 3, 4), dtype=np.int16), change=change))
    assert volume.unit == unit
    assert [(finding.code, finding.numbers) for finding in volume.findings] == (
        [("rescale_not_hu", found)] if found else []
    )


@pytest.mark.parametrize(
    ("kind", "paddings", "intercepts", "expected"),
    [
        ("i2", [(-2000, None)] * 2, (0, 0), {"padding_value": -2000.0}),
        ("u2", [(63536, None)] * 2, (0, 0), {"padding_value": 63536.0}),
        ("i4", [(-2000, None)] * 2, (0, 0), {"padding_value": -2000.0}),
        ("i1", [(-1, None)] * 2, (5, 5), {"padding_value": 4.0}),
        ("i2", [(-2000, -1900)] * 2, (100, 100), {"padding_range": [-1900.0, -1800.0]}),
        ("i2", [(-2000, None)] * 2, (0, -24), {"padding_values": [[-2024.0], [-2000.0]]}),
        ("i2", [(-2000, None), (None, None)], (0, 0), {"padding_value": -2000.0}),
        ("i2", [(None, None)] * 2, (0, 0), {}),
    ],
)
def test_what_stands_for_no_measurement(write_series, kind, paddings, intercepts, expected):  # PS3.3 C.7.5.1.1.2
    def change(dataset, k):
        dataset.RescaleIntercept = intercepts[k]
        for keyword, value in zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), paddings[k], strict=True):
            if value is not None:
                dataset.add_new(keyword, "SS" if value < 0 else "US", value)

    metadata = read_series(write_series(np.ones((2, 3, 4), dtype=kind), change=change)).metadata
    assert {key: value for key, value in metadata.items() if key.startswith("padding")} == expected


@pytest.mark.parametrize(
    ("keyword", "values", "code"),
    [
        ("Modality", ("CT", "MR"), "mixed_modality"),
        ("FrameOfReferenceUID", ("1.2.3", "1.2.4"), "mixed_frame_of_reference"),
    ],
)
def test_slices_that_do_not_compare_are_refused(write_series, keyword, values, code):
    def change(dataset, k):
        setattr(dataset, keyword, values[k % 2])

    with pytest.raises(DicomError) as caught:
        read_series(write_series(np.ones((4, 3, 4), dtype=np.int16), change=change))
    assert [finding.code for finding in caught.value.findings] == [code]


def test_a_derived_slice_in_the_stack_is_a_finding(write_series):
    def change(dataset, k):
        dataset.ImageType = ["DERIVED", "SECONDARY", "MIP"] if k == 3 else ["ORIGINAL", "PRIMARY", "AXIAL"]

    (finding,) = read_series(write_series(np.ones((4, 3, 4), dtype=np.int16), change=change)).findings
    assert finding.code == "mixed_image_type"
    assert finding.numbers == {"types": [["DERIVED", "SECONDARY"], ["ORIGINAL", "PRIMARY"]]}


def test_what_is_no_single_series_is_refused(write_series, tmp_path):
    first = write_series(np.zeros((2, 4, 4), dtype=np.int16), folder="a")
    second = write_series(np.zeros((2, 4, 4), dtype=np.int16), folder="b")
    with pytest.raises(DicomError, match="4 files belong to 2 series"):
        read_series([*first.iterdir(), *second.iterdir()])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DicomError, match="no DICOM image in folder empty"):
        read_series(tmp_path / "empty")
    with pytest.raises(DicomError, match="no files given"):
        read_series([])
    with pytest.raises(ValueError, match=r"pet must be one of suv, .*, got 'raw'"):
        read_series(first, pet="raw")


def test_colour_is_a_finding(write_series):
    folder = write_series(np.zeros((2, 4, 4), dtype=np.int16), change=plant(0, PhotometricInterpretation="RGB"))
    with pytest.raises(DicomError, match="not a grey image") as caught:
        read_series(folder)
    assert [finding.code for finding in caught.value.findings] == ["not_monochrome"]


def test_other_files_beside_a_series_are_left_alone(write_series):
    folder = write_series(np.zeros((2, 4, 4), dtype=np.int16))
    (folder / "notes.txt").write_text("x" * 500)
    assert read_series(folder).grid.size == (4, 4, 2)


def reference(path):
    image = nibabel.load(path)
    return np.asarray(image.dataobj).transpose(2, 1, 0), image.affine


@pytest.mark.realdata
@pytest.mark.parametrize("patient", PATIENTS)
def test_volumes_equal_the_reference_images(realdata, patient):
    for modality in ("CT", "PET", "MR_T1"):
        volume = read_series(realdata / "sts" / f"STS_{patient}" / modality / "image")
        values, affine = reference(realdata / "sts_reference" / f"STS_{patient}" / f"{modality}_image.nii.gz")
        if modality == "PET":  # slope x stored rounded once to float32 here, twice there: at most 3e-6 (README)
            np.testing.assert_allclose(volume.array, values, rtol=0, atol=3e-6)
            assert volume.array.dtype == np.float32
        else:
            np.testing.assert_array_equal(volume.array, values)
            assert volume.array.dtype == np.int16
        np.testing.assert_allclose(volume.grid.affine_ras, affine, rtol=0, atol=3e-5)  # NIfTI affines are float32
        assert volume.findings == ()


@pytest.mark.realdata
def test_the_raw_pet_with_uneven_steps_decodes_and_its_suv_is_that_of_the_reference(realdata):
    volume = read_series(realdata / "sts_raw" / "STS_001" / "FDG_PET" / "image")
    assert [finding.code for finding in volume.findings] == ["nonuniform_spacing"]
    part = read_series(realdata / "sts" / "STS_001" / "PET" / "image")
    offset = volume.grid.to_index(part.grid.origin)
    np.testing.assert_allclose(offset[:2], (59, 45), atol=0.01)
    z0 = round(offset[2])
    nz, ny, nx = part.array.shape
    same = volume.array[z0 : z0 + nz, 45 : 45 + ny, 59 : 59 + nx]
    np.testing.assert_allclose(same, part.array, rtol=0, atol=8e-4)  # the reference was rounded when it was converted
    assert same.max() == pytest.approx(25.4123, abs=1e-3)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "folder",
    [
        "cmb_crc/SCAN_001/adc_image",
        "sts_raw/STS_001/MR_T2/image",
        "phantoms/ibsi_1_ct/dicom/image",
        "phantoms/ibsi_2_orientation/dicom",
        "oddities/anisotropic_pixels/pmod",
        "oddities/multi_volume/hitachi_anatomical",
        "oddities/transfer_syntax/dicom2nifti_generic/jpegls",
        "oddities/transfer_syntax/dicom2nifti_generic/rle",
        "oddities/transfer_syntax/dicom2nifti_generic/jpeg2000",
        "oddities/philips_ct_study/S21570/S2010",
        "rtstruct/rt_utils_oriented",
    ],
)
def test_volumes_equal_simpleitk(realdata, folder):
    volume = read_series(realdata / folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(realdata / folder)))
    image = reader.Execute()
    np.testing.assert_allclose(volume.array, SimpleITK.GetArrayFromImage(image), rtol=1e-6)
    np.testing.assert_allclose(volume.grid.origin, image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(volume.grid.spacing, image.GetSpacing(), rtol=1e-4)
    np.testing.assert_allclose(np.ravel(volume.grid.direction), image.GetDirection(), atol=1e-4)


@pytest.mark.realdata
def test_a_large_ct_equals_simpleitk(realdata, tmp_path):
    with zipfile.ZipFile(realdata / "nsclc_radiomics" / "LUNG1-001.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "LUNG1-001" / "image"
    volume = read_series(folder)
    assert volume.array.shape == (134, 512, 512)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(volume.array, SimpleITK.GetArrayViewFromImage(image))
    np.testing.assert_allclose(volume.grid.origin, image.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(volume.grid.spacing, image.GetSpacing(), atol=1e-9)


@pytest.mark.realdata
def test_a_gantry_tilt_is_refused(realdata):
    with pytest.raises(GeometryError, match=r"tilted by 14 degrees"):
        read_series(realdata / "oddities" / "gantry_tilt" / "siemens_4slices")
