"""Synthetic patients that went through the commands once, and a way to call a command."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medimagenet.cli.main import app
from medimagenet.synthetic import write_patients

RECIPE = """\
name: organs
modalities: [CT, RTSTRUCT]
rois: {liver: [liver], tumour: ["gtv.*"]}
images: {CT: {normalize: {kind: window, low: -160, high: 240}}}
split: {train: 0.5, val: 0.5, seed: 0}
"""


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)


def _call(*arguments) -> Answer:
    """Run a command in this process."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def call():
    """``call("index", folder, ...)``: run a command, get its `Answer`."""
    return _call


@dataclass(frozen=True)
class Chain:
    """Folder with dicom/, x.parquet, recipe.yaml, x.zarr, and what the commands said."""

    folder: Path
    truths: list
    indexed: Answer
    compiled: Answer

    @property
    def index(self):
        return self.folder / "x.parquet"

    @property
    def recipe(self):
        return self.folder / "recipe.yaml"

    @property
    def store(self):
        return self.folder / "x.zarr"


@pytest.fixture(scope="session", autouse=True)
def own_key(tmp_path_factory):
    """The pseudonym key of the tests, not the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def chain(tmp_path_factory, own_key) -> Chain:
    """Four patients, of whom one CT lacks a slice. Read it, do not change it."""
    folder = tmp_path_factory.mktemp("chain")
    truths = write_patients(
        folder / "dicom", 4, size=(40, 36, 16), spacing=(9.0, 10.0, 14.0), jobs=1, defects=("missing_slices",)
    )
    (folder / "recipe.yaml").write_text(RECIPE)
    indexed = _call(
        "index", folder / "dicom", "-o", folder / "x.parquet", "--license", "CC0-1.0", "--doi", "10.1/x", "--jobs", 1
    )
    compiled = _call(
        "compile", folder / "x.parquet", "-r", folder / "recipe.yaml", "-o", folder / "x.zarr", "--jobs", 1
    )
    return Chain(folder, truths, indexed, compiled)
