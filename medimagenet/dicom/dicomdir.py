"""DICOMDIR: the files that the directory of a medium names (DICOM PS3.3 annex F, PS3.10 section 8).

Names on media are upper case, and a file system may show them otherwise, with ";1" behind, or with an extension: they
are looked for without regard to that. A record may name another directory file (older Philips media), whose records
are read as well. What is named and not there is told, and no file is left out for what its record says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .._lazy import LazyModule
from ..errors import DicomError

if TYPE_CHECKING:
    import pydicom
else:
    pydicom = LazyModule("pydicom")  # slow, and plain series do without

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
MOST_NESTED = 8  # directories inside one another: more is a loop


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """What a DICOMDIR names."""

    files: tuple[Path, ...]
    """Those that are there, in the order of the records, each once."""
    missing: tuple[str, ...]
    """Those that are not, with forward slashes, below the folder of the DICOMDIR."""


def is_dicomdir(path: Path) -> bool:
    """Whether a file is a DICOMDIR, by its content."""
    try:
        dataset = pydicom.dcmread(path, specific_tags=["MediaStorageSOPClassUID"], stop_before_pixels=True)
    except Exception:  # no DICOM at all
        return False
    return bool(dataset.file_meta.get("MediaStorageSOPClassUID") == MEDIA_STORAGE_DIRECTORY)


def media_files(path: Path) -> MediaFiles:
    """The files that a DICOMDIR and the directories it names lead to.

    Raises
    ------
    DicomError
        It cannot be read, or is no DICOMDIR.
    """
    if not is_dicomdir(path):
        raise DicomError(f"{path.name} is not a DICOMDIR")
    found: dict[Path, None] = {}
    missing: dict[str, None] = {}
    _collect(path, path.parent, found, missing, 0)
    return MediaFiles(tuple(found), tuple(missing))


def _collect(path: Path, root: Path, found: dict[Path, None], missing: dict[str, None], depth: int) -> None:
    if depth > MOST_NESTED:
        raise DicomError(f"{path.name}: directories name one another more than {MOST_NESTED} deep")
    for name in _named(path):
        file = _look_up(root, name)
        if file is None:
            missing["/".join(name)] = None
        elif is_dicomdir(file):
            _collect(file, root, found, missing, depth + 1)
        else:
            found[file] = None


def _named(path: Path) -> Iterator[tuple[str, ...]]:
    """The file IDs of a directory's records, part by part."""
    try:
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or ()
    except Exception as error:  # pydicom raises whatever the bytes lead it into
        raise DicomError(f"{path.name} is not a readable DICOMDIR: {error}") from error
    for record in records:
        name = record.get("ReferencedFileID")
        if name:
            yield (name,) if isinstance(name, str) else tuple(map(str, name))


def _look_up(root: Path, name: tuple[str, ...]) -> Path | None:
    """The file below a folder that a file ID means; None where there is none, or it would lie elsewhere."""
    place = root
    for number, part in enumerate(name):
        if part in ("", ".", "..") or "/" in part or "\\" in part:
            return None
        exact = place / part
        if not exact.exists():
            close = [] if not place.is_dir() else [p for p in sorted(place.iterdir()) if _plain(p.name) == part.upper()]
            if not close:
                return None
            exact = close[0]
        place = exact
        if number < len(name) - 1 and not place.is_dir():
            return None
    return place if place.is_file() else None


def _plain(name: str) -> str:
    """A name as a medium has it."""
    return name.upper().split(";")[0].removesuffix(".DCM")
