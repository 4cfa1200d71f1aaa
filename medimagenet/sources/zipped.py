"""Headers of DICOM files inside a zip, read in place: nothing of it is unpacked but a beginning of each file.

A zip is remote input. Names with ``..``, absolute ones, links, encrypted members and names that occur twice are
problems, and are not read; of each other member at most its header is.
"""

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..dicom.header_scan import FileProblem, InstanceHeader, read_header
from ..findings import Finding

_HEAD = 256 << 10  # bytes of a file that hold its header; of the few that need more, all is read
_WHOLE = 256 << 20  # bytes of a member up to which all of it is read where its beginning does not do
_LARGEST = 4 << 30  # bytes that a member may claim to have
_MOST_MEMBERS = 1_000_000

_PIECE = 1 << 20


def read_zipped(archive: Path) -> Iterator[InstanceHeader | FileProblem]:
    """Headers and problems of the members of a zip, whose paths are those of the zip and the member.

    A zip that is no zip is one problem.
    """
    try:
        with zipfile.ZipFile(archive) as opened, tempfile.TemporaryDirectory() as folder:
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) > _MOST_MEMBERS:
                yield _problem(archive, f"it has {len(members)} members, at most {_MOST_MEMBERS} are read")
                return
            names: set[str] = set()
            for info in sorted(members, key=lambda one: one.filename):
                wrong = _wrong_with(info, names)
                names.add(info.filename)
                yield _problem(archive, wrong, info) if wrong else _read(opened, info, archive, Path(folder))
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield _problem(archive, f"it cannot be read as a zip: {error}")


def _wrong_with(info: zipfile.ZipInfo, names: set[str]) -> str | None:
    """Why a member is not read."""
    name = PurePosixPath(info.filename.replace("\\", "/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in info.filename:
        return "its name leads out of the archive"
    if kind not in (0, stat.S_IFREG):
        return "it is a link or a device"
    if info.flag_bits & 1:
        return "it is encrypted"
    if info.file_size > _LARGEST:
        return f"it claims {info.file_size} bytes, at most {_LARGEST} are read"
    return "its name occurs twice in the archive" if info.filename in names else None


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path, folder: Path) -> InstanceHeader | FileProblem:
    """The header of a member, of a file that has the size of the member and only its beginning."""
    place = Path(archive, info.filename)
    copy = folder / "member"
    try:
        _copy(opened, info, copy, _HEAD)
        found = read_header(copy)
        is_whole = isinstance(found, InstanceHeader) and found.has_pixels  # without pixels all of it is header
        if not is_whole and _HEAD < info.file_size <= _WHOLE:
            _copy(opened, info, copy, info.file_size)
            found = read_header(copy)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        return _problem(archive, f"it is damaged: {error}", info)
    return FileProblem(place, found.finding) if isinstance(found, FileProblem) else replace(found, file=str(place))


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, most: int) -> None:
    """Write up to `most` bytes, and leave the rest a hole: the scan checks where pixel data end, and reads none."""
    left = min(most, info.file_size)
    with opened.open(info) as stream, path.open("wb") as target:
        while left > 0 and (piece := stream.read(min(_PIECE, left))):
            target.write(piece)
            left -= len(piece)
        target.truncate(info.file_size)


def _problem(archive: Path, message: str, info: zipfile.ZipInfo | None = None) -> FileProblem:
    path = archive if info is None else archive / info.filename.lstrip("/").replace("..", "__")
    return FileProblem(path, Finding(code="unreadable_file", message=message))
