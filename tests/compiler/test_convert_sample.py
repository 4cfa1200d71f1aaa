"""A sample is whole, or it is not there."""

import json

import pytest

from medimagenet.compiler.convert_plan import plan_of_index
from medimagenet.compiler.convert_sample import Settings, convert_sample, is_whole, record_path
from medimagenet.errors import ExportError


@pytest.fixture(scope="module")
def item(index, recipe):
    return plan_of_index(index, recipe, None).items[0]


def test_a_sample_is_whole_when_document_input_settings_and_files_agree(item, recipe, tmp_path):
    settings = Settings(out=tmp_path, to="nifti", recipe=recipe, settings_hash="a")
    assert is_whole(item, settings) is None
    result = convert_sample(item, settings)
    assert is_whole(item, settings) == json.loads(json.dumps(result.row))
    assert is_whole(item, Settings(out=tmp_path, to="nifti", recipe=recipe, settings_hash="b")) is None
    name, size = next(iter(result.row["files"].items()))
    with (tmp_path / name).open("r+b") as file:
        file.truncate(size - 1)
    assert is_whole(item, settings) is None


def test_a_disk_that_is_full_is_an_error_and_leaves_no_document(item, recipe, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medimagenet.compiler.convert_sample.write_nifti", full)
    settings = Settings(out=tmp_path, to="nifti", recipe=recipe)
    with pytest.raises(ExportError, match="No space left"):
        convert_sample(item, settings)
    assert not (tmp_path / record_path(item, "nifti")).exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
