"""Checksums as archives write them: ``md5:9e10...``, ``sha256:...``, ``crc32c:...`` in hexadecimal."""

import hashlib
from pathlib import Path
from typing import Protocol

import google_crc32c

from ..errors import SourceError

DEFAULT = "sha256"
"""What is noted of files whose archive gives no checksum."""

BLOCK = 1 << 20


class Digest(Protocol):
    """What hashlib's objects and those of google_crc32c have in common."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""
        ...

    def digest(self) -> bytes:
        """The checksum of all bytes so far."""
        ...


def new_digest(kind: str) -> Digest:
    """An empty checksum.

    Raises
    ------
    SourceError
        The kind is not known: what cannot be checked is not taken for right.
    """
    if kind == "crc32c":
        crc: Digest = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
        return crc
    if kind in ("md5", "sha1", "sha256", "sha512"):
        return hashlib.new(kind, usedforsecurity=False)
    raise SourceError(f"checksum of unknown kind {kind!r}; known are md5, sha1, sha256, sha512 and crc32c")


def kind_of(checksum: str | None) -> str:
    """The kind that a checksum names, `DEFAULT` where there is none."""
    return checksum.partition(":")[0].lower() if checksum else DEFAULT


def same(first: str, second: str) -> bool:
    """Whether two checksums are equal, in whatever case."""
    return first.strip().lower() == second.strip().lower()


def file_checksum(path: Path, kind: str = DEFAULT) -> str:
    """The checksum of a file."""
    digest = new_digest(kind)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return f"{kind}:{digest.digest().hex()}"
