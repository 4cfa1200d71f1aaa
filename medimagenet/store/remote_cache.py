"""A folder of bytes that came from far away, for all processes of a node, of bounded size.

An entry is a folder of files for one object; its name is a hash of what the object is. A file appears by rename, and is
not changed afterwards, but where `remote_parts` fills its holes. The entry that was not used for the longest time goes
first: it is renamed away and then removed, so that whoever has a file of it open goes on reading, and everybody else
finds nothing and fetches again. The time of use is that of the entry's folder. Nothing here is needed: the cache may be
deleted at any moment.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from .._places import cache_dir
from ..errors import StoreError

FOLDER_VARIABLE = "MEDIMAGENET_STORE_CACHE_DIR"
LIMIT_VARIABLE = "MEDIMAGENET_STORE_CACHE_BYTES"
DEFAULT_LIMIT_BYTES = 50_000_000_000

_TOUCH_SECONDS = 60.0  # an entry that was used within this time need not be marked again
_STEP = 50  # a process looks for what is too much when it has written this part of the limit
_KEPT = 0.9  # of the limit, after what is too much has gone


class NodeCache:
    """The cache in a folder. Holds no file; safe in threads, after a fork, and in any number of processes.

    Parameters
    ----------
    folder
        By default ``MEDIMAGENET_STORE_CACHE_DIR``, else ``stores`` in the cache folder of the package.
    limit_bytes
        By default ``MEDIMAGENET_STORE_CACHE_BYTES``, else 50 GB. Each process may exceed it by a fiftieth.

    Raises
    ------
    ValueError
        The limit is no number of bytes above zero.
    StoreError
        The folder cannot be written.
    """

    def __init__(self, folder: Path | str | None = None, limit_bytes: int | None = None) -> None:
        self.folder = Path(folder or os.environ.get(FOLDER_VARIABLE) or cache_dir() / "stores")
        self.limit_bytes = _limit(limit_bytes)
        self._written = self.limit_bytes  # so that the first file leads to a look at what is there
        self._touched: dict[Path, float] = {}
        with self.failures():
            for name in ("entries", "going"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()

    def entry(self, *parts: str) -> Path:
        """Where the files of an object are, whether there are any or not."""
        name = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return self.folder / "entries" / name[:2] / name[2:]

    def open(self, entry: Path, name: str, *, for_writing: bool = False) -> int | None:
        """A descriptor of a file, which the caller closes; None where it is not there."""
        try:
            descriptor = os.open(entry / name, (os.O_RDWR if for_writing else os.O_RDONLY) | os.O_CLOEXEC)
        except OSError:
            return None
        now = time.monotonic()
        if now - self._touched.get(entry, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
            self._touch(entry, now)
        return descriptor

    def read(self, entry: Path, name: str) -> bytes | None:
        """The bytes of a file; None where it is not there."""
        descriptor = self.open(entry, name)
        if descriptor is None:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def names(self, entry: Path) -> list[str]:
        """The files of an entry."""
        try:
            return [path.name for path in entry.iterdir()]
        except OSError:
            return []

    def write(self, entry: Path, name: str, content: bytes) -> None:
        """Add a file. One that is there already stays or is replaced: it has the same bytes.

        Raises
        ------
        StoreError
            The disk refuses.
        """
        os.close(self.fill(entry, name, lambda file: file.write(content)))

    def fill(self, entry: Path, name: str, write: Callable[[BinaryIO], object]) -> int:
        """Add a file that `write` writes, and give a descriptor of it, which no removal takes away.

        Raises
        ------
        StoreError
            The disk refuses. What `write` raises passes through; then no file is added.
        """
        with self.failures():
            while True:
                entry.mkdir(parents=True, exist_ok=True)
                try:
                    return self._fill(entry, name, write)
                except FileNotFoundError:  # the entry was removed meanwhile
                    continue

    def _fill(self, entry: Path, name: str, write: Callable[[BinaryIO], object]) -> int:
        descriptor, partial = tempfile.mkstemp(dir=entry, prefix=".")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                write(file)
            written = _bytes_of(os.fstat(descriptor))
            Path(partial).replace(entry / name)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                Path(partial).unlink()
            raise
        self.count(written)
        return descriptor

    def count(self, written: int) -> None:
        """Take note of bytes that were added to a file, and make room where they are enough to look for it."""
        self._written += written
        if self._written >= self.limit_bytes // _STEP:
            self._written = 0
            with contextlib.suppress(OSError):
                self.shrink()

    def remove(self, entry: Path) -> None:
        """Take an entry out. Who has a file of it open reads on."""
        with contextlib.suppress(OSError):  # somebody else was first
            going = Path(tempfile.mkdtemp(dir=self.folder / "going"))
            try:
                entry.rename(going / "entry")
            finally:
                shutil.rmtree(going, ignore_errors=True)

    def remove_file(self, entry: Path, name: str) -> None:
        """Take one file out."""
        with contextlib.suppress(OSError):
            (entry / name).unlink()

    @contextlib.contextmanager
    def alone(self, entry: Path) -> Iterator[None]:
        """Wait until no other thread or process works on an entry. Where files cannot be locked, nobody waits."""
        with self.failures():
            entry.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(entry / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def shrink(self) -> int:
        """Remove entries, the least recently used first, until there is room. Returns how many bytes are left.

        Only one thread or process at a time does. The others wait: who went on would write faster than it removes.
        """
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: two that remove the same harm nobody
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            return self._shrink()
        finally:
            os.close(descriptor)

    def _shrink(self) -> int:
        for leftover in self.folder.glob("going/*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        entries = sorted(
            found for path in self.folder.glob("entries/*/*") if (found := _use_and_size(path)) is not None
        )
        total = sum(size for _, size, _ in entries)
        if total <= self.limit_bytes:
            return total
        for _, size, path in entries:
            if total <= _KEPT * self.limit_bytes:
                break
            self.remove(path)
            self._touched.pop(path, None)
            total -= size
        return total

    def _touch(self, entry: Path, now: float) -> None:
        if len(self._touched) > 10_000:  # memory must not grow with the number of samples
            self._touched.clear()
        self._touched[entry] = now
        with contextlib.suppress(OSError):
            os.utime(entry)

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Say of an OSError that the cache cannot be written, and where else it could be."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the cache of remote stores at {self.folder} cannot be written: {error.strerror or error}. Choose "
                f"another place (cache_dir, or {FOLDER_VARIABLE}) or a smaller limit (cache_bytes, or {LIMIT_VARIABLE})"
            ) from error


def _limit(given: int | None) -> int:
    text = given if given is not None else os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT_BYTES
    try:
        limit = int(text)
    except ValueError:
        limit = 0
    if limit <= 0:
        raise ValueError(f"the cache of remote stores needs a limit in bytes above 0, got {text!r}")
    return limit


def _bytes_of(status: os.stat_result) -> int:
    """What a file takes: of one with holes, less than its size."""
    return min(status.st_size, 512 * status.st_blocks)


def _use_and_size(entry: Path) -> tuple[float, int, Path] | None:
    """When an entry was last used, and the bytes of its files; None where it is just going."""
    try:
        with os.scandir(entry) as files:
            size = sum(_bytes_of(file.stat()) for file in files)
        return entry.stat().st_mtime, size, entry
    except OSError:
        return None
