"""Headers read inside zips against those of the same files outside, and zips that nobody should trust."""

import stat
import zipfile
from dataclasses import replace

import pytest

from medimagenet.dicom.header_scan import FileProblem, read_header
from medimagenet.sources.zipped import read_zipped


def pack(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_headers_are_those_of_the_files(tmp_path, write_slice):
    large = bytes(2 * 512 * 512)
    small = write_slice(tmp_path / "a", "1.3.1")
    big = write_slice(tmp_path / "b", "1.3.2", Rows=512, Columns=512, PixelData=large)
    wide = write_slice(tmp_path / "c", "1.3.3", ImageComments="x" * 10000, DerivationDescription="y" * 900)
    archive = pack(tmp_path / "x.zip", {f"d/{path.name}": path.read_bytes() for path in (small, big, wide)})
    found = list(read_zipped(archive))
    assert found == [replace(read_header(path), file=str(archive / "d" / path.name)) for path in (small, big, wide)]


def test_a_header_longer_than_the_beginning_is_read_whole(tmp_path, write_slice):
    path = write_slice(tmp_path / "a", "1.3.1", ImageComments="x" * 400_000)
    archive = pack(tmp_path / "x.zip", {"a": path.read_bytes()})
    assert list(read_zipped(archive)) == [replace(read_header(path), file=str(archive / "a"))]


def test_files_cut_short_and_others(tmp_path, write_slice):
    data = write_slice(tmp_path / "a", "1.3.1").read_bytes()
    archive = pack(tmp_path / "x.zip", {"cut": data[:-10], "notes.txt": b"notes", "whole": data})
    found = list(read_zipped(archive))
    assert [one.finding.code for one in found[:2]] == ["truncated_file", "not_dicom"]
    assert [one.path for one in found] == [archive / name for name in ("cut", "notes.txt", "whole")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../../evil.dcm", "leads out"),
        ("/etc/evil.dcm", "leads out"),
        ("a\\..\\..\\evil.dcm", "leads out"),
        ("C:/evil.dcm", "leads out"),
    ],
)
def test_names_that_lead_out_are_not_read(tmp_path, write_slice, name, words):
    data = write_slice(tmp_path / "a", "1.3.1").read_bytes()
    found = list(read_zipped(pack(tmp_path / "x.zip", {name: data, "good": data})))
    problem = next(one for one in found if isinstance(one, FileProblem))
    assert words in problem.finding.message
    assert ".." not in problem.path.relative_to(tmp_path).parts
    assert len(found) == 2


def test_links_encrypted_and_repeated_members(tmp_path, write_slice):
    data = write_slice(tmp_path / "a", "1.3.1").read_bytes()
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("same", data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("same", data)
    messages = [one.finding.message for one in read_zipped(path) if isinstance(one, FileProblem)]
    assert messages == ["it is a link or a device", "its name occurs twice in the archive"]
    raw = bytearray(pack(path, {"a": data}).read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1  # general purpose bit 0 in the central directory
    path.write_bytes(raw)
    (problem,) = read_zipped(path)
    assert problem.finding.message == "it is encrypted"


def test_a_bomb_costs_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr("medimagenet.sources.zipped._WHOLE", 4 << 20)
    taken = []
    read = zipfile.ZipExtFile.read

    def count(stream, size=-1):
        taken.append(size)
        return read(stream, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", count)
    (problem,) = read_zipped(pack(tmp_path / "x.zip", {"bomb": bytes(8 << 20)}))
    assert problem.finding.code == "not_dicom"
    assert taken == [256 << 10]


@pytest.mark.parametrize("damage", [slice(0, 200), slice(0, 0), slice(100, None)])
def test_damaged_zips_are_problems(tmp_path, write_slice, damage):
    data = write_slice(tmp_path / "a", "1.3.1").read_bytes()
    path = pack(tmp_path / "x.zip", {"a": data})
    path.write_bytes(path.read_bytes()[damage])
    assert {type(one) for one in read_zipped(path)} == {FileProblem}


def test_a_member_that_fails_its_check_is_a_problem(tmp_path, write_slice):
    data = write_slice(tmp_path / "a", "1.3.1").read_bytes()
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a", data)
    raw = bytearray(path.read_bytes())
    raw[60] ^= 0xFF
    path.write_bytes(raw)
    (problem,) = read_zipped(path)
    assert "damaged" in problem.finding.message
