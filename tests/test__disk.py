"""What was written is on the disk: which calls the system gets."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from medimagenet import _disk


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_bytes(b"1")
    (tmp_path / "y").write_bytes(b"2")
    return tmp_path


def opened(descriptor):
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def test_the_file_system_is_flushed_once(tree, monkeypatch):
    calls = []
    monkeypatch.setattr(_disk, "_syncfs", lambda: lambda descriptor: calls.append(opened(descriptor)) or 0)
    _disk.flush_tree(tree)
    assert calls == [tree]


def test_without_it_every_file_and_folder_is_inner_ones_first(tree, monkeypatch):
    calls = []
    monkeypatch.setattr(_disk, "_syncfs", lambda: None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(opened(descriptor).relative_to(tree).as_posix()))
    _disk.flush_tree(tree)
    assert sorted(calls) == [".", "a", "a/b", "a/b/x", "y"]
    assert calls.index("a/b/x") < calls.index("a/b") < calls.index("a") < calls.index(".")


def test_a_disk_that_fails_is_an_error(tree, monkeypatch):
    def fail(_):
        _disk.ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(_disk, "_syncfs", lambda: fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="No space left") as error:
        _disk.flush_tree(tree)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tree))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("system", "release", "is_used"),
    [("Linux", "5.8.0-1", True), ("Linux", "6.1", True), ("Linux", "5.4.0", False), ("Darwin", "23.1", False)],
)
def test_it_is_used_where_it_tells_of_errors(monkeypatch, system, release, is_used):
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname=system, release=release))
    found = _disk._syncfs.__wrapped__()
    assert (found is not None) == is_used


def test_the_systems_own_call_takes_a_folder(tree):
    _disk.flush_tree(tree)
    assert (tree / "a" / "b" / "x").read_bytes() == b"1"
