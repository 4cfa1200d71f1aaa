"""The table of sources, and entry points of a package that is really installed: a folder with its dist-info."""

import sys

import pytest

from medimagenet.errors import SourceError
from medimagenet.sources.folder import Folder
from medimagenet.sources.registry import SOURCES, listed_source, remote_source, source_class, source_names

MODULE = """
class Mine:
    name = "mine"
    def __init__(self, argument=""):
        self.argument = argument
    def series(self):
        return iter(())
    def remote_files(self, row):
        return [row]

class Other:
    name = "something else"
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Function that installs a package whose entry points are the lines given."""
    names = iter(("package_a", "package_b"))

    def do(*lines):
        name = next(names)
        (tmp_path / f"{name}.py").write_text(MODULE)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[medimagenet.sources]", *lines]))
        monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path if path != str(tmp_path))])
        monkeypatch.delitem(sys.modules, name, raising=False)

    return do


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_line_of_the_table_is_a_source_of_its_name(name):
    found = source_class(name)
    assert found.name == name
    assert f"{found.__module__}:{found.__qualname__}" == SOURCES[name]
    assert callable(getattr(found, "series", None)) or callable(getattr(found, "remote_files", None))


def test_names_are_those_of_the_table():
    assert source_names() == sorted(SOURCES)


def test_a_folder_is_listed_and_not_fetched(tmp_path):
    source = listed_source("folder", str(tmp_path))
    assert isinstance(source, Folder)
    assert source.path == tmp_path
    with pytest.raises(SourceError, match="there is nothing to fetch"):
        remote_source("folder")


def test_a_source_of_another_package(install):
    install("mine = package_a:Mine")
    assert "mine" in source_names()
    assert listed_source("mine", "x").argument == "x"
    assert remote_source("mine").remote_files({"key": "k"}) == [{"key": "k"}]


def test_a_name_of_ours_cannot_be_taken(install):
    install("folder = package_a:Mine")
    assert source_class("folder") is Folder
    assert source_names() == sorted(SOURCES)


def test_two_packages_that_claim_one_name(install):
    install("mine = package_a:Mine")
    install("mine = package_b:Mine")
    with pytest.raises(SourceError, match="claimed by package_a:Mine and by package_b:Mine"):
        source_class("mine")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mine = package_a:Absent", "package_a:Absent, which cannot be imported"),
        ("mine = no_such_module:Mine", "no_such_module:Mine, which cannot be imported"),
        ("mine = package_a:Other", "whose name is 'something else'"),
    ],
)
def test_a_wrong_entry_point(install, line, message):
    install(line)
    with pytest.raises(SourceError, match=message):
        source_class("mine")


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(SourceError, match="no source 'foldr': did you mean 'folder'"):
        source_class("foldr")
