"""Figures are files of the asked size, whole or not there."""

import pytest
from PIL import Image

from medimagenet.viz._files import new_figure, write_png


@pytest.mark.parametrize("size", [(1, 1), (641, 479), (1001, 333)])
def test_size_in_pixels_is_exact(tmp_path, size):
    write_png(new_figure(*size), tmp_path / "deep" / "f.png")
    assert Image.open(tmp_path / "deep" / "f.png").size == size


def test_a_failure_leaves_the_old_file_and_names_the_path(tmp_path, monkeypatch):
    path = tmp_path / "f.png"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"No space left on device: .*f\.png"):
        write_png(new_figure(9, 9), path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("f.png", "old")]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"file/f\.png"):
        write_png(new_figure(9, 9), tmp_path / "file" / "f.png")
