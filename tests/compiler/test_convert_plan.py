"""What would be converted, and what is named as left out."""

import pytest

from medimagenet.compiler.convert_plan import plan_of_index, settings_hash
from medimagenet.errors import SourceError
from medimagenet.index import Index, index_directory
from medimagenet.preprocess import Recipe
from medimagenet.synthetic import write_patients

from .conftest import RECIPE, SIZE, SPACING


def test_every_series_is_in_an_item_or_left_out_with_a_reason(index):
    plan = plan_of_index(index, None, None)
    rows = index.rows()
    images = [row["key"] for row in rows if row["Modality"] in ("CT", "MR", "PT")]
    leads = [next(iter(item.sample.series.values()))["key"] for item in plan.items]
    assert sorted(leads) == sorted(images)
    used = {row["key"] for item in plan.items for row in (*item.sample.series.values(), *item.sample.others)}
    assert used | {key for key, _ in plan.not_formed} == {row["key"] for row in rows}
    assert not used & {key for key, _ in plan.not_formed}


def test_an_image_that_cannot_be_right_is_an_obstacle_but_its_annotation_is_none(tmp_path):
    write_patients(tmp_path, 1, size=SIZE, spacing=SPACING, jobs=1, defects=["missing_slices"])
    plan = plan_of_index(index_directory(tmp_path, jobs=1), None, None)
    obstacles = {item.obstacles[0].code for item in plan.items if item.obstacles}
    assert obstacles == {"missing_slices"}


def test_an_index_without_images_is_refused(index):
    annotations = Index(index.table.filter([row["Modality"] == "RTSTRUCT" for row in index.rows()]))
    with pytest.raises(SourceError, match=r"no image series .* but RTSTRUCT"):
        plan_of_index(annotations, None, None)


def test_the_hash_of_settings_changes_with_what_is_written():
    recipe = Recipe.from_yaml(RECIPE)
    other = Recipe.from_yaml(RECIPE + "spacing: [2, 2, 2]")
    hashes = {
        settings_hash("nifti", recipe, "", {"level": 1}),
        settings_hash("hdf5", recipe, "", {"level": 1}),
        settings_hash("nifti", other, "", {"level": 1}),
        settings_hash("nifti", None, "", {"level": 1}),
        settings_hash("nifti", recipe, "", {"level": None}),
    }
    assert len(hashes) == 5
    assert settings_hash("nifti", recipe, "", {"level": 1}) in hashes
