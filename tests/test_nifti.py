"""NIfTI in, against nibabel and SimpleITK, and what is refused."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.errors import DicomError, NiftiError
from medimagenet.geometry import Grid
from medimagenet.nifti import read_nifti, read_nifti_mask

AFFINE = np.diag([-0.8, -0.9, 2.5, 1.0])
AFFINE[:3, 3] = 10, 20, -30


def written(path, array, *, sform=AFFINE, qform=None, codes=(1, 0), slope=None):
    """(X, Y, Z, ...) as a file."""
    image = nibabel.Nifti1Image(array, sform)
    image.set_sform(sform, codes[0])
    image.set_qform(AFFINE if qform is None else qform, codes[1])
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nibabel.save(image, path)
    return path


def values(shape=(5, 4, 3), dtype=np.int16, seed=0):
    return (np.random.default_rng(seed).uniform(0, 90, shape)).astype(dtype)


@settings(max_examples=25)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.2, 9)] * 3),
    st.sampled_from(["int16", "uint8", "float32", "float64", "int32", "uint16"]),
    st.booleans(),
)
def test_voxels_and_places_are_simpleitks(tmp_path_factory, angles, spacing, dtype, compressed):
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, (5, -6, 7)
    path = tmp_path_factory.mktemp("nifti") / ("a.nii.gz" if compressed else "a.nii")
    written(path, values(dtype=dtype), sform=affine, qform=affine, codes=(1, 1))
    volume, image = read_nifti(path), SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(volume.array, SimpleITK.GetArrayFromImage(image))
    assert volume.array.dtype == dtype
    assert volume.array.flags.c_contiguous
    np.testing.assert_allclose(volume.grid.spacing, image.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(volume.grid.origin, image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(np.ravel(volume.grid.direction), image.GetDirection(), atol=1e-4)
    assert volume.findings == ()


def test_slope_and_intercept_are_applied(tmp_path):
    path = written(tmp_path / "a.nii.gz", values(), slope=(0.5, -3.0))
    np.testing.assert_allclose(read_nifti(path).array.T, nibabel.load(path).get_fdata(), rtol=1e-6)


def test_hounsfield_units_that_are_whole_become_int16_and_others_stay(tmp_path):
    path = written(tmp_path / "a.nii", values(dtype=np.int16).astype(np.float32))
    assert read_nifti(path, modality="CT").array.dtype == np.int16
    assert read_nifti(path, modality="MR").array.dtype == np.float32
    broken = values(dtype=np.float32)
    broken[0, 0, 0] = np.nan
    path = written(tmp_path / "b.nii", broken)
    assert np.isnan(read_nifti(path, modality="CT").array[0, 0, 0])


@pytest.mark.parametrize(
    ("shape", "wanted"), [((5, 4), (1, 4, 5)), ((5, 4, 1), (1, 4, 5)), ((5, 4, 3, 2), (2, 3, 4, 5))]
)
def test_slices_and_channels(tmp_path, shape, wanted):
    array = values(shape)
    found = read_nifti(written(tmp_path / "a.nii.gz", array)).array
    assert found.shape == wanted
    np.testing.assert_array_equal(found.T.reshape(shape), array)


@pytest.mark.parametrize(
    ("shift", "codes", "expected"),
    [
        (0.0, (1, 1), []),
        (5.0, (1, 1), ["nifti_forms_differ"]),
        (5.0, (0, 1), []),
        (5.0, (1, 0), []),
        (0.0, (0, 0), ["no_image_geometry"]),
    ],
)
def test_forms_that_disagree_are_told_and_the_sform_is_taken(tmp_path, shift, codes, expected):
    other = AFFINE.copy()
    other[0, 3] += shift
    path = written(tmp_path / "a.nii", values(), qform=other, codes=codes)
    volume = read_nifti(path)
    assert [finding.code for finding in volume.findings] == expected
    np.testing.assert_allclose(volume.grid.affine_ras, nibabel.load(path).affine, atol=1e-5)
    if expected == ["nifti_forms_differ"]:
        assert volume.findings[0].numbers["mm"] == pytest.approx(5.0)


def test_a_map_becomes_a_channel_per_value(tmp_path):
    labels = np.random.default_rng(1).integers(0, 4, (5, 4, 3)).astype(np.uint8)
    path = written(tmp_path / "a.nii.gz", labels)
    grid = read_nifti(path).grid
    for names, wanted in (((), ("label_1", "label_2", "label_3")), (("a", "b", "c", "d"), ("a", "b", "c", "d"))):
        mask = read_nifti_mask(path, grid, names)
        assert mask.names == wanted
        for value, channel in enumerate(mask.array, start=1):
            np.testing.assert_array_equal(channel.T, labels == value)
    assert read_nifti_mask(path, grid, ("a",)).names == ("a", "label_2", "label_3")


def test_channels_of_zeros_and_ones_are_classes(tmp_path):
    labels = np.random.default_rng(1).integers(0, 2, (5, 4, 3, 2)).astype(np.uint8)
    path = written(tmp_path / "a.nii.gz", labels)
    mask = read_nifti_mask(path, read_nifti(path), ("a", "b"))
    np.testing.assert_array_equal(mask["b"].T, labels[..., 1] > 0)


@pytest.mark.parametrize(
    ("array", "code", "words"),
    [
        (values(dtype=np.float32), "label_not_whole", "is it an image"),
        (values() - 50, "label_not_whole", "from 0"),
        (np.full((5, 4, 3), 256, np.int16), "label_too_large", "value 256"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, array, code, words):
    path = written(tmp_path / "a.nii", array)
    with pytest.raises(NiftiError, match=words) as caught:
        read_nifti_mask(path, read_nifti(path))
    assert [finding.code for finding in caught.value.findings] == [code]


def test_a_label_on_another_grid_is_refused_with_both(tmp_path):
    path = written(tmp_path / "a.nii", np.ones((5, 4, 3), np.uint8))
    with pytest.raises(DicomError, match=r"resample it first") as caught:
        read_nifti_mask(path, Grid((5, 4, 3)))
    assert [finding.code for finding in caught.value.findings] == ["grid_mismatch"]


def test_axes_that_form_no_grid_are_refused(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    with pytest.raises(NiftiError, match="right angles") as caught:
        read_nifti(written(tmp_path / "a.nii", values(), sform=sheared))
    assert [finding.code for finding in caught.value.findings] == ["skewed_axes"]
    content = bytearray(written(tmp_path / "b.nii", values()).read_bytes())
    content[312:328] = bytes(16)  # srow_z
    (tmp_path / "b.nii").write_bytes(content)
    with pytest.raises(NiftiError, match="each must be positive"):
        read_nifti(tmp_path / "b.nii")


def test_files_that_are_cut_or_none_are_refused(tmp_path):
    path = written(tmp_path / "a.nii.gz", values((30, 30, 30)))
    content = path.read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    (tmp_path / "short.nii").write_bytes(gzip.decompress(content)[:-10])
    (tmp_path / "text.nii").write_text("not an image")
    (tmp_path / "text.nii.gz").write_text("not an image")
    for name in ("cut.nii.gz", "short.nii", "text.nii", "text.nii.gz", "absent.nii"):
        with pytest.raises(NiftiError, match=name):
            read_nifti(tmp_path / name)
