"""Names and dataset.json as nnU-Net's dataset_format.md has them."""

import json
from pathlib import Path

import pytest

from medimagenet.export.nnunet import check_folder_name, dataset_json, image_path, label_path, write_json


def test_files_are_called_as_nnunet_calls_them():
    assert image_path("la_003", 0) == "imagesTr/la_003_0000.nii.gz"
    assert image_path("la_003", 12, is_training=False) == "imagesTs/la_003_0012.nii.gz"
    assert label_path("la_003") == "labelsTr/la_003.nii.gz"


def test_dataset_json_has_the_required_keys():
    assert dataset_json("Heart", ["MR", "CT"], ["left", "right"], 20, {"licence": "CC BY 4.0"}) == {
        "name": "Heart",
        "channel_names": {"0": "MR", "1": "CT"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": 20,
        "file_ending": ".nii.gz",
        "licence": "CC BY 4.0",
    }


@pytest.mark.parametrize("name", ["heart", "Dataset1_Heart", "Dataset001", "dataset001_Heart"])
def test_a_folder_that_nnunet_would_not_find_is_refused(name):
    with pytest.raises(ValueError, match=r"Dataset042_.*got"):
        check_folder_name(Path("raw") / name)
    check_folder_name(Path("raw/Dataset001_Heart"))


def test_json_is_whole(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1]}
