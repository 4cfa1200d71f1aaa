"""lazy_names on packages made for the purpose, and on all of ours."""

import importlib
import pkgutil
import sys

import pytest

import medimagenet

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
