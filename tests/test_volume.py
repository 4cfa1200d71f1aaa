"""Volume and Mask against SimpleITK and nibabel; Normalization and Case by arithmetic."""

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.findings import Finding
from medimagenet.geometry import Grid
from medimagenet.volume import Case, Mask, Normalization, Volume

OBLIQUE = Grid(
    (4, 5, 6),
    spacing=(0.7, 0.9, 2.5),
    origin=(-120.5, 33.25, 871.0),
    direction=Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix(),
)
DTYPES = ("int16", "uint16", "uint8", "float32", "float64")


def numbered(shape, dtype="int16"):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def volume(dtype="int16", channels=None, **fields):
    shape = OBLIQUE.shape if channels is None else (channels, *OBLIQUE.shape)
    return Volume(numbered(shape, dtype), OBLIQUE, **fields)


@pytest.mark.parametrize("dtype", DTYPES)
def test_simpleitk_sees_the_same_value_at_the_same_place(dtype):
    image = volume(dtype).to_sitk()
    for index in [(0, 0, 0), (3, 4, 5), (1, 2, 3)]:
        x, y, z = index
        assert image.GetPixel(index) == volume(dtype).array[z, y, x]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), OBLIQUE.to_patient(index), atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_through_simpleitk_and_back(dtype, channels):
    before = volume(dtype, channels)
    after = Volume.from_sitk(before.to_sitk(), unit="HU")
    np.testing.assert_array_equal(after.array, before.array)
    assert after.array.dtype == before.array.dtype
    assert after.array.flags.c_contiguous
    assert after.grid.is_close(before.grid, tolerance_mm=1e-9)
    assert after.unit == "HU"


@pytest.mark.parametrize("dtype", DTYPES)
def test_nibabel_sees_the_same_value_at_the_same_place(dtype, tmp_path):
    nibabel.save(volume(dtype).to_nibabel(), tmp_path / "v.nii")
    image = nibabel.load(tmp_path / "v.nii")
    assert image.shape == OBLIQUE.size
    assert np.asanyarray(image.dataobj)[1, 2, 3] == volume(dtype).array[3, 2, 1]
    lps = np.diag([-1, -1, 1]) @ nibabel.affines.apply_affine(image.affine, (1, 2, 3))
    np.testing.assert_allclose(lps, OBLIQUE.to_patient((1, 2, 3)), atol=1e-3)


def test_both_nifti_forms_hold_the_same_place(tmp_path):
    nibabel.save(volume().to_nibabel(), tmp_path / "v.nii.gz")
    image = nibabel.load(tmp_path / "v.nii.gz")
    (qform, qcode), (sform, scode) = image.get_qform(coded=True), image.get_sform(coded=True)
    assert (qcode, scode) == (1, 1)
    np.testing.assert_allclose(qform, sform, atol=1e-3)
    np.testing.assert_allclose(sform, OBLIQUE.affine_ras, atol=1e-3)


def test_simpleitk_reads_the_nifti_that_nibabel_wrote(tmp_path):
    nibabel.save(volume().to_nibabel(), tmp_path / "v.nii")
    after = Volume.from_sitk(SimpleITK.ReadImage(str(tmp_path / "v.nii")))
    np.testing.assert_array_equal(after.array, volume().array)
    assert after.grid.is_close(OBLIQUE, tolerance_mm=1e-3)


def test_channels_come_last_in_nifti():
    image = volume(channels=3).to_nibabel()
    assert image.shape == (*OBLIQUE.size, 3)
    assert image.dataobj[1, 2, 3, 2] == volume(channels=3).array[2, 3, 2, 1]


def test_metadata_and_findings_stay_with_other_voxels():
    finding = Finding(code="lossy_compressed", message="")
    before = volume(unit="HU", metadata={"Modality": "CT"}, findings=(finding,))
    small = Grid((2, 2, 2))
    after = before.with_array(np.zeros((2, 2, 2)), small)
    assert (after.unit, after.metadata, after.findings, after.grid) == ("HU", {"Modality": "CT"}, (finding,), small)
    assert before.with_array(before.array * 2).grid is before.grid


@pytest.mark.parametrize("shape", [(4, 5, 6), (6, 5), (1, 1, 6, 5, 4), (6, 5, 4, 1)])
def test_an_array_of_another_shape_is_refused_with_both(shape):
    with pytest.raises(ValueError, match=r"\(6, 5, 4\)") as caught:
        Volume(np.zeros(shape), OBLIQUE)
    assert str(shape) in str(caught.value)


# --- Mask ---------------------------------------------------------------------------------------------------------


def mask(*names, seed=0):
    array = np.random.default_rng(seed).random((len(names), *OBLIQUE.shape)) < 0.4
    return Mask(array, OBLIQUE, names)


def test_regions_by_name():
    np.testing.assert_array_equal(mask("liver", "lung")["lung"], mask("liver", "lung").array[1])
    with pytest.raises(KeyError, match=r"spleen.*liver, lung"):
        mask("liver", "lung")["spleen"]


@given(st.integers(1, 4), st.integers(0, 99))
def test_the_last_region_wins_in_a_label_map(count, seed):
    regions = mask(*map(str, range(count)), seed=seed)
    labels = regions.to_label_map()
    assert labels.dtype == np.uint8
    for z, y, x in np.ndindex(OBLIQUE.shape):
        present = [k + 1 for k in range(count) if regions.array[k, z, y, x]]
        assert labels[z, y, x] == (present[-1] if present else 0)


def test_overlap_is_what_a_label_map_loses():
    regions = mask("a", "b", "c")
    per_voxel = regions.array.sum(axis=0)
    assert regions.overlap_voxels() == np.count_nonzero(per_voxel >= 2)
    assert mask("a").overlap_voxels() == 0


def test_overlap_counts_beyond_256_regions():
    array = np.ones((257, 1, 1, 1), dtype=bool)  # a uint8 sum would be 1
    assert Mask(array, Grid((1, 1, 1)), tuple(map(str, range(257)))).overlap_voxels() == 1


def test_volumes_are_voxels_times_their_size():
    regions = mask("a", "b")
    expected = {n: regions.array[k].sum() * 0.7 * 0.9 * 2.5 for k, n in enumerate("ab")}
    assert regions.volumes_mm3() == pytest.approx(expected)


def test_a_label_map_holds_255_regions():
    array = np.ones((256, 1, 1, 1), dtype=bool)
    names = tuple(map(str, range(256)))
    assert Mask(array[:255], Grid((1, 1, 1)), names[:255]).to_label_map().item() == 255
    with pytest.raises(ValueError, match="256"):
        Mask(array, Grid((1, 1, 1)), names).to_label_map()


def test_masks_as_nifti():
    assert mask("a").to_nibabel().shape == OBLIQUE.size
    two = mask("a", "b")
    image = two.to_nibabel()
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.moveaxis(two.array, 0, -1).transpose(2, 1, 0, 3))


@pytest.mark.parametrize(
    ("array", "names", "said"),
    [
        (np.zeros((1, 6, 5, 4), np.uint8), ("a",), "uint8"),
        (np.zeros((2, 6, 5, 4), bool), ("a",), r"2 channels but 1 names: \('a',\)"),
        (np.zeros((6, 5, 4), bool), ("a",), r"\(6, 5, 4\)"),
        (np.zeros((1, 4, 5, 6), bool), ("a",), r"\(1, 4, 5, 6\)"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_value(array, names, said):
    with pytest.raises(ValueError, match=said):
        Mask(array, OBLIQUE, names)


def test_a_mask_without_regions_is_a_mask():
    empty = Mask(np.zeros((0, *OBLIQUE.shape), bool), OBLIQUE, ())
    assert empty.volumes_mm3() == {}
    assert not empty.to_label_map().any()


# --- Normalization, Case --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [Normalization(), Normalization(low=-160, high=240, subtract=40, divide=200), Normalization(high=3.5)],
)
def test_normalization_survives_json(value):
    assert Normalization.from_dict(value.to_dict()) == value


def test_an_absent_clip_is_null():
    assert Normalization(low=0).to_dict() == {"low": 0, "high": None, "subtract": 0, "divide": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {"divide": 0},
        {"divide": float("nan")},
        {"divide": float("inf")},
        {"subtract": float("inf")},
        {"low": 1, "high": 1},
        {"low": float("nan")},
    ],
)
def test_constants_that_cannot_normalize_are_refused_with_their_values(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))}={next(iter(fields.values()))}"):
        Normalization(**fields)


def test_a_case_lists_the_findings_of_its_parts():
    own, images, regions = (Finding(code="lossy_compressed", message=text) for text in ("own", "image", "mask"))
    case = Case(
        sample_id="s",
        patient_id="p",
        images={"CT": volume(findings=(images,))},
        mask=Mask(np.zeros((0, *OBLIQUE.shape), bool), OBLIQUE, (), findings=(regions,)),
        findings=(own,),
    )
    assert [finding.message for finding in case.all_findings()] == ["own", "image", "mask"]
