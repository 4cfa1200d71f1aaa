"""Small files: whole or not at all."""

import errno
import os

import pytest

from medimagenet.download.files import read_json, write_json, write_whole


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "ä"], "a": None})
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [1, "ä"]}
    assert (tmp_path / "a.json").read_text() == '{"a": null, "b": [1, "ä"]}'


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"\xff"])
def test_what_is_something_else_is_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json") == {}


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
