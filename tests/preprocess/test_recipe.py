"""Recipes: what is accepted, what is refused and where the error points, and what changes the hash."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from medimagenet.errors import RecipeError
from medimagenet.findings import Finding
from medimagenet.preprocess.recipe import PREPROCESS_VERSION, Recipe

TEXT = """\
name: lung
modalities: [CT, PT, RTSTRUCT]
rois:
  tumour: [gtv.*, tumor]
  lung: lung.*
spacing: [1, null, 3]
images:
  CT: {normalize: {kind: window, low: -1000, high: 400}}
crop: {kind: mask, margin_mm: 20}
findings: {gantry_tilt: fail}
split: {train: 0.8, val: 0.2}
"""


def recipe(old="", new=""):
    assert old in TEXT
    return Recipe.from_yaml(TEXT.replace(old, new) if old else TEXT, source="lung.yaml")


def test_all_values_arrive():
    found = recipe()
    assert found.classes == ("tumour", "lung")
    assert found.rois == {"tumour": ("gtv.*", "tumor"), "lung": ("lung.*",)}
    assert found.spacing == (1.0, None, 3.0)
    assert found.images["CT"].normalize.low == -1000
    assert found.images["PT"].normalize.kind == "none"  # a modality left out gets the defaults
    assert found.image_modalities == ("CT", "PT")
    assert found.annotation_modalities == ("RTSTRUCT",)
    assert (found.split.train, found.split.val, found.split.test) == (0.8, 0.2, 0.0)
    assert found.crop.margin_mm == 20


def test_the_shortest_recipe():
    found = Recipe.from_yaml("{name: a, modalities: [MR]}")
    assert (found.classes, found.spacing, found.annotation_modalities, found.crop.kind) == ((), None, (), "none")
    assert (found.split.train, found.split.val, found.split.test) == (0.7, 0.2, 0.1)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("spacing:", "spacng:", 6, "unknown key 'spacng', did you mean 'spacing'? known: name, description"),
        ("margin_mm:", "margin:", 9, "unknown key 'margin', did you mean 'margin_mm'?"),
        ("name: lung\n", "name: a\nname: b\n", 2, "'name' is there twice, first on line 1"),
        ("  lung: lung.*", "  tumour: lung.*", 5, "'tumour' is there twice, first on line 4"),
        ("  lung: lung.*", "  Tumour: lung.*", 3, "class 'Tumour' is there twice, the other is 'tumour'"),
        ("  lung: lung.*", "  left lung: lung.*", 3, "class 'left lung' must be letters"),
        ("[gtv.*, tumor]", "[]", 3, "class 'tumour' has no pattern"),
        ("[gtv.*, tumor]", '[gtv.*, "("]', 4, "rois.tumour.1 is '(': not a regular expression"),
        ("[1, null, 3]", "[1, 0, 3]", 6, "spacing.1 is 0: Input should be greater than 0"),
        ("[1, null, 3]", "[1, -2, 3]", 6, "spacing.1 is -2"),
        ("[1, null, 3]", "[1, .nan, 3]", 6, "spacing.1 is nan"),
        ("[1, null, 3]", "1.5", 6, "spacing is 1.5: must be three lengths [x, y, z] in mm"),
        ("[1, null, 3]", "[1, 2]", 6, "spacing is [1, 2]"),
        ("val: 0.2", "val: 0.3", 11, "train + val + test must be 1, got 0.8 + 0.3 + 0.0 = 1.1"),
        ("val: 0.2", "val: 0.1", 11, "got 0.8 + 0.1 + 0.0 = 0.9"),
        ("val: 0.2", "val: 0.2, seed: x", 11, "split.seed is 'x'"),
        ("[CT, PT, RTSTRUCT]", "[CT, PET, RTSTRUCT]", 2, "unknown modality 'PET', did you mean 'PT'?"),
        ("[CT, PT, RTSTRUCT]", "[RTSTRUCT, CT]", 2, "the first modality leads and must be an image"),
        ("[CT, PT, RTSTRUCT]", "[CT, CT, RTSTRUCT]", 2, "named twice"),
        ("[CT, PT, RTSTRUCT]", "[]", 2, "modalities is []: the first modality leads"),
        ("[CT, PT, RTSTRUCT]", "CT", 2, "modalities is 'CT'"),
        ("[CT, PT, RTSTRUCT]", "[CT, PT]", 3, "rois need an annotation"),
        ("gantry_tilt: fail", "gantry_tlt: fail", 10, "unknown finding 'gantry_tlt', did you mean 'gantry_tilt'?"),
        ("gantry_tilt: fail", "gantry_tilt: fial", 10, "unknown value 'fial', did you mean 'fail'? known: keep, skip"),
        ("gantry_tilt: fail", "roi_matches_nothing: keep", 10, "said by on_missing_class"),
        ("kind: window", "kind: windw", 8, "unknown kind 'windw', did you mean 'window'? known: none, window, zscore"),
        ("kind: mask, ", "", 9, "needs a kind"),
        ("low: -1000, ", "", 8, "images.CT.normalize.low is missing"),
        ("low: -1000", "low: 500", 8, "low must be below high, got low=500.0, high=400.0"),
        ("low: -1000", "low: air", 8, "images.CT.normalize.low is 'air'"),
        ("  CT: {", "  MR: {", 7, "settings for an image not in modalities: 'MR'; known: CT, PT"),
        ("margin_mm: 20", "margin_mm: -1", 9, "crop.margin_mm is -1"),
        ("modalities: [CT, PT, RTSTRUCT]\n", "", 1, "modalities is missing"),
        ("name: lung", "name: ../lung", 1, "name is '../lung'"),
        ("kind: window, low", "kind: window low", 8, "not YAML"),
        ("[gtv.*, tumor]", "[gtv.*, tumou?r]", 4, "need quotes"),
    ],
)
def test_a_mistake_is_named_with_its_line(old, new, line, words):
    with pytest.raises(RecipeError) as caught:
        recipe(old, new)
    assert f"lung.yaml, line {line}: " in str(caught.value)
    assert words in str(caught.value)


def test_annotation_needs_classes():
    with pytest.raises(RecipeError, match="rois must say which ROI names make which class"):
        Recipe.from_yaml("{name: a, modalities: [CT, SEG]}")


def test_mask_crop_needs_a_mask():
    with pytest.raises(RecipeError, match="kind mask needs an annotation"):
        Recipe.from_yaml("{name: a, modalities: [CT], crop: {kind: mask}}")


def test_all_mistakes_are_named_at_once():
    with pytest.raises(RecipeError) as caught:
        recipe("split:", "store: {chunk: 3, codec: lz4}\nlabel: maps\nsplit:")
    assert str(caught.value).splitlines() == [
        "lung.yaml has 3 errors:",
        "  line 12: label is 'maps': unknown value 'maps', did you mean 'map'? known: channels, map",
        "  line 11: store.chunk is 3: Input should be greater than or equal to 8",
        "  line 11: store.codec is 'lz4': unknown value 'lz4'; known: blosc-lz4, blosc-zstd, none",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"normalize": {"kind": "percentile", "lower": 60, "upper": 40}}, "lower must be below upper"),
        ({"normalize": {"kind": "percentile", "upper": 101}}, "less than or equal to 100"),
        ({"normalize": {"kind": "scale", "divide": 0}}, "greater than 0"),
        ({"normalize": {"kind": "zscore", "region": "body"}}, "known: all, nonzero"),
        ({"interpolation": "lanczos"}, "known: linear, nearest, cubic"),
    ],
)
def test_wrong_image_settings(change, words):
    with pytest.raises(RecipeError, match=words):
        Recipe.from_dict({"name": "a", "modalities": ["CT"], "images": {"CT": change}})


@pytest.mark.parametrize("text", ["", "- a\n- b", "just words", "a: [1, 2"])
def test_what_is_no_recipe_at_all(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        Recipe.load(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "binary.yaml")


def test_a_file_gives_what_its_text_gives(tmp_path: Path):
    (tmp_path / "lung.yaml").write_text(TEXT)
    assert Recipe.load(tmp_path / "lung.yaml") == recipe()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("CT: {grid: own}", "CT leads: its grid is the sample's"),
        ("PT: {grid: own, normalize: {kind: zscore, region: mask}}", "region mask needs grid: common"),
        ("PT: {grid: else}", "known: common, own"),
    ],
)
def test_an_own_grid_is_for_images_that_do_not_lead(images, words):
    with pytest.raises(RecipeError, match=words):
        recipe("CT: {normalize: {kind: window, low: -1000, high: 400}}", images)


def test_an_own_grid_is_part_of_the_hash_and_the_usual_one_is_not():
    own, common = (recipe("images:\n", f"images:\n  PT: {{grid: {grid}}}\n") for grid in ("own", "common"))
    assert common.hash == recipe().hash != own.hash
    assert (own.own_grids, common.own_grids) == (("PT",), ())
    assert Recipe.from_dict(own.to_dict()) == own
    with pytest.raises(RecipeError, match="PT"):
        Recipe.from_dict({**own.to_dict(), "steps": [{"step": "N4BiasCorrection", "image": "PT"}]})


def test_there_and_back_through_json():
    found = recipe()
    again = Recipe.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert again.hash == found.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: lung", "name: other\ndescription: words"),
        ("[1, null, 3]", "[1.0, null, 3.0]"),
        ("lung: lung.*", "lung: [lung.*]"),
        ("spacing:", "several: merge\nspacing:"),  # a default written out
        ("spacing:", "between: nearest\noff_grid: fail\nspacing:"),
        ("  CT:", "  PT: {interpolation: linear}\n  CT:"),
    ],
)
def test_what_changes_no_voxel_keeps_the_hash(old, new):
    assert recipe(old, new).hash == recipe().hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[1, null, 3]", "[1, null, 2]"),
        ("gtv.*, tumor", "tumor, gtv.*"),
        ("  tumour: [gtv.*, tumor]\n  lung: lung.*", "  lung: lung.*\n  tumour: [gtv.*, tumor]"),
        ("low: -1000", "low: -999"),
        ("spacing:", "between: interpolate\nspacing:"),
        ("spacing:", "off_grid: nearest\nspacing:"),
        ("[CT, PT, RTSTRUCT]", "[CT, PT, SEG]"),
    ],
)
def test_what_changes_voxels_changes_the_hash(old, new):
    assert recipe(old, new).hash != recipe().hash


def test_the_hash_is_the_same_on_every_machine(monkeypatch):
    assert PREPROCESS_VERSION == 2
    minimal = Recipe.from_dict({"name": "a", "modalities": ["CT"]})
    assert minimal.hash == "cff81b73abdd4a8eb9079820a0c8436df23951625fd3d6508cc8e57526253eff"
    monkeypatch.setattr("medimagenet.preprocess.recipe.PREPROCESS_VERSION", 3)
    assert minimal.hash != "cff81b73abdd4a8eb9079820a0c8436df23951625fd3d6508cc8e57526253eff"


def test_a_recipe_cannot_change():
    with pytest.raises(ValueError, match="frozen"):
        recipe().name = "other"


@pytest.mark.parametrize(("policy", "action"), [("skip", "skip"), ("empty", "keep"), ("fail", "fail")])
def test_a_missing_class_does_what_the_recipe_says(policy, action):
    found = recipe("spacing:", f"on_missing_class: {policy}\nspacing:")
    assert found.action_for("roi_matches_nothing") == action


def test_the_strictest_finding_decides():
    found = recipe()
    mild, error, named = (
        Finding(code=code, message="") for code in ("nonuniform_spacing", "missing_slices", "gantry_tilt")
    )
    assert found.action([]) == "keep"
    assert found.action([mild]) == "keep"
    assert found.action([mild, error]) == "skip"
    assert found.action([error, named, mild]) == "fail"


def test_the_schema_knows_every_key():
    schema = Recipe.json_schema()
    assert set(schema["properties"]) == set(yaml.safe_load(TEXT)) | {
        "description", "several", "on_missing_class", "label", "orientation", "mask_interpolation", "store",
        "antialias", "steps", "targets", "between", "off_grid", "query",
    }  # fmt: skip
    assert schema["additionalProperties"] is False
    json.dumps(schema)


def test_what_is_fixed_keeps_its_sample():
    found = Recipe.from_dict({"name": "r", "modalities": ["CT"], "findings": {"gantry_tilt": "fix"}})
    assert (found.fixes, found.action_for("gantry_tilt"), found.action_for("missing_slices")) == (
        ("gantry_tilt",),
        "keep",
        "skip",
    )


def test_only_what_can_be_fixed_may_be():
    with pytest.raises(RecipeError, match="mixed_size cannot be fixed, only gantry_tilt and missing_slices"):
        Recipe.from_dict({"name": "r", "modalities": ["CT"], "findings": {"mixed_size": "fix"}})


def test_channels_are_left_out_unless_asked_for():
    plain = {"name": "r", "modalities": ["MR"]}
    assert Recipe.from_dict(plain).action_for("several_channels") == "skip"
    assert (
        Recipe.from_dict({**plain, "findings": {"several_channels": "keep"}}).action_for("several_channels") == "keep"
    )


def test_the_largest_share_needs_a_label_map():
    values = {
        "name": "a",
        "modalities": ["CT", "RTSTRUCT"],
        "rois": {"lung": "lung.*"},
        "mask_interpolation": "largest",
    }
    assert Recipe.from_dict({**values, "label": "map"}).mask_interpolation == "largest"
    with pytest.raises(RecipeError, match="label: map"):
        Recipe.from_dict(values)


STEPS = (
    "modalities: [CT, PT, RTSTRUCT]\nrois: {tumour: gtv, lung: lung}\nsteps:\n  - {step: LargestComponent}\n  - %s\n"
)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{step: N4BiasCorrection}", "N4BiasCorrection is for the image 'MR', the recipe's images are CT, PT"),
        ("{step: LargestComponent, classes: [tumor]}", "for the class 'tumor', the recipe's classes are tumour, lung"),
        ("{step: LargestComponent, classes: tumour}", "classes of LargestComponent cannot be 'tumour'"),
        ("{step: MergeLabels, classes: [lung], into: all}", "for the class 'all'"),
        ("{step: MergeLabels, classes: [lung], into: tumour, keep: false}", "leaves the recipe without lung"),
        ("{step: N4BiasCorrection, image: CT, shrink: four}", "shrink of N4BiasCorrection cannot be 'four'"),
        ("{step: HistogramMatch, image: CT, landmarks: [a, b]}", "landmarks.0 of HistogramMatch cannot be 'a'"),
        ("{step: ClipPercentile, image: CT, nonzero: 1}", "nonzero of ClipPercentile cannot be 1"),
        ("{step: CropPad, size: [8, 8]}", "size must be x, y, z"),
        ("{step: Denois, image: CT}", "did you mean 'Denoise'"),
    ],
)
def test_a_step_that_does_not_go_with_the_recipe_is_named_with_its_line(step, words):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml("name: a\n" + STEPS % step, source="a.yaml")
    assert "a.yaml, line 6: steps.1" in str(caught.value)
    assert words in str(caught.value)


def test_steps_that_go_with_the_recipe_are_taken():
    merge = "{step: MergeLabels, classes: [tumour, lung], into: lung}\n  - {step: ToPetGrid}"
    assert len(Recipe.from_yaml("name: a\n" + STEPS % merge).steps) == 3


def test_statistics_of_the_classes_need_classes():
    images = {"CT": {"normalize": {"kind": "zscore", "region": "mask"}}}
    with pytest.raises(RecipeError, match="normalize of CT over the region mask needs classes"):
        Recipe.from_dict({"name": "a", "modalities": ["CT"], "images": images})
    found = {"name": "a", "modalities": ["CT", "SEG"], "rois": {"lung": "lung"}, "images": images}
    assert Recipe.from_dict(found).images["CT"].normalize.region == "mask"


def test_a_query_is_part_of_the_hash_and_absent_it_is_not():
    assert "query" not in recipe().to_dict()
    assert recipe("spacing:", "query: n_instances > 60\nspacing:").hash != recipe().hash
    with pytest.raises(RecipeError, match="line 6: query is ''"):
        recipe("spacing:", "query: ''\nspacing:")


@pytest.mark.parametrize(
    ("steps", "fits"),
    [
        ([{"step": "CropPad", "size": [8, 8, None], "at": "final"}], True),
        ([{"step": "SimpleItkFilter", "image": "CT", "filter": "MedianImageFilter", "settings": {"Radius": 1}}], True),
        ([{"step": "my_steps:Gamma", "power": 2}], True),
        ([{"step": "CropPad"}], False),
        ([{"step": "CropPad", "size": [8, 8]}], False),
        ([{"step": "CropPad", "size": [8, 8, 8], "sise": 1}], False),
        ([{"step": "Denoise", "image": "CT", "method": "magic"}], False),
        ([{"step": "Denois", "image": "CT"}], False),
        ([{"step": "LargestComponent", "classes": "tumour"}], False),
    ],
)
def test_the_schema_knows_the_settings_of_steps(steps, fits):
    validator = jsonschema.Draft202012Validator(Recipe.json_schema())
    document = {"name": "a", "modalities": ["CT"], "steps": steps}
    assert validator.is_valid(document) == fits


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: {step: CropPad}", "steps is {'step': 'CropPad'}: must be a list"),
        ("steps: [CropPad]", "steps.0 is 'CropPad': must have keys and values"),
        ("crop: body", "crop is 'body': must have keys and values"),
        ("split: 0.7", "split is 0.7: must have keys and values"),
        ("targets: {table: a.csv, columns: age}", "targets.columns is 'age': must be a list"),
    ],
)
def test_errors_are_in_the_words_of_yaml(text, words):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(f"name: a\nmodalities: [CT]\n{text}\n")
    assert words in str(caught.value)
