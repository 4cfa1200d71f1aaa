"""The whole of a recipe on small cases: what comes out is on one grid, and says how it came about."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
import SimpleITK as sitk

import medimagenet.preprocess as package
from medimagenet.errors import GridTooLargeError, RecipeError
from medimagenet.geometry import Grid
from medimagenet.preprocess import Recipe, preprocess, steps_of
from medimagenet.preprocess.pipeline import check_size
from medimagenet.preprocess.steps import CropBody, CropNonzero, crop_box
from medimagenet.volume import Case, Mask, Normalization, Volume

CT = Grid((20, 18, 10), (1.0, 1.0, 3.0), (-10.0, 9.0, 20.0), ((1, 0, 0), (0, -1, 0), (0, 0, -1)))  # upside down
PT = Grid((14, 14, 16), (2.0, 2.0, 2.2), (-12.0, -12.0, -10.0))


def case_of(**changes):
    inside = np.linalg.norm((np.indices(CT.shape) - 5).T * [2, 1, 1], axis=-1).T < 5
    regions = np.stack([inside, np.roll(inside, 6, axis=2)])
    fields = {
        "images": {
            "CT": Volume(np.where(inside, 60, -1000).astype(np.int16), CT, "HU"),
            "PT": Volume(np.indices(PT.shape).sum(axis=0, dtype=np.float32), PT, "SUVbw g/ml"),
        },
        "mask": Mask(regions, CT, ("GTV-1", "Lung")),
        **changes,
    }
    return Case(sample_id="s", patient_id="p", **fields)


def recipe_of(**changes):
    values = {
        "name": "r",
        "modalities": ["CT", "PT", "RTSTRUCT"],
        "rois": {"tumour": ["gtv.*"], "lung": ["lung"]},
        "spacing": [1.5, None, 1.5],
        "images": {
            "CT": {"normalize": {"kind": "window", "low": -160, "high": 240}},
            "PT": {"normalize": {"kind": "zscore"}},
        },
        "crop": {"kind": "mask", "margin_mm": 2},
        **changes,
    }
    return Recipe.from_dict({key: value for key, value in values.items() if value is not None})


def test_everything_is_on_the_leading_grid():
    found = preprocess(case_of(), recipe_of())
    image, pet, mask = found.images["CT"], found.images["PT"], found.mask
    assert image.grid.orientation == "LPS"
    assert image.grid.spacing == (1.5, 1.0, 1.5)
    assert image.grid == pet.grid == mask.grid
    assert (image.array.dtype, pet.array.dtype, mask.array.dtype) == (np.int16, np.float32, np.bool_)
    assert mask.names == ("tumour", "lung")
    assert image.normalization == Normalization(low=-160, high=240, subtract=-160, divide=400)


def test_an_image_may_stay_on_its_own_grid():
    """Turned by whole axes; its statistics are those of the scan, and the others are as they were without it."""
    case = case_of()
    pet = {"PT": {"grid": "own", "normalize": {"kind": "zscore"}}}
    found = preprocess(case, recipe_of(images=pet))
    assert list(found.images) == ["CT", "PT"]
    alone, scan = found.images["PT"], case.images["PT"]
    assert alone.grid.orientation == "LPS"
    assert alone.grid.spacing != found.images["CT"].grid.spacing
    assert sorted(alone.array.ravel().tolist()) == sorted(scan.array.ravel().tolist())
    assert alone.normalization.subtract == pytest.approx(scan.array.mean(dtype=np.float64), rel=1e-6)
    for index in ((0, 0, 0), (3, 2, 1)):
        x, y, z = np.rint(alone.grid.to_index(scan.grid.to_patient(index))).astype(int)
        assert alone.array[z, y, x] == scan.array[index[::-1]]
    others = preprocess(case_of(), recipe_of(modalities=["CT", "RTSTRUCT"], images=None))
    np.testing.assert_array_equal(found.images["CT"].array, others.images["CT"].array)
    assert [entry["step"] for entry in found.provenance if entry.get("image") == "PT"] == [
        "CheckFinite", "Orient", "Normalize",
    ]  # fmt: skip


def test_a_point_of_the_patient_keeps_its_class_and_value():
    found = preprocess(case_of(), recipe_of())
    for name, index in (("tumour", (5, 5, 5)), ("lung", (11, 5, 5))):
        x, y, z = np.rint(found.mask.grid.to_index(CT.to_patient(index))).astype(int)
        assert found.mask[name][z, y, x]
    x, y, z = np.rint(found.mask.grid.to_index(CT.to_patient((5, 5, 5)))).astype(int)
    assert found.images["CT"].array[z, y, x] == 60


def test_provenance_is_the_steps_in_order_as_json():
    recipe = recipe_of()
    found = preprocess(case_of(), recipe)
    names = [entry["step"] for entry in found.provenance]
    assert names == [type(step).__name__ for step in steps_of(recipe)]
    expected = "CheckFinite SelectRois Orient Resample ResampleTo CropMask CheckMask Normalize Normalize"
    assert names == expected.split()
    assert json.loads(json.dumps(found.provenance)) == list(found.provenance)


def test_the_crop_leads_back_to_the_grid_before_it():
    recipe = recipe_of()
    whole = preprocess(case_of(), recipe_of(crop={"kind": "none"}))
    found = preprocess(case_of(), recipe)
    start, size = crop_box(found.provenance)
    assert found.mask.grid == whole.mask.grid.crop(start, size)
    assert crop_box(whole.provenance) is None


def test_images_that_no_one_asked_for_are_left_out():
    found = preprocess(case_of(), recipe_of(modalities=["CT", "RTSTRUCT"], images=None))
    assert list(found.images) == ["CT"]


def test_a_case_without_annotation_passes():
    found = preprocess(case_of(mask=None), recipe_of(crop=None))
    assert found.mask is None
    assert found.all_findings() == ()


def test_the_same_case_gives_the_same_bits():
    one, two = (preprocess(case_of(), recipe_of()) for _ in range(2))
    assert one.images["PT"].array.tobytes() == two.images["PT"].array.tobytes()
    assert one.provenance == two.provenance


@pytest.mark.parametrize(
    ("changes", "recipe", "codes", "action"),
    [
        ({}, {"rois": {"heart": ["heart"]}, "crop": None}, ["roi_matches_nothing"], "skip"),
        (
            {},
            {"rois": {"heart": ["heart"]}, "crop": None, "on_missing_class": "empty"},
            ["roi_matches_nothing"],
            "keep",
        ),
        ({}, {"rois": {"heart": ["heart"]}, "crop": None, "on_missing_class": "fail"}, ["roi_matches_nothing"], "fail"),
        (
            {},
            {"rois": {"a": ["lung"], "b": ["lung"]}, "label": "map"},
            ["roi_in_several_classes", "overlapping_classes"],
            "keep",
        ),
    ],
)
def test_what_is_unusual_is_found(changes, recipe, codes, action):
    chosen = recipe_of(**recipe)
    found = preprocess(case_of(**changes), chosen).all_findings()
    assert [finding.code for finding in found] == codes
    assert chosen.action(found) == action


def test_voxels_that_are_not_finite_skip_the_sample():
    case = case_of()
    case.images["PT"].array[3, 3, 3] = np.nan
    found = preprocess(case, recipe_of())
    assert [finding.code for finding in found.all_findings()] == ["not_finite"]
    assert recipe_of().action(found.all_findings()) == "skip"
    assert recipe_of(findings={"not_finite": "keep"}).action(found.all_findings()) == "keep"


def test_a_region_lost_between_coarse_voxels_is_an_empty_mask():
    regions = np.zeros((2, *CT.shape), bool)
    regions[0, 5, 5, 5] = True
    regions[1, 4:8, 4:12, 4:12] = True
    found = preprocess(case_of(mask=Mask(regions, CT, ("gtv", "lung"))), recipe_of(spacing=[4, 4, 4]))
    assert [finding.code for finding in found.all_findings()] == ["empty_mask"]


def test_an_image_that_is_missing_is_named():
    case = case_of(images={"PT": case_of().images["PT"]})
    with pytest.raises(ValueError, match="recipe 'r' needs CT; the case has PT"):
        preprocess(case, recipe_of())


def test_public_names_are_sorted_and_bound():
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
    assert set(dir(package)) == set(package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = package.absent


def test_a_recipe_needs_no_compiler():
    code = (
        "import sys; from medimagenet.preprocess import Recipe; Recipe.from_yaml('{name: a, modalities: [CT]}');"
        "print([name for name in ('numba', 'SimpleITK', 'pydicom', 'torch') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.realdata
def test_a_real_patient_comes_out_as_simpleitk_resamples_him(realdata):
    folder = realdata / "sts_reference" / "STS_001"
    images = {
        name: Volume.from_sitk(sitk.ReadImage(str(folder / f"{file}_image.nii.gz")))
        for name, file in (("CT", "CT"), ("PT", "PET"))
    }
    images["CT"] = images["CT"].with_array(images["CT"].array.astype(np.int16))
    region = Volume.from_sitk(sitk.ReadImage(str(folder / "CT_mask.nii.gz")))
    mask = Mask(region.array[np.newaxis] > 0, region.grid, ("GTV_Mass_CT",))
    case = Case(sample_id="s", patient_id="p", images=images, mask=mask)
    recipe = recipe_of(rois={"gtv": ["gtv.*"]}, spacing=[2, 2, None], crop={"kind": "mask", "margin_mm": 30})

    found = preprocess(case, recipe)

    grid = found.mask.grid
    reference = Volume(np.zeros(grid.shape, np.uint8), grid).to_sitk()
    for name, tolerance in (("CT", 0.501), ("PT", 1e-4)):  # HU are rounded to whole numbers
        source = Volume(images[name].array.astype(np.float32), images[name].grid).to_sitk()
        theirs = sitk.GetArrayFromImage(sitk.Resample(source, reference, sitk.Transform(), sitk.sitkLinear))
        assert np.abs(found.images[name].array - theirs).max() <= tolerance
    before, after = mask.volumes_mm3()["GTV_Mass_CT"], found.mask.volumes_mm3()["gtv"]
    assert after == pytest.approx(before, rel=0.01)
    assert found.all_findings() == ()


def test_further_steps_are_applied_where_they_say_or_the_recipe_does():
    listed = [
        {"step": "CropPad", "size": [8, 8, 8]},
        {"step": "Denoise", "image": "CT", "method": "median"},
        {"step": "ClipPercentile", "image": "CT", "at": "grid"},
        {"step": "LargestComponent"},
    ]
    recipe = recipe_of(steps=listed)
    found = preprocess(case_of(), recipe)
    names = [entry["step"] for entry in found.provenance]
    expected = "CheckFinite SelectRois Denoise LargestComponent Orient Resample ResampleTo ClipPercentile CropMask "
    assert names == [*expected.split(), "CropPad", "CheckFinite", "CheckMask", "Normalize", "Normalize"]
    assert found.images["PT"].grid.size == found.mask.grid.size == (8, 8, 8)
    assert json.loads(json.dumps(found.provenance)) == list(found.provenance)
    assert recipe.hash != recipe_of().hash != recipe_of(steps=listed[:1]).hash
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@dataclass(frozen=True)
class Divide:
    """Somebody's step, which divides the PET by nothing, or gives it another type."""

    dtype: str = "float32"

    def __call__(self, case):
        with np.errstate(divide="ignore", invalid="ignore"):
            array = (case.images["PT"].array / np.float32(0)).astype(self.dtype)
        return replace(case, images={**case.images, "PT": case.images["PT"].with_array(array)})


def test_what_a_step_of_ones_own_breaks_is_found_once():
    recipe = recipe_of(steps=[{"step": f"{__name__}:Divide"}])
    assert [finding.code for finding in preprocess(case_of(), recipe).all_findings()].count("not_finite") == 1
    case = case_of()
    case.images["PT"].array[3, 3, 3] = np.nan
    assert [finding.code for finding in preprocess(case, recipe).all_findings()].count("not_finite") == 1


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", "bool"])
def test_types_that_no_store_has_are_refused_with_the_step(dtype):
    with pytest.raises(RecipeError, match=f"step Divide gives the image PT the type {dtype}"):
        preprocess(case_of(), recipe_of(steps=[{"step": f"{__name__}:Divide", "dtype": dtype}]))


@dataclass(frozen=True)
class Slow:
    """Somebody's step that tells how far it is."""

    def __call__(self, case, *, progress=None):
        for done in range(4):
            if progress is not None:
                progress(done, 3)
        return case


def test_steps_that_take_long_tell_how_far_they_are():
    told = []
    recipe = recipe_of(steps=[{"step": f"{__name__}:Slow"}, {"step": "LargestComponent"}])
    found = preprocess(case_of(), recipe, progress=lambda *what: told.append(what))
    assert told == [("Slow", done, 3) for done in range(4)]
    assert found.mask.array.tobytes() == preprocess(case_of(), recipe).mask.array.tobytes()


def test_a_grid_is_refused_before_it_is_made_with_the_figure(monkeypatch):
    monkeypatch.setattr("medimagenet.preprocess.steps.space.MAX_VOXELS", 30_000_000)
    recipe = recipe_of(spacing=[0.01, 0.01, None])
    for refuse in (lambda: preprocess(case_of(), recipe), lambda: check_size(CT, recipe)):
        with pytest.raises(GridTooLargeError, match=r"would give \(1901, 1701, 10\) = 3\.23e\+07"):
            refuse()
    check_size(CT, recipe_of())
    check_size(CT, recipe_of(spacing=None))


@dataclass(frozen=True)
class Forget:
    """Somebody's step, which leaves a class out."""

    def __call__(self, case):
        return replace(case, mask=Mask(case.mask.array[:1], case.mask.grid, case.mask.names[:1]))


def test_steps_that_change_the_classes_are_refused():
    with pytest.raises(RecipeError, match=r"has the classes \('tumour', 'lung'\), its steps leave \('tumour',\)"):
        preprocess(case_of(), recipe_of(steps=[{"step": f"{__name__}:Forget"}]))


def test_the_body_is_what_hangs_together_and_nonzero_is_what_is_not_zero():
    array = np.full(CT.shape, -1000, np.int16)
    array[2:6, 4:10, 5:15] = 40
    array[9, 17, 19] = 40  # apart
    case = case_of(images={"CT": Volume(array, CT, "HU")}, mask=None)
    steps = ((CropBody(), (10, 6, 4)), (CropBody(margin_mm=3), (16, 12, 6)), (CropNonzero(), (20, 18, 10)))
    for step, size in steps:
        assert step(case).images["CT"].grid.size == size
    hollow = case_of(images={"CT": Volume(np.where(array > 0, array, 0), CT, "HU")}, mask=None)
    assert CropNonzero()(hollow).images["CT"].grid.size == (15, 14, 8)
    empty = CropBody(threshold=5000)(case)
    assert [finding.code for finding in empty.all_findings()] == ["empty_crop"]


def test_keys_that_came_later_change_no_hash_and_no_text():
    """Stores of recipes that say nothing of them go on."""
    recipe = Recipe.from_yaml("{name: a, modalities: [CT]}")
    assert recipe.hash == "cff81b73abdd4a8eb9079820a0c8436df23951625fd3d6508cc8e57526253eff"
    assert set(recipe.to_dict()["split"]) == {"train", "val", "test", "seed"}
    assert "steps" not in recipe.to_dict()
