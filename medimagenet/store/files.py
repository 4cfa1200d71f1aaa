"""Files of a store that is written: their hash, and what a disk that fails is told as."""

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError


def hash_files(folder: Path) -> tuple[str, int]:
    """SHA-256 over the names and bytes of all files below a folder, in the order of their names, and their size."""
    stamp, total = hashlib.sha256(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        size = path.stat().st_size
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        stamp.update(f"{name} {size} {content}\n".encode())
        total += size
    return stamp.hexdigest(), total


@contextlib.contextmanager
def failures_of(store: Path, what: str) -> Iterator[None]:
    """Say of an OSError what could not be written, and of a full disk how full it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or store
            raise StoreError(f"{what} cannot be written: {error.strerror or error} ({where})") from error
        free = shutil.disk_usage(next(place for place in (store, *store.parents) if place.exists())).free
        raise StoreError(
            f"{what} cannot be written: the disk is full ({free / 1e6:.1f} MB free at {store}). Samples committed so "
            "far are whole: make room and run the same command again, it continues there"
        ) from error
