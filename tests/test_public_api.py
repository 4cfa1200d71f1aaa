"""The names a user types: listed once, sorted, bound, and in the reference of the docs."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import medimagenet

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "medimagenet"
REFERENCE = ROOT / "docs" / "reference"
STAGES = sorted(f"medimagenet.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py"))


def promised(source: Path) -> set[str]:
    """Names that a module imports for type checkers only."""
    blocks = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def test_the_list_is_sorted_and_has_no_name_twice():
    assert medimagenet.__all__ == sorted(set(medimagenet.__all__))


def test_list_homes_types_and_dir_are_the_same_names():
    names = set(medimagenet.__all__) - {"__version__"}
    assert set(medimagenet._HOMES) == names
    assert promised(PACKAGE / "__init__.py") == names
    assert dir(medimagenet) == medimagenet.__all__


@pytest.mark.parametrize("name", medimagenet.__all__)
def test_each_name_is_bound_to_what_it_says(name):
    value = getattr(medimagenet, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__
        assert value.__module__.startswith(f"medimagenet.{medimagenet._HOMES[name]}")


def test_few_enough_to_know():
    assert len(medimagenet.__all__) <= 30


def test_an_unknown_name_is_answered_with_the_known_ones():
    mistyped = "open_indx"
    with pytest.raises(AttributeError, match=r"'open_indx'.*open_index"):
        getattr(medimagenet, mistyped)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_its_names_sorted_and_has_them(stage):
    module = importlib.import_module(stage)
    names = getattr(module, "__all__", [])
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), name))  # constants first, as ruff has it
    for name in names:
        assert getattr(module, name) is not None
    assert promised(Path(str(module.__file__))) <= set(names)


@pytest.mark.parametrize("package", ["medimagenet", *STAGES])
def test_no_name_is_that_of_a_module_beside_it(package):
    """Once a module is imported it is an attribute of its package, and hides a lazy name that is spelled like it."""
    module = importlib.import_module(package)
    modules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert not modules & set(getattr(module, "__all__", []))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_says_what_it_is_for(stage):
    assert importlib.import_module(stage).__doc__


def test_the_reference_page_lists_each_name():
    listed = re.findall(r"^\| \[`(\w+)`\]", (REFERENCE / "index.md").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(medimagenet.__all__) - {"__version__"})


@pytest.mark.parametrize("name", sorted(medimagenet._HOMES))
def test_the_reference_says_where_each_name_is_from(name):
    text = (REFERENCE / "index.md").read_text()
    value = getattr(medimagenet, name)
    assert f"[`{name}`][{value.__module__}.{name}]" in text


def test_the_version_is_that_of_the_installed_package():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", medimagenet.__version__)
