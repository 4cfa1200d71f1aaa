"""A sample is whole, or it is not there."""

import json

import pytest

from medimagenet.compiler import convert_sample as module
from medimagenet.compiler.convert_files import Settings, is_whole, record_path
from medimagenet.compiler.convert_plan import plan_of_index
from medimagenet.compiler.convert_sample import convert_sample
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


@pytest.mark.parametrize("to", ["nifti", "hdf5", "nnunet"])
def test_all_bytes_are_on_the_disk_before_any_file_has_its_name(item, recipe, tmp_path, monkeypatch, to):
    settings, flushed = Settings(out=tmp_path, to=to, recipe=recipe), []

    def flush(folder):
        assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {folder}
        flushed.extend(path.stat().st_size for path in folder.iterdir())

    monkeypatch.setattr(module, "flush_tree", flush)
    sizes = convert_sample(item, settings).row["files"]
    assert sorted(flushed) == sorted([*sizes.values(), (tmp_path / record_path(item, to)).stat().st_size])


def test_a_disk_that_fails_at_the_end_leaves_no_file(item, recipe, tmp_path, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "flush_tree", fail)
    with pytest.raises(ExportError, match="Input/output error"):
        convert_sample(item, Settings(out=tmp_path, to="nifti", recipe=recipe))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
