"""CropPad against NumPy's pad; grids of other images against SimpleITK."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from medimagenet.errors import RecipeError
from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import CropPad, ToCtGrid, ToPetGrid
from medimagenet.volume import Case, Mask, Volume

GRID = Grid((6, 5, 4), (1.0, 2.0, 3.0), (10.0, 20.0, 30.0))
lengths = st.one_of(st.none(), st.integers(1, 9))


def case():
    random = np.random.default_rng(0)
    images = {
        "CT": Volume(random.integers(-1000, 1000, GRID.shape).astype(np.int16), GRID, "HU"),
        "PT": Volume(random.random(GRID.shape).astype(np.float32), GRID),
    }
    mask = Mask(random.random((2, *GRID.shape)) > 0.5, GRID, ("a", "b"))
    return Case(sample_id="s", patient_id="p", images=images, mask=mask)


def cut(array, size, fill):
    """Pad by more than enough with NumPy, then cut: the middle of `size` (z, y, x)."""
    n = array.shape[-3:]
    padded = np.pad(array, [(0, 0)] * (array.ndim - 3) + [(20, 20)] * 3, constant_values=fill)
    start = [20 + (own - wanted) // 2 for own, wanted in zip(n, size, strict=True)]
    z, y, x = (slice(a, a + wanted) for a, wanted in zip(start, size, strict=True))
    return padded[..., z, y, x]


@given(st.tuples(lengths, lengths, lengths))
def test_the_middle_stays_and_the_rest_is_air(size):
    before, after = case(), CropPad(size=size)(case())
    x, y, z = (own if n is None else n for n, own in zip(size, GRID.size, strict=True))
    np.testing.assert_array_equal(after.images["CT"].array, cut(before.images["CT"].array, (z, y, x), -1024))
    np.testing.assert_array_equal(after.images["PT"].array, cut(before.images["PT"].array, (z, y, x), 0))
    np.testing.assert_array_equal(after.mask.array, cut(before.mask.array, (z, y, x), False))
    grid = after.images["CT"].grid
    assert grid.size == (x, y, z)
    start = after.provenance[-1]["pad_start"]
    np.testing.assert_allclose(grid.to_patient([0, 0, 0]), GRID.to_patient(start))
    assert after.mask.grid == grid


def test_a_gigantic_size_is_refused_with_the_figure():
    with pytest.raises(RecipeError, match=r"1e\+12 voxels, more than the limit of 2e\+09"):
        CropPad(size=(10_000, 10_000, 10_000))(case())


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"\(0, 5, 5\)"):
        CropPad(size=(0, 5, 5))


@pytest.mark.parametrize(("step", "lead", "other"), [(ToPetGrid(), "PT", "CT"), (ToCtGrid(), "CT", "PT")])
def test_all_come_onto_the_grid_of_one(step, lead, other):
    start = case()
    far = Grid((4, 6, 5), (1.5, 1.5, 2.0), (10.5, 20.5, 31.0))
    pet = Volume(np.random.default_rng(2).random(far.shape).astype(np.float32), far)
    images = {"CT": start.images["CT"], "PT": pet}
    result = step(Case(sample_id="s", patient_id="p", images=images, mask=start.mask))
    target = images[lead].grid
    assert list(result.images) == ["CT", "PT"]
    assert all(image.grid == target for image in result.images.values())
    assert result.mask.grid == target
    assert result.images[lead] is images[lead]
    source, reference = images[other].to_sitk(), images[lead].to_sitk()
    resampled = SimpleITK.Resample(SimpleITK.Cast(source, SimpleITK.sitkFloat32), reference, SimpleITK.Transform())
    inside = slice(1, -1)
    found, wanted = result.images[other].array, SimpleITK.GetArrayFromImage(resampled)
    np.testing.assert_allclose(found[inside, inside, inside], wanted[inside, inside, inside], atol=0.51)


def test_an_absent_image_is_named():
    with pytest.raises(ValueError, match="no image 'PT'"):
        ToPetGrid()(Case(sample_id="s", patient_id="p", images={"CT": case().images["CT"]}))
