"""Archives from servers: what is inside, on disk under names of our own, within limits of number and size.

Names inside an archive are remote input. They are checked, and never used to write: members are stored as ``00000001``
and so on, and get their place when all of them have been looked at.
"""

import csv
import errno
import io
import lzma
import mmap
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ..errors import SourceError
from .checksum import BLOCK, file_checksum, new_digest, same
from .layout import safe_path

HASHES = "md5hashes.csv"
"""Last member of a zip of NBIA that was asked for with IncludeMD5=Yes: columns Filename, MD5Hash."""

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError),
    *(IndexError, OverflowError, TypeError, struct.error),  # of fields that make no sense
)
_ODD_PLACES = (None, errno.EINVAL)  # of an OSError: what bz2 and zipfile raise where bytes or offsets are wrong
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large what comes out of an archive may be."""

    members: int = 1_000_000
    size_bytes: int | None = None
    """Of all members together, as far as an index tells; None where nobody knows what to expect."""
    ratio: float = 200.0
    """Of what comes out to what is packed, where `size_bytes` is None. Bombs of deflate have 1032."""
    free_bytes: int = 1 << 30
    """Up to here the ratio does not matter: masks of few voxels pack as well as bombs."""

    def most(self, packed_bytes: int) -> int:
        """Bytes that may come out of so many."""
        by_ratio = max(self.free_bytes, int(self.ratio * packed_bytes))
        return by_ratio if self.size_bytes is None else self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file that was in an archive, or that came alone."""

    path: Path
    """Where it is now."""
    name: str
    """What it was called: a safe relative path."""
    size_bytes: int
    checksum: str
    verified: bool = False
    """Whether `checksum` is that of its archive, and the bytes have it."""


def unpack(
    package: str, archive: Path, folder: Path, *, limits: Limits | None = None, content_type: str = ""
) -> list[Member]:
    """Unpack an archive into an empty folder.

    Parameters
    ----------
    package
        "zip", "tar" (packed by gzip, bzip2, xz or not) or "multipart" (DICOM PS3.18, 8.7.1).
    content_type
        Of a multipart body, whose boundary it names.

    Raises
    ------
    SourceError
        It is damaged, hostile or larger than the limits, or its own list of checksums does not agree with it. What
        was unpacked by then is removed.
    """
    limits = limits or Limits()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        streams = _STREAMS[package](archive, content_type)
        return _check_hashes(list(_store(streams, folder, archive, limits)))
    except _DAMAGED as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SourceError(f"{package} {archive.name} is damaged or hostile, and was not used: {error}") from error
    except (SourceError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in _ODD_PLACES:
            raise SourceError(f"{package} {archive.name} is damaged, and was not used: {error}") from error
        raise


def _store(
    streams: Iterator[tuple[str, int, IO[bytes]]], folder: Path, archive: Path, limits: Limits
) -> Iterator[Member]:
    most = limits.most(archive.stat().st_size)
    names: set[str] = set()
    total = 0
    for number, (name, promised, stream) in enumerate(streams, start=1):
        name = safe_path(name)
        if number > limits.members:
            raise ValueError(f"it has more than {limits.members} members")
        if name in names:
            raise ValueError(f"it has two members called {name!r}")
        if total + promised > most:
            raise ValueError(f"{total + promised} bytes come out of it up to {name!r}, at most {most} are allowed")
        names.add(name)
        path = folder / f"{number:08d}"
        size, checksum = _copy(stream, path, most - total)
        total += size
        yield Member(path=path, name=name, size_bytes=size, checksum=checksum)


def _copy(stream: IO[bytes], path: Path, most: int) -> tuple[int, str]:
    """Write a member, whatever size it promised. Gives size and sha256."""
    digest, size = new_digest("sha256"), 0
    with path.open("wb") as target:
        while block := stream.read(BLOCK):
            size += len(block)
            if size > most:
                raise ValueError(f"more than {most} bytes come out of it")
            digest.update(block)
            target.write(block)
    return size, f"sha256:{digest.digest().hex()}"


def _zip_streams(archive: Path, content_type: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1:
                raise ValueError(f"{info.filename!r} is encrypted")
            with opened.open(info) as stream:
                yield info.filename, info.file_size, stream


def _tar_streams(archive: Path, content_type: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(archive, "r|*") as opened:
        for info in opened:
            if info.isdir():
                continue
            stream = opened.extractfile(info) if info.isreg() else None
            if stream is None:
                raise ValueError(f"{info.name!r} is a link or a device")
            yield info.name, info.size, stream


def _part_streams(archive: Path, content_type: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The parts of multipart/related (RFC 2046, 5.1.1), which have no names."""
    match = _BOUNDARY.search(content_type)
    if match is None or not archive.stat().st_size:
        raise ValueError(f"its content type {content_type!r} names no boundary, or it is empty")
    mark = b"--" + (match[1] or match[2]).encode()
    with archive.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as body:
        place = 0 if body[: len(mark)] == mark else _find(body, b"\r\n" + mark, 0) + 2
        number = 0
        while body[place + len(mark) : place + len(mark) + 2] != b"--":
            end = _find(body, b"\r\n" + mark, place + len(mark))
            start = _find(body, b"\r\n\r\n", place + len(mark)) + 4
            if start > end:
                raise ValueError("a part of it has no end of its headers")
            number += 1
            yield f"{number:08d}.dcm", end - start, io.BytesIO(body[start:end])
            place = end + 2


def _find(body: mmap.mmap, what: bytes, start: int) -> int:
    found = body.find(what, start)
    if found < 0:
        raise ValueError(f"it ends without {what.strip()!r}: it was cut")
    return found


_STREAMS = {"zip": _zip_streams, "tar": _tar_streams, "multipart": _part_streams}


def _check_hashes(members: list[Member]) -> list[Member]:
    """The members without the list of MD5s among them, which must be of just these."""
    lists = [member for member in members if member.name.rpartition("/")[2] == HASHES]
    if not lists:
        return members
    told = _read_hashes(lists[0])
    checked = []
    for member in members:
        if member is lists[0]:
            continue
        expected = told.pop(member.name, None)
        if expected is not None:
            found = file_checksum(member.path, "md5")
            if not same(found, f"md5:{expected}"):
                raise ValueError(f"{member.name!r} has {found}, {HASHES} says {expected}")
            member = replace(member, checksum=found, verified=True)
        elif member.name.endswith(".dcm"):
            raise ValueError(f"{member.name!r} is not in {HASHES}")
        checked.append(member)
    if told:
        raise ValueError(f"{len(told)} files of {HASHES} are not in it, such as {min(told)!r}: it is short")
    lists[0].path.unlink()
    return checked


def _read_hashes(member: Member) -> dict[str, str]:
    with member.path.open(newline="", encoding="utf-8", errors="replace") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return {row["Filename"].strip(): row["MD5Hash"].strip() for row in rows}
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{HASHES} is not a table of Filename and MD5Hash") from error
