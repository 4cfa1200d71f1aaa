"""What is below a folder: names, sizes and times, folder by folder, in few bytes per file."""

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

from ..dicom.header_scan import FileProblem
from ..findings import Finding

UNKNOWN = -1
"""Size or time of a file that cannot be asked, or that changed while it was read."""

_NOT_TEXT = "its name, or that of a folder, is not UTF-8 and cannot be in an index: rename it"


class Stamp(NamedTuple):
    """What tells whether a file has changed."""

    size_bytes: int
    modified_ns: int


class Listing(NamedTuple):
    """The files of one folder, by name."""

    folder: str
    stamps: dict[str, Stamp]


def walk(root: Path) -> Iterator[Listing | FileProblem]:
    """Every folder with files below a folder, sorted, and what cannot be listed.

    Links to folders are followed; a folder that is reached twice, also by a link to a parent, is entered once.
    """
    problems: list[FileProblem] = []
    seen: set[tuple[int, int]] = set()

    def note(error: OSError) -> None:
        message = f"folder cannot be listed: {error.strerror or error}"
        problems.append(FileProblem(Path(error.filename), Finding(code="unreadable_file", message=message)))

    for directory, folders, files in os.walk(root, followlinks=True, onerror=note):
        try:
            is_new = _enter(directory, seen)
        except OSError as error:  # gone since it was listed
            note(error)
            is_new = False
        if not is_new:
            folders.clear()
            continue
        folders.sort()
        if files:
            files.sort()
            names = files if _is_text("\0".join([directory, *files])) else _texts(directory, files, problems)
            stamps = _stamps(directory, names)
            if stamps:
                yield Listing(directory, stamps)
    yield from problems


def _texts(directory: str, files: list[str], problems: list[FileProblem]) -> list[str]:
    """Those names that are text; the others become problems."""
    is_text = _is_text(directory)
    names = [name for name in files if is_text and _is_text(name)]
    problems += [_not_text(Path(directory, name)) for name in sorted(set(files).difference(names))]
    return names


def _stamps(folder: str, names: Iterable[str]) -> dict[str, Stamp]:
    prefix = f"{folder}{os.sep}"
    stat = os.stat
    stamps = {}
    for name in names:
        try:
            status = stat(prefix + name)
        except OSError:
            stamps[name] = Stamp(UNKNOWN, UNKNOWN)
        else:
            stamps[name] = Stamp(status.st_size, status.st_mtime_ns)
    return stamps


def _not_text(path: Path) -> FileProblem:
    return FileProblem(path, Finding(code="unreadable_file", message=_NOT_TEXT))


def _is_text(name: str) -> bool:
    """Whether a name can be written into a table. On Linux names are bytes, of any encoding."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _enter(directory: str, seen: set[tuple[int, int]]) -> bool:
    """Whether a folder is new, by what it is and not by its name."""
    status = Path(directory).stat()
    identity = status.st_dev, status.st_ino
    if identity in seen:
        return False
    seen.add(identity)
    return True


class Paths(Sequence[str]):
    """Many paths in the memory of their names: a million `Path` take half a gigabyte, these 30 MB."""

    def __init__(self) -> None:
        self._folders: list[str] = []
        self._names: list[str] = []  # of a folder, joined
        self._ends: list[int] = []  # number of files up to and with a folder
        self._sizes = array("q")
        self._times = array("q")

    def add(self, folder: str, stamps: dict[str, Stamp]) -> None:
        """Append the files of a folder."""
        if stamps:
            self._folders.append(folder)
            self._names.append("\0".join(stamps))
            self._ends.append(len(self) + len(stamps))
            self._sizes.extend(stamp.size_bytes for stamp in stamps.values())
            self._times.extend(stamp.modified_ns for stamp in stamps.values())

    def stamp(self, number: int) -> Stamp:
        """Of one file."""
        return Stamp(self._sizes[number], self._times[number])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, int):
            return self[place : place + 1][0]
        start, stop, step = place.indices(len(self))
        return list(self._from(start, stop))[::step]

    def _from(self, start: int, stop: int) -> Iterator[str]:
        which = bisect_right(self._ends, start)
        while start < stop:
            first = self._ends[which - 1] if which else 0
            prefix = f"{self._folders[which]}{os.sep}"
            names = self._names[which].split("\0")[start - first : stop - first]
            yield from [prefix + name for name in names]
            start += len(names)
            which += 1
