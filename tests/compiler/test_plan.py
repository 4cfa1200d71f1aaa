"""make_plan: names, splits and obstacles, before any pixel is read."""

import pytest

from medimagenet.compiler.plan import make_plan
from medimagenet.compiler.pseudonyms import KEY_BYTES, Pseudonyms
from medimagenet.errors import RecipeError, SourceError
from medimagenet.index import index_directory
from medimagenet.preprocess import Recipe
from medimagenet.store.layout import is_safe_name
from medimagenet.synthetic import write_patients

from .conftest import RECIPE, SIZE, SPACING

KEY = bytes(KEY_BYTES)


def test_tasks_are_sorted_and_named_safely(index, recipe):
    plan = make_plan(index, recipe, Pseudonyms(KEY))
    names = [task.sample_id for task in plan.tasks]
    assert names == sorted(set(names))
    assert len(names) == 6
    assert all(map(is_safe_name, names))


def test_the_split_does_not_depend_on_the_key(index, recipe):
    def split(pseudonyms):
        return {task.sample.series["CT"]["key"]: task.split for task in make_plan(index, recipe, pseudonyms).tasks}

    assert split(Pseudonyms(KEY)) == split(Pseudonyms(KEY[:-1] + b"\1")) == split(None)


def test_an_earlier_split_stays(index, recipe):
    names = {task.sample.patient_id for task in make_plan(index, recipe, Pseudonyms(KEY)).tasks}
    plan = make_plan(index, recipe, Pseudonyms(KEY), frozen=dict.fromkeys(names, ("test", None)))
    assert {task.split for task in plan.tasks} == {"test"}


def test_without_pseudonyms_the_names_of_the_index_stay(index, recipe):
    names = {task.sample_id for task in make_plan(index, recipe, None).tasks}
    assert names == {sample.sample_id for sample in index.samples("CT,RTSTRUCT").samples}


def test_the_input_hash_is_that_of_the_files(index, recipe, patients, tmp_path):
    again = write_patients(tmp_path, 6, size=SIZE, spacing=SPACING, seed=3, jobs=1, noise=0.0)
    elsewhere = index_directory(again[0].folder.parent, jobs=1, collection_id="synthetic")
    first, second = (make_plan(one, recipe, Pseudonyms(KEY)).tasks for one in (index, elsewhere))
    assert [task.input_hash for task in first] == [task.input_hash for task in second]
    assert [task.sample_id for task in first] == [task.sample_id for task in second]
    assert len({task.input_hash for task in first}) == 6


def test_obstacles_are_what_the_recipe_says(tmp_path):
    write_patients(tmp_path, 1, size=SIZE, spacing=SPACING, jobs=1, defects=["nonuniform_spacing"])
    index = index_directory(tmp_path, jobs=1)
    (task,) = make_plan(index, Recipe.from_yaml(RECIPE), None).tasks
    assert [finding.code for finding in task.findings] == ["nonuniform_spacing"]
    assert task.obstacles == ()
    (task,) = make_plan(index, Recipe.from_yaml(RECIPE + "findings: {nonuniform_spacing: skip}"), None).tasks
    assert [finding.code for finding in task.obstacles] == ["nonuniform_spacing"]


def test_errors_name_no_patient(index, patients):
    wrong = Recipe.from_yaml(RECIPE.replace("[liver]", '["nothing"]'))
    with pytest.raises(RecipeError) as caught:
        make_plan(index, wrong, None)
    assert not any(truth.patient_id in str(caught.value) for truth in patients)


def test_a_query_chooses_by_the_leading_series_and_the_rest_is_told(index, recipe):
    rows = sorted((row for row in index.rows() if row["Modality"] == "CT"), key=lambda row: row["PatientID"])
    wanted = f"{RECIPE}query: PatientID = '{rows[2]['PatientID']}' AND n_instances > 3\n"
    plan = make_plan(index, Recipe.from_yaml(wanted), None)
    assert [task.sample.series["CT"]["key"] for task in plan.tasks] == [rows[2]["key"]]
    told = {which for which, why in plan.not_formed if why.startswith("not in the query")}
    assert told == {row["key"] for row in rows} - {rows[2]["key"]}
    with pytest.raises(RecipeError, match="query of recipe plain"):
        make_plan(index, Recipe.from_yaml(RECIPE + "query: no_such_column > 1\n"), None)
    with pytest.raises(SourceError, match="6 x not in the query"):
        make_plan(index, Recipe.from_yaml(RECIPE + "query: n_instances < 0\n"), None)


def test_grids_that_would_be_too_large_are_told_before_anything_is_read(index, recipe, monkeypatch):
    monkeypatch.setattr("medimagenet.preprocess.steps.space.MAX_VOXELS", 100_000)
    assert all(not task.obstacles for task in make_plan(index, recipe, None).tasks)
    fine = Recipe.from_yaml(RECIPE + "spacing: [4.8, 4.8, null]\n")
    with pytest.raises(RecipeError, match=r"every sample too large: .*would give \(79, 79, 20\) = 1.25e\+05"):
        make_plan(index, fine, None)
    rows = index.rows()
    largest = next(row for row in rows if row["Modality"] == "CT")
    small = [{**row, "shape": [2, 40, 40]} if row is not largest and row["Modality"] == "CT" else row for row in rows]
    monkeypatch.setattr(type(index), "rows", lambda self: small)
    tasks = make_plan(index, fine, None).tasks
    assert [[one.code for one in task.obstacles] for task in tasks if task.obstacles] == [["grid_too_large"]]


def published_again(index, new_id):
    """The index, and the samples of two of its patients in a second collection under IDs of their own."""
    rows = index.rows()
    patients = sorted({row["PatientID"] for row in rows})[:2]
    again = [
        {**row, "PatientID": new_id(row["PatientID"]), "collection_id": "again", "key": f"again:{row['key']}"}
        for row in rows
        if row["PatientID"] in patients
    ]
    return [*rows, *again]


@pytest.mark.parametrize("new_id", [lambda name: f"renamed {name}", lambda name: ""])
@pytest.mark.parametrize("seed", range(4))
def test_a_person_is_on_one_side_in_all_collections_under_any_id(index, monkeypatch, new_id, seed):
    rows = published_again(index, new_id)
    monkeypatch.setattr(type(index), "rows", lambda self: rows)
    recipe = Recipe.from_yaml(RECIPE.replace("seed: 0", f"seed: {seed}"))
    tasks = make_plan(index, recipe, Pseudonyms(KEY)).tasks
    assert len(tasks) > 6
    sides = {}
    for task in tasks:
        sides.setdefault(task.sample.series["CT"]["SeriesInstanceUID"], set()).add(task.split)
    assert all(len(each) == 1 for each in sides.values())
    old = next(task for task in tasks if task.sample.collection_id == "again")
    frozen = {old.sample.patient_id: ("test", None)}
    later = make_plan(index, recipe, Pseudonyms(KEY), frozen=frozen).tasks
    moved = {task.sample.series["CT"]["SeriesInstanceUID"] for task in later if task.split == "test"}
    assert {task.split for task in later if task.sample.series["CT"]["SeriesInstanceUID"] in moved} == {"test"}


@pytest.mark.parametrize("seed", range(4))
def test_a_person_of_one_id_is_on_one_side_in_all_collections(index, monkeypatch, seed):
    rows = index.rows()
    uids = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    others = [
        {
            **row,
            **{name: f"{row[name]}.9" for name in uids},
            "referenced_series": [f"{uid}.9" for uid in row["referenced_series"] or ()],
            "collection_id": "another",
            "key": f"another:{row['key']}",
        }
        for row in rows
    ]
    monkeypatch.setattr(type(index), "rows", lambda self: [*rows, *others])
    recipe = Recipe.from_yaml(RECIPE.replace("seed: 0", f"seed: {seed}"))
    tasks = make_plan(index, recipe, Pseudonyms(KEY)).tasks
    assert len(tasks) == 12
    sides = {}
    for task in tasks:
        sides.setdefault(task.sample.series["CT"]["PatientID"], set()).add(task.split)
    assert (len(sides), {len(each) for each in sides.values()}) == (6, {1})
