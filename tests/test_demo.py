"""The demo, shortened: the chain runs to its end, and everything that it names is there."""

import json

import pytest
from PIL import Image

from medimagenet.demo import run_demo
from medimagenet.errors import StoreExistsError
from medimagenet.index import open_index
from medimagenet.store import open_store, verify


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    stages = []
    folder = tmp_path_factory.mktemp("demo") / "out"
    result = run_demo(folder, patients=4, minutes=0.05, jobs=2, stage=stages.append)
    return result, stages


def test_every_stage_leaves_what_it_names(report):
    result, stages = report
    assert len(stages) == 5
    assert all(path.exists() for path in result.files.values())
    assert len(open_index(result.files["index"])) == result.series == 8
    assert len(open_store(result.files["store"])) == len(result.compiled.written) == 4
    assert verify(result.files["store"]) == []
    assert json.loads(json.dumps(result.to_dict()))["patients"] == 4


def test_pictures_can_be_looked_at(report):
    for name in ("predictions", "curve"):
        with Image.open(report[0].files[name]) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20


def test_validation_is_reported_for_every_class(report):
    training = report[0].training
    for scores in (training.dice_before, training.dice_constant, training.dice_after):
        assert set(scores) == {"liver", "tumour"}
        assert all(0 <= score <= 1 for score in scores.values())
    assert training.steps == len(training.losses) > 0


def test_what_fails_leaves_nothing_behind(tmp_path):
    def stop(label):
        if label == "compiling":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path / "out", patients=4, minutes=0.05, jobs=1, stage=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreExistsError, match="is not empty"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
