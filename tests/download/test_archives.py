"""Archives of the user's own, against zipfile and tarfile that made them."""

import io
import tarfile
import zipfile

import pytest

from medimagenet.download.archives import unpack_archives
from medimagenet.download.unpack import Limits
from medimagenet.errors import SourceError

FILES = {"case-100010/omi/a/1.dcm": b"one", "case-100010/omi/b/2.dcm": b"two"}


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("make", "name"), [(make_zip, "case-100010.zip"), (make_tar, "case-100010.tar.gz")])
def test_an_archive_becomes_a_folder_of_its_name(tmp_path, make, name):
    steps = []
    (place,) = unpack_archives([make(tmp_path / name)], tmp_path / "out", progress=lambda *step: steps.append(step))
    assert place == tmp_path / "out" / "case-100010"
    assert tree(tmp_path / "out") == FILES
    assert steps == [(0, 1), (1, 1)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case-100010"]
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0


def test_other_names_inside_stay_below_the_archives_name(tmp_path):
    files = {"1.dcm": b"one", "sub/2.dcm": b"two"}
    unpack_archives([make_zip(tmp_path / "x.zip", files)], tmp_path / "out")
    assert tree(tmp_path / "out" / "x") == files


def test_what_is_there_is_passed_over(tmp_path):
    archive = make_zip(tmp_path / "case-100010.zip")
    unpack_archives([archive], tmp_path / "out")
    archive.write_bytes(b"gone bad since")
    assert unpack_archives([archive], tmp_path / "out") == [tmp_path / "out" / "case-100010"]
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({"../evil.dcm": b"x"}, None),
        ({"/evil.dcm": b"x"}, None),
        ({"a.dcm": b"x" * 100}, Limits(size_bytes=50)),
        ({"a.dcm": b"x", "b.dcm": b"x"}, Limits(members=1)),
    ],
)
def test_hostile_archives_leave_nothing(tmp_path, files, limits):
    good = make_zip(tmp_path / "case-100010.zip")
    bad = make_zip(tmp_path / "bad.zip", files)
    with pytest.raises(SourceError, match=r"bad\.zip is damaged or hostile"):
        unpack_archives([bad], tmp_path / "out", limits=limits)
    assert list((tmp_path / "out").iterdir()) == []
    assert list(tmp_path.rglob("evil*")) == []
    unpack_archives([good], tmp_path / "out")
    assert tree(tmp_path / "out") == FILES


def test_what_is_no_archive(tmp_path):
    for name, words in (("x.rar", "no zip or tar by its name"), ("x.zip", "no archive at")):
        with pytest.raises(SourceError, match=words):
            unpack_archives([tmp_path / name], tmp_path / "out")
    with pytest.raises(SourceError, match="is empty"):
        unpack_archives([make_zip(tmp_path / "x.zip", {})], tmp_path / "out")
