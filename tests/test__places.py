"""Folders of the user: the variables override, nothing is created."""

from pathlib import Path

import pytest

from medimagenet import _places

PLACES = [(_places.cache_dir, _places.CACHE_VARIABLE), (_places.config_dir, _places.CONFIG_VARIABLE)]


@pytest.mark.parametrize(("place", "variable"), PLACES)
def test_the_variable_overrides(place, variable, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, str(tmp_path / "chosen"))
    assert place() == tmp_path / "chosen"
    assert not place().exists()


@pytest.mark.parametrize(("place", "variable"), PLACES)
@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_system_decides(place, variable, value, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    assert place().is_absolute()
    assert place().name == "medimagenet"
    assert place() != Path.cwd()


def test_linux_keeps_to_xdg(monkeypatch, tmp_path):
    for variable in (_places.CACHE_VARIABLE, _places.CONFIG_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert _places.cache_dir() == tmp_path / "cache" / "medimagenet"
    assert _places.config_dir() == tmp_path / "config" / "medimagenet"
