"""Opening a store: what is refused and how; and what an open one says, against zarr-python and the arrays written."""

import importlib.util
import json
import multiprocessing
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from medimagenet import open_store as top_level_open_store
from medimagenet.errors import StoreDamagedError, StoreError, StoreFormatError
from medimagenet.store import open_store, store, verify


def test_samples_and_arrays(any_store, tools):
    opened = open_store(any_store)
    assert len(opened) == 2
    assert opened.ids() == ("p1", "p2")
    assert opened.names("p1") == ("image", "label", "dose")
    assert opened.classes == tools.classes
    assert opened.label_kind == "channels"
    assert opened.recipe == {"name": "test", "spacing": [1.5, 2.0, 3.0]}
    assert opened.recipe_hash == "a" * 64
    assert opened.attributes["index_version"] == "1"
    assert opened.attributes["fingerprint"] == {"n_samples": 2}
    assert opened.is_finished
    assert repr(opened) == f"Store({str(opened.path)!r}, samples=2, classes=['GTV', 'lung/left'])"
    for name, written in tools.sample("p2").arrays.items():
        np.testing.assert_array_equal(opened.array("p2", name).read(), written.array)
        assert opened.array("p2", name).grid == written.grid
    assert top_level_open_store is open_store


def test_a_row_says_what_was_written(store_path, tools):
    row = open_store(store_path).row("p1")
    written = tools.sample("p1")
    label = written.arrays["label"].array
    assert row["patient_id"] == "patient of p1"
    assert row["recipe_hash"] == "a" * 64
    assert row["shape"] == [1, 20, 25, 30]
    assert row["spacing_mm"] == [1.5, 2.0, 3.0]
    counts = [int(channel.sum()) for channel in label]
    assert row["class_voxels"] == [{"name": n, "voxels": v} for n, v in zip(tools.classes, counts, strict=True)]
    image = next(array for array in row["arrays"] if array["name"] == "image")
    assert image["mean"] == pytest.approx(written.arrays["image"].array.mean(dtype=np.float64))
    assert image["normalization"] == {"low": -160, "high": 240, "subtract": 40, "divide": 200}
    files = [path for path in (store_path / "samples/p1").rglob("*") if path.is_file()]
    assert row["stored_bytes"] == sum(path.stat().st_size for path in files)


def test_splits(new_store, tools):
    writer = tools.create(new_store)
    splits = {"a": "train", "b": "val", "c": "train"}
    writer.commit([writer.write_sample(tools.sample(name, split=split)) for name, split in splits.items()])
    writer.finish("", {})
    opened = open_store(new_store)
    assert opened.ids("train") == ("a", "c")
    assert opened.ids("val") == ("b",)
    assert opened.ids("test") == ()
    assert opened.is_finished


def test_foreground(any_store, tools):
    opened = open_store(any_store)
    for name, points in tools.sample("p1").foreground.items():
        found = opened.foreground("p1", name)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, points)


def test_any_zarr_reader_finds_its_way(store_path, tools):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table and the attribution are no Zarr nodes
        root = zarr.open_group(store_path, mode="r")
        assert sorted(name for name, _ in root["samples"].groups()) == ["p1", "p2"]
    image = root["samples/p1/image"]
    assert image.attrs["medimagenet"]["grid"] == tools.grid.to_dict()
    level = image.attrs["ome"]["multiscales"][0]["datasets"][0]
    written = tools.sample("p1").arrays["image"].array
    np.testing.assert_array_equal(image[level["path"]][...], written)
    assert image[level["path"]].metadata.dimension_names == ("c", "z", "y", "x")
    whole = zarr.open_array(store_path / "samples/p1/foreground", mode="r")
    both = np.concatenate([open_store(store_path).foreground("p1", name) for name in tools.classes])
    np.testing.assert_array_equal(whole[...], both)
    assert not open_store(tools.create(store_path.with_name("new.zarr")).path).is_finished


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda opened: opened.row("p3"), "no sample 'p3' among the 2"),
        (lambda opened: opened.array("p3"), "no sample 'p3'"),
        (lambda opened: opened.array("p1", "pt"), "no array 'pt'; it has image, label, dose"),
        (lambda opened: opened.foreground("p1", "liver"), "no class 'liver'"),
        (lambda opened: opened.foreground("p3", "GTV"), "no sample 'p3'"),
    ],
)
def test_asking_for_what_is_not_there(any_store, ask, words):
    with pytest.raises(KeyError) as error:
        ask(open_store(any_store))
    assert words in str(error.value)


def test_nothing_there(tmp_path):
    with pytest.raises(StoreError, match="there is no store at") as error:
        open_store(tmp_path / "none.zarr")
    assert str(tmp_path / "none.zarr") in str(error.value)


def test_a_folder_or_a_file_that_is_no_store(tmp_path):
    with pytest.raises(StoreFormatError, match=r"it has no zarr\.json"):
        open_store(tmp_path)
    (tmp_path / "file").write_text("hello")
    with pytest.raises(StoreFormatError, match="is no store"):
        open_store(tmp_path / "file")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(StoreFormatError, match="no Med-ImageNet store"):
        open_store(tmp_path / "other.zarr")


def test_a_newer_format(store_path):
    document = json.loads((store_path / "zarr.json").read_text())
    document["attributes"]["medimagenet"]["format"] = 7
    (store_path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(StoreFormatError, match=r"format 7, this version of medimagenet reads format 1: .*--upgrade"):
        open_store(store_path)


def test_a_cut_table(store_path):
    table = store_path / "samples.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(StoreDamagedError, match=r"samples\.parquet cannot be read"):
        open_store(store_path)


def test_a_damaged_root(store_path):
    (store_path / "zarr.json").write_text('{"zarr_format": 3')
    with pytest.raises(StoreDamagedError, match="no JSON"):
        open_store(store_path)


def test_foreground_whose_attributes_are_gone(store_path):
    path = store_path / "samples/p1/foreground/zarr.json"
    document = json.loads(path.read_text())
    document["attributes"] = {}
    path.write_text(json.dumps(document))
    with pytest.raises(StoreDamagedError, match="sample p1, foreground: its attributes do not say where class 'GTV'"):
        open_store(store_path).foreground("p1", "GTV")


def test_arrays_stay_open_up_to_a_number(any_store, monkeypatch):
    monkeypatch.setattr(store, "_OPEN_ARRAYS", 2)
    opened = open_store(any_store)
    first = opened.array("p1")
    assert opened.array("p1") is first
    opened.array("p1", "label")
    opened.array("p1")  # used again, so that the label goes first
    opened.array("p2")
    assert opened.array("p1") is first
    opened.array("p2", "dose")
    opened.array("p2", "label")
    assert opened.array("p1") is not first


def _sum_of(opened):
    return int(opened.array("p1").read().sum())


def test_a_worker_process_reads_a_pickled_store(any_store):
    opened = open_store(any_store)
    expected = _sum_of(opened)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_sum_of, (opened,)) == expected


@pytest.mark.parametrize("name", ["PATH", "PATH_HDF5"])
def test_a_store_of_format_1_is_read_for_ever(name):
    """Written by medimagenet 0.1.0, see tests/data/store_format_1/data.py."""
    script = Path(__file__).parents[1] / "data/store_format_1/data.py"
    spec = importlib.util.spec_from_file_location("store_format_1", script)
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    path = getattr(written, name)
    opened = open_store(path)
    assert opened.ids("train") == ("sample-1",)
    assert (opened.classes, opened.row("sample-1")["fold"]) == (written.CLASSES, 0)
    for key, array in written.arrays().items():
        np.testing.assert_array_equal(opened.array("sample-1", key).read(), array)
        assert opened.array("sample-1", key).grid == written.GRID
    assert opened.array("sample-1").normalization == written.WINDOW
    assert opened.array("sample-1", "label").crop == ((1, 2, 3), written.GRID.size)
    label = written.arrays()["label"]
    for k, label_name in enumerate(written.CLASSES):
        np.testing.assert_array_equal(opened.foreground("sample-1", label_name), np.argwhere(label[k])[:20])
    assert verify(path) == []
