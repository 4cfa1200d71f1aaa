"""A file is there whole, or what was there stays."""

import errno

import pytest

from medimagenet.errors import ExportError
from medimagenet.export._files import whole_file


def test_the_name_appears_with_the_last_byte(tmp_path):
    place = tmp_path / "new" / "a.bin"
    with whole_file(place) as file:
        file.write(b"abc")
        assert not place.exists()
    assert place.read_bytes() == b"abc"
    assert [path.name for path in place.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_stood_there_stays(tmp_path, error):
    place = tmp_path / "a.bin"
    place.write_bytes(b"old")
    expected = ExportError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is ExportError else None), whole_file(place) as file:
        file.write(b"new")
        raise error
    assert place.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
