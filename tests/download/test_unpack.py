"""Archives: right ones, damaged ones, hostile ones. The judge of right ones is the standard library that wrote them."""

import hashlib
import io
import stat
import struct
import tarfile
import zipfile

import pytest

from medimagenet.download.unpack import HASHES, Limits, _copy, unpack
from medimagenet.errors import SourceError

FILES = {"LICENSE": b"CC BY", "00000001.dcm": b"one" * 1000, "deeper/00000002.dcm": b"two"}


def zip_of(files, *, compression=zipfile.ZIP_DEFLATED, change=None):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, body in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            if change:
                change(info)
            archive.writestr(info, body)
    return stream.getvalue()


def tar_of(files, mode="w:gz", change=None):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            if change:
                change(info)
            archive.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def multipart_of(bodies, boundary=b"a b", start=b""):
    parts = b"".join(b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (boundary, body) for body in bodies)
    return start + parts + b"--%s--\r\n" % boundary


@pytest.fixture
def run(tmp_path):
    """Unpack bytes: contents by name. After an error nothing may be left."""

    def call(package, content, **settings):
        (tmp_path / "archive").write_bytes(content)
        folder = tmp_path / "members"
        try:
            members = unpack(package, tmp_path / "archive", folder, **settings)
        except SourceError:
            assert not folder.exists()
            assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive"]
            raise
        for member in members:
            assert member.path.parent == folder
            assert member.size_bytes == member.path.stat().st_size
        call.members = members
        return {member.name: member.path.read_bytes() for member in members}

    return call


def test_zip_tar_and_multipart_give_what_was_put_in(run):
    assert run("zip", zip_of(FILES)) == FILES
    assert run("zip", zip_of(FILES, compression=zipfile.ZIP_STORED)) == FILES
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        assert run("tar", tar_of(FILES, mode)) == FILES
    assert all(not member.verified for member in run.members)
    assert [member.checksum for member in run.members] == [
        f"sha256:{hashlib.sha256(body).hexdigest()}" for body in FILES.values()
    ]


@pytest.mark.parametrize("kind", ['multipart/related; type="application/dicom"; boundary="a b"', "x; boundary=ab; y=1"])
@pytest.mark.parametrize("start", [b"", b"words before it\r\n"])
def test_parts_of_a_multipart_body(run, kind, start):
    bodies = [b"", b"\r\n", b"--a", b"x" * 100_000, b"a\r\n--\r\n\r\n"]
    content = multipart_of(bodies, b"a b" if '"a b"' in kind else b"ab", start)
    assert list(run("multipart", content, content_type=kind).values()) == bodies


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (multipart_of([b"abc"])[:-12], 'm; boundary="a b"', "it was cut"),
        (multipart_of([b"abc"]), "m; boundary=other", "it was cut"),
        (multipart_of([b"abc"]), "application/json", "names no boundary"),
        (b"", "m; boundary=x", "or it is empty"),
        (b"--x\r\nno end of headers--x--", "m; boundary=x", "it was cut"),
    ],
)
def test_a_damaged_multipart_body(run, content, kind, message):
    with pytest.raises(SourceError, match=message):
        run("multipart", content, content_type=kind)


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "/etc/cron.d/evil", "a/../../evil", "C:/evil", "..\\evil", "a\nb", "x" * 300, "a/../b"]
)
@pytest.mark.parametrize("package", ["zip", "tar"])
def test_names_that_lead_elsewhere_are_refused(run, tmp_path, package, name):
    content = (zip_of if package == "zip" else tar_of)({"good.dcm": b"x", name: b"evil"})
    with pytest.raises(SourceError, match="damaged or hostile"):
        run(package, content)


def test_links_and_devices_are_refused(run):
    def link(info):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(SourceError, match="is a link or a device"):
        run("zip", zip_of({"a": b"/etc/passwd"}, change=link))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):

        def change(info, kind=kind):
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0

        with pytest.raises(SourceError, match="is a link or a device"):
            run("tar", tar_of({"a": b""}, change=change))


def test_bombs_are_not_unpacked(run):
    bomb = {"bomb.dcm": b"\0" * (80 << 20)}
    for package, content in (("zip", zip_of(bomb)), ("tar", tar_of(bomb))):
        assert len(content) < 200_000
        with pytest.raises(SourceError, match=r"bytes come out of it up to 'bomb.dcm', at most"):
            run(package, content, limits=Limits(free_bytes=1 << 20))
        with pytest.raises(SourceError, match="at most 1000 are allowed"):
            run(package, content, limits=Limits(size_bytes=1000))
        with pytest.raises(SourceError, match="more than 1 members"):
            run(package, (zip_of if package == "zip" else tar_of)(FILES), limits=Limits(members=1))


def test_a_member_that_lies_about_its_size_is_refused(run):
    content = bytearray(zip_of({"a.dcm": b"\0" * 100_000}))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<L", 10)  # uncompressed size in the directory
    with pytest.raises(SourceError, match="damaged or hostile"):
        run("zip", bytes(content), limits=Limits(size_bytes=1000))


def test_a_stream_that_does_not_end_is_left(tmp_path):
    with pytest.raises(ValueError, match="more than 10 bytes come out of it"):
        _copy(io.BytesIO(b"x" * 100), tmp_path / "a", 10)


def test_blank_masks_that_pack_well_are_taken(run):
    blank = {"mask.dcm": b"\0" * (30 << 20)}
    assert run("zip", zip_of(blank)) == blank  # ratio 1030, as far as deflate goes
    assert Limits().most(10 << 20) == 200 * (10 << 20)
    assert Limits(size_bytes=9).most(1 << 30) == 9


def test_damaged_archives_are_refused(run):
    good = zip_of({"a.dcm": bytes(range(256)) * 100}, compression=zipfile.ZIP_STORED)
    flipped = good.replace(b"\x10\x11\x12", b"\x10\x11\x13", 1)
    for content in (good[:-30], good[:50], b"", b"<html>", flipped):
        with pytest.raises(SourceError, match="damaged or hostile"):
            run("zip", content)
    tar = tar_of({"a.dcm": bytes(range(256)) * 100})
    for content in (tar[: len(tar) // 2], b"", b"no tar"):
        with pytest.raises(SourceError, match="damaged or hostile"):
            run("tar", content)


def test_encrypted_and_repeated_members_are_refused(run):
    content = bytearray(zip_of({"a.dcm": b"abc"}))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SourceError, match="encrypted"):
        run("zip", bytes(content))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(SourceError, match="two members called 'a'"):
        run("zip", stream.getvalue())


def hashes(files, **changes):
    rows = [f"{name},{hashlib.md5(body).hexdigest()}" for name, body in files.items() if name != "LICENSE"]
    return "\r\n".join(["Filename,MD5Hash", *rows]).encode()


def test_md5hashes_are_compared_and_taken_out(run):
    assert run("zip", zip_of({**FILES, HASHES: hashes(FILES)})) == FILES
    assert [member.verified for member in run.members] == [False, True, True]
    assert run.members[1].checksum == f"md5:{hashlib.md5(FILES['00000001.dcm']).hexdigest()}"


@pytest.mark.parametrize(
    ("files", "table", "message"),
    [
        (FILES | {"00000001.dcm": b"other"}, hashes(FILES), "00000001.dcm' has md5:.*says"),
        ({"LICENSE": b""}, hashes(FILES), "2 files of md5hashes.csv are not in it.*short"),
        (FILES | {"3.dcm": b"3"}, hashes(FILES), "'3.dcm' is not in md5hashes.csv"),
        (FILES, b"name,hash\na,b", "not a table of Filename and MD5Hash"),
        (FILES, b"Filename,MD5Hash\na", "not a table of Filename and MD5Hash"),
    ],
)
def test_md5hashes_that_do_not_agree(run, files, table, message):
    with pytest.raises(SourceError, match=message):
        run("zip", zip_of({**files, HASHES: table}))
