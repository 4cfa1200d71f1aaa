"""NIfTI in, against nibabel and SimpleITK, and what is refused."""

import gzip
import struct

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
from medimagenet.sources.nifti_files import read_nifti_header

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


@pytest.mark.parametrize(("unit", "codes"), [("mm", []), ("unknown", []), ("meter", ["nifti_units"])])
@pytest.mark.parametrize("forms", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_lengths_are_in_the_units_of_the_header_as_simpleitk_has_them(tmp_path, unit, codes, forms):
    path = written(tmp_path / "a.nii.gz", values(), codes=forms)
    image = nibabel.load(path)
    image.header.set_xyzt_units(unit, "sec")
    nibabel.save(image, path)
    volume, theirs = read_nifti(path), SimpleITK.ReadImage(str(path))
    np.testing.assert_allclose(volume.grid.spacing, theirs.GetSpacing(), rtol=1e-6)
    if forms != (0, 0):  # ITK puts voxel 0 at 0 then, nibabel the middle
        np.testing.assert_allclose(volume.grid.origin, theirs.GetOrigin(), rtol=1e-6)
    assert [f.code for f in volume.findings] == (["no_image_geometry"] if forms == (0, 0) else []) + codes
    header = read_nifti_header(path)
    np.testing.assert_allclose(header.spacing_mm, volume.grid.spacing, rtol=1e-6)
    np.testing.assert_allclose(header.affine, volume.grid.affine_ras[:3], atol=1e-6)


def test_a_label_of_micrometres_must_be_on_its_own_small_grid(tmp_path):
    paths = []
    for name, shift in (("a", 0.0), ("b", 30.0)):
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[0, 3] = shift
        image = nibabel.Nifti1Image(np.ones((5, 4, 3), np.uint8), affine)
        image.header.set_xyzt_units("micron")
        nibabel.save(image, tmp_path / f"{name}.nii")
        paths.append(tmp_path / f"{name}.nii")
    volume = read_nifti(paths[0])
    assert volume.grid.spacing == pytest.approx((0.002, 0.002, 0.002))
    assert read_nifti_mask(paths[0], volume).array.all()
    with pytest.raises(NiftiError, match="resample it first"):
        read_nifti_mask(paths[1], volume)


def patched(path, form, place, *numbers, codes=(1, 1)):
    """A file whose header is changed behind nibabel's back."""
    written(path.with_suffix(".nii"), values(), codes=codes)
    content = bytearray(path.with_suffix(".nii").read_bytes())
    struct.pack_into(form, content, place, *numbers)
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("size", [0.0, -0.8, np.nan, np.inf])
def test_voxel_sizes_that_are_none_are_refused_or_told(tmp_path, name, size):
    for codes in ((0, 0), (0, 1)):
        with pytest.raises(NiftiError, match=r"has the voxel size \(.*, 0.9, 2.5\), each must be positive"):
            read_nifti(patched(tmp_path / name, "<f", 80, size, codes=codes))
    for codes in ((1, 0), (1, 1)):
        volume = read_nifti(patched(tmp_path / name, "<f", 80, size, codes=codes))
        assert [finding.code for finding in volume.findings] == ["nifti_forms_differ"]
        np.testing.assert_allclose(volume.grid.affine_ras, AFFINE, atol=1e-6)


def test_a_voxel_size_that_is_not_the_sforms_is_told(tmp_path):
    (finding,) = read_nifti(patched(tmp_path / "a.nii", "<f", 80, 1.0, codes=(1, 0))).findings
    assert (finding.code, "pixdim says (1.0, 0.9, 2.5)" in finding.message) == ("nifti_forms_differ", True)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("form", "place", "numbers", "words"),
    [
        ("<h", 42, (0,), r"has \[0, 4, 3\] voxels"),
        ("<h", 42, (-5,), r"has \[-5, 4, 3\] voxels"),
        ("<hhh", 42, (30000, 30000, 30000), "ends 5399.* bytes before its"),
        ("<h", 40, (9,), "voxels: its header is damaged|cannot be read as NIfTI"),
        ("<ff", 112, (1.0, np.nan), "invalid intercept"),
        ("<h", 70, (4444,), "cannot be read as NIfTI"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, name, form, place, numbers, words):
    with pytest.raises(NiftiError, match=words):
        read_nifti(patched(tmp_path / name, form, place, *numbers))


@pytest.mark.parametrize(
    ("dtype", "highest", "wanted"),
    [(np.int64, 2**31 - 1, np.int32), (np.int64, 2**40, np.float64), (np.uint64, 2**40, np.float64)],
)
def test_whole_numbers_of_64_bits_become_what_stores_have(tmp_path, dtype, highest, wanted):
    array = values().astype(dtype)
    array[0, 0, 0] = highest
    image = nibabel.Nifti1Image(array, AFFINE, dtype=dtype)
    nibabel.save(image, tmp_path / "a.nii.gz")
    found = read_nifti(tmp_path / "a.nii.gz").array
    assert found.dtype == wanted
    np.testing.assert_array_equal(found.T.astype(dtype), array)
    image = nibabel.Nifti1Image((array > 50).astype(dtype), AFFINE, dtype=dtype)
    nibabel.save(image, tmp_path / "b.nii.gz")
    mask = read_nifti_mask(tmp_path / "b.nii.gz", read_nifti(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(mask["label_1"].T, array > 50)


def test_further_axes_are_channels_and_a_finding(tmp_path):
    found = read_nifti(written(tmp_path / "a.nii.gz", values((5, 4, 3, 2))))
    assert [(f.code, f.numbers["channels"]) for f in found.findings] == [("several_channels", 2)]
    path = written(tmp_path / "b.nii.gz", np.full((5, 4, 3, 2), 2, np.uint8))
    with pytest.raises(NiftiError, match="2 volumes and the value 2: channels hold 0 and 1"):
        read_nifti_mask(path, found)
