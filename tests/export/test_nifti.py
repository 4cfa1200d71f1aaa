"""write_nifti against nibabel and SimpleITK, which read what it wrote."""

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medimagenet.errors import ExportError
from medimagenet.export.nifti import DATATYPES, LONGEST_AXIS, write_nifti
from medimagenet.geometry import Grid

lengths = st.floats(0.1, 12.0)
places = st.floats(-900.0, 900.0)
angles = st.tuples(*[st.floats(-180, 180)] * 3)


@st.composite
def grids(draw):
    direction = Rotation.from_euler("xyz", draw(angles), degrees=True).as_matrix()
    direction = direction[:, draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    size = draw(st.tuples(*[st.integers(1, 5)] * 3))
    return Grid(size, draw(st.tuples(*[lengths] * 3)), draw(st.tuples(*[places] * 3)), direction)


def voxels(grid, dtype, seed=0, channels=()):
    values = np.random.default_rng(seed).uniform(0, 100, (*channels, *grid.shape))
    return values.astype(dtype)


@settings(max_examples=40)
@given(grids(), st.sampled_from(sorted(DATATYPES)), st.booleans())
def test_nibabel_reads_the_same_voxels_at_the_same_place(tmp_path_factory, grid, dtype, compressed):
    path = tmp_path_factory.mktemp("nifti") / ("a.nii.gz" if compressed else "a.nii")
    array = voxels(grid, dtype)
    write_nifti(path, array, grid)
    image = nibabel.load(path)
    assert image.get_data_dtype() == array.dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, array)
    for affine, code in (image.get_sform(coded=True), image.get_qform(coded=True)):
        assert code == 1
        # float32 of 900 mm; of half a turn float32 quaternions lose the square root of their precision
        np.testing.assert_allclose(affine, grid.affine_ras, atol=2e-3 * max(1.0, *grid.spacing))
    assert image.header.get_xyzt_units()[0] == "mm"


@settings(max_examples=15)
@given(grids())
def test_itk_takes_the_same_grid_from_the_qform(tmp_path_factory, grid):
    path = tmp_path_factory.mktemp("nifti") / "a.nii.gz"
    array = voxels(grid, np.int16)
    write_nifti(path, array, grid)
    image = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), array)
    np.testing.assert_allclose(image.GetDirection(), np.ravel(grid.direction), atol=1e-5)
    np.testing.assert_allclose(image.GetSpacing(), grid.spacing, rtol=1e-6)
    np.testing.assert_allclose(image.GetOrigin(), grid.origin, atol=1e-3)


def test_channels_become_the_fourth_axis(tmp_path):
    grid = Grid((4, 3, 2))
    array = voxels(grid, np.float32, channels=(5,))
    write_nifti(tmp_path / "a.nii.gz", array, grid)
    read = np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj)
    assert read.shape == (4, 3, 2, 5)
    np.testing.assert_array_equal(read.transpose(3, 2, 1, 0), array)


def test_an_array_in_any_memory_order_is_written_as_it_is_indexed(tmp_path):
    grid = Grid((4, 3, 2))
    array = np.asfortranarray(voxels(grid, ">i2"))[:, ::-1]
    write_nifti(tmp_path / "a.nii", array, grid)
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "a.nii").dataobj).T, array)


def test_masks_are_uint8_of_0_and_1(tmp_path):
    grid = Grid((4, 3, 2))
    mask = voxels(grid, np.int16) > 50
    write_nifti(tmp_path / "a.nii.gz", mask, grid)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, mask)


def test_equal_input_gives_equal_bytes(tmp_path):
    grid = Grid((40, 30, 20))
    for name in ("a", "b"):
        write_nifti(tmp_path / f"{name}.nii.gz", voxels(grid, np.int16), grid)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "level", "words"),
    [
        ("a.nrrd", (2, 3, 4), np.int16, 1, r"ends in \.nii\.gz or \.nii, got a\.nrrd"),
        ("a.nii", (4, 3, 2), np.int16, 1, r"\(2, 3, 4\).*got \(4, 3, 2\)"),
        ("a.nii", (2, 3, 4), np.complex64, 1, "complex64"),
        ("a.nii.gz", (2, 3, 4), np.int16, 7, "level must be 0, 1, 2 or 3, got 7"),
    ],
)
def test_what_nifti_lacks_is_refused(tmp_path, name, shape, dtype, level, words):
    with pytest.raises(ValueError, match=words):
        write_nifti(tmp_path / name, np.zeros(shape, dtype), Grid((4, 3, 2)), level=level)
    assert list(tmp_path.iterdir()) == []


def test_an_axis_beyond_int16_is_refused(tmp_path):
    size = LONGEST_AXIS + 1
    with pytest.raises(ValueError, match=str(size)):
        write_nifti(tmp_path / "a.nii", np.zeros((1, 1, size), np.uint8), Grid((size, 1, 1)))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match=r"cannot write .*a\.nii"):
        write_nifti(tmp_path / "file" / "a.nii", np.zeros((2, 3, 4), np.uint8), Grid((4, 3, 2)))


@pytest.mark.parametrize(
    ("unit", "said"),
    [(None, "medimagenet"), ("SUVbw g/ml", "medimagenet, voxels in SUVbw g/ml"), ("Bq/ml" * 30, None)],
)
def test_the_unit_is_told_in_the_field_for_words(tmp_path, unit, said):
    write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), np.float32), Grid((4, 3, 2)), unit=unit)
    found = nibabel.load(tmp_path / "a.nii.gz").header["descrip"].item().decode()
    assert found == said if said else len(found) == 79
