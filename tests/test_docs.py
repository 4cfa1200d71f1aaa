"""What the documentation says is true: commands parse, the tutorial runs, examples give what they show."""

import doctest
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
import yaml

from medimagenet import Recipe
from medimagenet.cli.main import app
from medimagenet.store import SampleData, StoredArray, create_hdf5_store, create_store

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/*/README.md"), ROOT / "README.md"])
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = {  # what the code of a page leaves behind
    "loading": {
        "tuple(image.shape)": (2, 1, 16, 16, 8),
        "(tuple(item['image'].shape), tuple(item['label'].shape))": ((3, 16, 16), (2, 16, 16)),
        "(tuple(batch['target'].shape), str(batch['target'].dtype))": ((2, 2), "torch.int64"),
        "(mask.names, mask.array.shape[1:], predicted)": (("organ", "tumor"), (21, 26, 33), ["s4"]),
    },
    "monai": {
        "(tuple(image.shape), tuple(affine.shape))": ((2, 1, 16, 16, 8), (2, 4, 4)),
        "tuple(output.shape[:2])": (1, 2),
    },
    "lightning": {
        "(len(module.losses), trainer.global_step)": (10, 10),
        "{name: mask.array.shape[1:] for name, mask in masks.items()}": {"s4": (21, 26, 33)},
    },
    "performance": {"(tuple(image.shape), tuple(label.shape))": ((2, 1, 16, 16, 16), (2, 2, 16, 16, 16))},
    "tensorflow": {"(tuple(image.shape), tuple(label.shape))": ((2, 1, 16, 16, 8), (2, 2, 16, 16, 8))},
}
STAGES = sorted(path.parent.name for path in ROOT.glob("medimagenet/*/__init__.py"))


def blocks(language: str, pages: list[Path] = PAGES) -> list:
    """Code blocks of a language, each named by its page and number."""
    found = []
    for page in pages:
        texts = [match["text"] for match in BLOCK.finditer(page.read_text()) if match["language"] == language]
        names = [f"{page.relative_to(ROOT)}-{number}" for number in range(len(texts))]
        found += [pytest.param(text, id=name) for text, name in zip(texts, names, strict=True)]
    return found


def commands() -> list:
    """Lines of shell blocks that begin with our program."""
    found = {}
    for parameter in blocks("bash"):
        for line in parameter.values[0].replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["medimagenet"]:
                found[" ".join(words)] = words[1:]
    return [pytest.param(words, id=line) for line, words in found.items()]


@pytest.mark.parametrize("words", commands())
def test_a_command_of_the_docs_is_understood(words):
    group = typer.main.get_command(app)
    with group.make_context("medimagenet", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))
        command.make_context(name, list(rest))  # raises where an option does not exist


@pytest.mark.parametrize("text", blocks("python"))
def test_python_of_the_docs_is_python_and_its_names_exist(text):
    if ">>>" in text:
        return
    compile(text, "docs", "exec")
    for line in text.splitlines():
        match = re.match(r"\s*from (?P<module>medimagenet[\w.]*) import (?P<names>.+)$", line)
        if match:
            module = importlib.import_module(match["module"])
            assert all(hasattr(module, name.strip()) for name in match["names"].split(","))


@pytest.mark.parametrize("text", blocks("python"))
def test_an_example_gives_what_it_shows(text):
    if ">>>" not in text:
        return
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(text, {}, "docs", None, 0))
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("text", [block for block in blocks("yaml") if "modalities" in block.values[0]])
def test_a_recipe_of_the_docs_is_a_recipe(text):
    assert Recipe.from_yaml(text).name == yaml.safe_load(text)["name"]


def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDIMAGENET_CONFIG_DIR", str(tmp_path / "config"))
    names: dict = {"__name__": "tutorial"}
    for parameter in blocks("python", [ROOT / "docs" / "tutorials" / "folder-to-model.md"]):
        exec(compile(parameter.values[0], "tutorial", "exec"), names)
    assert "6 written, 0 skipped" in capsys.readouterr().out
    assert tuple(names["item"]["image"].shape) == (1, 32, 32, 16)
    assert len(names["training"].losses) == 4


@pytest.fixture(scope="session")
def lung_store(small_sample, tmp_path_factory):
    """The store of the pages on loading: small, with the grids of the scans."""
    return write_lung_store(create_store, tmp_path_factory.mktemp("docs") / "lung.zarr", small_sample)


def write_lung_store(create, path, small_sample):
    facts = {"recipe": {"name": "lung"}, "recipe_hash": "0", "classes": ("organ", "tumor"), "label_kind": "channels"}
    writer = create(path, **facts, index_version="1")
    rows = []
    for number, split in enumerate(("train", "train", "train", "val", "test")):
        arrays, points = small_sample(number)
        stored = {name: StoredArray(**fields, source_grid=fields["grid"]) for name, fields in arrays.items()}
        row = {"patient_id": f"p{number}", "split": split}
        rows.append(writer.write_sample(SampleData(sample_id=f"s{number}", arrays=stored, foreground=points, row=row)))
    writer.commit(rows)
    writer.finish("", {})
    return writer.path


@pytest.mark.parametrize("name", ["loading", "monai", "lightning", "tensorflow", "performance"])
def test_a_page_on_loading_runs(lung_store, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("lung.zarr").symlink_to(lung_store)
    Path("clinical.csv").write_text("patient_id,age,stage\n" + "".join(f"p{k},{50 + k},II\n" for k in range(5)))
    names: dict = {"__name__": name}
    for parameter in blocks("python", [ROOT / "docs" / "how-to" / f"{name}.md"]):
        text = parameter.values[0].replace("96, 96, 64", "16, 16, 8").replace("(96, 96)", "(16, 16)")
        text = text.replace("96, 96, 96", "16, 16, 16").replace('"cuda"', '"cpu"')  # the same code, on any machine
        exec(compile(text, name, "exec"), names)
    for result, expected in EXPECTED[name].items():
        assert eval(result, names) == expected


def test_the_program_of_the_page_on_lightning_runs(lung_store, tmp_path, monkeypatch):
    pytest.importorskip("jsonargparse")
    monkeypatch.chdir(tmp_path)
    Path("lung.zarr").symlink_to(lung_store)
    Path("clinical.csv").write_text("patient_id,age\n" + "".join(f"p{k},{50 + k}\n" for k in range(5)))
    page = (ROOT / "docs" / "how-to" / "lightning.md").read_text()
    program, settings = (
        re.search(rf'^```\w+ title="{name}"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)[1]
        for name in ("train.py", "settings.yaml")
    )
    short = yaml.safe_load(settings.replace("96, 96, 64", "16, 16, 8"))
    quiet = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    short["trainer"] |= {**quiet, "max_steps": 2, "limit_val_batches": 0, "enable_model_summary": False}
    Path("settings.yaml").write_text(yaml.safe_dump(short))
    [words] = re.findall(r"`python train.py (fit .*?)`", page)
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # LightningCLI leaves it behind
    monkeypatch.setattr(sys, "argv", ["train.py", *words.split()])
    names: dict = {"__name__": "train"}
    exec(compile(program, "train.py", "exec"), names)
    seen = []
    step = names["SegmentationModule"].training_step
    monkeypatch.setattr(
        names["SegmentationModule"], "training_step", lambda self, *args: seen.append(args[0]) or step(self, *args)
    )
    names["main"]()
    assert [tuple(batch["image"].shape) for batch in seen] == [(4, 1, 16, 16, 8)] * 2
    assert all(50 <= age <= 52 for batch in seen for age in batch["target"].tolist())


def test_the_page_on_stores_runs(lung_store, small_sample, tmp_path, monkeypatch, capsys):
    """In both forms the same samples and voxels, by whatever reads them."""
    monkeypatch.chdir(tmp_path)
    Path("sts.zarr").symlink_to(lung_store)
    write_lung_store(create_hdf5_store, Path("sts.h5"), small_sample)
    names: dict = {"__name__": "stores"}
    for parameter in blocks("python", [ROOT / "docs" / "how-to" / "stores.md"]):
        exec(compile(parameter.values[0], "stores", "exec"), names)
    by_us, by_us_too, by_h5py, _, by_zarr, by_tensorstore = capsys.readouterr().out.splitlines()
    assert by_us == by_us_too
    assert by_h5py.split("[")[1] == by_zarr.split("[")[1] == by_tensorstore.split("[")[1]


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("cli", "kernels", "sources")])
def test_the_reference_has_every_public_name_of_a_stage(stage):
    module = importlib.import_module(f"medimagenet.{stage}")
    pages = "\n".join(path.read_text() for path in ROOT.glob("docs/reference/*.md"))
    shown = set(re.findall(r"^::: (\S+)$", pages, flags=re.MULTILINE))
    for name in module.__all__:
        home = f"medimagenet.{stage}.{module._HOMES[name]}"
        assert {home, f"{home}.{name}"} & shown, f"{home}.{name} is on no page of docs/reference"
