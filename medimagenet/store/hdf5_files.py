"""Names of the files of a store in the HDF5 form: `lung.h5`, or `lung-00000.h5`, `lung-00001.h5`, ..."""

import re
from pathlib import Path

from ..errors import StoreError

SUFFIXES = (".h5", ".hdf5")
"""What a store's name ends with, so that everybody knows what the file is."""

_PART = re.compile(r"(.+)-(\d{5})")


def is_hdf5_name(path: Path) -> bool:
    """Whether a path is called as a store in the HDF5 form is."""
    return path.suffix.lower() in SUFFIXES


def part_path(path: Path, number: int) -> Path:
    """One of several files of the store that is called `path`."""
    return path.with_name(f"{path.stem}-{number:05d}{path.suffix}")


def sibling(first: Path, number: int) -> Path:
    """Another file of the store whose first file this is."""
    return first if number == 0 else part_path(first.with_name(f"{first.stem[:-6]}{first.suffix}"), number)


def first_file(path: Path) -> Path | None:
    """The file that a store begins with, given its name, any of its files, or the folder of its files.

    None where there is none. Whether the file is a store is not looked at.

    Raises
    ------
    StoreError
        A folder has the first files of several stores.
    """
    if path.is_dir():
        found = sorted(each for suffix in SUFFIXES for each in path.glob(f"*-00000{suffix}"))
        if len(found) > 1:
            raise StoreError(f"{path} has {len(found)} stores, name one: {', '.join(each.name for each in found[:5])}")
        return found[0] if found else None
    if not is_hdf5_name(path):
        return None
    return next((each for each in first_names(path) if each.is_file()), None)


def first_names(path: Path) -> list[Path]:
    """What the first file of a store may be called, given the store's name or that of any of its files."""
    match = _PART.fullmatch(path.stem)
    if match is not None and int(match[2]) > 0:
        return [path.with_name(f"{match[1]}-00000{path.suffix}")]
    return [path, part_path(path, 0)]
