"""The door to optional packages: fake packages on the import path, absent and broken ones."""

import json
import sys

import pytest

from medimagenet import _optional
from medimagenet.errors import MissingPackageError


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Write modules into a folder that Python imports from."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(**sources):
        for name, text in sources.items():
            (tmp_path / f"{name}.py").write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_package_that_is_there_is_imported():
    assert _optional.require("json", extra="train") is json


def test_a_submodule_is_imported_itself():
    assert _optional.require("json.decoder", extra="train").__name__ == "json.decoder"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_an_absent_package_is_named_with_its_remedy(module):
    with pytest.raises(MissingPackageError) as caught:
        _optional.require(module, extra="train")
    assert str(caught.value).startswith(module)
    assert str(caught.value).endswith('pip install "medimagenet[train]"')
    assert caught.value.name == "no_such_package"


def test_a_package_that_lacks_another_says_so_itself(packages):
    packages(half_installed="import no_such_dependency")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        _optional.require("half_installed", extra="train")
    assert not isinstance(caught.value, MissingPackageError)


def test_a_broken_package_shows_its_own_error(packages):
    packages(broken="raise OSError('libcuda.so.1 is missing')")
    with pytest.raises(OSError, match="libcuda"):
        _optional.require("broken", extra="train")


def test_is_installed_imports_nothing(packages):
    packages(loud="raise RuntimeError('imported')")
    assert _optional.is_installed("loud")
    assert "loud" not in sys.modules
    assert not _optional.is_installed("no_such_package")
    assert not _optional.is_installed("no_such_package.part")
