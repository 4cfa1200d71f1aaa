"""Turning and resampling, judged by where points of the patient end up and by SimpleITK on the same grids."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from medimagenet.errors import RecipeError
from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import Orient, Resample, ResampleTo
from medimagenet.preprocess.steps import space as module
from medimagenet.volume import Case, Mask, Volume

OBLIQUE = tuple(map(tuple, np.linalg.qr(np.array([[0.9, 0.2, -0.1], [-0.2, 0.95, 0.3], [0.1, -0.2, 0.9]]))[0].tolist()))
ORIENTATIONS = ["".join(letters) for axes in permutations(["LR", "PA", "SI"]) for letters in product(*axes)]


def case_on(grid, *, dtype=np.int16, unit="HU", mask=True, **others):
    array = np.random.default_rng(1).integers(-1000, 2000, grid.shape).astype(dtype)
    region = array[None] > 500
    return Case(
        sample_id="s",
        patient_id="p",
        images={"CT": Volume(array, grid, unit=unit), **others},
        mask=Mask(region, grid, ("a",)) if mask else None,
    )


def by_sitk(volume, target, interpolator, fill=0.0, dtype=np.float64):
    image = Volume(volume.array.astype(dtype), volume.grid).to_sitk()
    reference = Volume(np.zeros(target.shape, np.uint8), target).to_sitk()
    return sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), interpolator, fill))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_moves_no_voxel_in_the_patient(orientation):
    grid = Grid((5, 4, 3), (1.0, 1.5, 3.0), (-10.0, 20.0, 30.0), OBLIQUE)
    case = case_on(grid)
    turned = Orient(orientation=orientation)(case)
    image = turned.images["CT"]
    assert image.grid.orientation == orientation
    assert image.array.flags.c_contiguous
    for z, y, x in np.ndindex(grid.shape):
        i, j, k = np.rint(image.grid.to_index(grid.to_patient((x, y, z)))).astype(int)
        assert image.array[k, j, i] == case.images["CT"].array[z, y, x]
        assert turned.mask["a"][k, j, i] == case.mask["a"][z, y, x]


def test_turning_agrees_with_simpleitk():
    grid = Grid((5, 4, 3), (1.0, 1.5, 3.0), (-10.0, 20.0, 30.0)).turned((2, 0, 1), (True, False, True))
    case = case_on(grid)
    theirs = sitk.DICOMOrient(case.images["CT"].to_sitk(), "LPS")
    ours = Orient()(case).images["CT"]
    np.testing.assert_array_equal(ours.array, sitk.GetArrayFromImage(theirs))
    assert ours.grid.is_close(Volume.from_sitk(theirs).grid, tolerance_mm=1e-9)


@pytest.mark.parametrize("direction", [((1, 0, 0), (0, 1, 0), (0, 0, 1)), OBLIQUE], ids=["upright", "oblique"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_resampling_agrees_with_simpleitk(dtype, direction):
    grid = Grid((12, 11, 6), (0.977, 0.977, 3.0), (-100.0, -90.0, 40.0), direction)
    case = case_on(grid, dtype=dtype)
    found = Resample(spacing=(1.1, 0.8, 2.0))(case)
    image = found.images["CT"]
    assert image.grid.spacing == (1.1, 0.8, 2.0)
    assert image.array.dtype == dtype
    exact = by_sitk(case.images["CT"], image.grid, sitk.sitkLinear, fill=np.nan)
    inner = np.isfinite(exact)  # beyond half a voxel SimpleITK has no value, and we continue the edge
    assert inner.mean() > 0.8
    tolerance = 1e-3 if dtype == np.float32 else 0.5 + 1e-3
    assert np.abs(image.array - exact)[inner].max() <= tolerance
    region = by_sitk(Volume(case.mask["a"].astype(np.uint8), grid), image.grid, sitk.sitkNearestNeighbor, fill=np.nan)
    assert (found.mask["a"] != region)[inner].mean() < 1e-3  # ties
    assert found.mask.grid == image.grid


def test_a_mask_by_linear_is_above_one_half_of_simpleitk():
    grid = Grid((12, 11, 6), (0.977, 0.977, 3.0))
    case = case_on(grid)
    found = Resample(spacing=(0.7, 0.8, 1.3), mask_interpolation="linear")(case)
    share = by_sitk(Volume(case.mask["a"].astype(np.uint8), grid), found.mask.grid, sitk.sitkLinear, fill=np.nan)
    settled = np.isfinite(share) & (np.abs(share - 0.5) > 1e-6)
    np.testing.assert_array_equal(found.mask["a"][settled], share[settled] > 0.5)


def test_cubic_is_the_spline_of_simpleitk():
    grid = Grid((12, 11, 9), (0.977, 0.977, 3.0))
    case = case_on(grid, mask=False)
    found = Resample(spacing=(0.7, 0.8, 1.3), interpolation="cubic")(case).images["CT"]
    exact = by_sitk(case.images["CT"], found.grid, sitk.sitkBSpline, fill=np.nan)[:-2, :-1, :-1]  # to the last centre
    assert np.abs(found.array[:-2, :-1, :-1] - exact).max() <= 0.51  # rounded


def test_cubic_becomes_linear_where_a_voxel_is_nan():
    grid = Grid((6, 5, 4), (1.0, 1.0, 3.0))
    case = case_on(grid, dtype=np.float32, mask=False)
    case.images["CT"].array[0, 0, 0] = np.nan
    found, linear = (Resample(spacing=(1, 1, 1), interpolation=each)(case) for each in ("cubic", "linear"))
    np.testing.assert_array_equal(found.images["CT"].array, linear.images["CT"].array)
    assert found.provenance[-1]["interpolation_used"] == "linear"


@pytest.mark.parametrize("spacing", [(0.977, 0.977, 3.27), (1.0, 2.0, 3.0)])
def test_grids_of_one_direction_map_without_rounding(spacing):
    grid = Grid((512, 512, 100), spacing, (-249.51, -460.51, 33.3), OBLIQUE)
    matrix, offset = module.index_map(grid, grid.with_spacing([2 * each for each in spacing]))
    assert (matrix == np.eye(3) * 2).all()
    assert (offset == 0).all()


def test_none_keeps_an_axis():
    grid = Grid((8, 8, 4), (1.0, 1.0, 3.0))
    case = case_on(grid)
    kept = Resample(spacing=(None, 1.0, None))(case)
    assert kept.images["CT"] is case.images["CT"]
    halved = Resample(spacing=(2.0, None, None))(case).images["CT"]
    np.testing.assert_array_equal(halved.array[..., :4], case.images["CT"].array[..., ::2])


def test_a_ball_keeps_its_volume():
    radius, grid = 9.0, Grid((30, 30, 12), (1.0, 1.0, 2.5))
    points = grid.to_patient(np.moveaxis(np.indices(grid.shape)[::-1], 0, -1))
    ball = (np.linalg.norm(points - np.array([14.5, 14.5, 13.75]), axis=-1) <= radius)[None]
    case = Case(
        sample_id="s",
        patient_id="p",
        images={"CT": Volume(ball[0].astype(np.int16), grid)},
        mask=Mask(ball, grid, ("ball",)),
    )
    found = Resample(spacing=(0.8, 0.8, 0.8), mask_interpolation="linear")(case)
    assert found.mask.volumes_mm3()["ball"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)


def test_one_slice_stays_one_slice():
    case = case_on(Grid((6, 6, 1), (1.0, 1.0, 5.0)))
    assert Resample(spacing=(2.0, 2.0, 1.0))(case).images["CT"].array.shape == (1, 3, 3)


def test_channels_are_resampled_one_by_one():
    grid, finer = Grid((6, 5, 4)), (0.5, 0.5, 0.5)
    array = np.random.default_rng(2).random((2, *grid.shape)).astype(np.float32)
    case = Case(sample_id="s", patient_id="p", images={"MR": Volume(array, grid)})
    both = Resample(spacing=finer)(case).images["MR"].array
    for channel, found in zip(array, both, strict=True):
        alone = Case(sample_id="s", patient_id="p", images={"MR": Volume(channel, grid)})
        np.testing.assert_array_equal(found, Resample(spacing=finer)(alone).images["MR"].array)


@pytest.mark.parametrize("direction", [((1, 0, 0), (0, 1, 0), (0, 0, 1)), OBLIQUE], ids=["aligned", "oblique"])
def test_another_image_comes_onto_the_leading_grid_as_in_simpleitk(direction):
    grid = Grid((12, 11, 6), (1.0, 1.0, 3.0), (-6.0, -5.0, -9.0))
    other = Grid((7, 7, 9), (1.5, 1.5, 2.0), (-4.0, -5.0, -8.0), direction)
    pet = Volume(np.random.default_rng(4).random(other.shape).astype(np.float32) * 20, other, unit="SUVbw g/ml")
    found = ResampleTo(image="PT")(case_on(grid, PT=pet)).images["PT"]
    assert found.grid == grid
    theirs = by_sitk(pet, grid, sitk.sitkLinear, fill=0.0)
    assert (theirs == 0).any()
    np.testing.assert_allclose(found.array, theirs, rtol=0, atol=1e-4)


def test_a_turned_image_takes_the_separable_way_and_agrees(monkeypatch):
    grid = Grid((12, 11, 6), (1.0, 1.0, 3.0), (-6.0, -5.0, -9.0))
    other = Grid((7, 7, 9), (1.5, 1.5, 2.0), (-4.3, -5.1, -8.2)).turned((1, 2, 0), (True, False, True))
    pet = Volume(np.random.default_rng(4).random(other.shape).astype(np.float32), other)
    maps = []
    monkeypatch.setattr(module, "resample", lambda *a, **k: maps.append(a[1]) or np.zeros(a[3], np.float32))
    ResampleTo(image="PT")(case_on(grid, PT=pet))
    assert (maps[0] == np.diag(maps[0].diagonal())).all()
    monkeypatch.undo()
    found = ResampleTo(image="PT")(case_on(grid, PT=pet)).images["PT"]
    np.testing.assert_allclose(found.array, by_sitk(pet, grid, sitk.sitkLinear), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "unit", "dtype", "given", "outside"),
    [
        ("PT", "SUVbw g/ml", np.float32, None, 0.0),
        ("MR", None, np.uint16, None, 0.0),
        ("LOWDOSE", "HU", np.int16, None, -1024.0),
        ("LOWDOSE", "HU", np.uint8, None, 0.0),  # the nearest value that the type holds
        ("MR", None, np.int16, -5.0, -5.0),
    ],
)
def test_what_lies_outside(name, unit, dtype, given, outside):
    far = Volume(np.full((3, 3, 3), 9, dtype), Grid((3, 3, 3), origin=(500.0, 0.0, 0.0)), unit=unit)
    found = ResampleTo(image=name, fill=given)(case_on(Grid((4, 4, 4)), **{name: far}))
    assert (found.images[name].array == outside).all()


def test_an_image_already_there_is_left_alone():
    grid = Grid((4, 4, 4))
    pet = Volume(np.zeros(grid.shape, np.float32), grid)
    assert ResampleTo(image="PT")(case_on(grid, PT=pet)).images["PT"] is pet


def test_a_gigantic_grid_is_refused_with_its_size():
    case = case_on(Grid((500, 500, 2), (1.0, 1.0, 3.0)), mask=False)
    with pytest.raises(RecipeError, match=r"would give \(49901, 49901, 301\) = 7.5e\+11 voxels"):
        Resample(spacing=(0.01, 0.01, 0.01))(case)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"\(1, 0, 1\)"):
        Resample(spacing=(1, 0, 1))
    with pytest.raises(ValueError, match="no image 'PT'; there are CT"):
        ResampleTo(image="PT")(case_on(Grid((2, 2, 2))))
    image = Volume(np.zeros((2, 2, 2), np.int16), Grid((2, 2, 2)))
    astray = Mask(np.zeros((1, 2, 2, 2), bool), Grid((2, 2, 2), origin=(5, 0, 0)), ("a",))
    with pytest.raises(ValueError, match="on the grid of the leading image"):
        Resample(spacing=(0.5, 0.5, 0.5))(Case(sample_id="s", patient_id="p", images={"CT": image}, mask=astray))


def balls(grid, middle):
    """Two balls of 7 and 6 mm that touch."""
    z, y, x = np.ogrid[: grid.size[2], : grid.size[1], : grid.size[0]]
    middles = middle, middle + np.array([0, 0, 14])
    squares = [sum(((i - c) * 0.9) ** 2 for i, c in zip((z, y, x), each, strict=True)) for each in middles]
    return np.stack([squares[0] <= 49, (squares[1] <= 36) & (squares[0] > 49)])


@pytest.mark.parametrize("interpolation", ["linear", "largest"])
def test_shares_keep_volumes_on_average(interpolation):
    grid = Grid((50, 42, 42), (0.9, 0.9, 0.9))
    image, ratios = {"CT": Volume(np.zeros(grid.shape, np.int16), grid, unit="HU")}, []
    for shift in np.random.default_rng(5).uniform(0, 2.2, (8, 3)):
        mask = Mask(balls(grid, 19 + shift), grid, ("a", "b"))
        case = Case(sample_id="s", patient_id="p", images=image, mask=mask)
        found = Resample(spacing=(2.0, 2.0, 2.0), mask_interpolation=interpolation)(case).mask
        assert found.grid.spacing == (2.0, 2.0, 2.0) and found.names == ("a", "b") and found.array.dtype == bool
        assert found.overlap_voxels() == 0
        ratios.append([found.volumes_mm3()[name] / volume for name, volume in mask.volumes_mm3().items()])
    assert np.mean(ratios, axis=0) == pytest.approx([1, 1], abs=0.04)


def test_filtered_images_hold_no_pattern_that_was_not_there():
    grid = Grid((60, 8, 4), (1.0, 1.0, 1.0))
    stripes = np.broadcast_to(np.where(np.arange(60) % 2, 1000, -1000).astype(np.int16), grid.shape)
    case = Case(sample_id="s", patient_id="p", images={"CT": Volume(stripes.copy(), grid, unit="HU")})
    picked, filtered = (Resample(spacing=(4, 1, 1), antialias=each)(case).images["CT"].array for each in (False, True))
    assert np.abs(picked).max() == 1000
    assert np.abs(filtered[..., 3:-3]).max() < 10
    other = Case(sample_id="s", patient_id="p", images={"CT": picked_volume(grid), "PT": case.images["CT"]})
    moved = ResampleTo(image="PT", antialias=True)(other).images["PT"].array
    assert np.abs(moved[..., 3:-3]).max() < 10


def picked_volume(grid):
    coarse = grid.with_spacing((4.0, None, None))
    return Volume(np.zeros(coarse.shape, np.int16), coarse, unit="HU")
