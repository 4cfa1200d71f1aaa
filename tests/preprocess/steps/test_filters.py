"""Steps that go through SimpleITK and MONAI, against the same filters called by hand and against known fields."""

import monai.transforms
import numpy as np
import pytest
import SimpleITK

from medimagenet.geometry import Grid
from medimagenet.preprocess.steps import Denoise, MonaiTransform, N4BiasCorrection, SimpleItkFilter
from medimagenet.volume import Case, Volume

GRID = Grid((24, 20, 16), (2.0, 2.0, 3.0))


def case(array, name="MR", grid=GRID):
    return Case(sample_id="s", patient_id="p", images={name: Volume(array, grid)})


def noisy(seed=0):
    return np.random.default_rng(seed).normal(100, 10, GRID.shape).astype(np.float32)


def test_n4_takes_a_planted_field_out():
    """A two-valued body times a smooth field: what is left varies far less within each value."""
    _, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    body = np.where(x**2 + y**2 < 0.8, np.where(x < 0, 200.0, 300.0), 0.0)
    biased = (body * np.exp(0.4 * (x + 0.5 * y**2))).astype(np.float32)
    result = N4BiasCorrection(shrink=2)(case(biased))
    corrected = result.images["MR"].array
    for value in (200.0, 300.0):
        inside = body == value
        before, after = (array[inside].std() / array[inside].mean() for array in (biased, corrected))
        assert after < 0.5 * before
    entry = result.provenance[-1]
    assert (entry["step"], entry["shrink"]) == ("N4BiasCorrection", 2)
    assert entry["bias_range"][0] < 1 < entry["bias_range"][1]


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_n4_leaves_an_image_without_contrast_and_says_so(value):
    flat = np.full(GRID.shape, value, np.float32)
    result = N4BiasCorrection()(case(flat))
    assert result.images["MR"].array is flat
    assert [finding.code for finding in result.all_findings()] == ["step_not_applied"]


@pytest.mark.parametrize(("slices", "codes"), [(1, ["step_not_applied"]), (2, []), (5, [])])
def test_n4_bears_few_slices_and_leaves_a_single_one(slices, codes):
    grid = Grid((24, 20, slices))
    array = np.random.default_rng(0).uniform(1, 50, grid.shape).astype(np.float32)
    result = N4BiasCorrection()(case(array, grid=grid))
    assert np.isfinite(result.images["MR"].array).all()
    assert [finding.code for finding in result.all_findings()] == codes


def by_hand(array, function):
    return SimpleITK.GetArrayFromImage(function(Volume(array, GRID).to_sitk()))


def curvature_flow(image):
    return SimpleITK.Cast(SimpleITK.CurvatureFlow(image, 0.0625, 3), SimpleITK.sitkFloat32)


@pytest.mark.parametrize(
    ("step", "function"),
    [
        (Denoise(image="MR", method="median", strength=1), lambda image: SimpleITK.Median(image, [1, 1, 1])),
        (Denoise(image="MR", method="gaussian", strength=2), lambda image: SimpleITK.DiscreteGaussian(image, 4.0)),
        (Denoise(image="MR", strength=3), curvature_flow),
        (
            SimpleItkFilter(image="MR", filter="MedianImageFilter", settings={"Radius": [2, 1, 0]}),
            lambda image: SimpleITK.Median(image, [2, 1, 0]),
        ),
    ],
)
def test_filters_are_those_of_simpleitk(step, function):
    array = noisy()
    result = step(case(array))
    np.testing.assert_array_equal(result.images["MR"].array, by_hand(array, function))
    assert result.images["MR"].grid == GRID
    assert result.provenance[-1]["step"] == type(step).__name__


@pytest.mark.parametrize("method", ["curvature", "gaussian"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float64])
def test_what_smooths_gives_float32(method, dtype):
    found = Denoise(image="MR", method=method)(case(noisy().astype(dtype))).images["MR"].array
    assert found.dtype == np.float32


def test_channels_are_filtered_one_by_one():
    array = np.stack([noisy(1), noisy(2)])
    result = Denoise(image="MR", method="median")(case(array)).images["MR"].array
    for channel, source in zip(result, array, strict=True):
        np.testing.assert_array_equal(channel, by_hand(source, lambda image: SimpleITK.Median(image, [1, 1, 1])))


def test_a_median_of_hounsfield_units_stays_whole():
    array = noisy().astype(np.int16)
    assert Denoise(image="CT", method="median")(case(array, "CT")).images["CT"].array.dtype == np.int16


def test_monai_transforms_see_x_y_z():
    array = noisy()
    step = MonaiTransform(image="MR", transform="GaussianSmooth", settings={"sigma": (3.0, 0.5, 1.0)})
    wanted = monai.transforms.GaussianSmooth(sigma=(3.0, 0.5, 1.0))(array.transpose(2, 1, 0)[np.newaxis])
    np.testing.assert_allclose(
        step(case(array)).images["MR"].array, np.asarray(wanted)[0].transpose(2, 1, 0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: N4BiasCorrection(shrink=0), "shrink=0"),
        (lambda: Denoise(image="MR", strength=-1), "-1"),
        (lambda: Denoise(image="MR", method="magic"), "'magic'"),
        (lambda: SimpleItkFilter(image="MR", filter="ReadImage"), "no image filter 'ReadImage'"),
        (
            lambda: SimpleItkFilter(image="MR", filter="MedianImageFilter", settings={"Size": 1}),
            "'Size'; it has .*Radius",
        ),
        (lambda: MonaiTransform(image="MR", transform="RandFlip"), "RandFlip is random"),
        (lambda: MonaiTransform(image="MR", transform="Magic")(case(noisy())), "no transform 'Magic'"),
        (lambda: Denoise(image="PT")(case(noisy())), "no image 'PT'; there are MR"),
        (
            lambda: SimpleItkFilter(image="MR", filter="ShrinkImageFilter", settings={"ShrinkFactors": [2, 2, 2]})(
                case(noisy())
            ),
            "changes the grid",
        ),
        (
            lambda: MonaiTransform(image="MR", transform="SpatialPad", settings={"spatial_size": 40})(case(noisy())),
            "changes the shape",
        ),
    ],
)
def test_wrong_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_n4_tells_how_far_it_is_and_gives_the_same():
    array = np.random.default_rng(2).uniform(50, 100, (2, *GRID.shape)).astype(np.float32)
    given = case(array)
    told = []
    step = N4BiasCorrection(shrink=2, iterations=(3, 2))
    result = step(given, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {10}
    dones = [done for done, _ in told]
    assert dones == sorted(dones)
    assert dones[-1] == 10
    assert 5 in dones
    assert len(set(dones)) > 4
    np.testing.assert_array_equal(result.images["MR"].array, step(given).images["MR"].array)
