"""`medimagenet demo`: what is handed over and how the outcome is told. What it does is tested in tests/test_demo.py."""

import pytest

from medimagenet.compiler import CompileReport, Outcome
from medimagenet.demo import DemoReport
from medimagenet.errors import StoreExistsError
from medimagenet.train.fit import TrainingReport


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Arguments that the command handed over; the demo is not run."""
    seen = {}

    def run(folder, *, stage, **settings):
        seen.update(settings, folder=folder)
        stage("training for 1 minutes")(1, 1)
        print("lightning says something")
        outcome = Outcome(sample_id="a", state="written")
        return DemoReport(
            folder=folder,
            patients=settings["patients"],
            series=8,
            compiled=CompileReport(path=folder / "demo.zarr", outcomes=(outcome,)),
            training=TrainingReport(
                classes=("liver", "tumour"),
                dice_before={"liver": 0.05, "tumour": 0.01},
                dice_constant={"liver": 0.1, "tumour": 0.02},
                dice_after={"liver": 0.8, "tumour": float("nan")},
                losses=(1.0, 0.5),
                steps=2,
                seconds=3.0,
                validated=2,
            ),
            files={name: folder / name for name in ("store", "index", "recipe", "predictions", "curve")},
        )

    monkeypatch.setattr("medimagenet.cli.demo.run_demo", run)
    return seen


def test_options_are_handed_over(call, asked, tmp_path):
    call("demo", "--out", tmp_path / "d", "--minutes", "0.5", "--patients", "6", "--seed", "3", "--jobs", "2")
    assert asked == {"folder": tmp_path / "d", "minutes": 0.5, "patients": 6, "seed": 3, "jobs": 2}


def test_scores_files_and_next_steps(call, asked, tmp_path):
    answer = call("demo", "--out", tmp_path / "d")
    assert answer.code == 0
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["liver", "0.050", "0.100", "0.800"] in lines
    assert ["predictions", str(tmp_path / "d" / "predictions")] in lines
    assert f"medimagenet verify {tmp_path / 'd' / 'store'}" in answer.out
    assert answer.err == "training for 1 minutes ...\nlightning says something\n"


def test_json_is_alone_on_stdout_and_has_no_nan(call, asked, tmp_path):
    document = call("demo", "--out", tmp_path / "d", "--json").document
    assert document["training"]["dice_after"] == {"liver": 0.8, "tumour": None}


def test_a_failure_is_1(call, monkeypatch, tmp_path):
    def refuse(folder, **settings):
        raise StoreExistsError(f"{folder} is not empty")

    monkeypatch.setattr("medimagenet.cli.demo.run_demo", refuse)
    answer = call("demo", "--out", tmp_path)
    assert (answer.code, answer.err) == (1, f"error: {tmp_path} is not empty\n")
