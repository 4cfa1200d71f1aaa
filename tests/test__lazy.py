"""lazy_names on packages made for the purpose, and on all of ours."""

import importlib
import pkgutil
import sys

import pytest

import medimagenet
from medimagenet._lazy import LazyModule

PACKAGES = [
    "medimagenet",
    *(found.name for found in pkgutil.walk_packages(medimagenet.__path__, "medimagenet.") if found.ispkg),
]


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "made_for_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from medimagenet._lazy import lazy_names\n"
        "__getattr__, __dir__ = lazy_names(__name__, {'answer': 'deep', 'other': 'deep'})\n"
    )
    (folder / "deep.py").write_text("answer, other = 42, 43\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_for_a_test")
    for name in [name for name in sys.modules if name.startswith("made_for_a_test")]:
        del sys.modules[name]


def test_the_module_is_imported_with_the_first_use(package):
    assert "made_for_a_test.deep" not in sys.modules
    assert package.answer == 42
    assert "made_for_a_test.deep" in sys.modules
    assert vars(package)["answer"] == 42


def test_an_unknown_name_is_answered_with_the_known_ones(package):
    with pytest.raises(AttributeError, match="no attribute 'question'; it has answer, other"):
        _ = package.question
    assert dir(package) == ["answer", "other"]


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_lists_is_what_it_has(name):
    package = importlib.import_module(name)
    listed = list(getattr(package, "__all__", []))
    assert listed == sorted(listed, key=lambda one: (not one.isupper(), one))  # constants first, as ruff has it
    assert all(hasattr(package, one) for one in listed)
    assert set(dir(package)) >= {one for one in listed if not one.startswith("__")}


def test_a_lazy_module_is_imported_with_its_first_name(package):
    stand_in = LazyModule("made_for_a_test", "deep")
    assert "made_for_a_test.deep" not in sys.modules
    assert stand_in.deep.answer == 42
    assert stand_in.deep is sys.modules["made_for_a_test.deep"]


def test_a_lazy_module_that_is_not_there_fails_when_it_is_used():
    stand_in = LazyModule("not_there_at_all")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        stand_in.anything  # noqa: B018 -- the access is what fails
