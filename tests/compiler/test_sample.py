"""compile_sample: what one sample becomes, against NumPy on the decoded series."""

import json
from dataclasses import dataclass

import nibabel
import numpy as np
import pytest

from medimagenet import read_series
from medimagenet.compiler import compile_store, convert_dataset
from medimagenet.compiler.inspect import plot
from medimagenet.compiler.plan import make_plan
from medimagenet.compiler.sample import compile_sample
from medimagenet.errors import ExportError, RecipeError
from medimagenet.index import Index, index_directory
from medimagenet.preprocess import Recipe
from medimagenet.store import create_store, open_store, verify
from medimagenet.synthetic import write_patients

from .conftest import RECIPE, SIZE, SPACING


def compile_first(index, recipe, folder):
    """Result of the first task, and the store."""
    writer = create_store(
        folder / "a.zarr",
        recipe=recipe.to_dict(),
        recipe_hash=recipe.hash,
        classes=recipe.classes,
        label_kind=recipe.label,
        index_version="1",
    )
    result = compile_sample(make_plan(index, recipe, None).tasks[0], recipe, writer)
    if result.row is not None:
        writer.commit([result.row])
    writer.finish("", {})
    return result, open_store(folder / "a.zarr")


def test_a_label_map_holds_the_later_class_where_classes_overlap(index, tmp_path, patients):
    recipe = Recipe.from_yaml(RECIPE.replace("{liver: [liver]", "{body: [body], liver: [liver]") + "label: map\n")
    result, store = compile_first(index, recipe, tmp_path)
    label = store.array(result.sample_id, "label").read()
    truth = patients[0].masks("CT", ["body", "liver", "GTV"])
    expected = np.zeros(truth.grid.shape, dtype=np.uint8)
    for value, name in enumerate(("body", "liver", "GTV"), start=1):
        expected[truth[name]] = value
    np.testing.assert_array_equal(label[0], expected)
    assert "overlapping_classes" in {finding.code for finding in result.findings}


def test_foreground_points_lie_in_their_class(index, recipe, tmp_path):
    result, store = compile_first(index, recipe, tmp_path)
    label = store.array(result.sample_id, "label").read()
    for channel, name in enumerate(recipe.classes):
        points = store.foreground(result.sample_id, name)
        assert len(points) == min(np.count_nonzero(label[channel]), recipe.store.max_foreground)
        assert label[channel][tuple(points.T)].all()


def test_a_crop_leads_back_to_the_patients_grid(index, tmp_path):
    recipe = Recipe.from_yaml(RECIPE + "crop: {kind: mask, margin_mm: 20}\n")
    result, store = compile_first(index, recipe, tmp_path)
    attributes = json.loads((store.path / "samples" / result.sample_id / "image" / "zarr.json").read_text())
    own = attributes["attributes"]["medimagenet"]
    start, size = own["crop"]["start"], own["crop"]["size"]
    volume = read_series(Index.paths(make_plan(index, recipe, None).tasks[0].sample.series["CT"]))
    box = tuple(slice(a, a + n) for a, n in zip(start[::-1], size[::-1], strict=True))
    np.testing.assert_array_equal(store.array(result.sample_id).read()[0], volume.array[box])
    assert own["source_grid"] == volume.grid.to_dict()
    assert own["grid"] == volume.grid.crop(start, size).to_dict()


def test_other_modalities_lie_beside_on_the_same_grid(tmp_path):
    write_patients(
        tmp_path / "d", 1, modalities=("CT", "PT", "RTSTRUCT"), size=SIZE, spacing=SPACING, jobs=1, noise=0.0
    )
    recipe = Recipe.from_yaml(
        "{name: two, modalities: [CT, PT, RTSTRUCT], rois: {liver: [liver]}, split: {train: 1.0}}"
    )
    result, store = compile_first(index_directory(tmp_path / "d", jobs=1), recipe, tmp_path)
    assert store.names(result.sample_id) == ("image", "pt", "label")
    assert store.array(result.sample_id, "pt").grid == store.array(result.sample_id).grid
    assert store.array(result.sample_id, "pt").dtype == np.float32


@pytest.mark.parametrize("name", ["a.zarr", "a.h5"])
def test_another_modality_can_stay_on_its_own_grid(tmp_path, name):
    """Its voxels are those of the scan; the CT is resampled and cropped as ever."""
    write_patients(
        tmp_path / "d", 1, modalities=("CT", "PT", "RTSTRUCT"), size=SIZE, spacing=SPACING, jobs=1, noise=0.0
    )
    text = (
        "{name: two, modalities: [CT, PT, RTSTRUCT], rois: {liver: [liver]}, split: {train: 1.0}, "
        "spacing: [12, 12, 12], crop: {kind: mask, margin_mm: 20}, images: {PT: {grid: GRID}}}"
    )
    index = index_directory(tmp_path / "d", jobs=1)
    recipe, usual = (Recipe.from_yaml(text.replace("GRID", grid)) for grid in ("own", "common"))
    store = open_store(compile_store(index, recipe, tmp_path / name, jobs=1).path)
    common = open_store(compile_store(index, usual, tmp_path / f"common-{name}", jobs=1).path)
    (sample_id,) = store.ids()
    (row,) = index.sql("select uri from series where Modality = 'PT'").to_pylist()
    scan = read_series(row["uri"])
    ours = store.array(sample_id, "pt")
    assert ours.grid.is_close(scan.grid)
    assert ours.source_grid == ours.grid
    assert ours.crop is None
    np.testing.assert_array_equal(ours.read()[0], scan.array)
    for array in ("image", "label"):
        assert store.array(sample_id, array).grid == common.array(sample_id, array).grid
        np.testing.assert_array_equal(store.array(sample_id, array).read(), common.array(sample_id, array).read())
    assert common.array(sample_id, "pt").grid == common.array(sample_id).grid != ours.grid
    assert verify(tmp_path / name) == []
    plot(store, tmp_path / "picture.png")
    convert_dataset(store, tmp_path / "nifti", to="nifti")
    (file,) = (tmp_path / "nifti").rglob("PT.nii.gz")
    np.testing.assert_allclose(nibabel.load(file).affine, ours.grid.affine_ras)
    with pytest.raises(ExportError, match=f"sample {sample_id}: PT stands on another grid than the leading image"):
        convert_dataset(store, tmp_path / "Dataset001_Two", to="nnunet")


@pytest.mark.parametrize("defect", ["suv_not_computable", "truncated_file"])
def test_what_cannot_be_decoded_is_a_result_that_says_why(defect, tmp_path):
    write_patients(
        tmp_path / "d", 1, modalities=("PT", "RTSTRUCT"), size=SIZE, spacing=SPACING, jobs=1, defects=[defect]
    )
    recipe = Recipe.from_yaml("{name: pet, modalities: [PT, RTSTRUCT], rois: {liver: [liver]}, split: {train: 1.0}}")
    index = index_directory(tmp_path / "d", jobs=1)
    if defect == "truncated_file":  # the file is in the report, and leaves a gap behind
        assert [problem["code"] for problem in index.problems] == ["truncated_file"]
    result, _ = compile_first(index, recipe, tmp_path)
    assert result.row is None
    assert {"suv_not_computable", "missing_slices"} & {finding.code for finding in result.findings}


def test_a_finding_that_comes_while_preprocessing_skips_or_stops_as_the_recipe_says(index, tmp_path):
    crop = RECIPE + "crop: {kind: foreground, threshold: 30000}\n"
    for policy, kept in (("keep", True), ("skip", False)):
        result, _ = compile_first(
            index, Recipe.from_yaml(crop + f"findings: {{empty_crop: {policy}}}\n"), tmp_path / policy
        )
        assert (result.row is not None) == kept
        assert "empty_crop" in {finding.code for finding in result.findings}
    with pytest.raises(RecipeError, match="recipe plain says fail for empty_crop"):
        compile_first(index, Recipe.from_yaml(crop + "findings: {empty_crop: fail}\n"), tmp_path / "fail")


def test_a_grid_that_is_too_large_leaves_its_sample_out(index, tmp_path, monkeypatch):
    monkeypatch.setattr("medimagenet.compiler.plan._giant", lambda sample, recipe: ())
    monkeypatch.setattr("medimagenet.preprocess.steps.space.MAX_VOXELS", 1000)
    result, _ = compile_first(index, Recipe.from_yaml(RECIPE + "spacing: [4, 4, 4]\n"), tmp_path)
    assert (result.row, [finding.code for finding in result.findings]) == (None, ["grid_too_large"])


@dataclass(frozen=True)
class Slow:
    """A step that takes long."""

    def __call__(self, case, *, progress=None):
        if progress is not None:
            progress(1, 2)
        return case


@pytest.mark.parametrize("jobs", [1, 2])
def test_steps_that_take_long_are_heard_while_stores_and_files_are_made(index, tmp_path, jobs):
    recipe = Recipe.from_yaml(RECIPE + f"steps: [{{step: '{__name__}:Slow'}}]\n")
    for make, out in ((compile_store, "a.zarr"), (convert_dataset, "files")):
        heard = []
        way = {"jobs": jobs, "step_progress": lambda *told, heard=heard: heard.append(told)}
        args = (index, recipe, tmp_path / out) if make is compile_store else (index, tmp_path / out)
        report = make(*args, **way, **({} if make is compile_store else {"recipe": recipe}))
        assert len(report.written) == 6
        assert sorted(heard) == [(name, "Slow", 1, 2) for name in sorted(report.written)]
