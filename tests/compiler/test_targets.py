"""Targets of a recipe: in the store as in the table, joined before names become pseudonyms."""

import numpy as np
import pytest

from medimagenet.compiler import compile_store
from medimagenet.compiler.plan import make_plan
from medimagenet.compiler.pseudonyms import Pseudonyms, user_key
from medimagenet.errors import RecipeError, StoreError
from medimagenet.loading import PatchLoader, VolumeDataset
from medimagenet.preprocess import Recipe
from medimagenet.store import open_store

TEXT = """
name: ages
modalities: [CT, RTSTRUCT]
rois: {liver: [liver], tumour: ["gtv.*"]}
split: {train: 1.0, seed: 0}
"""
TARGETS = "targets: {table: clinical.csv, columns: [age, stage], classes: {stage: [I, II]}, missing: MISSING}\n"


@pytest.fixture
def patient_ids(index):
    return sorted({sample.patient_id for sample in index.samples("CT,RTSTRUCT").samples})


@pytest.fixture
def recipe_file(tmp_path, patient_ids):
    """Function of a policy and of patients without an age that gives the path of a recipe beside its table."""

    def write(missing="fail", without=(), first_age=40.5):
        rows = [
            f"{name},{'' if k in without else first_age + k},{'I' if k % 2 else 'II'}"
            for k, name in enumerate(patient_ids)
        ]
        (tmp_path / "clinical.csv").write_text("\n".join(["PatientID,age,stage", *rows]) + "\n")
        path = tmp_path / "recipe.yaml"
        path.write_text(TEXT + TARGETS.replace("MISSING", missing))
        return path

    return write


def test_a_store_holds_the_targets_of_its_patients(index, recipe_file, patient_ids, tmp_path):
    out = tmp_path / "ages.zarr"
    report = compile_store(index, recipe_file(), out, jobs=1)
    assert len(report.written) == 6
    lines = (tmp_path / "ages.zarr.patients.csv").read_text().splitlines()
    assert all(any(name in line for line in lines) for name in patient_ids)
    original = {pseudonym: name for name in patient_ids for pseudonym in [Pseudonyms(user_key()).of(name, "synthetic")]}
    store = open_store(out)
    expected = {
        one: (
            40.5 + patient_ids.index(original[store.row(one)["patient_id"]]),
            1 - patient_ids.index(original[store.row(one)["patient_id"]]) % 2,
        )
        for one in store.ids()
    }
    volumes = VolumeDataset(out, split=None, targets=["stage", "age"])
    assert {item["sample_id"]: item["target"].tolist() for item in volumes} == {
        name: [stage, age] for name, (age, stage) in expected.items()
    }
    with PatchLoader(out, patch_size=(8, 8, 8), batch_size=3, workers=1, targets="stage", weights="age") as loader:
        batch = next(iter(loader))
    assert batch["target"].shape == (3,)
    assert batch["target"].numpy().dtype == np.int64
    assert batch["target"].tolist() == [expected[name][1] for name in batch["sample_id"]]
    with pytest.raises(StoreError, match="no target 'sex', only age, stage"):
        VolumeDataset(out, split=None, targets="sex")

    before = {one: store.row(one)["stored_hash"] for one in store.ids()}
    assert len(compile_store(index, recipe_file(), out, jobs=1).written) == 0
    changed = compile_store(index, recipe_file(first_age=41.5), out, jobs=1)  # the table has changed, not the recipe
    assert len(changed.written) == 6
    again = VolumeDataset(out, split=None, targets="age")
    assert {item["sample_id"]: item["target"].item() for item in again} == {k: v[0] + 1 for k, v in expected.items()}
    assert {one: open_store(out).row(one)["stored_hash"] for one in store.ids()} == before


def test_a_missing_value_does_what_the_recipe_says(index, recipe_file):
    def plan(missing):
        return make_plan(index, Recipe.load(recipe_file(missing, without=(2, 4))), Pseudonyms(user_key()))

    with pytest.raises(RecipeError, match=r"2 values are missing, first age of .* {missing: skip}") as caught:
        plan("fail")
    assert "PHANTOM" not in str(caught.value).upper()
    skipped = [task for task in plan("skip").tasks if task.obstacles]
    assert [[finding.code for finding in task.obstacles] for task in skipped] == [["target_missing"]] * 2
    kept = plan("empty").tasks
    assert not any(task.obstacles for task in kept)
    assert sum(np.isnan(task.targets[0]["value"]) for task in kept) == 2


def test_a_table_that_fits_nothing_is_an_error(index, recipe_file, tmp_path):
    path = recipe_file()
    (tmp_path / "clinical.csv").write_text("PatientID,age,stage\nnobody,1,I\n")
    with pytest.raises(RecipeError, match=r"none of 1 rows .* is of any of the 6 samples \(rows matched by patient\)"):
        make_plan(index, Recipe.load(path), None)
    (tmp_path / "clinical.csv").unlink()
    with pytest.raises(RecipeError, match=r"recipe ages, targets: .*clinical\.csv cannot be read"):
        make_plan(index, Recipe.load(path), None)


def test_recipes_without_targets_keep_their_hash_and_their_inputs(index):
    plain = Recipe.from_yaml(TEXT)
    assert "targets" not in plain.to_dict()
    assert plain.hash == Recipe.from_dict({**plain.to_dict(), "targets": None}).hash
    with_targets = Recipe.from_yaml(TEXT + TARGETS.replace("MISSING", "fail"))
    assert with_targets.hash != plain.hash
    assert all(task.targets == () for task in make_plan(index, plain, None).tasks)
    with pytest.raises(RecipeError, match=r"what target_missing does is said by targets\.missing"):
        Recipe.from_yaml(TEXT + "findings: {target_missing: keep}\n")
